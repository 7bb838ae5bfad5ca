"""The example application during an outage of its queue, with real Redis, Celery and gunicorn."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from endpoint import ROOT
from harness import until
from queue_outage import START_SECONDS, Application, Observed, dockerfile_command
from real_parts import application_folder, ask, listens, redis_folder

OUTAGE_SECONDS = 60.0
#: A web service with the default settings of Celery.
DEFAULTS = "default_settings:web"


@pytest.fixture
def path() -> str:
    """Returns a PATH with the programs of the example application and with Redis."""
    return f"{application_folder()}:{redis_folder()}:{os.environ['PATH']}"


def outage(path: str, folder: Path, number: signal.Signals, module: str = "") -> Observed:
    """Observes a web service during an outage, and waits until it enqueues jobs again."""
    application = Application(path, folder)
    try:
        application.start_web(module)
        application.stop_queue(number)
        observed = application.observe(OUTAGE_SECONDS)
        application.restore_queue()
        until(lambda: application.enqueue() == 202, START_SECONDS)
        return observed
    finally:
        application.end()


def test_web_service_passes_health_checks_in_queue_outage(path: str, tmp_path: Path) -> None:
    # The outages run at the same time: each takes a minute, and little CPU time.
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(outage, path, tmp_path / "killed", signal.SIGKILL)
        suspended = pool.submit(outage, path, tmp_path / "suspended", signal.SIGSTOP)
        by_default = pool.submit(outage, path, tmp_path / "defaults", signal.SIGKILL, DEFAULTS)
    for observed in (killed.result(), suspended.result()):
        assert len(observed.checks) == 6 and not observed.failed_checks(), observed
        assert len(observed.jobs) == 120 and set(observed.jobs) == {503}, observed
    # The same outage fails the health checks of an application with the default settings, often enough that the load
    # balancer takes it out (`unhealthy_threshold` is 3).
    assert len(by_default.result().failed_checks()) >= 3, by_default.result()


@pytest.fixture
def application(path: str, tmp_path: Path) -> Iterator[Application]:
    """Yields the example application with a queue and no other process."""
    application = Application(path, tmp_path / "application")
    yield application
    application.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "suspended"])
def test_task_that_ends_in_queue_outage_succeeds(application: Application, number: signal.Signals) -> None:
    worker = application.start("worker", *dockerfile_command("celery"), CELERY_WORKER_QUEUES="reports")
    application.start_web()
    until(lambda: "ready." in worker.output(), START_SECONDS)
    status, answer = ask(application.port, "/reports", json.dumps({"seconds": 2}).encode())
    assert status == 202
    until(lambda: "received" in worker.output(), START_SECONDS)
    application.stop_queue(number)
    # Longer than the timeouts of the queue's connections, so the worker fails to store the result at first.
    time.sleep(12)
    application.restore_queue()

    def state() -> str | None:
        status, result = ask(application.port, f"/results/{json.loads(answer)['id']}")
        found = str(json.loads(result)["state"]) if status == 200 else "PENDING"
        return found if found != "PENDING" else None

    assert until(state, START_SECONDS) == "SUCCESS", worker.output()


def signature(symptom: str) -> str:
    """Returns the text by which a failed rollout recognizes a symptom in a log."""
    table = (ROOT / "crates" / "fargate" / "src" / "rollout" / "diagnosis.rs").read_text(encoding="utf-8")
    [text] = re.findall(rf'\("([^"]+)", Symptom::{symptom}\)', table)
    return str(text)


def test_known_log_lines_are_those_of_celery(application: Application) -> None:
    until(lambda: listens(application.queue_port), START_SECONDS)
    application.fill_queue()
    full = application.start("full", *dockerfile_command("celery"))
    assert full.process.wait(START_SECONDS) == 1
    assert any(signature("QueueMemoryUsedUp") in line for line in full.output().splitlines()[-10:]), full.output()
    application.stop_queue(signal.SIGKILL)
    unreachable = application.start("unreachable", *dockerfile_command("celery"))
    until(lambda: signature("QueueUnreachable") in unreachable.output(), START_SECONDS)
