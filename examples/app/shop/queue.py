"""The queue between the web service and the workers.

It needs the variables CELERY_BROKER_URL and CELERY_RESULT_BACKEND, which the task definition sets.
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
    # Tasks are acknowledged when they are done, so a task that a stopping worker loses goes to another one.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # Workers reserve no tasks that they do not work on, so a rollout strands none.
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    # Reports are slow and have their own pool of workers.
    task_routes={"shop.tasks.report": {"queue": "reports"}},
    beat_schedule={"tidy": {"task": "shop.tasks.tidy", "schedule": 60.0}},
)
