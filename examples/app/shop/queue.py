"""The queue between the web service and the workers.

It needs the environment variables CELERY_BROKER_URL and CELERY_RESULT_BACKEND, which the task definition sets.
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
    # Tasks are acknowledged when they are done, so if a worker stops, its unfinished tasks go to another worker.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # A worker reserves only the task on which it is working, so a rollout leaves no reserved tasks behind.
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    # Reports are slow, so they have their own pool of workers.
    task_routes={"shop.tasks.report": {"queue": "reports"}},
    beat_schedule={"tidy": {"task": "shop.tasks.tidy", "schedule": 60.0}},
)
