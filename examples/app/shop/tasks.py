"""The Celery tasks that the workers execute."""

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
    """Works for some seconds, protected from being stopped by a rollout."""
    with protected(minutes=60):
        time.sleep(seconds)
    return {"done": True, "worker": os.getpid()}


@app.task
def tidy() -> str:
    """Stands in for periodic work. The scheduler sends this task once a minute."""
    return "tidy"
