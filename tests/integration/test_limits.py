"""Limits that a configuration or a command line breaks by itself: refused before the first AWS call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from configuration import Table
from harness import TestWorkspace

ARN = "arn:aws:ssm:us-east-2:123456789012:parameter"


@pytest.fixture(scope="module")
def shared(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a workspace that is shared by the tests in which the tool makes no AWS calls."""
    return new_workspace()


@pytest.fixture
def untouched(shared: TestWorkspace) -> TestWorkspace:
    """Returns the shared workspace with its initial configuration."""
    shared.config = shared.initial_config
    shared.configure({})
    return shared


def flask(**settings: object) -> Table:
    """Returns settings of the service `flask`."""
    return {"services": {"flask": settings}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"region": "us-est-2"}, ["`us-est-2` is not a region of AWS", 'write `region = "us-east-2"`']),
        (flask(environment={"BIG": "x" * 70_000}), ["have 70026 bytes", "ECS accepts 65536"]),
        (flask(command=["x" * 70_000]), ["have 70003 bytes", "ECS accepts 65536"]),
        (flask(secrets={"K": f"{ARN}//app/key"}), ["a slash too many", f'write `K = "{ARN}/app/key"`']),
        (flask(image="ghcr.io/My-Team/App:1.0"), ["capital letters", 'write `image = "ghcr.io/my-team/app:1.0"`']),
        (flask(image="ghcr.io/my-team/app@sha256:12"), ["`sha256:12` is not a digest"]),
        (flask(image="ghcr.io:x/my-team/app"), ["`ghcr.io:x` is not a host name with an optional port"]),
        ({"services": {"celery": {"count": 300}}}, ["need 311 addresses", "10.0.1.0/24 has 251"]),
        ({"redis": {"version": "7.2"}}, ["ElastiCache offers Redis up to 7.1"]),
        ({"deploy": {"before": {"command": ["x" * 9000]}}}, ["the command has 9116 characters", "ECS accepts 8192"]),
    ],
)
def test_configuration_beyond_a_limit_is_refused(untouched: TestWorkspace, change: Table, words: list[str]) -> None:
    untouched.configure(change)
    for command in (["validate"], ["plan", "staging"]):
        result = untouched.run(*command).expect_exit(1)
        assert [word for word in words if word not in result.err] == [], result
        assert len(result.err) < 20_000, "a large value is not shown in full"
    assert untouched.calls() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "staging", "--region", "us-est-2"], ["`us-est-2` is not a region", "--region us-east-2"]),
        (["plan", "staging", "--image", "flask=ghcr.io/My/App"], ["capital letters", "--image flask=ghcr.io/my/app"]),
        (["plan", "staging", "--image", "flask=sha256:12"], ["`sha256:12` is not a digest"]),
        (["plan", "staging", "--image", "flask=ghcr.io/app@sha256:12"], ["`sha256:12` is not a digest"]),
        (["run", "staging", "--", "x" * 9000], ["the command has 9116 characters"]),
    ],
)
def test_argument_beyond_a_limit_is_refused(untouched: TestWorkspace, arguments: list[str], words: list[str]) -> None:
    result = untouched.run(*arguments).expect_exit(64)
    assert [word for word in words if word not in result.err] == [], result
    assert untouched.calls() == []


def test_largest_accepted_variable_can_be_deployed(workspace: TestWorkspace) -> None:
    workspace.configure(flask(environment={"BIG": "x" * (63_488 - 26)}))
    workspace.deploy()
    workspace.assert_no_changes()
    workspace.configure(flask(environment={"BIG": "x" * (63_488 - 25)}))
    assert "leaves 63488" in workspace.run("validate").expect_exit(1).err


def test_scale_beyond_the_addresses_is_refused(staging: TestWorkspace) -> None:
    since = staging.mark()
    result = staging.run("scale", "staging", "celery=300", "--yes").expect_exit(64)
    assert "need 311 addresses" in result.err and staging.mutations(since) == [], result
    staging.mark_unchanged()
