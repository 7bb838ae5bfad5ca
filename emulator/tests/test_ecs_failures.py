"""Causes of task failures: memory, roles, capacity, and images that do not exist."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import App, control, wait_until


def stopped(app: App) -> list[dict[str, Any]]:
    """Returns the stopped tasks of the service."""
    arns = app.ecs.list_tasks(cluster="c", serviceName="web", desiredStatus="STOPPED")["taskArns"]
    return app.ecs.describe_tasks(cluster="c", tasks=arns)["tasks"] if arns else []


def test_container_out_of_memory_exits_137(app: App) -> None:
    app.create(app.definition("app:oom"))
    app.rollout()
    container = stopped(app)[0]["containers"][0]
    assert container["exitCode"] == 137 and container["reason"].startswith("OutOfMemoryError")


@pytest.mark.parametrize("cause,words", [("role", "unable to assume the role"), ("capacity", "Capacity is unavailable")])
def test_unplaceable_task_is_reported_as_event(app: App, cause: str, words: str) -> None:
    role = app.make_role("wrong", "ec2.amazonaws.com")
    app.create(app.definition(executionRoleArn=role) if cause == "role" else app.definition("app:no-capacity"))
    assert app.rollout()["status"] == "ROLLBACK_FAILED"
    assert stopped(app) == [] and app.show()["deployments"][0]["failedTasks"] >= 2
    assert any(words in event["message"] for event in app.show()["events"])


def test_tasks_beyond_vcpu_quota_wait_for_capacity(app: App) -> None:
    place = {"account": app.aws.account, "region": app.aws.region}
    control(app.aws.url, "POST", "preconditions", {"vcpus": 0.5, **place})
    quota = getattr(app.aws, "service-quotas").get_service_quota(ServiceCode="fargate", QuotaCode="L-3032A538")["Quota"]
    assert quota["Value"] == 0.5
    app.create(app.definition(), desiredCount=3)
    wait_until(lambda: app.show()["runningCount"] == 2)
    wait_until(lambda: any("limit on the number of vCPUs" in event["message"] for event in app.show()["events"]))
    assert app.show()["deployments"][0]["rolloutState"] == "IN_PROGRESS" and app.show()["deployments"][0]["failedTasks"] == 0
    vpc = app.net.awsvpc()
    ran = app.ecs.run_task(cluster="c", taskDefinition="web", launchType="FARGATE", networkConfiguration=vpc)
    assert "limit on the number of vCPUs" in ran["failures"][0]["reason"]
    control(app.aws.url, "POST", "preconditions", {"vcpus": 1, **place})
    assert app.steady()["runningCount"] == 3


def test_tasks_exiting_after_start_do_not_trip_breaker(app: App) -> None:
    app.create(app.definition("app:crash"))
    wait_until(lambda: len(stopped(app)) >= 8)
    task = stopped(app)[0]
    assert "startedAt" in task and task["stopCode"] == "EssentialContainerExited" and task["containers"][0]["exitCode"] == 1
    shown = app.show()["deployments"][0]
    assert shown["failedTasks"] == 0 and shown["rolloutState"] in ("IN_PROGRESS", "COMPLETED")


def put_image(app: App, tag: str, content: str) -> str:
    """Pushes an image to the repository `team/r`, and returns its digest."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "x": content})
    return app.aws.ecr.put_image(repositoryName="team/r", imageManifest=manifest, imageTag=tag)["image"]["imageId"]["imageDigest"]


def test_image_must_exist_in_own_registry(app: App) -> None:
    uri = app.aws.ecr.create_repository(repositoryName="team/r")["repository"]["repositoryUri"]
    good, bad = put_image(app, "one", "1"), put_image(app, "fail", "2")
    assert good != bad == app.aws.ecr.describe_images(repositoryName="team/r", imageIds=[{"imageTag": "fail"}])[
        "imageDetails"
    ][0]["imageDigest"]
    app.create(app.definition(f"{uri}@{good}"))
    first = app.steady()["taskDefinition"]
    for image, code in ((f"{uri}@{bad}", "EssentialContainerExited"), (f"{uri}:none", "TaskFailedToStart")):
        app.ecs.update_service(cluster="c", service="web", taskDefinition=app.definition(image))
        assert app.rollout()["status"] == "ROLLBACK_SUCCESSFUL"
        assert code in {task["stopCode"] for task in stopped(app)}
        assert app.steady()["taskDefinition"] == first


def test_stand_in_images_match_every_tag_and_are_unlisted(app: App) -> None:
    ecr = app.aws.ecr
    uri = ecr.create_repository(repositoryName="team/r")["repository"]["repositoryUri"]
    wanted = {"repositoryName": "team/r", "imageIds": [{"imageTag": "one"}]}
    assert app.aws.code(ecr.describe_images, **wanted) == "ImageNotFoundException"
    place = {"account": app.aws.account, "region": app.aws.region}
    assert control(app.aws.url, "POST", "preconditions", {"stand_in_images": True, **place})["stand_in_images"] is True
    digest = ecr.describe_images(**wanted)["imageDetails"][0]["imageDigest"]
    assert app.aws.code(ecr.describe_images, repositoryName="team/q", imageIds=[{"imageTag": "one"}]) == "RepositoryNotFoundException"
    assert ecr.list_images(repositoryName="team/r")["imageIds"] == []
    app.create(app.definition(f"{uri}@{digest}"))
    assert app.steady()["runningCount"] == 2
    ecr.delete_repository(repositoryName="team/r")
