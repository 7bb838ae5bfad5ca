"""Errors of a queue that is away, and a guard that keeps a web process responsive meanwhile."""

from __future__ import annotations

import math
import threading
import time
from types import TracebackType

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

#: Exceptions of `delay()` and `apply_async()` if the queue is away. Celery raises a plain RuntimeError if it cannot
#: subscribe to the result of the job.
PUBLISH_ERRORS: tuple[type[Exception], ...] = (OperationalError, RuntimeError)
#: `PUBLISH_ERRORS`, and the exceptions of reading a result.
QUEUE_ERRORS: tuple[type[Exception], ...] = (*PUBLISH_ERRORS, RedisError)


class QueueUnavailable(Exception):
    """The queue does not answer. `retry_after` is the number of seconds after which another attempt makes sense."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue does not answer")
        self.retry_after = retry_after


class QueueGuard:
    """A context manager for the use of the queue in a web process.

    It raises `QueueUnavailable` if the block cannot reach the queue and, for some seconds after a failure, without
    running the block. Otherwise, each request would wait for its timeouts, and a process with a few threads could not
    answer the load balancer's health checks. One guard serves all threads of a process. Use the queue alone in the
    block: a RuntimeError of anything else would count as a failure of the queue.
    """

    def __init__(self, pause_seconds: float = 5.0) -> None:
        self.pause_seconds = pause_seconds
        self._lock = threading.Lock()
        #: Time on the monotonic clock before which no attempt is made.
        self._closed_until = 0.0

    def __enter__(self) -> None:
        with self._lock:
            left = self._closed_until - time.monotonic()
        if left > 0:
            raise QueueUnavailable(math.ceil(left))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, QUEUE_ERRORS):
            with self._lock:
                self._closed_until = time.monotonic() + self.pause_seconds
            raise QueueUnavailable(math.ceil(self.pause_seconds)) from error
