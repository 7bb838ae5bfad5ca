"""Plans compare with the revision that serves, whatever was registered after it."""

from __future__ import annotations

from configuration import image
from harness import Site
from test_before import before, runs
from test_rollouts import flask, revision, service

RUN = {"fargate/flask_task": "update", "fargate/flask": "update"}
FIELD = "containers.flask.image"


def deployed(site: Site, tag: str) -> str:
    """The revision that was made for an image."""
    flask(site, image=image(tag))
    site.deploy()
    return revision(site)


def nothing(site: Site) -> None:
    """Neither the configuration nor the world differs, and a deploy leaves the tasks alone."""
    deployment = service(site)["deployments"][0]["id"]
    assert "No changes" in site.run("plan", "staging", "--detailed-exitcode").ended(0).out
    assert site.run("drift", "staging", "--json").ended(0).json()["drift"] == []
    status = site.run("status", "staging", "--json").ended().json()
    assert status["drift"] == {"differ": 0, "outside": 0, "unknown": None}
    since = site.mark()
    assert "No changes" in site.deploy().err
    assert site.writes(since) == [] and service(site)["deployments"][0]["id"] == deployment
    site.run("plan", "staging", "--refresh-only", "--detailed-exitcode").ended(0)


def test_rollback_to_what_is_configured_leaves_nothing_to_do(staging: Site) -> None:
    first = deployed(staging, "v1")
    second = deployed(staging, "v2")
    staging.run("rollback", "staging", "--yes").ended()
    flask(staging, image=image("v1"))
    nothing(staging)
    assert revision(staging) == first
    flask(staging, image=image("v2"))
    since = staging.mark()
    staging.deploy()
    assert revision(staging) == second, "the revision that was there is used again"
    assert "ecs:RegisterTaskDefinition" not in staging.mutations(since)
    staging.finds_nothing()


def test_rollback_of_an_image_that_was_given_leaves_nothing_to_do(staging: Site) -> None:
    deployed(staging, "v1")
    staging.run("deploy", "staging", "--image", f"flask={image('v2')}", "--yes").ended()
    staging.run("rollback", "staging", "--yes").ended()
    nothing(staging)


def test_plan_after_a_failed_rollout_shows_what_serves(staging: Site) -> None:
    good = deployed(staging, "good")
    flask(staging, image=image("fail"))
    staging.run("deploy", "staging", "--yes").ended(1)
    assert revision(staging) == good, "ECS has gone back"
    flask(staging, image=image("next"))
    plan = staging.plan()
    assert plan.changes == RUN and plan.fields("fargate/flask_task")[FIELD] == (image("good"), image("next"))
    assert plan.origin("fargate/flask_task") == plan.origin("fargate/flask") == "configuration"
    assert staging.run("drift", "staging", "--json").ended(0).json()["drift"] == []
    flask(staging, image=image("fail"))
    plan = staging.plan()
    assert plan.changes == RUN and plan.fields("fargate/flask_task")[FIELD] == (image("good"), image("fail"))
    flask(staging, image=image("good"))
    nothing(staging)


def test_saved_plan_after_a_rollback_is_applied(staging: Site) -> None:
    deployed(staging, "v1")
    second = deployed(staging, "v2")
    staging.run("rollback", "staging", "--yes").ended()
    text = staging.run("plan", "staging", "--out", "forward.plan").ended().out
    assert f'image: "{image("v1")}" -> "{image("v2")}"' in text, text
    staging.run("apply", "forward.plan").ended()
    assert revision(staging) == second
    staging.finds_nothing()


def test_older_revision_that_somebody_put_in_is_drift_of_the_service(staging: Site) -> None:
    first = deployed(staging, "v1")
    second = deployed(staging, "v2")
    staging.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-flask", taskDefinition=first)
    drift = staging.run("drift", "staging", "--json").ended(2).json()["drift"]
    (changed,) = [one for one in drift if one["address"] == "fargate/flask"]
    assert [change["path"] for change in changed["changes"]] == ["task_definition"] and len(drift) == 1, drift
    plan = staging.plan()
    assert plan.changes == RUN and plan.origin("fargate/flask") in {"drift", "both"}
    staging.deploy()
    assert revision(staging) == second
    staging.finds_nothing()


def test_task_before_a_rollout_is_not_run_again_after_a_rollback(site: Site) -> None:
    site.configure(before(["echo", "migrated"]))
    deployed(site, "v1")
    second = deployed(site, "v2")
    assert len(runs(site)) == 2
    site.run("rollback", "staging", "--yes").ended()
    flask(site, image=image("v1"))
    nothing(site)
    flask(site, image=image("v2"))
    site.deploy()
    assert revision(site) == second and len(runs(site)) == 2, "both revisions were migrated already"
    site.finds_nothing()
