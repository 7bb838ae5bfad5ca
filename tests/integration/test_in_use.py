"""Plans compare with the revision that serves, whatever was registered after it."""

from __future__ import annotations

from configuration import image
from harness import TestWorkspace
from test_before import before, runs
from test_rollouts import flask, revision, service

RUN = {"fargate/flask_task": "update", "fargate/flask": "update"}
FIELD = "containers.flask.image"


def deployed(workspace: TestWorkspace, tag: str) -> str:
    """The revision that was made for an image."""
    flask(workspace, image=image(tag))
    workspace.deploy()
    return revision(workspace)


def nothing(workspace: TestWorkspace) -> None:
    """Neither the configuration nor the world differs, and a deploy leaves the tasks alone."""
    deployment = service(workspace)["deployments"][0]["id"]
    assert "No changes" in workspace.run("plan", "staging", "--detailed-exitcode").expect_exit(0).out
    assert workspace.run("drift", "staging", "--json").expect_exit(0).json()["drift"] == []
    status = workspace.run("status", "staging", "--json").expect_exit().json()
    assert status["drift"] == {"differ": 0, "outside": 0, "unknown": None}
    since = workspace.mark()
    assert "No changes" in workspace.deploy().err
    assert workspace.writes(since) == [] and service(workspace)["deployments"][0]["id"] == deployment
    workspace.run("plan", "staging", "--refresh-only", "--detailed-exitcode").expect_exit(0)


def test_rollback_to_what_is_configured_leaves_nothing_to_do(staging: TestWorkspace) -> None:
    first = deployed(staging, "v1")
    second = deployed(staging, "v2")
    staging.run("rollback", "staging", "--yes").expect_exit()
    flask(staging, image=image("v1"))
    nothing(staging)
    assert revision(staging) == first
    flask(staging, image=image("v2"))
    since = staging.mark()
    staging.deploy()
    assert revision(staging) == second, "the revision that was there is used again"
    assert "ecs:RegisterTaskDefinition" not in staging.mutations(since)
    staging.assert_no_changes()


def test_rollback_of_an_image_that_was_given_leaves_nothing_to_do(staging: TestWorkspace) -> None:
    deployed(staging, "v1")
    staging.run("deploy", "staging", "--image", f"flask={image('v2')}", "--yes").expect_exit()
    staging.run("rollback", "staging", "--yes").expect_exit()
    nothing(staging)


def test_plan_after_a_failed_rollout_shows_what_serves(staging: TestWorkspace) -> None:
    good = deployed(staging, "good")
    flask(staging, image=image("fail"))
    staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert revision(staging) == good, "ECS has gone back"
    flask(staging, image=image("next"))
    plan = staging.plan()
    assert plan.changes == RUN and plan.fields("fargate/flask_task")[FIELD] == (image("good"), image("next"))
    assert plan.origin("fargate/flask_task") == plan.origin("fargate/flask") == "configuration"
    assert staging.run("drift", "staging", "--json").expect_exit(0).json()["drift"] == []
    flask(staging, image=image("fail"))
    plan = staging.plan()
    assert plan.changes == RUN and plan.fields("fargate/flask_task")[FIELD] == (image("good"), image("fail"))
    flask(staging, image=image("good"))
    nothing(staging)


def test_saved_plan_after_a_rollback_is_applied(staging: TestWorkspace) -> None:
    deployed(staging, "v1")
    second = deployed(staging, "v2")
    staging.run("rollback", "staging", "--yes").expect_exit()
    text = staging.run("plan", "staging", "--out", "forward.plan").expect_exit().out
    assert f'image: "{image("v1")}" -> "{image("v2")}"' in text, text
    staging.run("apply", "forward.plan").expect_exit()
    assert revision(staging) == second
    staging.assert_no_changes()


def test_older_revision_that_somebody_put_in_is_drift_of_the_service(staging: TestWorkspace) -> None:
    first = deployed(staging, "v1")
    second = deployed(staging, "v2")
    staging.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-flask", taskDefinition=first)
    drift = staging.run("drift", "staging", "--json").expect_exit(2).json()["drift"]
    (changed,) = [one for one in drift if one["address"] == "fargate/flask"]
    assert [change["path"] for change in changed["changes"]] == ["task_definition"] and len(drift) == 1, drift
    plan = staging.plan()
    assert plan.changes == RUN and plan.origin("fargate/flask") in {"drift", "both"}
    staging.deploy()
    assert revision(staging) == second
    staging.assert_no_changes()


def test_task_before_a_rollout_is_not_run_again_after_a_rollback(workspace: TestWorkspace) -> None:
    workspace.configure(before(["echo", "migrated"]))
    deployed(workspace, "v1")
    second = deployed(workspace, "v2")
    assert len(runs(workspace)) == 2
    workspace.run("rollback", "staging", "--yes").expect_exit()
    flask(workspace, image=image("v1"))
    nothing(workspace)
    flask(workspace, image=image("v2"))
    workspace.deploy()
    assert revision(workspace) == second and len(runs(workspace)) == 2, "both revisions were migrated already"
    workspace.assert_no_changes()
