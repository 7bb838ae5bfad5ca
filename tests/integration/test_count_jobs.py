"""The program that counts the jobs in the queue, with a real Redis server and a real Celery worker."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint import ROOT
from harness import until
from queue_outage import START_SECONDS, Application
from real_parts import application_folder, listens, redis_folder

PROGRAM = ROOT / "crates" / "orchestrator" / "src" / "stack" / "count_jobs.py"
#: An application whose jobs end when a file exists.
JOBS = """
import os, time
from celery import Celery

app = Celery("jobs")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1)

@app.task
def work(number):
    while not os.path.exists("gate"):
        time.sleep(0.1)
    with open("done", "a") as done:
        done.write(f"{number}\\n")
"""
#: Five jobs in two priorities of the default queue, one in another queue.
ENQUEUE = """
from jobs import work
for number in range(3):
    work.apply_async((number,))
for number in range(3, 5):
    work.apply_async((number,), priority=6)
work.apply_async((5,), queue="reports")
"""


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    """Starts a Redis server, and writes the application."""
    started = Application(f"{application_folder()}:{redis_folder()}:{os.environ['PATH']}", tmp_path / "application")
    (started.folder / "jobs.py").write_text(JOBS, encoding="utf-8")
    until(lambda: listens(started.queue_port), START_SECONDS)
    yield started
    started.end()


def run(application: Application, program: str) -> subprocess.CompletedProcess[str]:
    """Runs a Python program in the environment of the containers."""
    command = [str(application_folder() / "python"), "-c", program]
    variables = application.variables | {"PYTHONPATH": str(application.folder)}
    return subprocess.run(
        command, cwd=application.folder, env=variables, capture_output=True, text=True, timeout=60, check=False
    )


def count(application: Application) -> tuple[int, Any]:
    """Counts the jobs, and returns the exit code and the counts."""
    result = run(application, PROGRAM.read_text(encoding="utf-8"))
    name, _, counts = result.stdout.partition(" ")
    assert name == "pb-deploy-jobs", result.stderr
    return result.returncode, json.loads(counts)


def test_waiting_and_unacknowledged_jobs_are_counted(application: Application) -> None:
    assert count(application) == (0, {"waiting": {}, "unacknowledged": 0})
    enqueued = run(application, ENQUEUE)
    assert enqueued.returncode == 0, enqueued.stderr
    assert count(application) == (3, {"waiting": {"celery": 5, "reports": 1}, "unacknowledged": 0})

    worker = ["celery", "--app", "jobs", "worker", "--concurrency", "1", "--queues", "celery,reports"]
    application.start("worker", *worker, PYTHONPATH=str(application.folder))
    until(lambda: count(application)[1]["unacknowledged"] > 0, START_SECONDS)
    code, counts = count(application)
    assert code == 3 and sum(counts["waiting"].values()) + counts["unacknowledged"] == 6, counts

    (application.folder / "gate").touch()
    done = application.folder / "done"
    until(lambda: done.exists() and len(done.read_text(encoding="utf-8").splitlines()) == 6, START_SECONDS)
    until(lambda: count(application) == (0, {"waiting": {}, "unacknowledged": 0}))


def test_unreachable_queue_is_an_error(application: Application) -> None:
    application.queue.end()
    result = run(application, PROGRAM.read_text(encoding="utf-8"))
    assert result.returncode == 1 and result.stdout == "", result
    assert "redis.exceptions.ConnectionError" in result.stderr
