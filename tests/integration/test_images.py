"""Images: a plan resolves tags to digests, and an image that is not pushed yet delays only its own service."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from configuration import merged
from endpoint import control
from harness import TestWorkspace, until

OWN_IMAGES = {"services": {"flask": {"image": None}, "celery": {"image": None}}}
REPOSITORY = "staging-celeryflask"


def push(workspace: TestWorkspace, tag: str, content: str = "") -> str:
    """Pushes an image to the workspace's repository and returns the image's digest."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "annotations": {"content": content or tag}})
    answer = workspace.aws.ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag=tag)
    return str(answer["image"]["imageId"]["imageDigest"])


def running_image(workspace: TestWorkspace, key: str) -> str:
    """Returns the image that a service runs."""
    service = workspace.inventory.services()[f"staging-{key}"]
    definition = workspace.aws.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    return str(definition["containerDefinitions"][0]["image"])


def untagged_image_limit(workspace: TestWorkspace) -> int:
    """Returns the number of untagged images that the repository's lifecycle policy keeps."""
    policy = json.loads(workspace.aws.ecr.get_lifecycle_policy(repositoryName=REPOSITORY)["lifecyclePolicyText"])
    (rule,) = policy["rules"]
    assert (rule["selection"]["tagStatus"], rule["selection"]["countType"]) == ("untagged", "imageCountMoreThan")
    return int(rule["selection"]["countNumber"])


@pytest.fixture
def own_images(workspace: TestWorkspace) -> TestWorkspace:
    """Returns a workspace that is configured to use images in its own repository."""
    workspace.configure(OWN_IMAGES)
    return workspace


def test_deploy_without_images_creates_all_but_services(own_images: TestWorkspace) -> None:
    text = own_images.run("plan", "staging").expect_exit().out
    assert "2 services are left out: image not pushed yet." in text, text
    assert f"celery: not deployed: image not pushed  {REPOSITORY}:celery\n" in text, text
    result = own_images.run("deploy", "staging", "--yes").expect_exit(4)
    uri = f"{own_images.account}.dkr.ecr.{own_images.aws.region}.amazonaws.com/{REPOSITORY}"
    for command in (
        f"aws ecr get-login-password --region {own_images.aws.region} | docker login --username AWS",
        f"docker push {uri}:flask",
        f"docker push {uri}:celery",
        "pb-deploy deploy staging",
    ):
        assert command in result.err, result
    assert result.out == "" and own_images.inventory.services() == {} and own_images.inventory.task_definitions() == {}
    assert len(own_images.inventory.replication_groups()) == len(own_images.inventory.listeners()) == 1
    since = own_images.mark()
    second = own_images.run("deploy", "staging", "--yes", "--json").expect_exit(4)
    (line,) = [line for line in second.events() if line["event"] == "images_missing"]
    assert line["services"] == {"celery": "celery", "flask": "flask"} and f"docker push {uri}:flask" in line["commands"]
    assert own_images.writes(since) == [], "all other resources exist already"
    assert untagged_image_limit(own_images) == 20, (
        "the images of ten revisions of each of the two services are kept after their tags have moved"
    )
    digests = {key: push(own_images, key) for key in ("flask", "celery")}
    own_images.deploy()
    assert {key: running_image(own_images, key) for key in digests} == {
        key: f"{uri}@{digest}" for key, digest in digests.items()
    }
    own_images.assert_no_changes()
    own_images.configure({"deploy": {"keep_revisions": 50}})
    assert own_images.plan().changes == {"fargate/repository": "update"}
    own_images.deploy()
    assert untagged_image_limit(own_images) == 100


def test_services_without_image_are_listed_by_plan_and_status(own_images: TestWorkspace) -> None:
    own_images.run("deploy", "staging", "--yes").expect_exit(4)
    uri = f"{own_images.account}.dkr.ecr.{own_images.aws.region}.amazonaws.com/{REPOSITORY}"
    expected = [
        {"service": key, "name": f"staging-{key}", "image": f"{uri}:{key}", "reason": "image not pushed"} for key in ("celery", "flask")
    ]  # fmt: skip

    text = own_images.run("plan", "staging", "--detailed-exitcode").expect_exit(2).out
    assert (
        "No changes, but 2 services are not deployed: image not pushed yet.\n" in text
        and "match the configuration" not in text
    ), text
    assert f"flask: not deployed: image not pushed  {uri}:flask\n" in text, text
    saved = (
        own_images.run("plan", "staging", "--detailed-exitcode", "--out", "waits.plan", "--json").expect_exit(2).json()
    )
    assert sorted(saved["not_deployed"], key=lambda row: str(row["service"])) == expected, saved["not_deployed"]
    assert "2 services are not deployed" in own_images.run("show", "waits.plan").expect_exit().out
    markdown = own_images.run("show", "waits.plan", "--markdown").expect_exit().out
    assert f"| `fargate/celery` | ecs.service | `{uri}:celery` | not deployed: image not pushed |" in markdown, markdown
    own_images.run("plan", "staging", "--destroy", "--detailed-exitcode").expect_exit(2)
    own_images.run("plan", "staging", "--target", "net", "--detailed-exitcode").expect_exit(0)

    text = own_images.run("status", "staging").expect_exit().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for key in ("flask", "celery"):
        assert f"staging-{key} not deployed: image not pushed {uri}:{key}" in lines, text
    assert "2 services are not deployed: push the images, then pb-deploy deploy staging" in lines, text
    assert "as configured" not in text, text
    status = own_images.run("status", "staging", "--json").expect_exit().json()
    assert sorted(status["not_deployed"], key=lambda row: str(row["service"])) == expected, status

    push(own_images, "flask"), push(own_images, "celery")
    own_images.deploy()
    own_images.run("plan", "staging", "--detailed-exitcode").expect_exit(0)
    assert "as configured" in own_images.run("status", "staging").expect_exit().out
    assert own_images.run("status", "staging", "--json").expect_exit().json()["not_deployed"] == []


def test_deleted_service_is_listed_by_status(staging: TestWorkspace) -> None:
    staging.aws.ecs.delete_service(cluster="staging-ecs-cluster", service="staging-celery", force=True)
    selection = {"cluster": "staging-ecs-cluster", "services": ["staging-celery"]}
    until(lambda: staging.aws.ecs.describe_services(**selection)["services"][0]["status"] == "INACTIVE")
    text = staging.run("status", "staging").expect_exit().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert any(line.startswith("staging-celery not deployed registry.example/") for line in lines), text
    assert "1 service is not deployed: pb-deploy deploy staging" in lines and "as configured" not in text, text
    staging.deploy()
    staging.assert_no_changes()


def test_images_pushed_during_deploy_are_deployed_by_it(own_images: TestWorkspace) -> None:
    run = own_images.start("deploy", "staging", "--yes")
    until(lambda: REPOSITORY in own_images.inventory.repositories())
    push(own_images, "flask"), push(own_images, "celery")
    result = run.result().expect_exit()
    assert "Images found." in result.err and result.out == "http://staging.ospcapi.org\n"
    shown = result.err.split("Images found.")[1]
    assert "+ fargate/flask  ecs.service" in shown and "Plan: 4 to add" in shown, result
    own_images.assert_no_changes()


def test_stand_in_images_are_deployed_in_one_run(own_images: TestWorkspace) -> None:
    control(
        own_images.url,
        "preconditions",
        {"stand_in_images": True, "account": own_images.account, "region": own_images.aws.region},
    )
    own_images.deploy()
    assert "@sha256:" in running_image(own_images, "flask")
    own_images.assert_no_changes()
    own_images.destroy()
    assert own_images.inventory.remains() == {}


@pytest.fixture(scope="module")
def pushed(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a deployed staging workspace whose images have been pushed to its own repository."""
    workspace = new_workspace()
    workspace.initial_config = merged(workspace.initial_config, OWN_IMAGES)
    workspace.configure(OWN_IMAGES)
    workspace.run("deploy", "staging", "--yes").expect_exit(4)
    push(workspace, "flask"), push(workspace, "celery")
    return workspace


@pytest.fixture
def shared(pushed: TestWorkspace) -> TestWorkspace:
    """Returns the workspace of `pushed`, reset to its initial configuration before each test."""
    pushed.reset()
    return pushed


def test_moved_tag_is_planned_with_both_digests(shared: TestWorkspace) -> None:
    old = running_image(shared, "flask")
    new = push(shared, "flask", "another")
    plan = shared.plan()
    assert plan.changes == {"fargate/flask_task": "update", "fargate/flask": "update"}
    before, after = plan.fields("fargate/flask_task")["containers.flask.image"]
    assert (before, after) == (old, f"{old.split('@')[0]}@{new}")
    since = shared.mark()
    shared.deploy()
    assert running_image(shared, "flask").endswith(new)
    assert shared.writes(since) == ["ecs:RegisterTaskDefinition", "ecs:UpdateService"]
    shared.assert_no_changes()


def test_other_tag_of_same_image_is_no_change(shared: TestWorkspace) -> None:
    manifest = shared.aws.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "celery"}])
    shared.aws.ecr.put_image(
        repositoryName=REPOSITORY, imageManifest=manifest["images"][0]["imageManifest"], imageTag="same"
    )
    assert shared.plan("staging", "--image", "celery=same").changes == {}


@pytest.mark.parametrize("source", ["the command line", "the configuration"])
def test_missing_tag_is_refused_at_plan(shared: TestWorkspace, source: str) -> None:
    arguments = ["--image", "flask=none"] if source == "the command line" else []
    if not arguments:
        shared.configure({"services": {"flask": {"tag": "none"}}})
    since = shared.mark()
    for command in (["plan", "staging"], ["deploy", "staging", "--yes"]):
        result = shared.run(*command, *arguments).expect_exit(1)
        assert f'the repository {REPOSITORY} has no image "none"' in result.err and "push the image" in result.err, (
            result
        )
    assert shared.mutations(since) == []
    shared.configure({"services": {"flask": {"tag": None}}})
    shared.assert_no_changes()


def test_image_option_applies_to_one_deploy(shared: TestWorkspace) -> None:
    digest = push(shared, "v2")
    shared.run("deploy", "staging", "--yes", "--image", "flask=v2").expect_exit()
    assert running_image(shared, "flask").endswith(digest)
    shared.run("deploy", "staging", "--yes", "--image", f"celery={digest}", "--image", "flask=v2").expect_exit()
    assert running_image(shared, "celery").endswith(digest)
    assert set(shared.plan().changes) == {
        "fargate/flask_task", "fargate/flask", "fargate/celery_task", "fargate/celery",
    }, "a deploy without the option returns to the configured images"  # fmt: skip
    shared.deploy()
    shared.assert_no_changes()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("flsk=v2", 'unknown service "flsk"'),
        ("flask", "expected SERVICE=TAG"),
        ("flask=a b", "invalid image for flask"),
    ],
)
def test_invalid_image_option_is_usage_error(shared: TestWorkspace, option: str, message: str) -> None:
    result = shared.run("plan", "staging", "--image", option).expect_exit(64)
    assert message in result.err, result


def test_saved_plan_keeps_images_and_refuses_moved_tag(shared: TestWorkspace) -> None:
    push(shared, "v3")
    shared.run("plan", "staging", "--image", "flask=v3", "--out", "p").expect_exit()
    push(shared, "v3", "moved")
    since = shared.mark()
    result = shared.run("apply", "p").expect_exit(1)
    assert "image tags now point to other images (flask)" in result.err, result
    assert shared.writes(since) == []
    shared.run("plan", "staging", "--image", "flask=v3", "--out", "p").expect_exit()
    shared.run("apply", "p").expect_exit()
    shared.run("deploy", "staging", "--yes").expect_exit()
    shared.assert_no_changes()


def test_running_service_is_kept_after_its_images_are_deleted(shared: TestWorkspace) -> None:
    listed = shared.aws.ecr.list_images(repositoryName=REPOSITORY)["imageIds"]
    saved_images = shared.aws.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=listed)["images"]
    shared.aws.ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=listed)
    since = shared.mark()
    result = shared.run("deploy", "staging", "--yes").expect_exit(1)
    assert "fargate/flask:" in result.err and "is not in the repository" in result.err, result
    assert shared.mutations(since) == [] and set(shared.inventory.services()) == {"staging-flask", "staging-celery"}
    manifests = {image["imageId"]["imageDigest"]: image["imageManifest"] for image in saved_images}
    for image in listed:
        shared.aws.ecr.put_image(
            repositoryName=REPOSITORY, imageManifest=manifests[image["imageDigest"]], imageTag=image["imageTag"]
        )
    shared.assert_no_changes()
