"""`destroy --delete-images` and the key `repository.delete_images`: images that are deleted with their repository."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
import schemas
from harness import TestWorkspace
from test_images import REPOSITORY, push

INDEX_KIND = "application/vnd.oci.image.index.v1+json"
#: Images that `push_many` pushes: more than BatchDeleteImage accepts.
COUNT = 103


def push_many(workspace: TestWorkspace) -> None:
    """Pushes 101 tagged images, an image index with an image of its own, and an image with a second tag."""
    for number in range(COUNT - 2):
        push(workspace, f"v{number}")
    child = push(workspace, "child")
    entry = {"digest": child, "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1}
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_KIND, "manifests": [entry]})
    workspace.aws.ecr.put_image(
        repositoryName=REPOSITORY, imageManifest=index, imageManifestMediaType=INDEX_KIND, imageTag="multi"
    )
    push(workspace, "same", "v0")


def assert_destroyed(workspace: TestWorkspace) -> None:
    """Asserts that nothing remains, in particular no repository."""
    assert workspace.inventory.remains() == {} and REPOSITORY not in workspace.inventory.repositories()


@pytest.fixture(scope="module")
def deployed(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a deployed workspace whose repository contains many images."""
    workspace = new_workspace()
    workspace.deploy()
    push_many(workspace)
    return workspace


def test_refused_destroy_names_a_command_that_deletes(deployed: TestWorkspace) -> None:
    since = deployed.mark()
    refused = deployed.run("destroy", "staging", "--yes").expect_exit(1)
    assert f"it contains {COUNT} images, and `delete_images` is not set" in refused.err, refused
    assert "set `delete_images = true` under `[repository]`" in refused.err, refused
    assert deployed.mutations(since) == []
    (command,) = re.findall(r"run `pb-deploy ([^`]*)`", refused.err)
    assert command == "destroy staging --delete-images"
    saved = deployed.run("plan", "staging", "--destroy", "--delete-images", "--out", "images.plan", "--json")
    document = saved.expect_exit().json()
    schemas.plan()(document)
    assert document["delete_images"] is True
    shown = deployed.run("show", "images.plan").expect_exit().out
    assert f"The repository is deleted with {COUNT} images." in shown, shown
    assert f"deleted with {COUNT} images" in deployed.run("show", "images.plan", "--markdown").expect_exit().out
    cancelled = deployed.run_in_terminal(*command.split(), answer="no")
    assert f"to delete {COUNT} images and destroy staging: " in re.sub(r"\x1b\[[0-9;]*m", "", cancelled.out), cancelled
    assert cancelled.code == 1 and deployed.mutations(since) == []


def test_saved_plan_deletes_the_images(deployed: TestWorkspace) -> None:
    deployed.run("plan", "staging", "--destroy", "--delete-images", "--out", "images.plan").expect_exit()
    deployed.run("apply", "images.plan").expect_exit()
    assert_destroyed(deployed)


def test_destroy_runs_the_command_that_it_names(workspace: TestWorkspace) -> None:
    workspace.config_file = workspace.folder / "other.toml"
    workspace.configure({})
    options = ["--config", "other.toml"]
    workspace.run("deploy", "staging", "--yes", *options).expect_exit()
    push(workspace, "flask")
    refused = workspace.run("destroy", "staging", "--yes", *options).expect_exit(1)
    assert "it contains 1 image, and" in refused.err, refused
    (command,) = re.findall(r"run `pb-deploy ([^`]*)`", refused.err)
    assert command == "destroy staging --delete-images --config other.toml"
    since = workspace.mark()
    workspace.run(*command.split(), "--yes").expect_exit()
    assert workspace.calls(since).count("ecr:DeleteRepository") == 1
    assert_destroyed(workspace)


def test_key_allows_destroy_and_binds_saved_plans(workspace: TestWorkspace) -> None:
    workspace.deploy()
    push(workspace, "flask")
    workspace.configure({"repository": {"delete_images": True}})
    workspace.assert_no_changes()
    workspace.run("plan", "staging", "--destroy", "--out", "key.plan").expect_exit()
    workspace.configure({"repository": {"delete_images": False}})
    since = workspace.mark()
    refused = workspace.run("apply", "key.plan").expect_exit(1)
    assert "it contains 1 image, and `delete_images` is not set" in refused.err, refused
    assert workspace.writes(since) == []
    workspace.configure({"repository": {"delete_images": True}})
    workspace.destroy()
    assert_destroyed(workspace)


def test_delete_images_of_a_deploy_is_a_usage_error(deployed: TestWorkspace) -> None:
    result = deployed.run("plan", "staging", "--delete-images").expect_exit(64)
    assert "--destroy" in result.err, result
