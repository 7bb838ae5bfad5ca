"""The Python package for applications: its own tests, its copy in the example, and a failover with real servers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoint import ROOT
from harness import until
from queue_outage import START_SECONDS, Application, dockerfile_command, redis_answer
from real_parts import APP, application_folder, ask, free_port, listens, redis_folder

PACKAGE = ROOT / "python" / "pb_deploy_celery"
#: Number of workers with Celery's defaults: a single one may keep running after a failover, and do nothing.
DEFAULT_WORKERS = 3


def test_package_passes_its_own_tests() -> None:
    command = [str(application_folder() / "python"), "-m", "unittest", "discover", "--start-directory", "tests"]
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        command, cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0 and "OK" in result.stderr and "Ran 0 tests" not in result.stderr, result.stderr


def test_example_has_the_package_as_it_is() -> None:
    def files(folder: Path) -> dict[str, bytes]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    own, copied = files(PACKAGE / "pb_deploy_celery"), files(APP / "pb_deploy_celery")
    assert own and copied == own, "run: cp -r python/pb_deploy_celery/pb_deploy_celery examples/app/"
    assert "COPY pb_deploy_celery pb_deploy_celery" in (APP / "Dockerfile").read_text(encoding="utf-8")
    assert "!pb_deploy_celery" in (APP / ".dockerignore").read_text(encoding="utf-8")


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    """Yields the example application with a queue and no other process."""
    path = f"{application_folder()}:{redis_folder()}:{os.environ['PATH']}"
    application = Application(path, tmp_path / "application")
    yield application
    application.end()


def is_in_sync(port: int) -> bool:
    """Returns whether a Redis server is a replica that has all data of its primary."""
    return "master_link_status:up" in redis_answer(port, "INFO", "replication")


def test_worker_goes_on_after_a_failover_and_runs_all_jobs(application: Application) -> None:
    """The primary becomes a replica of its replica, as in a failover; then it becomes the primary again, which stands
    for the address that moves to the new primary.
    """
    until(lambda: listens(application.queue_port), START_SECONDS)
    replica = free_port()
    replicas = ("--replicaof", f"127.0.0.1 {application.queue_port}", "--repl-diskless-sync-delay", "0")
    application.start("replica", "redis-server", "--port", str(replica), "--bind", "127.0.0.1", "--save", "", *replicas)
    until(lambda: listens(replica) and is_in_sync(replica), START_SECONDS)
    # The reports wait in a queue of their own, for which no worker runs yet.
    application.start_web()
    until(lambda: application.enqueue() == 202, START_SECONDS)
    answers = [ask(application.port, "/reports", json.dumps({"seconds": 0}).encode()) for _ in range(3)]
    waiting = [json.loads(body)["id"] for status, body in answers if status == 202]
    assert len(waiting) == 3, answers
    worker = application.start("worker", *dockerfile_command("celery"))
    # They have a queue of their own, so that they take none of the jobs.
    default = [*dockerfile_command("celery"), "--queues", "other"]
    default[default.index("shop.queue")] = "default_settings:queue"
    defaults = [application.start(f"default-{number}", *default) for number in range(DEFAULT_WORKERS)]
    until(lambda: all("ready." in part.output() for part in (worker, *defaults)), START_SECONDS)

    assert redis_answer(replica, "REPLICAOF", "NO", "ONE").startswith("+OK")
    application.command("REPLICAOF", "127.0.0.1", str(replica))
    until(lambda: "READONLY" in worker.output() or "read only" in worker.output(), START_SECONDS)
    until(lambda: any(part.process.poll() == 1 for part in defaults), START_SECONDS)
    assert worker.process.poll() is None, worker.output()
    until(lambda: is_in_sync(application.queue_port), START_SECONDS)
    application.command("REPLICAOF", "NO", "ONE")

    reports = application.start("reports", *dockerfile_command("celery"), CELERY_WORKER_QUEUES="reports")
    before = worker.output().count("succeeded in")
    until(lambda: application.enqueue() == 202, START_SECONDS)
    until(lambda: worker.output().count("succeeded in") > before, START_SECONDS)
    for job in waiting:
        until(lambda job=job: f"[{job}] succeeded in" in reports.output(), START_SECONDS)
    assert worker.process.poll() is None, worker.output()
