"""The tasks of the workers."""

import os
import time

from shop.protection import protected
from shop.queue import app


@app.task
def add(x: int, y: int) -> int:
    """Adds two numbers."""
    return x + y


@app.task
def report(seconds: float) -> dict[str, object]:
    """Works for some seconds; a rollout must not stop it."""
    with protected(minutes=60):
        time.sleep(seconds)
    return {"done": True, "worker": os.getpid()}


@app.task
def tidy() -> str:
    """Runs once a minute, sent by the scheduler."""
    return "tidy"
