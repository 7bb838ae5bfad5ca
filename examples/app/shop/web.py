"""The Flask web service, which enqueues tasks and returns their results."""

from flask import Flask, Response, jsonify, request
from pb_deploy_celery import QueueGuard, QueueUnavailable, configure_publisher
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from shop.queue import app as queue
from shop.tasks import add, report

# A request must not wait for a queue that is away: two of them would block both processes of the web service, and the
# load balancer would get no answer to its health checks. With these settings and those of shop.queue, a request waits
# for at most 3 seconds, which is less than the timeout of a health check (`health_timeout`).
configure_publisher(queue)
web = Flask("shop")
#: Raises QueueUnavailable if the queue cannot be reached and, for some seconds after a failure, without trying.
queue_access = QueueGuard()


@web.errorhandler(QueueUnavailable)
def queue_unavailable(error: QueueUnavailable) -> HTTPException:
    """Answers 503 if the queue cannot be reached."""
    web.logger.warning("%s: %s", error, error.__cause__)
    return ServiceUnavailable(str(error), retry_after=error.retry_after)


@web.get("/hello")
def hello() -> str:
    """Answers the load balancer's health checks without the queue, so a queue failure does not stop the tasks."""
    return "hello"


@web.post("/sums")
def new_sum() -> tuple[Response, int]:
    """Enqueues the addition of two numbers."""
    numbers = request.get_json()
    with queue_access:
        return jsonify(id=add.delay(numbers["x"], numbers["y"]).id), 202


@web.post("/reports")
def new_report() -> tuple[Response, int]:
    """Enqueues a report that takes the given number of seconds."""
    seconds = request.get_json().get("seconds", 1)
    with queue_access:
        return jsonify(id=report.delay(seconds).id), 202


@web.get("/results/<identity>")
def result(identity: str) -> Response:
    """Returns the state of a Celery task, and its result if it has succeeded."""
    with queue_access:
        found = queue.AsyncResult(identity)
        return jsonify(state=found.state, result=found.result if found.successful() else None)
