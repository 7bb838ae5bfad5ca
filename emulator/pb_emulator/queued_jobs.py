"""Jobs in the queues of an account. Nothing runs, so a test prescribes the jobs of a queue, and the program of pb-deploy
that counts them, in a one-off task, gets these.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from moto.elasticache.models import elasticache_backends

from . import elasticache_model
from .ecs_model import Task
from .patching import Place, attached_state

#: Begins the line that the program prints.
RESULT = "pb-deploy-jobs"
#: Exit code of the program if there are jobs.
HAS_JOBS = 3
EMPTY = {"waiting": {}, "unacknowledged": 0}


def prescribed(place: Place) -> dict[str, dict[str, Any] | None]:
    """Returns the prescribed jobs by replication group; `None` if the queue cannot be reached."""
    return attached_state(elasticache_backends[place.account][place.region], "queued-jobs", dict)


def prescribe(place: Place, group: str, jobs: dict[str, Any] | None) -> None:
    """Puts jobs into a queue: `{"waiting": {QUEUE: COUNT}, "unacknowledged": COUNT}`. `None` makes it unreachable."""
    prescribed(place)[group] = None if jobs is None else {**EMPTY, **jobs}


def count(place: Place, task: Task) -> tuple[int, list[str]]:
    """Returns the exit code and the log lines of the program: it counts the jobs of the queue to which the broker's URL
    in the environment of the task leads.
    """
    environment = {pair["name"]: pair["value"] for one in task.definition.containers for pair in one.get("environment", [])}
    if "CELERY_BROKER_URL" not in environment:
        return 1, ["KeyError: 'CELERY_BROKER_URL'"]
    host = urlsplit(environment["CELERY_BROKER_URL"]).hostname
    for group in elasticache_model.cache_state(place).groups.values():
        if group.status != "creating" and elasticache_model.endpoint(place, group, "primary")["Address"] == host:
            jobs = prescribed(place).get(group.id, EMPTY)
            if jobs is None:
                break
            code = HAS_JOBS if jobs["unacknowledged"] or any(jobs["waiting"].values()) else 0
            return code, [f"{RESULT} {json.dumps(jobs)}"]
    return 1, [f"redis.exceptions.ConnectionError: Error -2 connecting to {host}. Name or service not known."]
