"""The queue between the web service and the workers.

All that is read here is what the task definition gives: CELERY_BROKER_URL and CELERY_RESULT_BACKEND.
"""

import os

from celery import Celery

app = Celery(
    "shop",
    broker=os.environ["CELERY_BROKER_URL"],
    backend=os.environ["CELERY_RESULT_BACKEND"],
    include=["shop.tasks"],
)
app.conf.update(
    # A task is acknowledged when it is done: one that a worker loses on its way out is given to another.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # A worker holds no more than it works on, so that a rollout does not strand what it has reserved.
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    # Reports are slow, and have a pool of workers of their own.
    task_routes={"shop.tasks.report": {"queue": "reports"}},
    beat_schedule={"tidy": {"task": "shop.tasks.tidy", "schedule": 60.0}},
)
