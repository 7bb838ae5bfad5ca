"""The command line: errors for programs, options that take times and lists, and the identity of a run."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Result, TestWorkspace, until
from real_parts import free_port


@pytest.fixture(scope="module")
def untouched(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a workspace in which nothing is deployed, and whose tests change nothing."""
    return new_workspace()


def error(result: Result) -> dict[str, Any]:
    """Returns the JSON object of an error, which is all that stderr contains."""
    document = json.loads(result.err)
    assert set(document) == {"error", "hint", "exit", "pb_code", "causes"}, document
    assert document["exit"] == result.code and document["error"] and result.out == "", result
    return dict(document)


@pytest.mark.parametrize(
    ("line", "code", "pb_code", "hint"),
    [
        ("--json", 64, "PB0101", "`pb-deploy --help` lists the commands"),
        ("bogus --json", 64, "PB0101", "Usage: pb-deploy"),
        ("--json delpoy staging", 64, "PB0101", "'deploy'"),
        ("--json plan", 64, "PB0101", "Usage: pb-deploy plan"),
        ("--json plan nope", 64, "PB0104", "to create it, add `[workspace.nope]` to the file"),
        ("--json plan stagin", 64, "PB0104", "did you mean `staging`?"),
        ("--json plan --workspace staging", 64, "PB0101", "name the workspace without an option"),
        ("--json deploy staging --dry-run", 64, "PB0101", "`pb-deploy plan WORKSPACE` shows what a deploy would do"),
        ("plan staging --markdown --json", 64, "PB0101", "Usage: pb-deploy plan"),
        ("--json deploy staging --wait-timeout soon", 64, "PB0101", "For more information, try '--help'."),
        ("--json destroy staging --target fargate/nope --yes", 64, "PB0107", "list the addresses with"),
        ("--json explain PB0000", 64, "PB0101", "PB0"),
        ("--json restart staging", 1, None, None),
        ("--json show missing.plan", 1, None, None),
    ],
)
def test_every_error_is_a_json_object_with_json(
    untouched: TestWorkspace, line: str, code: int, pb_code: str | None, hint: str | None
) -> None:
    document = error(untouched.run(*line.split()).expect_exit(code))
    assert pb_code in (None, document["pb_code"]), document
    assert document["hint"] and (hint or "") in document["hint"], document


def test_invalid_configuration_lists_its_problems_as_json(new_workspace: Callable[[], TestWorkspace]) -> None:
    workspace = new_workspace()
    workspace.configure({"redis": {"prot": 6400}, "logs": {"retention_days": 31}})
    document = error(workspace.run("validate", "--json").expect_exit(1))
    assert {cause["field"] for cause in document["causes"]} == {"redis.prot", "logs.retention_days"}
    assert all(cause["line"] and cause["message"] and cause["help"] in document["hint"] for cause in document["causes"])


def test_usage_errors_suggest_only_what_is_near(untouched: TestWorkspace) -> None:
    near = untouched.run("plan", "staging", "--target", "fargate/flsk").expect_exit(64)
    assert "hint: did you mean fargate/flask?" in near.err, near
    far = untouched.run("plan", "staging", "--target", "fargate/nope").expect_exit(64)
    assert "did you mean" not in far.err and "hint: list the addresses with " in far.err, far
    workspace = untouched.run("plan", "--workspace", "staging").expect_exit(64)
    assert "tip: name the workspace without an option: `pb-deploy plan staging`" in workspace.err, workspace
    assert "--replace" not in workspace.err and "as a value" not in workspace.err, workspace


def test_changes_of_services_have_a_plan_event(staging: TestWorkspace) -> None:
    for arguments in (("scale", "staging", "celery=3,flask=2"), ("restart", "staging", "flask,celery")):
        events = staging.run(*arguments, "--yes", "--wait-timeout", "2m", "--json").expect_exit().events()
        assert events[0]["event"] == "plan", events[0]
        assert [step["address"] for step in events[0]["steps"]] == ["fargate/celery", "fargate/flask"]
        assert all(event["text"] == event["text"].strip() for event in events if event["event"] == "message")


def test_watched_status_prints_one_document_per_line(staging: TestWorkspace) -> None:
    running = staging.start("status", "staging", "--watch", "--json")
    until(lambda: running.output_so_far().out.count("\n") >= 2)
    running.interrupt(signal.SIGINT)
    lines = running.result().expect_exit().lines()
    assert {line["workspace"] for line in lines} == {"staging"} and all(line["services"] for line in lines)


@pytest.mark.parametrize(
    ("variables", "who"),
    [
        ({"USER": None}, None),
        ({"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ana", "GITHUB_RUN_ID": "77"}, "github:ana/77@test-host, pid "),
    ],
)
def test_releases_name_the_account_or_the_ci_run(
    staging: TestWorkspace, variables: dict[str, str | None], who: str | None
) -> None:
    text = Path("/etc/passwd").read_text(encoding="utf-8")
    accounts = [line.split(":") for line in text.splitlines()]
    names = [name for name, _, uid, *_ in accounts if uid == str(os.geteuid())]
    expected = who or f"{names[0] if names else f'uid-{os.geteuid()}'}@test-host, pid "
    staging.run("restart", "staging", "flask", "--yes", env=variables).expect_exit()
    (flask,) = [row for row in staging.run("history", "staging", "--json").json() if row["service"] == "flask"]
    assert flask["revisions"][0]["who"].startswith(expected), flask


def local_up(workspace: TestWorkspace, *arguments: str) -> Result:
    """Runs `local up` with a web service that would write a file."""
    workspace.configure({"services": {"flask": {"command": ["touch", "started"]}}})
    return workspace.run("local", "up", "staging", "--only", "flask", *arguments).expect_exit(1)


def test_local_up_without_the_given_queue_starts_nothing(new_workspace: Callable[[], TestWorkspace]) -> None:
    workspace, port = new_workspace(), free_port()
    result = local_up(workspace, "--queue", f"127.0.0.1:{port}")
    assert f"no queue accepts connections at 127.0.0.1:{port}: " in result.err and "hint: start it" in result.err
    assert "ready" not in result.err and not (workspace.folder / "started").exists()


def test_local_up_checks_all_ports_before_it_starts_anything(new_workspace: Callable[[], TestWorkspace]) -> None:
    workspace = new_workspace()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        workspace.configure({"services": {"flask": {"port": port}}, "redis": {"port": free_port()}})
        result = local_up(workspace)
    assert f"port {port} of flask is already in use" in result.err, result
    assert result.out == "", "the queue was not started"
    assert not (workspace.folder / "started").exists()
