"""The Flask web service, which enqueues tasks and returns their results."""

from flask import Flask, Response, jsonify, request

from shop.queue import app as queue
from shop.tasks import add, report

web = Flask("shop")


@web.get("/hello")
def hello() -> str:
    """Answers the load balancer's health checks without the queue, so a queue failure does not stop the tasks."""
    return "hello"


@web.post("/sums")
def new_sum() -> tuple[Response, int]:
    """Enqueues the addition of two numbers."""
    numbers = request.get_json()
    return jsonify(id=add.delay(numbers["x"], numbers["y"]).id), 202


@web.post("/reports")
def new_report() -> tuple[Response, int]:
    """Enqueues a report that takes the given number of seconds."""
    return jsonify(id=report.delay(request.get_json().get("seconds", 1)).id), 202


@web.get("/results/<identity>")
def result(identity: str) -> Response:
    """Returns the state of a Celery task, and its result if it has succeeded."""
    found = queue.AsyncResult(identity)
    return jsonify(state=found.state, result=found.result if found.successful() else None)
