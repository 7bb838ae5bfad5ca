"""Notes of `validate` about settings that are valid, but with which Celery or gunicorn loses requests or tasks."""

from __future__ import annotations

import pytest
from harness import TestWorkspace

SCRIPT = ["sh", "-c", "celery --app shop.queue worker"]


def test_validate_notes_shell_command_without_exec(workspace: TestWorkspace) -> None:
    workspace.configure({"services": {"celery": {"command": SCRIPT}}})
    result = workspace.run("validate").expect_exit()
    assert "valid" in result.out and "note: " in result.out and "without `exec`" in result.out
    line = next(
        number
        for number, text in enumerate(workspace.config_file.read_text(encoding="utf-8").splitlines(), 1)
        if "shop.queue" in text
    )
    [note] = workspace.run("validate", "--json").expect_exit().json()["notes"]
    assert note["line"] == line and note["field"].endswith("services.celery.command") and "exec" in note["help"]
    # The other commands neither print notes nor refuse the configuration because of them.
    assert "note:" not in workspace.run("plan", "staging").expect_exit().err


def test_validate_has_no_notes_for_good_commands(workspace: TestWorkspace) -> None:
    workspace.configure({"services": {"celery": {"command": ["sh", "-c", "cd /app && exec celery worker"]}}})
    assert workspace.run("validate", "--json").expect_exit().json()["notes"] == []


@pytest.mark.parametrize("command", [["celery", "worker", "-Qmail"], ["sh", "-c", "exec celery worker -Q mail"]])
def test_hidden_queues_are_refused_beside_queues_key(workspace: TestWorkspace, command: list[str]) -> None:
    workspace.configure({"services": {"celery": {"command": command, "queues": ["reports"]}}})
    refused = workspace.run("validate").expect_exit(1)
    assert "already names queues" in refused.err and "name the queues in one place" in refused.err


def test_redis_before_6_2_is_refused_by_validate(workspace: TestWorkspace) -> None:
    workspace.configure({"redis": {"version": "6.0"}})
    refused = workspace.run("validate").expect_exit(1)
    assert "Redis 6.2 or later" in refused.err and "value is not an integer or out of range" in refused.err
