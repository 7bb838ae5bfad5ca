"""Images: what a tag means is decided at plan, and what is yet to be pushed keeps nothing else from being made."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from configuration import merged
from endpoint import control
from harness import TestWorkspace, until

OWN = {"services": {"flask": {"image": None}, "celery": {"image": None}}}
REPOSITORY = "staging-celeryflask"


def push(workspace: TestWorkspace, tag: str, content: str = "") -> str:
    """Put an image into the workspace's repository; gives its digest."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "annotations": {"content": content or tag}})
    made = workspace.aws.ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag=tag)
    return str(made["image"]["imageId"]["imageDigest"])


def running(workspace: TestWorkspace, key: str) -> str:
    """The image that a service runs."""
    service = workspace.inventory.services()[f"staging-{key}"]
    found = workspace.aws.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    return str(found["containerDefinitions"][0]["image"])


def kept_untagged(workspace: TestWorkspace) -> int:
    """How many images without a tag the repository keeps."""
    policy = json.loads(workspace.aws.ecr.get_lifecycle_policy(repositoryName=REPOSITORY)["lifecyclePolicyText"])
    (rule,) = policy["rules"]
    assert (rule["selection"]["tagStatus"], rule["selection"]["countType"]) == ("untagged", "imageCountMoreThan")
    return int(rule["selection"]["countNumber"])


@pytest.fixture
def own(workspace: TestWorkspace) -> TestWorkspace:
    """A configuration whose images are in the workspace's own repository."""
    workspace.configure(OWN)
    return workspace


def test_a_first_deploy_makes_all_else_and_the_next_one_goes_on(own: TestWorkspace) -> None:
    text = own.run("plan", "staging").expect_exit().out
    assert "2 services are left out: image not pushed yet." in text, text
    assert f"celery: not deployed: image not pushed  {REPOSITORY}:celery\n" in text, text
    result = own.run("deploy", "staging", "--yes").expect_exit(4)
    uri = f"{own.account}.dkr.ecr.{own.aws.region}.amazonaws.com/{REPOSITORY}"
    for command in (
        f"aws ecr get-login-password --region {own.aws.region} | docker login --username AWS",
        f"docker push {uri}:flask",
        f"docker push {uri}:celery",
        "pb-deploy deploy staging",
    ):
        assert command in result.err, result
    assert result.out == "" and own.inventory.services() == {} and own.inventory.task_definitions() == {}
    assert len(own.inventory.replication_groups()) == len(own.inventory.listeners()) == 1
    since = own.mark()
    again = own.run("deploy", "staging", "--yes", "--json").expect_exit(4)
    (line,) = [line for line in again.lines() if line["event"] == "images_missing"]
    assert line["services"] == {"celery": "celery", "flask": "flask"} and f"docker push {uri}:flask" in line["commands"]
    assert own.writes(since) == [], "there is nothing else to do"
    assert kept_untagged(own) == 20, (
        "ten revisions of each of the two services can be pulled, however often the tags are moved"
    )
    digests = {key: push(own, key) for key in ("flask", "celery")}
    own.deploy()
    assert {key: running(own, key) for key in digests} == {key: f"{uri}@{digest}" for key, digest in digests.items()}
    own.assert_no_changes()
    own.configure({"deploy": {"keep_revisions": 50}})
    assert own.plan().changes == {"fargate/repository": "update"}
    own.deploy()
    assert kept_untagged(own) == 100


def test_services_without_image_are_named_by_plan_and_status(own: TestWorkspace) -> None:
    own.run("deploy", "staging", "--yes").expect_exit(4)
    uri = f"{own.account}.dkr.ecr.{own.aws.region}.amazonaws.com/{REPOSITORY}"
    waiting = [
        {"service": key, "name": f"staging-{key}", "image": f"{uri}:{key}", "reason": "image not pushed"} for key in ("celery", "flask")
    ]  # fmt: skip

    text = own.run("plan", "staging", "--detailed-exitcode").expect_exit(2).out
    assert (
        "No changes, but 2 services are not deployed: image not pushed yet.\n" in text and "as configured" not in text
    ), text
    assert f"flask: not deployed: image not pushed  {uri}:flask\n" in text, text
    saved = own.run("plan", "staging", "--detailed-exitcode", "--out", "waits.plan", "--json").expect_exit(2).json()
    assert sorted(saved["not_deployed"], key=lambda one: str(one["service"])) == waiting, saved["not_deployed"]
    assert "2 services are not deployed" in own.run("show", "waits.plan").expect_exit().out
    markdown = own.run("show", "waits.plan", "--markdown").expect_exit().out
    assert f"| `fargate/celery` | ecs.service | `{uri}:celery` | not deployed: image not pushed |" in markdown, markdown
    own.run("plan", "staging", "--destroy", "--detailed-exitcode").expect_exit(2)
    own.run("plan", "staging", "--target", "net", "--detailed-exitcode").expect_exit(0)

    text = own.run("status", "staging").expect_exit().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for key in ("flask", "celery"):
        assert f"staging-{key} not deployed: image not pushed {uri}:{key}" in lines, text
    assert "2 services are not deployed: push the images, then pb-deploy deploy staging" in lines, text
    assert "as configured" not in text, text
    status = own.run("status", "staging", "--json").expect_exit().json()
    assert sorted(status["not_deployed"], key=lambda one: str(one["service"])) == waiting, status

    push(own, "flask"), push(own, "celery")
    own.deploy()
    own.run("plan", "staging", "--detailed-exitcode").expect_exit(0)
    assert "as configured" in own.run("status", "staging").expect_exit().out
    assert own.run("status", "staging", "--json").expect_exit().json()["not_deployed"] == []


def test_deleted_service_is_listed_by_status(staging: TestWorkspace) -> None:
    staging.aws.ecs.delete_service(cluster="staging-ecs-cluster", service="staging-celery", force=True)
    there = {"cluster": "staging-ecs-cluster", "services": ["staging-celery"]}
    until(lambda: staging.aws.ecs.describe_services(**there)["services"][0]["status"] == "INACTIVE")
    text = staging.run("status", "staging").expect_exit().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert any(line.startswith("staging-celery not deployed registry.example/") for line in lines), text
    assert "1 service is not deployed: pb-deploy deploy staging" in lines and "as configured" not in text, text
    staging.deploy()
    staging.assert_no_changes()


def test_images_that_are_pushed_while_it_runs_are_deployed_in_the_same_run(own: TestWorkspace) -> None:
    run = own.start("deploy", "staging", "--yes")
    until(lambda: REPOSITORY in own.inventory.repositories())
    push(own, "flask"), push(own, "celery")
    result = run.result().expect_exit()
    assert "The images are in the repository now" in result.err and result.out == "http://staging.ospcapi.org\n"
    shown = result.err.split("The images are in the repository now")[1]
    assert "+ fargate/flask  ecs.service" in shown and "Plan: 4 to add" in shown, result
    own.assert_no_changes()


def test_stand_ins_are_deployed_in_one_run(own: TestWorkspace) -> None:
    control(own.url, "preconditions", {"stand_in_images": True, "account": own.account, "region": own.aws.region})
    own.deploy()
    assert "@sha256:" in running(own, "flask")
    own.assert_no_changes()
    own.destroy()
    assert own.inventory.remains() == {}


@pytest.fixture(scope="module")
def pushed(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """A staging that runs images of its own repository."""
    workspace = new_workspace()
    workspace.first = merged(workspace.first, OWN)
    workspace.configure(OWN)
    workspace.run("deploy", "staging", "--yes").expect_exit(4)
    push(workspace, "flask"), push(workspace, "celery")
    return workspace


@pytest.fixture
def shared(pushed: TestWorkspace) -> TestWorkspace:
    """The same, as it is configured: each test begins so, whatever the one before has left."""
    pushed.reset()
    return pushed


def test_a_tag_that_is_moved_is_a_change_with_both_digests(shared: TestWorkspace) -> None:
    old = running(shared, "flask")
    new = push(shared, "flask", "another")
    plan = shared.plan()
    assert plan.changes == {"fargate/flask_task": "update", "fargate/flask": "update"}
    before, after = plan.fields("fargate/flask_task")["containers.flask.image"]
    assert (before, after) == (old, f"{old.split('@')[0]}@{new}")
    since = shared.mark()
    shared.deploy()
    assert running(shared, "flask").endswith(new)
    assert shared.writes(since) == ["ecs:RegisterTaskDefinition", "ecs:UpdateService"]
    shared.assert_no_changes()


def test_another_tag_of_the_same_image_registers_nothing(shared: TestWorkspace) -> None:
    manifest = shared.aws.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "celery"}])
    shared.aws.ecr.put_image(
        repositoryName=REPOSITORY, imageManifest=manifest["images"][0]["imageManifest"], imageTag="same"
    )
    assert shared.plan("staging", "--image", "celery=same").changes == {}


@pytest.mark.parametrize("where", ["the command line", "the configuration"])
def test_a_tag_that_does_not_exist_is_an_error_at_plan(shared: TestWorkspace, where: str) -> None:
    arguments = ["--image", "flask=none"] if where == "the command line" else []
    if not arguments:
        shared.configure({"services": {"flask": {"tag": "none"}}})
    since = shared.mark()
    for command in (["plan", "staging"], ["deploy", "staging", "--yes"]):
        result = shared.run(*command, *arguments).expect_exit(1)
        assert f'the repository {REPOSITORY} has no image "none"' in result.err and "push it" in result.err, result
    assert shared.mutations(since) == []
    shared.configure({"services": {"flask": {"tag": None}}})
    shared.assert_no_changes()


def test_an_image_of_the_command_line_runs_for_one_deploy(shared: TestWorkspace) -> None:
    digest = push(shared, "v2")
    shared.run("deploy", "staging", "--yes", "--image", "flask=v2").expect_exit()
    assert running(shared, "flask").endswith(digest)
    shared.run("deploy", "staging", "--yes", "--image", f"celery={digest}", "--image", "flask=v2").expect_exit()
    assert running(shared, "celery").endswith(digest)
    assert set(shared.plan().changes) == {
        "fargate/flask_task", "fargate/flask", "fargate/celery_task", "fargate/celery",
    }, "the configuration says otherwise"  # fmt: skip
    shared.deploy()
    shared.assert_no_changes()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("flsk=v2", 'there is no service "flsk"'),
        ("flask", "SERVICE=TAG is wanted"),
        ("flask=a b", "invalid image of flask"),
    ],
)
def test_what_is_no_image_is_a_mistake_of_the_command_line(shared: TestWorkspace, given: str, words: str) -> None:
    result = shared.run("plan", "staging", "--image", given).expect_exit(64)
    assert words in result.err, result


def test_a_saved_plan_keeps_its_images_and_refuses_a_tag_that_was_moved(shared: TestWorkspace) -> None:
    push(shared, "v3")
    shared.run("plan", "staging", "--image", "flask=v3", "--out", "p").expect_exit()
    push(shared, "v3", "moved")
    since = shared.mark()
    result = shared.run("apply", "p").expect_exit(1)
    assert "the tag of an image means another one since (flask)" in result.err, result
    assert shared.writes(since) == []
    shared.run("plan", "staging", "--image", "flask=v3", "--out", "p").expect_exit()
    shared.run("apply", "p").expect_exit()
    shared.run("deploy", "staging", "--yes").expect_exit()
    shared.assert_no_changes()


def test_a_service_that_runs_stays_when_its_images_are_gone(shared: TestWorkspace) -> None:
    listed = shared.aws.ecr.list_images(repositoryName=REPOSITORY)["imageIds"]
    kept = shared.aws.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=listed)["images"]
    shared.aws.ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=listed)
    since = shared.mark()
    result = shared.run("deploy", "staging", "--yes").expect_exit(1)
    assert "fargate/flask:" in result.err and "not in the repository any more" in result.err, result
    assert shared.mutations(since) == [] and set(shared.inventory.services()) == {"staging-flask", "staging-celery"}
    manifests = {image["imageId"]["imageDigest"]: image["imageManifest"] for image in kept}
    for image in listed:
        shared.aws.ecr.put_image(
            repositoryName=REPOSITORY, imageManifest=manifests[image["imageDigest"]], imageTag=image["imageTag"]
        )
    shared.assert_no_changes()
