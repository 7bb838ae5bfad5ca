"""The queue between the web service and the workers.

It needs the environment variables CELERY_BROKER_URL and CELERY_RESULT_BACKEND, which the task definition sets.
docs/celery.md has the measurements behind the settings.
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
    # Without timeouts, a connection on which the queue does not answer any more blocks its process for good.
    broker_transport_options={"socket_timeout": 3, "socket_connect_timeout": 2},
    redis_socket_timeout=3,
    redis_socket_connect_timeout=2,
    # A worker that cannot store a result tries again. By default, it stores a task that succeeded as FAILURE.
    result_backend_always_retry=True,
    # Tasks are acknowledged when they are done, so the unfinished tasks of a worker that is killed are not lost: another
    # worker gets them when `visibility_timeout` has passed, after an hour.
    task_acks_late=True,
    # A worker reserves only the task on which it is working, so a rollout leaves no reserved tasks behind.
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    # Reports are slow, so they have their own pool of workers.
    task_routes={"shop.tasks.report": {"queue": "reports"}},
    beat_schedule={"tidy": {"task": "shop.tasks.tidy", "schedule": 60.0}},
)
