"""A plan that has changed by the time the lock is held is shown before it is applied, and refused if it destroys more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from configuration import Table, image, merged, toml
from gate import Gate
from harness import Running, Site, until
from test_rollouts import flask, revision, service

REPORTS: Table = {"services": {"reports": {"kind": "worker", "queues": ["reports"], "image": image("reports")}}}
ACCEPT = "--accept-changed-plan"
CHANGED = "The plan has changed since it was shown:"


def colleague(site: Site, changes: Table) -> list[str]:
    """The arguments of a deploy of somebody whose configuration has these changes."""
    (site.folder / "theirs.toml").write_text(toml(merged(site.config, changes)), encoding="utf-8")
    return ["deploy", "staging", "--yes", "--config", "theirs.toml"]


@contextmanager
def before_the_lock(site: Site, gate: Gate, *arguments: str) -> Iterator[Running]:
    """A run that has shown its plan and is held before it takes the lock, until the block ends."""
    lock = gate.hold_before("dynamodb:UpdateItem")
    running = site.start(*arguments, url=gate.url)
    lock.wait()
    yield running
    gate.open_all()


def plans(running: Running) -> list[dict[str, Any]]:
    """The plans that a run has shown, as JSON lines."""
    return [line for line in running.result().lines() if line["event"] == "plan"]


def deleted(plan: dict[str, Any]) -> set[str]:
    """The addresses that a plan deletes."""
    return {step["address"] for step in plan["steps"] if step["action"]["do"] == "delete"}


@pytest.mark.parametrize("accepted", [False, True])
def test_waiting_deploy_whose_plan_deletes_more_is_refused(site: Site, gate: Gate, accepted: bool) -> None:
    site.deploy()
    before = revision(site)
    held = gate.hold_before("ecs:RegisterTaskDefinition")
    first = site.start(*colleague(site, REPORTS), url=gate.url)
    held.wait()
    flask(site, image=image("next"))
    second = site.start("deploy", "staging", "--yes", "--lock-timeout", "60", *([ACCEPT] if accepted else []))
    until(lambda: "locked by" in second.so_far().err)
    assert "fargate/reports" not in second.so_far().err
    held.let_go()
    first.result().ended()
    result = second.result().ended(0 if accepted else 1)
    shown = result.err.split(CHANGED)[1]
    assert "- fargate/reports  ecs.service" in shown and "2 to change, 0 to replace, 2 to destroy" in shown, result
    assert ("staging-reports" in site.world.services()) == (not accepted), result
    if accepted:
        site.finds_nothing()
        return
    assert "error: the plan has changed since it was shown, and now also deletes fargate/reports" in result.err, result
    assert ": nothing was changed" in result.err and revision(site) == before, result
    assert f"run `pb-deploy deploy staging --yes --lock-timeout 60 {ACCEPT}`" in result.err, result
    assert site.run("status", "staging", "--json").ended().json()["lock"] is None


def test_changed_plan_is_a_second_plan_event(staging: Site, gate: Gate) -> None:
    flask(staging, image=image("next"))
    with before_the_lock(staging, gate, "deploy", "staging", "--yes", "--json") as running:
        staging.run(*colleague(staging, REPORTS)).ended()
    since, now = staging.mark(), revision(staging)
    shown, changed = plans(running)
    assert deleted(shown) == set() and deleted(changed) == {"fargate/reports", "fargate/reports_task"}
    result = running.result().ended(1)
    error = json.loads(result.err)
    assert error["exit"] == 1 and "fargate/reports_task" in error["error"] and ACCEPT in error["hint"], error
    assert staging.writes(since) == [] and revision(staging) == now
    with before_the_lock(staging, gate, "deploy", "staging", "--yes", "--json") as running:
        pass
    running.result().ended()
    assert [deleted(plan) for plan in plans(running)] == [deleted(changed)], "it was shown, and is not shown again"
    staging.finds_nothing()


def test_changed_plan_that_destroys_no_more_is_shown_and_applied(staging: Site, gate: Gate) -> None:
    flask(staging, image=image("one"))
    wanted = service(staging, "celery")["desiredCount"]
    with before_the_lock(staging, gate, "deploy", "staging", "--yes") as running:
        staging.run(*colleague(staging, {"services": {"celery": {"count": wanted + 3}}})).ended()
    result = running.result().ended()
    shown = result.err.split(CHANGED)[1]
    assert f"desired_count: {wanted + 3} -> {wanted}" in shown, result
    assert "desired_count" not in result.err.split(CHANGED)[0], result
    assert service(staging, "celery")["desiredCount"] == wanted
    staging.finds_nothing()


@pytest.mark.parametrize("accepted", [False, True])
def test_destroy_whose_plan_has_grown_is_refused(site: Site, gate: Gate, accepted: bool) -> None:
    site.deploy()
    with before_the_lock(site, gate, "destroy", "staging", "--yes", *([ACCEPT] if accepted else [])) as running:
        site.run(*colleague(site, REPORTS)).ended()
    result = running.result().ended(0 if accepted else 1)
    assert "- fargate/reports  ecs.service" in result.err.split(CHANGED)[1], result
    if accepted:
        assert site.world.remains() == {}
        return
    assert "now also deletes fargate/reports" in result.err and "nothing was changed" in result.err, result
    assert f"`pb-deploy destroy staging --yes {ACCEPT}`" in result.err, result
    assert "staging-reports" in site.world.services() and service(site)["status"] == "ACTIVE"


def test_acceptance_of_a_changed_plan_needs_yes(site: Site) -> None:
    for command in ("deploy", "destroy"):
        assert "--yes" in site.run(command, "staging", ACCEPT).ended(64).err
        assert ACCEPT in site.run(command, "--help").ended().out


def test_rollback_does_not_undo_a_release_that_it_has_not_shown(staging: Site, gate: Gate) -> None:
    flask(staging, image=image("mine"))
    staging.deploy()
    with before_the_lock(staging, gate, "rollback", "staging", "--yes", "--json") as running:
        staging.run(*colleague(staging, {"services": {"flask": {"image": image("theirs")}}})).ended()
        theirs = revision(staging)
    result = running.result().ended(1)
    error = json.loads(result.err)
    assert error["error"] == "what runs has changed since it was shown: nothing was changed", error
    assert "`pb-deploy rollback staging --yes --json`" in error["hint"], error
    assert revision(staging) == theirs
    shown, changed = ([step["before"]["task_definition"] for step in plan["steps"]] for plan in plans(running))
    assert changed[0].endswith(f"/{theirs}") and shown != changed, (shown, changed)
    staging.mend()


def test_what_was_named_is_shown_again_and_done(staging: Site, gate: Gate) -> None:
    good = revision(staging)
    flask(staging, image=image("mine"))
    staging.deploy()
    for command, theirs, seen in (
        (["scale", "staging", "celery=5"], {"celery": {"count": 7}}, "fargate/celery: 7 -> 5"),
        (["rollback", "staging", good.removeprefix("staging-")], {"flask": {"image": image("theirs")}}, f"-> {good}"),
    ):
        with before_the_lock(staging, gate, *command, "--yes") as running:
            staging.run(*colleague(staging, {"services": theirs})).ended()
        result = running.result().ended()
        assert seen in result.err.split("What runs has changed since it was shown:")[1], result
        if command[0] == "scale":
            assert service(staging, "celery")["desiredCount"] == 5, result
    assert revision(staging) == good
    staging.mend()


def test_drift_that_has_changed_is_shown_before_it_is_recorded(staging: Site, gate: Gate) -> None:
    def count(number: int) -> None:
        staging.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=number)

    count(2)
    with before_the_lock(staging, gate, "deploy", "staging", "--refresh-only", "--yes", "--json") as running:
        count(3)
    events = [line for line in running.result().ended().lines() if line["event"] == "drift"]
    after = [change["after"] for event in events for drift in event["drift"] for change in drift["changes"]]
    assert after == [2, 3], events
    staging.deploy()
    staging.finds_nothing()
