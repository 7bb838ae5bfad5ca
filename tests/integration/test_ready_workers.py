"""Rollouts of workers that succeed only when each new task has logged that it is ready."""

from __future__ import annotations

import json
from typing import Any

import pytest
from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace, until

READY = {"services": {"celery": {"ready_log": "ready.", "count": 2}}}
#: Lines of Celery 5.7.0 with redis-py 8.1.0; `test_real_worker_readiness.py` compares them with a real worker's.
WRONG_PASSWORD = (
    "[ERROR/MainProcess] consumer: Cannot connect to redis://:<password>@queue:6400/0: "
    "invalid username-password pair or user is disabled.."
)
UNREACHABLE = (
    "[ERROR/MainProcess] consumer: Cannot connect to redis://:**@queue:6400/0: Error 111 connecting to queue:6400. "
    "Connection refused.."
)


def celery(line: str | None, **more: Any) -> dict[str, Any]:
    """Returns changes of the workers, whose tasks log a line instead of `celery@HOST ready.`."""
    environment = None if line is None else {"PB_EMULATOR_LOG": line}
    return {"services": {"celery": {**READY["services"]["celery"], "environment": environment, **more}}}


@pytest.fixture
def ready(staging: TestWorkspace) -> TestWorkspace:
    """Returns a deployed workspace whose workers log that they are ready."""
    staging.configure(READY)
    staging.deploy()
    return staging


def failure(workspace: TestWorkspace, *options: str, command: str = "deploy") -> dict[str, Any]:
    """Runs a command that waits for rollouts, and returns the failure of the workers' rollout."""
    confirmed = () if command == "wait" else ("--yes",)
    result = workspace.run(command, "staging", *confirmed, "--json", *options).expect_exit(1)
    [failed] = [event for event in result.events() if event["event"] == "failed"]
    assert failed["address"] == "fargate/celery"
    return dict(failed["failure"])


def stream_reads(calls: list[str]) -> list[str]:
    """Returns the calls that read logs."""
    return [call for call in calls if call.startswith("logs:Filter") or call.startswith("logs:GetLog")]


def test_rollout_without_the_key_reads_no_log(staging: TestWorkspace) -> None:
    since = staging.mark()
    staging.configure({"services": {"celery": {"image": image("celery-2")}}})
    staging.deploy()
    assert not stream_reads(staging.calls(since))


def test_rollout_waits_until_each_task_is_ready(staging: TestWorkspace) -> None:
    # The tasks log that they are ready one after another.
    staging.configure({"services": {"celery": {**READY["services"]["celery"], "count": 3}}})
    staging.configure({"services": {"celery": {"environment": {"PB_EMULATOR_READY_STEP": "2"}}}})
    running = staging.start("deploy", "staging", "--yes", "--json")
    events = running.result().expect_exit().events()
    waits = [event["what"] for event in events if event["event"] == "waiting" and "logged `ready.`" in event["what"]]
    assert waits and all(what.startswith(("0 of 3 tasks", "1 of 3 tasks", "2 of 3 tasks")) for what in waits), waits
    since = staging.mark()
    staging.assert_no_changes()
    assert not stream_reads(staging.calls(since)), "ready tasks are not checked again"


def test_refused_password_is_named_but_not_shown(ready: TestWorkspace) -> None:
    ready.configure(celery(WRONG_PASSWORD))
    failed = failure(ready, "--wait-timeout", "10")
    cause = failed["cause"]
    assert failed["pb_code"] == "PB0508" and "0 of 2 tasks logged `ready.`" in failed["message"], failed
    assert cause["symptoms"] == ["queue_password_refused", "queue_unreachable"] and len(cause["not_ready"]) == 2, cause
    assert "the queue refuses the user name or the password" in failed["hint"], failed
    assert "invalid username-password pair" in str(cause["log"]) and "hunter2" not in json.dumps(failed), failed
    assert "did not finish in time" in ready.run("status", "staging").out
    # The next deploy without changes waits again, and so does `wait`.
    assert failure(ready, "--wait-timeout", "5")["pb_code"] == "PB0508"
    assert failure(ready, "--wait-timeout", "5", command="wait")["pb_code"] == "PB0508"
    ready.run("rollback", "staging", "--yes").expect_exit()
    ready.configure(celery(None))
    ready.deploy()
    ready.assert_no_changes()


def test_refused_password_ends_the_wait_early(ready: TestWorkspace) -> None:
    ready.configure(celery(WRONG_PASSWORD))
    failed = failure(ready, "--wait-timeout", "600")
    assert (failed["class"], failed["pb_code"]) == ("failed", "PB0508"), failed
    assert "another logs: " in failed["message"] and "hunter2" not in json.dumps(failed), failed


def test_unreachable_queue_is_named_with_its_reason(ready: TestWorkspace) -> None:
    ready.configure(celery(UNREACHABLE))
    result = ready.run("deploy", "staging", "--yes", "--wait-timeout", "14").expect_exit(1)
    for words in (
        "0 of 2 tasks logged `ready.`", "not ready: task ", "Connection refused", "redis://:**@queue:6400/0",
        "the worker cannot connect to the queue", "the old tasks are gone", "[PB0508]",
        "To undo: `pb-deploy rollback staging`",
    ):  # fmt: skip
        assert words in result.err, f"{words!r} is not in:\n{result}"


def test_deploy_after_a_kill_waits_for_the_tasks(ready: TestWorkspace, proxy: FaultProxy) -> None:
    ready.configure(celery(None, image=image("celery-3")))
    stop = proxy.hold_before("logs:FilterLogEvents")
    running = ready.start("deploy", "staging", "--yes", url=proxy.url)
    stop.wait()
    running.kill()
    proxy.release_all()
    ready.run("unlock", "staging", ready.lock_id()).expect_exit()
    shown = ready.run("plan", "staging").expect_exit().out
    assert "fargate/celery" in shown, shown
    since = ready.mark()
    ready.deploy()
    assert "logs:FilterLogEvents" in ready.calls(since) and "ecs:UpdateService" not in ready.calls(since)
    ready.assert_no_changes()


def test_deploy_without_wait_leaves_the_check_to_wait(ready: TestWorkspace) -> None:
    ready.configure(celery(None, image=image("celery-4")))
    since = ready.mark()
    ready.run("deploy", "staging", "--yes", "--no-wait").expect_exit()
    assert not stream_reads(ready.calls(since))
    until(lambda: len(ready.inventory.services()["staging-celery"]["deployments"]) == 1)
    since = ready.mark()
    ready.run("wait", "staging").expect_exit()
    assert "logs:FilterLogEvents" in ready.calls(since)
    ready.assert_no_changes()


def test_key_that_is_added_or_removed_starts_no_wait(staging: TestWorkspace) -> None:
    # The log level is set already, so the key changes nothing but the wait.
    level = {"services": {"celery": {"environment": {"CELERY_WORKER_LOGLEVEL": "INFO"}}}}
    staging.configure(level)
    staging.deploy()
    staging.configure({"services": {"celery": {"ready_log": "ready."}}})
    staging.assert_no_changes()
    staging.configure({"services": {"celery": {"ready_log": None}}})
    staging.assert_no_changes()
