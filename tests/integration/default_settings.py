"""A web service like that of the example application, with Celery's default settings."""

import os

from celery import Celery
from flask import Flask, Response, jsonify, request

queue = Celery("shop", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])
web = Flask("shop")


@queue.task
def add(x: int, y: int) -> int:
    """Adds two numbers."""
    return x + y


@web.get("/hello")
def hello() -> str:
    """Answers the load balancer's health checks."""
    return "hello"


@web.post("/sums")
def new_sum() -> tuple[Response, int]:
    """Enqueues the addition of two numbers."""
    numbers = request.get_json()
    return jsonify(id=add.delay(numbers["x"], numbers["y"]).id), 202
