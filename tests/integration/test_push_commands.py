"""The commands that a deploy prints for missing images are run as they are: the next deploy then finishes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from endpoint import ROOT
from harness import Result, TestWorkspace
from printed_commands import Shell, commands
from test_images import OWN_IMAGES, REPOSITORY

TWO_STAGES = "FROM python:3.11 AS base\nFROM base AS flask\nFROM base AS celery\n"


@pytest.fixture
def own_images(workspace: TestWorkspace) -> TestWorkspace:
    """Returns a workspace that is configured to use images in its own repository."""
    workspace.configure(OWN_IMAGES)
    return workspace


def first_deploy(workspace: TestWorkspace, *options: str) -> Result:
    """Deploys without images."""
    return workspace.run("deploy", "staging", "--yes", *options).expect_exit(4)


def write_dockerfile(workspace: TestWorkspace, folder: str, text: str) -> None:
    """Writes a Dockerfile into a folder of the project."""
    path = workspace.folder / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / "Dockerfile").write_text(text, encoding="utf-8")


def pushed_source(workspace: TestWorkspace, tag: str) -> dict[str, str]:
    """Returns the folder and the stage from which a pushed image was built."""
    answer = workspace.aws.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])
    manifest = json.loads(answer["images"][0]["imageManifest"])
    return dict(json.loads(manifest["annotations"]["org.example.source"]))


def test_printed_commands_push_the_images_of_the_example(own_images: TestWorkspace) -> None:
    shutil.copytree(ROOT / "examples", own_images.folder / "examples")
    printed = commands(first_deploy(own_images).err)
    assert [command.split()[0] for command in printed] == ["aws", *["docker"] * 4, "pb-deploy"], printed
    shell = Shell(own_images)
    shell.run_all(printed[:-1])
    for tag in ("flask", "celery"):
        assert pushed_source(own_images, tag) == {"folder": "examples/app", "target": tag}
    assert printed[-1] == "pb-deploy deploy staging"
    assert shell.run(f"{printed[-1]} --yes").endswith("http://staging.ospcapi.org\n")
    own_images.assert_no_changes()


@pytest.mark.parametrize(
    ("files", "sources"),
    [
        ({".": TWO_STAGES}, {"flask": (".", "flask"), "celery": (".", "celery")}),
        ({"flask": "FROM a\n", "celery": "FROM b\n"}, {"flask": ("flask", ""), "celery": ("celery", "")}),
        ({"my app": "FROM a\n"}, {"flask": ("my app", ""), "celery": ("my app", "")}),
    ],
    ids=["stages", "folders", "one Dockerfile"],
)
def test_push_commands_follow_the_dockerfiles(
    own_images: TestWorkspace, files: dict[str, str], sources: dict[str, tuple[str, str]]
) -> None:
    for folder, text in files.items():
        write_dockerfile(own_images, folder, text)
    Shell(own_images).run_all(commands(first_deploy(own_images).err)[:-1])
    for tag, (folder, target) in sources.items():
        assert pushed_source(own_images, tag) == {"folder": folder, "target": target}
    own_images.deploy()


def test_commands_keep_the_configuration_file_and_profile(own_images: TestWorkspace) -> None:
    write_dockerfile(own_images, "project/app", TWO_STAGES)
    own_images.config_file = own_images.folder / "project" / "other.toml"
    own_images.configure({})
    (own_images.folder / ".aws").mkdir()
    profile = f"[profile it]\naws_access_key_id = {own_images.account}\naws_secret_access_key = test\n"
    (own_images.folder / ".aws" / "config").write_text(profile, encoding="utf-8")
    without: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    options = ["--config", "project/other.toml", "--profile", "it"]
    result = own_images.run("deploy", "staging", "--yes", *options, env=without).expect_exit(4)
    login, *rest, last = commands(result.err)
    shell = Shell(own_images)
    assert "--profile it" in login
    shell.run(login.split(" | ")[0], env=without)
    shell.run_all([login, *rest])
    assert pushed_source(own_images, "flask") == {"folder": "project/app", "target": "flask"}
    assert last == "pb-deploy deploy staging --config project/other.toml --profile it"
    shell.run(f"{last} --yes", env=without)


def test_unknown_folder_is_a_placeholder_that_is_explained(own_images: TestWorkspace) -> None:
    result = first_deploy(own_images)
    assert "Replace FOLDER_OF_CELERY and FOLDER_OF_FLASK with the folder of the Dockerfile.\n" in result.err, result
    write_dockerfile(own_images, "deep/down/in/the/tree", TWO_STAGES)
    printed = commands(result.err)[:-1]
    folder = str(Path("deep/down/in/the/tree"))
    Shell(own_images).run_all([line.replace("FOLDER_OF_CELERY", folder).replace("FOLDER_OF_FLASK", folder)
                               for line in printed])  # fmt: skip
    own_images.deploy()


def test_missing_digest_is_not_built(own_images: TestWorkspace) -> None:
    digest = "sha256:" + "0" * 64
    result = first_deploy(own_images, "--image", f"flask={digest}")
    assert f"Push the image {digest} from where it was built, or choose a tag." in result.err, result
    assert not any(digest in command for command in commands(result.err)), result


def test_targeted_deploy_without_repository_prints_no_push(own_images: TestWorkspace) -> None:
    result = own_images.run("deploy", "staging", "--yes", "--target", "net").expect_exit()
    assert "docker" not in result.err and "REPOSITORY" not in result.err, result


def test_command_for_a_digest_prints_one_that_is_accepted(own_images: TestWorkspace) -> None:
    write_dockerfile(own_images, ".", TWO_STAGES)
    shell = Shell(own_images)
    shell.run("docker build --platform linux/amd64 --target flask -t "
              f"{own_images.account}.dkr.ecr.us-east-2.amazonaws.com/app:v1 .")  # fmt: skip
    own_images.configure({"services": {"flask": {"image": "registry.example/app@sha256:12ab"}}})
    refused = own_images.run("validate").expect_exit(1).text
    assert "copy the whole digest, such as from `docker images --digests`" in refused
    digest = shell.run("docker images --digests").split()[-1]
    own_images.configure({"services": {"flask": {"image": f"registry.example/app@{digest}"}}})
    own_images.run("validate").expect_exit()
