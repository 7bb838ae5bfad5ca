"""Hints about failed rollouts and health checks whose cause is known: log lines of Celery, status codes of Flask."""

from __future__ import annotations

import json
from typing import Any

import pytest
from configuration import image
from harness import TestWorkspace

#: Log lines of a failed task, with the name of the symptom and a part of the hint.
LOG_LINES = {
    "redis.exceptions.OutOfMemoryError: command not allowed when used memory > 'maxmemory'.": (
        "queue_memory_used_up", "the memory of the queue is used up",
    ),
    "consumer: Cannot connect to redis://queue:6400/0: Error 111 connecting to queue:6400. Connection refused..": (
        "queue_unreachable", "the worker cannot connect to the queue",
    ),
    "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed": (
        "certificate_refused", "install `ca-certificates`",
    ),
    "ModuleNotFoundError: No module named 'packaging'": ("packaging_missing", "install `celery[redis]`"),
    "redis.exceptions.ResponseError: value is not an integer or out of range": ("queue_too_old", "Redis before 6.2"),
}  # fmt: skip

#: Image tags by the status with which their tasks answer health checks, and a part of the hint.
STATUSES = {
    "status-308": ("health_check_redirected", "write `health_path` with the slash"),
    "only-elsewhere": ("health_check_not_found", "Flask distinguishes `/hello` from `/hello/`"),
    "status-400": ("health_check_refused", "`TRUSTED_HOSTS`"),
}


def failed_rollout(workspace: TestWorkspace) -> dict[str, Any]:
    """Deploys, and returns the failure of the rollout."""
    result = workspace.run("deploy", "staging", "--yes", "--json").expect_exit(1)
    events = [json.loads(line) for line in result.out.splitlines()]
    [failure] = [event["failure"] for event in events if event["event"] == "failed"]
    return dict(failure)


def test_known_log_lines_have_hints(staging: TestWorkspace) -> None:
    for line, (symptom, hint) in LOG_LINES.items():
        worker = {"image": image("fail"), "breaker_threshold": 1, "environment": {"PB_EMULATOR_LOG": line}}
        staging.configure({"services": {"celery": worker}})
        failure = failed_rollout(staging)
        assert line in failure["cause"]["log"] and failure["cause"]["symptoms"] == [symptom], failure
        assert hint in failure["hint"], failure
    staging.configure({"services": {"celery": {"environment": {"PB_EMULATOR_LOG": "fatal: no settings"}}}})
    failure = failed_rollout(staging)
    assert "symptoms" not in failure["cause"] and failure["hint"] is None, failure


@pytest.mark.parametrize("tag", STATUSES)
def test_known_status_of_failed_health_checks_has_a_hint(staging: TestWorkspace, tag: str) -> None:
    staging.configure({"services": {"flask": {"image": image(tag), "breaker_threshold": 1}}})
    failure = failed_rollout(staging)
    symptom, hint = STATUSES[tag]
    assert failure["cause"]["symptoms"] == [symptom] and hint in failure["hint"], failure


def test_changed_health_path_that_is_not_found_has_a_hint(workspace: TestWorkspace) -> None:
    workspace.configure({"services": {"flask": {"image": image("only-hello_")}}})
    workspace.deploy()
    workspace.configure({"load_balancer": {"health_path": "/hello-again"}})
    result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "the old health check was restored; the application has no page at `health_path` (404)" in result.err, result
