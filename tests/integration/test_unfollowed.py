"""Rollouts that outlast their run (interrupted, timed out or not waiting) and are found or awaited by a later run."""

from __future__ import annotations

from typing import Any

import pytest
from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace, until
from test_rollback import recorded_releases
from test_rollouts import configure_flask, interrupt_endless_rollout, revision, service


def leave_rollout(workspace: TestWorkspace, tag: str, how: str) -> None:
    """Runs a deploy that ends before its rollout, because of an interrupt or a timeout."""
    configure_flask(workspace, image=image(tag))
    options = ["--wait-timeout", "1"] if how == "timeout" else []
    # On a busy machine, the rollout could otherwise end before the run is interrupted.
    with workspace.paused_rollouts():
        run = workspace.start("deploy", "staging", "--yes", *options)
        until(lambda: is_awaited(workspace))
        if how != "timeout":
            run.interrupt()
        run.result().expect_exit(1 if how == "timeout" else 130)


def is_awaited(workspace: TestWorkspace) -> bool:
    """Returns whether a run is waiting for the web service's rollout."""
    record = workspace.state_object()["snapshot"]["resources"]["fargate/flask"]
    return len(service(workspace)["deployments"]) == 2 and record["settled"] is False


def history(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """Returns the web service's revisions from the output of `history`."""
    return list(workspace.run("history", "staging", "--json").expect_exit().json()[0]["revisions"])


def is_completed(workspace: TestWorkspace) -> bool:
    """Returns whether ECS has completed the web service's rollout."""
    deployments = service(workspace)["deployments"]
    return len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED"


def status(workspace: TestWorkspace) -> dict[str, Any]:
    """Returns the output of `status` as JSON."""
    return workspace.run("status", "staging", "--json").expect_exit().json()


def outcome(workspace: TestWorkspace) -> str:
    """Returns the recorded outcome of the web service's last release."""
    last = [release for release in recorded_releases(workspace) if "fargate/flask" in release["services"]][-1]
    return str(last["services"]["fargate/flask"]["outcome"])


@pytest.mark.needs("paused-rollouts")
@pytest.mark.parametrize("how", ["interrupt", "timeout"])
def test_rollout_completed_after_the_run_is_not_called_failed(staging: TestWorkspace, how: str) -> None:
    leave_rollout(staging, f"left-{how}", how)
    recorded = outcome(staging)
    assert recorded == "interrupted" if how == "interrupt" else recorded.startswith("gave up after "), recorded
    until(lambda: is_completed(staging))
    current = status(staging)
    assert current["unserved"] == [] and current["unfinished"] == "deploy", current
    (last,) = current["unconfirmed"]
    assert (last["service"], last["revision"], last["completed"]) == ("staging-flask", revision(staging), True), last
    text = staging.run("status", "staging").expect_exit().out
    assert "ECS has completed the rollout since" in text and "failed" not in text and "serve" not in text, text
    (row,) = [row for row in history(staging) if row["in_use"]]
    assert row["outcome"] == "successful", row
    assert "the latest" in staging.run("wait", "staging").expect_exit().err
    current = status(staging)
    assert (current["unserved"], current["unconfirmed"], current["unfinished"], current["lock"]) == (
        [],
        [],
        None,
        None,
    ), current
    (row,) = [row for row in history(staging) if row["in_use"]]
    assert outcome(staging) == row["outcome"] == "succeeded", row
    text = staging.run("status", "staging").expect_exit().out
    assert "last deploy" not in text and "unfinished" not in text, text
    since = staging.mark()
    staging.run("wait", "staging").expect_exit()
    assert staging.mutations(since) == [], "nothing is left to record"
    staging.assert_no_changes()


def test_interrupted_rollout_is_reported_as_in_progress(staging: TestWorkspace) -> None:
    interrupt_endless_rollout(staging)
    (last,) = status(staging)["unserved"]
    assert (last["outcome"], last["completed"]) == ("interrupted", False), last
    text = staging.run("status", "staging").expect_exit().out
    assert "was interrupted; the rollout is still in progress. Follow it with `pb-deploy wait staging`" in text, text
    assert "follow them with: pb-deploy wait staging" in text, text
    (row,) = [row for row in history(staging) if row["in_use"]]
    assert row["outcome"] == "interrupted; in ECS: in progress", row
    staging.restore()


@pytest.mark.needs("paused-rollouts")
@pytest.mark.parametrize("how", ["interrupt", "no-wait"])
def test_wait_records_the_failure_of_the_rollout(staging: TestWorkspace, how: str) -> None:
    if how == "interrupt":
        leave_rollout(staging, "fail", how)
    else:
        configure_flask(staging, image=image("fail"))
        staging.run("deploy", "staging", "--yes", "--no-wait").expect_exit()
    staging.run("wait", "staging").expect_exit(1)
    assert "circuit breaker" in outcome(staging), outcome(staging)
    (last,) = status(staging)["unserved"]
    assert "circuit breaker" in last["outcome"], last
    staging.restore()


def test_wait_records_nothing_while_another_run_holds_the_lock(staging: TestWorkspace, proxy: FaultProxy) -> None:
    configure_flask(staging, image=image("started"))
    staging.run("deploy", "staging", "--yes", "--no-wait").expect_exit()
    before = outcome(staging)
    configure_flask(staging, image=image("held"))
    held = proxy.hold_before("ecs:RegisterTaskDefinition")
    run = staging.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    result = staging.run("wait", "staging").expect_exit()
    assert "the latest" in result.err and "Not recorded: another run holds the lock" in result.err, result
    assert outcome(staging) == before
    held.release()
    run.result().expect_exit()
    staging.assert_no_changes()


def test_wait_without_write_permission_reports_the_result(staging: TestWorkspace, proxy: FaultProxy) -> None:
    configure_flask(staging, image=image("read-only"))
    staging.run("deploy", "staging", "--yes", "--no-wait").expect_exit()
    denied = b'{"__type": "AccessDeniedException", "message": "you may only read"}'
    proxy.refuse("dynamodb:UpdateItem", 400, denied)
    result = staging.run("wait", "staging", url=proxy.url).expect_exit()
    assert "the latest" in result.err and "Not recorded: " in result.err and "you may only read" in result.err, result
    staging.run("wait", "staging").expect_exit()
    assert outcome(staging) == "succeeded"
    staging.assert_no_changes()


@pytest.mark.needs("paused-rollouts")
def test_deploy_records_a_rollout_that_has_completed(staging: TestWorkspace) -> None:
    leave_rollout(staging, "found", "interrupt")
    until(lambda: is_completed(staging))
    assert "No changes" in staging.deploy().err
    current = status(staging)
    assert outcome(staging) == "succeeded"
    assert (current["unserved"], current["unconfirmed"], current["unfinished"]) == ([], [], None), current
    staging.assert_no_changes()


def test_rollback_on_interrupt_is_recorded(staging: TestWorkspace) -> None:
    result = interrupt_endless_rollout(staging, "--on-interrupt", "rollback")
    assert outcome(staging) == "interrupted; rolled back: the previous revision is serving again", result
    staging.restore()


def test_terminal_prompt_repeats_after_invalid_answer(staging: TestWorkspace) -> None:
    before = revision(staging)
    configure_flask(staging, image=image("unhealthy"), breaker=False)

    def is_in_progress() -> bool:
        record = staging.state_object()["snapshot"]["resources"]["fargate/flask"]
        return len(service(staging)["deployments"]) == 2 and not record["settled"]

    result = staging.run_in_terminal(
        "deploy", "staging", "--yes", answer="roll back\nrollback", interrupt_when=is_in_progress
    )
    assert result.expect_exit(130).out.count("Leave the rollout running in ECS, or stop it and roll back?") == 2, result
    assert revision(staging) == before
    staging.restore()
