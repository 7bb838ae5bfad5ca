"""The Flask web service, which enqueues tasks and returns their results."""

import contextlib
import time
from collections.abc import Iterator

from flask import Flask, Response, jsonify, request
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from werkzeug.exceptions import ServiceUnavailable

from shop.queue import app as queue
from shop.tasks import add, report

#: Seconds for which this process does not try to reach the queue again after a failure.
PAUSE_SECONDS = 5.0

# A request must not wait for a queue that is away: two of them would block both processes of the web service, and the
# load balancer would get no answer to its health checks. With these settings and those of shop.queue, a request waits
# for at most 3 seconds, which is less than the timeout of a health check (`health_timeout`).
queue.conf.update(
    task_publish_retry_policy={"max_retries": 0},
    result_backend_transport_options={"retry_policy": {"max_retries": 1, "interval_start": 0.2}},
    result_backend_always_retry=False,
)
web = Flask("shop")
#: Time (on the monotonic clock) before which this process does not try to reach the queue.
next_attempt = 0.0


@contextlib.contextmanager
def queue_access() -> Iterator[None]:
    """Answers 503 if the block cannot reach the queue, and, for some seconds after a failure, without running it."""
    global next_attempt
    unavailable = ServiceUnavailable("the queue does not answer", retry_after=int(PAUSE_SECONDS))
    if time.monotonic() < next_attempt:
        raise unavailable
    try:
        yield
    # Celery raises a plain RuntimeError if it cannot subscribe to the result of the task.
    except (OperationalError, RedisError, RuntimeError) as error:
        next_attempt = time.monotonic() + PAUSE_SECONDS
        web.logger.warning("the queue does not answer: %s", error)
        raise unavailable from error


@web.get("/hello")
def hello() -> str:
    """Answers the load balancer's health checks without the queue, so a queue failure does not stop the tasks."""
    return "hello"


@web.post("/sums")
def new_sum() -> tuple[Response, int]:
    """Enqueues the addition of two numbers."""
    numbers = request.get_json()
    with queue_access():
        return jsonify(id=add.delay(numbers["x"], numbers["y"]).id), 202


@web.post("/reports")
def new_report() -> tuple[Response, int]:
    """Enqueues a report that takes the given number of seconds."""
    seconds = request.get_json().get("seconds", 1)
    with queue_access():
        return jsonify(id=report.delay(seconds).id), 202


@web.get("/results/<identity>")
def result(identity: str) -> Response:
    """Returns the state of a Celery task, and its result if it has succeeded."""
    with queue_access():
        found = queue.AsyncResult(identity)
        return jsonify(state=found.state, result=found.result if found.successful() else None)
