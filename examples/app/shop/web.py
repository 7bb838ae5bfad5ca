"""The web service."""

from flask import Flask, Response, jsonify, request

from shop.queue import app as queue
from shop.tasks import add, report

web = Flask("shop")


@web.get("/hello")
def hello() -> str:
    """What the load balancer asks for. It does not touch the queue: a queue that is down must not stop every task."""
    return "hello"


@web.post("/sums")
def new_sum() -> tuple[Response, int]:
    """Have a sum worked out."""
    numbers = request.get_json()
    return jsonify(id=add.delay(numbers["x"], numbers["y"]).id), 202


@web.post("/reports")
def new_report() -> tuple[Response, int]:
    """Have a report made, which takes so many seconds."""
    return jsonify(id=report.delay(request.get_json().get("seconds", 1)).id), 202


@web.get("/results/<identity>")
def result(identity: str) -> Response:
    """What came of it."""
    found = queue.AsyncResult(identity)
    return jsonify(state=found.state, result=found.result if found.successful() else None)
