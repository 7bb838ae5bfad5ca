"""Comparison of plans with the revision in use, even if later revisions are registered."""

from __future__ import annotations

from configuration import image
from harness import TestWorkspace
from test_release_command import release_command, release_tasks
from test_rollouts import configure_flask, revision, service

ROLLOUT_CHANGES = {"fargate/flask_task": "update", "fargate/flask": "update"}
IMAGE_FIELD = "containers.flask.image"


def deploy_image(workspace: TestWorkspace, tag: str) -> str:
    """Deploys an image and returns the revision that the deploy registers."""
    configure_flask(workspace, image=image(tag))
    workspace.deploy()
    return revision(workspace)


def assert_no_differences(workspace: TestWorkspace) -> None:
    """Asserts that there are no changes and no drift, and that a deploy does not restart tasks."""
    deployment = service(workspace)["deployments"][0]["id"]
    assert "No changes" in workspace.run("plan", "staging", "--detailed-exitcode").expect_exit(0).out
    assert workspace.run("drift", "staging", "--json").expect_exit(0).json()["drift"] == []
    status = workspace.run("status", "staging", "--json").expect_exit().json()
    assert status["drift"] == {"differ": 0, "outside": 0, "unknown": None}
    since = workspace.mark()
    assert "No changes" in workspace.deploy().err
    assert workspace.writes(since) == [] and service(workspace)["deployments"][0]["id"] == deployment
    workspace.run("plan", "staging", "--refresh-only", "--detailed-exitcode").expect_exit(0)


def test_rollback_to_configured_image_leaves_no_changes(staging: TestWorkspace) -> None:
    first = deploy_image(staging, "v1")
    second = deploy_image(staging, "v2")
    staging.run("rollback", "staging", "--yes").expect_exit()
    configure_flask(staging, image=image("v1"))
    assert_no_differences(staging)
    assert revision(staging) == first
    configure_flask(staging, image=image("v2"))
    since = staging.mark()
    staging.deploy()
    assert revision(staging) == second, "the existing revision is reused"
    assert "ecs:RegisterTaskDefinition" not in staging.mutations(since)
    staging.assert_no_changes()


def test_rollback_of_image_option_leaves_no_changes(staging: TestWorkspace) -> None:
    deploy_image(staging, "v1")
    staging.run("deploy", "staging", "--image", f"flask={image('v2')}", "--yes").expect_exit()
    staging.run("rollback", "staging", "--yes").expect_exit()
    assert_no_differences(staging)


def test_plan_after_failed_rollout_shows_serving_revision(staging: TestWorkspace) -> None:
    good = deploy_image(staging, "good")
    configure_flask(staging, image=image("fail"))
    staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert revision(staging) == good, "ECS has rolled back"
    configure_flask(staging, image=image("next"))
    plan = staging.plan()
    assert plan.changes == ROLLOUT_CHANGES and plan.fields("fargate/flask_task")[IMAGE_FIELD] == (
        image("good"),
        image("next"),
    )
    assert plan.origin("fargate/flask_task") == plan.origin("fargate/flask") == "configuration"
    assert staging.run("drift", "staging", "--json").expect_exit(0).json()["drift"] == []
    configure_flask(staging, image=image("fail"))
    plan = staging.plan()
    assert plan.changes == ROLLOUT_CHANGES and plan.fields("fargate/flask_task")[IMAGE_FIELD] == (
        image("good"),
        image("fail"),
    )
    configure_flask(staging, image=image("good"))
    assert_no_differences(staging)


def test_saved_plan_after_rollback_is_applied(staging: TestWorkspace) -> None:
    deploy_image(staging, "v1")
    second = deploy_image(staging, "v2")
    staging.run("rollback", "staging", "--yes").expect_exit()
    text = staging.run("plan", "staging", "--out", "forward.plan").expect_exit().out
    assert f'image: "{image("v1")}" -> "{image("v2")}"' in text, text
    staging.run("apply", "forward.plan").expect_exit()
    assert revision(staging) == second
    staging.assert_no_changes()


def test_older_revision_deployed_outside_is_service_drift(staging: TestWorkspace) -> None:
    first = deploy_image(staging, "v1")
    second = deploy_image(staging, "v2")
    staging.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-flask", taskDefinition=first)
    drift = staging.run("drift", "staging", "--json").expect_exit(2).json()["drift"]
    (changed,) = [item for item in drift if item["address"] == "fargate/flask"]
    assert [change["path"] for change in changed["changes"]] == ["task_definition"] and len(drift) == 1, drift
    plan = staging.plan()
    assert plan.changes == ROLLOUT_CHANGES and plan.origin("fargate/flask") in {"drift", "both"}
    staging.deploy()
    assert revision(staging) == second
    staging.assert_no_changes()


def test_release_command_is_not_repeated_after_rollback(workspace: TestWorkspace) -> None:
    workspace.configure(release_command(["echo", "migrated"]))
    deploy_image(workspace, "v1")
    second = deploy_image(workspace, "v2")
    assert len(release_tasks(workspace)) == 2
    workspace.run("rollback", "staging", "--yes").expect_exit()
    configure_flask(workspace, image=image("v1"))
    assert_no_differences(workspace)
    configure_flask(workspace, image=image("v2"))
    workspace.deploy()
    assert revision(workspace) == second and len(release_tasks(workspace)) == 2, (
        "the release command has already run for both revisions"
    )
    workspace.assert_no_changes()
