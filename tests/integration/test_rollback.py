"""Rollback, history, scale, restart and status: commands that write hold the lease and are recorded like a deploy."""

from __future__ import annotations

from typing import Any

import pytest
from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace, until
from test_rollouts import configure_flask, revision, service


def recorded_releases(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """Returns the recorded releases, oldest first."""
    return workspace.state_object()["snapshot"]["releases"]


def assert_idle(workspace: TestWorkspace) -> None:
    """Asserts that the workspace is not locked and that no run is unfinished."""
    status = workspace.run("status", "staging", "--json").expect_exit().json()
    assert (status["lock"], status["unfinished"]) == (None, None)


def test_rollback_restores_previous_revision_until_next_deploy(staging: TestWorkspace) -> None:
    configure_flask(staging, image=image("one"))
    staging.deploy()
    first, celery = revision(staging), revision(staging, "celery")
    configure_flask(staging, image=image("two"))
    staging.deploy()
    second = revision(staging)
    since = staging.mark()
    result = staging.run("rollback", "staging", "--yes").expect_exit()
    assert f"fargate/flask: {second} -> {first}" in result.err and "The next deploy will use" in result.err, result
    assert (revision(staging), revision(staging, "celery")) == (first, celery), (
        "celery was not part of the last release, so it keeps its revision"
    )
    assert staging.writes(since) == ["ecs:UpdateService"]
    last = recorded_releases(staging)[-1]
    assert (last["operation"], last["who"].split(",")[0]) == ("rollback", "tester@test-host")
    assert last["services"]["fargate/flask"]["outcome"] == "succeeded"
    assert_idle(staging)
    plan = staging.plan()
    assert plan.changes == {"fargate/flask_task": "update", "fargate/flask": "update"}
    assert plan.fields("fargate/flask_task") == {"containers.flask.image": (image("one"), image("two"))}
    assert plan.origin("fargate/flask") == "configuration", "a rollback is not drift"
    staging.deploy()
    assert revision(staging) == second
    staging.assert_no_changes()


def test_rollback_twice_goes_back_two_revisions(staging: TestWorkspace) -> None:
    revisions = []
    for tag in ("x", "y", "z"):
        configure_flask(staging, image=image(tag))
        staging.deploy()
        revisions.append(revision(staging))
    for expected in (revisions[1], revisions[0]):
        staging.run("rollback", "staging", "--yes").expect_exit()
        assert revision(staging) == expected
    staging.deploy()
    staging.assert_no_changes()


def test_rollback_accepts_only_existing_revisions(staging: TestWorkspace) -> None:
    initial = revision(staging)
    configure_flask(staging, image=image("three"))
    staging.deploy()
    three = revision(staging).rsplit(":", 1)[-1]
    number = initial.rsplit(":", 1)[-1]
    for name in (f"flask:{number}", f"staging-flask:{number}"):
        staging.run("rollback", "staging", name, "--yes").expect_exit()
        assert revision(staging) == initial
    for name, message, code in (
        ("flask:999", "revision staging-flask:999 does not exist", 1),
        ("flsk:1", 'staging has no service "flsk"', 64),
        ("flask", "invalid revision", 64),
    ):
        since = staging.mark()
        assert message in staging.run("rollback", "staging", name, "--yes").expect_exit(code).err
        assert staging.mutations(since) == []
    assert "confirmation needed" in staging.run("rollback", "staging", f"flask:{three}").expect_exit(64).err
    staging.deploy()
    staging.assert_no_changes()


def test_history_shows_image_user_and_outcome(staging: TestWorkspace) -> None:
    configure_flask(staging, image=image("shown"))
    staging.deploy()
    good = revision(staging)
    configure_flask(staging, image=image("fail"))
    staging.run("deploy", "staging", "--yes").expect_exit(1)
    rows = {
        row["revision"]: row for row in staging.run("history", "staging", "--json").expect_exit().json()[0]["revisions"]
    }
    assert rows[good]["image"] == rows[good]["asked"] == image("shown")
    assert (rows[good]["outcome"], rows[good]["operation"]) == ("succeeded", "deploy")
    assert rows[good]["who"].startswith("tester@test-host")
    (bad,) = [row for row in rows.values() if row["asked"] == image("fail")]
    assert "circuit breaker" in bad["outcome"], bad
    assert (rows[good]["in_use"], bad["in_use"]) == (True, False), "ECS has rolled back"
    assert "Nothing to do." in staging.run("rollback", "staging", "--yes").expect_exit().err
    assert good in staging.run("history", "staging").expect_exit().out
    configure_flask(staging, image=image("shown"))
    staging.deploy()
    staging.assert_no_changes()


def test_restart_starts_new_deployment_of_same_revision(staging: TestWorkspace) -> None:
    before, celery = service(staging), service(staging, "celery")
    staging.run("restart", "staging", "flask", "--yes").expect_exit()
    after = service(staging)
    assert after["taskDefinition"] == before["taskDefinition"]
    assert after["deployments"][0]["id"] != before["deployments"][0]["id"]
    assert service(staging, "celery")["deployments"][0]["id"] == celery["deployments"][0]["id"]
    staging.run("restart", "staging", "--yes").expect_exit()
    assert service(staging, "celery")["deployments"][0]["id"] != celery["deployments"][0]["id"]
    assert recorded_releases(staging)[-1]["operation"] == "restart"
    assert_idle(staging)
    staging.assert_no_changes()


@pytest.mark.parametrize("keep_scale", [False, True])
def test_scaled_count_is_kept_by_deploy_only_with_keep_scale(staging: TestWorkspace, keep_scale: bool) -> None:
    staging.configure({"services": {"celery": {"keep_scale": keep_scale}}})
    configured = service(staging, "celery")["desiredCount"]
    since = staging.mark()
    result = staging.run("scale", "staging", f"celery={configured + 2}", "--yes").expect_exit()
    assert f"{configured} -> {configured + 2}" in result.err, result
    assert ("A deploy keeps" if keep_scale else "goes back to the configured count") in result.err, result
    assert staging.writes(since) == ["ecs:UpdateService"]
    assert service(staging, "celery")["runningCount"] == configured + 2
    assert_idle(staging)
    staging.deploy()
    assert service(staging, "celery")["desiredCount"] == (configured + 2 if keep_scale else configured)
    staging.assert_no_changes()
    staging.configure({"services": {"celery": {"count": 3}}})
    staging.deploy()
    assert service(staging, "celery")["desiredCount"] == 3, "a changed configuration overrides the scaled count"
    staging.configure({"services": {"celery": {"count": None, "keep_scale": None}}})
    staging.deploy()
    staging.assert_no_changes()


def test_scaled_count_in_ignore_changes_is_kept_by_deploy(staging: TestWorkspace) -> None:
    staging.configure({"ignore_changes": ["fargate/celery.desired_count"]})
    result = staging.run("scale", "staging", "celery=2", "--yes").expect_exit()
    assert "A deploy leaves the count of celery alone" in result.err and "goes back" not in result.err, result
    staging.deploy()
    assert service(staging, "celery")["desiredCount"] == 2
    staging.configure({"ignore_changes": None})
    staging.deploy()
    staging.assert_no_changes()


def test_scale_and_restart_with_invalid_arguments_are_refused(staging: TestWorkspace) -> None:
    since = staging.mark()
    for counts in (["celery"], ["celery=x"], ["celry=2"], ["celery=-1"], []):
        staging.run("scale", "staging", *counts, "--yes").expect_exit(64)
    staging.run("restart", "staging", "celry", "--yes").expect_exit(64)
    assert "Nothing to do." in staging.run("scale", "staging", "flask=1", "--yes").expect_exit().err
    assert staging.mutations(since) == []
    assert "no services are deployed in production" in staging.run("restart", "production", "--yes").expect_exit(1).err
    staging.assert_no_changes()


def test_scale_and_restart_are_refused_while_locked(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    workspace.deploy()
    configure_flask(workspace, image=image("held"))
    held = proxy.hold_before("ecs:RegisterTaskDefinition")
    run = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    for command in (["scale", "staging", "celery=7"], ["restart", "staging"]):
        since = workspace.mark()
        result = workspace.run(*command, "--yes").expect_exit(3)
        assert "staging is locked by" in result.err and workspace.writes(since) == [], result
    held.release()
    run.result().expect_exit()


def test_status_shows_image_age_and_drift(staging: TestWorkspace) -> None:
    status = staging.run("status", "staging", "--json").expect_exit().json()
    flask_service = next(service for service in status["services"] if service["name"] == "staging-flask")
    assert (
        flask_service["image"].startswith("registry.example/app:")
        and flask_service["age_seconds"] >= 0
        and flask_service["failed"] == 0
    )
    assert status["drift"] == {"differ": 0, "outside": 0, "unknown": None}
    staging.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=2)
    assert staging.run("status", "staging", "--json").expect_exit().json()["drift"] == {
        "differ": 1, "outside": 1, "unknown": None,
    }  # fmt: skip
    assert "1 resource differs from the configuration (1 changed" in staging.run("status", "staging").expect_exit().out
    staging.deploy()
    staging.assert_no_changes()


def test_status_shows_release_that_does_not_serve(staging: TestWorkspace) -> None:
    assert staging.run("status", "staging", "--json").expect_exit().json()["unserved"] == []
    configure_flask(staging, image=image("fail"))
    staging.run("deploy", "staging", "--yes").expect_exit(1)
    status = staging.run("status", "staging", "--json").expect_exit().json()
    (unserved,) = status["unserved"]
    assert unserved["service"] == "staging-flask" and "circuit breaker" in unserved["outcome"], unserved
    assert unserved["revision"] != revision(staging) and unserved["who"].startswith("tester@test-host")
    assert [(target["service"], target["state"]) for target in status["targets"]] == [("staging-flask", "healthy")]
    shown = staging.run("status", "staging").expect_exit().out
    assert f"last deploy ({unserved['revision']}) does not serve: " in shown, shown
    configure_flask(staging, image=image("good"))
    staging.deploy()
    assert staging.run("status", "staging", "--json").expect_exit().json()["unserved"] == []
    staging.assert_no_changes()


def test_status_watch_continues_after_failed_call(staging: TestWorkspace, proxy: FaultProxy) -> None:
    watching = staging.start("status", "staging", "--watch", url=proxy.url)
    until(lambda: "as configured" in watching.output_so_far().out)
    denied = b'{"__type": "AccessDeniedException", "message": "not now"}'
    proxy.refuse("ecs:DescribeServices", 400, denied)
    until(lambda: "status unavailable" in watching.output_so_far().err)
    staging.run("scale", "staging", "celery=2", "--yes").expect_exit()
    until(lambda: "2 of 2 running" in watching.output_so_far().out)
    watching.interrupt()
    watching.result().expect_exit()
    staging.deploy()
    staging.assert_no_changes()
