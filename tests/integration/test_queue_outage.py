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
from real_parts import LoggedProcess, application_folder, ask, free_port, listens, redis_folder

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


def signatures(symptom: str) -> list[str]:
    """Returns the texts by which a failed rollout recognizes a symptom in a log."""
    table = (ROOT / "crates" / "fargate" / "src" / "rollout" / "diagnosis.rs").read_text(encoding="utf-8")
    texts = [str(text) for text in re.findall(rf'\("([^"]+)", Symptom::{symptom}\)', table)]
    assert texts, f"{symptom} is not in the table"
    return texts


def shows(symptom: str, part: LoggedProcess) -> bool:
    """Returns whether the output of a process shows a symptom."""
    return any(text in part.output() for text in signatures(symptom))


#: Text of the workers' `ready_log` that `init` writes.
READY = "ready."


def test_known_log_lines_are_those_of_celery(application: Application) -> None:
    until(lambda: listens(application.queue_port), START_SECONDS)
    application.fill_queue()
    full = application.start("full", *dockerfile_command("celery"))
    until(lambda: shows("QueueMemoryUsedUp", full), START_SECONDS)
    assert READY not in full.output() and full.process.poll() is None, "the worker waits for memory"
    application.command("CONFIG", "SET", "maxmemory", "0")
    until(lambda: READY in full.output(), START_SECONDS)
    application.stop_queue(signal.SIGKILL)
    unreachable = application.start("unreachable", *dockerfile_command("celery"))
    until(lambda: shows("QueueUnreachable", unreachable), START_SECONDS)


def test_worker_without_its_queue_stays_up_and_is_never_ready(application: Application) -> None:
    until(lambda: listens(application.queue_port), START_SECONDS)
    application.command("CONFIG", "SET", "requirepass", "right")
    assert f'# ready_log = "{READY}"' in (ROOT / "pb_deploy.toml").read_text(encoding="utf-8")

    def worker(name: str, address: str) -> LoggedProcess:
        queue = {"CELERY_BROKER_URL": f"redis://{address}/0", "CELERY_RESULT_BACKEND": f"redis://{address}/0"}
        return application.start(name, *dockerfile_command("celery"), **queue)

    port = application.queue_port
    failing = {
        "QueuePasswordRefused": [worker("wrong", f":other@127.0.0.1:{port}"), worker("none", f"127.0.0.1:{port}")],
        "QueueUnreachable": [worker("port", f"127.0.0.1:{free_port()}")],
        "HostUnknown": [worker("host", f"no-such-host.invalid:{port}")],
    }
    right = worker("right", f":right@127.0.0.1:{port}")
    until(lambda: READY in right.output(), START_SECONDS)
    for symptom, parts in failing.items():
        for part in parts:
            # The second attempt to connect: the worker does not give up.
            until(lambda part=part: "(2/100)" in part.output(), START_SECONDS)
            assert shows(symptom, part) and shows("QueueUnreachable", part), part.output()
            assert READY not in part.output() and part.process.poll() is None, part.output()
            assert "other@" not in part.output(), "Celery shows no password"


def test_log_level_decides_whether_celery_logs_that_it_is_ready(application: Application) -> None:
    until(lambda: listens(application.queue_port), START_SECONDS)
    worker, beat = dockerfile_command("celery"), ["celery", "--app", "shop.queue", "beat", "--schedule"]
    del worker[worker.index("--loglevel") : worker.index("--loglevel") + 2]
    level = {"CELERY_WORKER_LOGLEVEL": "INFO", "CELERY_BEAT_LOGLEVEL": "INFO"}
    shown = application.start("by-variable", *worker, **level)
    scheduler = application.start("beat", *beat, str(application.folder / "schedule"), **level)
    silent = application.start("by-default", *worker)
    option = application.start("by-option", *worker, "--loglevel", "WARNING", **level)
    until(lambda: READY in shown.output() and "beat: Starting..." in scheduler.output(), START_SECONDS)
    for part in (silent, option):
        # The queue shows the worker, which logs nothing about it.
        until(lambda part=part: "[queues]" in part.output(), START_SECONDS)
    time.sleep(5)
    assert READY not in silent.output() and READY not in option.output()
