"""What workers do."""

import os
import time

from shop.protection import protected
from shop.queue import app


@app.task
def add(x: int, y: int) -> int:
    """Short work."""
    return x + y


@app.task
def report(seconds: float) -> dict[str, object]:
    """Slow work, which a rollout must not cut off."""
    with protected(minutes=60):
        time.sleep(seconds)
    return {"done": True, "worker": os.getpid()}


@app.task
def tidy() -> str:
    """What the scheduler sends once a minute."""
    return "tidy"
