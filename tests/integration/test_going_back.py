"""Going back, looking back, scaling and restarting: each under the lease and on record, as a deploy is."""

from __future__ import annotations

from typing import Any

import pytest
from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace, until
from test_rollouts import flask, revision, service


def released(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """What is remembered of releases."""
    return workspace.state_object()["snapshot"]["releases"]


def settled(workspace: TestWorkspace) -> None:
    """Nothing is locked, and no run is unfinished."""
    status = workspace.run("status", "staging", "--json").expect_exit().json()
    assert (status["lock"], status["unfinished"]) == (None, None)


def test_a_rollback_goes_back_in_one_step_and_the_next_deploy_forward_again(staging: TestWorkspace) -> None:
    flask(staging, image=image("one"))
    staging.deploy()
    first, celery = revision(staging), revision(staging, "celery")
    flask(staging, image=image("two"))
    staging.deploy()
    second = revision(staging)
    since = staging.mark()
    result = staging.run("rollback", "staging", "--yes").expect_exit()
    assert f"fargate/flask: {second} -> {first}" in result.err and "The next deploy brings" in result.err, result
    assert (revision(staging), revision(staging, "celery")) == (first, celery), "celery was not deployed with it"
    assert staging.writes(since) == ["ecs:UpdateService"]
    last = released(staging)[-1]
    assert (last["operation"], last["who"].split(",")[0]) == ("rollback", "tester@test-host")
    assert last["services"]["fargate/flask"]["outcome"] == "succeeded"
    settled(staging)
    plan = staging.plan()
    assert plan.changes == {"fargate/flask_task": "update", "fargate/flask": "update"}
    assert plan.fields("fargate/flask_task") == {"containers.flask.image": (image("one"), image("two"))}
    assert plan.origin("fargate/flask") == "configuration", "nobody changed it outside"
    staging.deploy()
    assert revision(staging) == second
    staging.assert_no_changes()


def test_two_rollbacks_go_back_twice(staging: TestWorkspace) -> None:
    seen = []
    for tag in ("x", "y", "z"):
        flask(staging, image=image(tag))
        staging.deploy()
        seen.append(revision(staging))
    for expected in (seen[1], seen[0]):
        staging.run("rollback", "staging", "--yes").expect_exit()
        assert revision(staging) == expected
    staging.deploy()
    staging.assert_no_changes()


def test_a_rollback_to_a_revision_and_to_none(staging: TestWorkspace) -> None:
    now = revision(staging)
    flask(staging, image=image("three"))
    staging.deploy()
    three = revision(staging).rsplit(":", 1)[-1]
    number = now.rsplit(":", 1)[-1]
    for name in (f"flask:{number}", f"staging-flask:{number}"):
        staging.run("rollback", "staging", name, "--yes").expect_exit()
        assert revision(staging) == now
    for name, words, code in (
        ("flask:999", "there is no revision staging-flask:999", 1),
        ("flsk:1", 'there is no service "flsk"', 64),
        ("flask", "is no revision", 64),
    ):
        since = staging.mark()
        assert words in staging.run("rollback", "staging", name, "--yes").expect_exit(code).err
        assert staging.mutations(since) == []
    assert "--yes is not given" in staging.run("rollback", "staging", f"flask:{three}").expect_exit(64).err
    staging.deploy()
    staging.assert_no_changes()


def test_history_shows_image_who_and_outcome(staging: TestWorkspace) -> None:
    flask(staging, image=image("shown"))
    staging.deploy()
    good = revision(staging)
    flask(staging, image=image("fail"))
    staging.run("deploy", "staging", "--yes").expect_exit(1)
    rows = {
        row["revision"]: row for row in staging.run("history", "staging", "--json").expect_exit().json()[0]["revisions"]
    }
    assert rows[good]["image"] == rows[good]["asked"] == image("shown")
    assert (rows[good]["outcome"], rows[good]["operation"]) == ("succeeded", "deploy")
    assert rows[good]["who"].startswith("tester@test-host")
    (bad,) = [row for row in rows.values() if row["asked"] == image("fail")]
    assert "circuit breaker" in bad["outcome"], bad
    assert (rows[good]["in_use"], bad["in_use"]) == (True, False), "ECS has gone back"
    assert "Nothing to do." in staging.run("rollback", "staging", "--yes").expect_exit().err
    assert good in staging.run("history", "staging").expect_exit().out
    flask(staging, image=image("shown"))
    staging.deploy()
    staging.assert_no_changes()


def test_a_restart_is_a_new_deployment_of_the_same_revision(staging: TestWorkspace) -> None:
    before, celery = service(staging), service(staging, "celery")
    staging.run("restart", "staging", "flask", "--yes").expect_exit()
    after = service(staging)
    assert after["taskDefinition"] == before["taskDefinition"]
    assert after["deployments"][0]["id"] != before["deployments"][0]["id"]
    assert service(staging, "celery")["deployments"][0]["id"] == celery["deployments"][0]["id"]
    staging.run("restart", "staging", "--yes").expect_exit()
    assert service(staging, "celery")["deployments"][0]["id"] != celery["deployments"][0]["id"]
    assert released(staging)[-1]["operation"] == "restart"
    settled(staging)
    staging.assert_no_changes()


@pytest.mark.parametrize("kept", [False, True])
def test_a_count_that_was_set_is_kept_by_a_deploy_or_not(staging: TestWorkspace, kept: bool) -> None:
    staging.configure({"services": {"celery": {"keep_scale": kept}}})
    configured = service(staging, "celery")["desiredCount"]
    since = staging.mark()
    result = staging.run("scale", "staging", f"celery={configured + 2}", "--yes").expect_exit()
    assert f"{configured} -> {configured + 2}" in result.err, result
    assert ("A deploy keeps" if kept else "goes back to the configured count") in result.err, result
    assert staging.writes(since) == ["ecs:UpdateService"]
    assert service(staging, "celery")["runningCount"] == configured + 2
    settled(staging)
    staging.deploy()
    assert service(staging, "celery")["desiredCount"] == (configured + 2 if kept else configured)
    staging.assert_no_changes()
    staging.configure({"services": {"celery": {"count": 3}}})
    staging.deploy()
    assert service(staging, "celery")["desiredCount"] == 3, "the configuration was changed since"
    staging.configure({"services": {"celery": {"count": None, "keep_scale": None}}})
    staging.deploy()
    staging.assert_no_changes()


def test_a_count_that_is_left_to_others_is_not_said_to_go_back(staging: TestWorkspace) -> None:
    staging.configure({"ignore_changes": ["fargate/celery.desired_count"]})
    result = staging.run("scale", "staging", "celery=2", "--yes").expect_exit()
    assert "A deploy leaves the count of celery alone" in result.err and "goes back" not in result.err, result
    staging.deploy()
    assert service(staging, "celery")["desiredCount"] == 2
    staging.configure({"ignore_changes": None})
    staging.deploy()
    staging.assert_no_changes()


def test_what_makes_no_sense_is_refused_before_anything_is_done(staging: TestWorkspace) -> None:
    since = staging.mark()
    for counts in (["celery"], ["celery=x"], ["celry=2"], ["celery=-1"], []):
        staging.run("scale", "staging", *counts, "--yes").expect_exit(64)
    staging.run("restart", "staging", "celry", "--yes").expect_exit(64)
    assert "Nothing to do." in staging.run("scale", "staging", "flask=1", "--yes").expect_exit().err
    assert staging.mutations(since) == []
    assert "no service of production is deployed" in staging.run("restart", "production", "--yes").expect_exit(1).err
    staging.assert_no_changes()


def test_who_is_locked_out_changes_nothing(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    workspace.deploy()
    flask(workspace, image=image("held"))
    held = proxy.hold_before("ecs:RegisterTaskDefinition")
    run = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    for command in (["scale", "staging", "celery=7"], ["restart", "staging"]):
        since = workspace.mark()
        result = workspace.run(*command, "--yes").expect_exit(3)
        assert "take the lease: held by" in result.err and workspace.writes(since) == [], result
    held.release()
    run.result().expect_exit()


def test_status_shows_image_age_and_drift(staging: TestWorkspace) -> None:
    status = staging.run("status", "staging", "--json").expect_exit().json()
    web = next(service for service in status["services"] if service["name"] == "staging-flask")
    assert web["image"].startswith("registry.example/app:") and web["age_seconds"] >= 0 and web["failed"] == 0
    assert status["drift"] == {"differ": 0, "outside": 0, "unknown": None}
    staging.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=2)
    assert staging.run("status", "staging", "--json").expect_exit().json()["drift"] == {
        "differ": 1, "outside": 1, "unknown": None,
    }  # fmt: skip
    assert (
        "1 resource differs from the configuration, 1 changed outside"
        in staging.run("status", "staging").expect_exit().out
    )
    staging.deploy()
    staging.assert_no_changes()


def test_status_says_what_was_released_and_does_not_serve(staging: TestWorkspace) -> None:
    assert staging.run("status", "staging", "--json").expect_exit().json()["unserved"] == []
    flask(staging, image=image("fail"))
    staging.run("deploy", "staging", "--yes").expect_exit(1)
    status = staging.run("status", "staging", "--json").expect_exit().json()
    (unserved,) = status["unserved"]
    assert unserved["service"] == "staging-flask" and "circuit breaker" in unserved["outcome"], unserved
    assert unserved["revision"] != revision(staging) and unserved["who"].startswith("tester@test-host")
    assert [(target["service"], target["state"]) for target in status["targets"]] == [("staging-flask", "healthy")]
    shown = staging.run("status", "staging").expect_exit().out
    assert f"the last deploy, of {unserved['revision']}, does not serve: " in shown, shown
    flask(staging, image=image("good"))
    staging.deploy()
    assert staging.run("status", "staging", "--json").expect_exit().json()["unserved"] == []
    staging.assert_no_changes()


def test_status_is_shown_again_and_outlives_a_call_that_fails(staging: TestWorkspace, proxy: FaultProxy) -> None:
    watching = staging.start("status", "staging", "--watch", url=proxy.url)
    until(lambda: "as configured" in watching.output_so_far().out)
    denied = b'{"__type": "AccessDeniedException", "message": "not now"}'
    proxy.refuse("ecs:DescribeServices", 400, denied)
    until(lambda: "not known now" in watching.output_so_far().err)
    staging.run("scale", "staging", "celery=2", "--yes").expect_exit()
    until(lambda: "2 of 2 running" in watching.output_so_far().out)
    watching.interrupt()
    watching.result().expect_exit()
    staging.deploy()
    staging.assert_no_changes()
