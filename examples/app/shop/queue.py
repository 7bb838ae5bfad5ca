"""The queue between the web service and the workers.

It needs the environment variables CELERY_BROKER_URL and CELERY_RESULT_BACKEND, which the task definition sets. `configure`
sets the timeouts and retries with which web service and workers survive an outage and a failover of the queue; docs/celery.md
has the measurements behind them.
"""

from celery import Celery
from pb_deploy_celery import configure, connection_urls

app = Celery("shop", **connection_urls(), include=["shop.tasks"])
configure(app)
app.conf.update(
    # Tasks are acknowledged when they are done, so the unfinished tasks of a worker that is killed are not lost: another
    # worker gets them when `visibility_timeout` has passed, after an hour.
    task_acks_late=True,
    # A worker reserves only the task on which it is working, so a rollout leaves no reserved tasks behind.
    worker_prefetch_multiplier=1,
    # Reports are slow, so they have their own pool of workers.
    task_routes={"shop.tasks.report": {"queue": "reports"}},
    beat_schedule={"tidy": {"task": "shop.tasks.tidy", "schedule": 60.0}},
)
