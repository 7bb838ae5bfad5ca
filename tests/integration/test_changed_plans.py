"""Plans that differ once the lease is held: they are shown again, or refused if they delete more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from configuration import Table, image, merged, toml
from fault_proxy import FaultProxy
from harness import Running, TestWorkspace, until
from test_rollouts import configure_flask, revision, service

REPORTS: Table = {"services": {"reports": {"kind": "worker", "queues": ["reports"], "image": image("reports")}}}
ACCEPT = "--accept-changed-plan"
CHANGED = "The plan has changed since it was shown:"


def colleague_deploy(workspace: TestWorkspace, changes: Table) -> list[str]:
    """Returns the arguments of a deploy by another user whose configuration has these changes."""
    (workspace.folder / "colleague.toml").write_text(toml(merged(workspace.config, changes)), encoding="utf-8")
    return ["deploy", "staging", "--yes", "--config", "colleague.toml"]


@contextmanager
def held_before_lock(workspace: TestWorkspace, proxy: FaultProxy, *arguments: str) -> Iterator[Running]:
    """Yields a run that has shown its plan, and keeps it from acquiring the lease until the block ends."""
    held_call = proxy.hold_before("dynamodb:UpdateItem")
    running = workspace.start(*arguments, url=proxy.url)
    held_call.wait()
    yield running
    proxy.release_all()


def shown_plans(running: Running) -> list[dict[str, Any]]:
    """Returns the `plan` events of a finished run."""
    return [line for line in running.result().events() if line["event"] == "plan"]


def deleted_addresses(plan: dict[str, Any]) -> set[str]:
    """Returns the addresses that a plan deletes."""
    return {step["address"] for step in plan["steps"] if step["action"]["do"] == "delete"}


@pytest.mark.parametrize("accepted", [False, True])
def test_waiting_deploy_with_more_deletions_is_refused(
    workspace: TestWorkspace, proxy: FaultProxy, accepted: bool
) -> None:
    workspace.deploy()
    before = revision(workspace)
    held = proxy.hold_before("ecs:RegisterTaskDefinition")
    first = workspace.start(*colleague_deploy(workspace, REPORTS), url=proxy.url)
    held.wait()
    configure_flask(workspace, image=image("next"))
    second = workspace.start("deploy", "staging", "--yes", "--lock-timeout", "60", *([ACCEPT] if accepted else []))
    until(lambda: "who holds the lock" in second.output_so_far().err)
    assert "fargate/reports" not in second.output_so_far().err
    held.release()
    first.result().expect_exit()
    result = second.result().expect_exit(0 if accepted else 1)
    shown = result.err.split(CHANGED)[1]
    assert "- fargate/reports  ecs.service" in shown and "2 to change, 0 to replace, 2 to destroy" in shown, result
    assert ("staging-reports" in workspace.inventory.services()) == (not accepted), result
    if accepted:
        workspace.assert_no_changes()
        return
    assert (
        "error[PB0404]: the plan has changed since it was shown, and now also deletes fargate/reports" in result.err
    ), result
    assert "; nothing was changed" in result.err and revision(workspace) == before, result
    assert f"run `pb-deploy deploy staging --yes --lock-timeout 60 {ACCEPT}`" in result.err, result
    assert workspace.run("status", "staging", "--json").expect_exit().json()["lock"] is None


def test_changed_plan_emits_second_plan_event(staging: TestWorkspace, proxy: FaultProxy) -> None:
    configure_flask(staging, image=image("next"))
    with held_before_lock(staging, proxy, "deploy", "staging", "--yes", "--json") as running:
        staging.run(*colleague_deploy(staging, REPORTS)).expect_exit()
    since, revision_before = staging.mark(), revision(staging)
    shown, changed = shown_plans(running)
    assert deleted_addresses(shown) == set() and deleted_addresses(changed) == {
        "fargate/reports",
        "fargate/reports_task",
    }
    result = running.result().expect_exit(1)
    error = json.loads(result.err)
    assert error["exit"] == 1 and "fargate/reports_task" in error["error"] and ACCEPT in error["hint"], error
    assert staging.writes(since) == [] and revision(staging) == revision_before
    with held_before_lock(staging, proxy, "deploy", "staging", "--yes", "--json") as running:
        pass
    running.result().expect_exit()
    assert [deleted_addresses(plan) for plan in shown_plans(running)] == [deleted_addresses(changed)], (
        "an unchanged plan is shown only once"
    )
    staging.assert_no_changes()


def test_changed_plan_without_more_deletions_is_applied(staging: TestWorkspace, proxy: FaultProxy) -> None:
    configure_flask(staging, image=image("one"))
    configured_count = service(staging, "celery")["desiredCount"]
    with held_before_lock(staging, proxy, "deploy", "staging", "--yes") as running:
        staging.run(*colleague_deploy(staging, {"services": {"celery": {"count": configured_count + 3}}})).expect_exit()
    result = running.result().expect_exit()
    shown = result.err.split(CHANGED)[1]
    assert f"desired_count: {configured_count + 3} -> {configured_count}" in shown, result
    assert "desired_count" not in result.err.split(CHANGED)[0], result
    assert service(staging, "celery")["desiredCount"] == configured_count
    staging.assert_no_changes()


@pytest.mark.parametrize("accepted", [False, True])
def test_destroy_with_more_deletions_is_refused(workspace: TestWorkspace, proxy: FaultProxy, accepted: bool) -> None:
    workspace.deploy()
    with held_before_lock(workspace, proxy, "destroy", "staging", "--yes", *([ACCEPT] if accepted else [])) as running:
        workspace.run(*colleague_deploy(workspace, REPORTS)).expect_exit()
    result = running.result().expect_exit(0 if accepted else 1)
    assert "- fargate/reports  ecs.service" in result.err.split(CHANGED)[1], result
    if accepted:
        assert workspace.inventory.remains() == {}
        return
    assert "now also deletes fargate/reports" in result.err and "nothing was changed" in result.err, result
    assert f"`pb-deploy destroy staging --yes {ACCEPT}`" in result.err, result
    assert "staging-reports" in workspace.inventory.services() and service(workspace)["status"] == "ACTIVE"


def test_accept_changed_plan_requires_yes(workspace: TestWorkspace) -> None:
    for command in ("deploy", "destroy"):
        assert "--yes" in workspace.run(command, "staging", ACCEPT).expect_exit(64).err
        assert ACCEPT in workspace.run(command, "--help").expect_exit().out


def test_rollback_after_newer_release_is_refused(staging: TestWorkspace, proxy: FaultProxy) -> None:
    configure_flask(staging, image=image("mine"))
    staging.deploy()
    with held_before_lock(staging, proxy, "rollback", "staging", "--yes", "--json") as running:
        staging.run(*colleague_deploy(staging, {"services": {"flask": {"image": image("theirs")}}})).expect_exit()
        colleague_revision = revision(staging)
    result = running.result().expect_exit(1)
    error = json.loads(result.err)
    assert error["error"] == "the running services have changed since they were shown; nothing was changed", error
    assert "`pb-deploy rollback staging --yes --json`" in error["hint"], error
    assert revision(staging) == colleague_revision
    shown, changed = ([step["before"]["task_definition"] for step in plan["steps"]] for plan in shown_plans(running))
    assert changed[0].endswith(f"/{colleague_revision}") and shown != changed, (shown, changed)
    staging.restore()


def test_scale_and_rollback_to_named_value_continue_after_change(staging: TestWorkspace, proxy: FaultProxy) -> None:
    good = revision(staging)
    configure_flask(staging, image=image("mine"))
    staging.deploy()
    for command, colleague_changes, expected in (
        (["scale", "staging", "celery=5"], {"celery": {"count": 7}}, "fargate/celery: 7 -> 5"),
        (["rollback", "staging", good.removeprefix("staging-")], {"flask": {"image": image("theirs")}}, f"-> {good}"),
    ):
        with held_before_lock(staging, proxy, *command, "--yes") as running:
            staging.run(*colleague_deploy(staging, {"services": colleague_changes})).expect_exit()
        result = running.result().expect_exit()
        assert expected in result.err.split("The running services have changed since they were shown:")[1], result
        if command[0] == "scale":
            assert service(staging, "celery")["desiredCount"] == 5, result
    assert revision(staging) == good
    staging.restore()


def test_changed_drift_is_shown_before_it_is_recorded(staging: TestWorkspace, proxy: FaultProxy) -> None:
    def count(number: int) -> None:
        staging.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=number)

    count(2)
    with held_before_lock(staging, proxy, "deploy", "staging", "--refresh-only", "--yes", "--json") as running:
        count(3)
    events = [line for line in running.result().expect_exit().events() if line["event"] == "drift"]
    after = [change["after"] for event in events for drift in event["drift"] for change in drift["changes"]]
    assert after == [2, 3], events
    staging.deploy()
    staging.assert_no_changes()
