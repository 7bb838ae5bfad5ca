"""The command that a refusal names for an unmanaged resource: it imports the resource, and the deploy then succeeds."""

from __future__ import annotations

import shlex

import pytest
from harness import Result, TestWorkspace
from test_unmanaged import cluster, log_group, parameter_group, record, repository

#: Addresses of one resource of each kind that a refusal can name, in a deployed stack.
KINDS = [
    "fargate/logs",
    "fargate/repository",
    "fargate/cluster",
    "fargate/flask_task",
    "fargate/flask",
    "edge/balancer",
    "edge/targets",
    "edge/listener",
    "redis/parameters",
    "redis/subnets",
    "redis/jobqr",
    "net/flask_group",
    "net/tasks_subnet",
]


def adopt_command(result: Result) -> list[str]:
    """Returns the arguments of the command in the hint."""
    (hint,) = [line for line in result.err.splitlines() if "hint:" in line]
    (command,) = [part for part in hint.split("`") if part.startswith("pb-deploy adopt ")]
    return shlex.split(command)[1:]


def test_hint_adopts_all_existing_resources(workspace: TestWorkspace) -> None:
    for create in (log_group, repository, cluster, record, parameter_group):
        create(workspace)
    result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "cannot continue: 5 problems" in result.err, result
    command = adopt_command(result)
    assert sorted(command[2:]) == [
        "edge/record=staging.ospcapi.org",
        "fargate/cluster=staging-ecs-cluster",
        "fargate/logs=staging-pb_workers",
        "fargate/repository=staging-celeryflask",
        "redis/parameters=staging-jobqr-redis7",
    ]
    document = workspace.run("plan", "staging", "--json").expect_exit(1)
    assert shlex.join(command) in document.err, "the JSON form has the same hint"
    workspace.run(*command, "--yes").expect_exit()
    workspace.deploy()
    workspace.assert_no_changes()
    workspace.destroy()


@pytest.mark.parametrize("address", KINDS)
def test_hint_restores_forgotten_resource(staging: TestWorkspace, address: str) -> None:
    staging.run("forget", "staging", address, "--yes").expect_exit()
    result = staging.run("plan", "staging").expect_exit(1)
    command = adopt_command(result)
    assert command[:2] == ["adopt", "staging"] and command[2].startswith(f"{address}="), result
    staging.run(*command, "--yes").expect_exit()
    staging.deploy()
    staging.assert_no_changes()


def test_resource_of_other_workspace_is_not_offered(staging: TestWorkspace) -> None:
    staging.configure({"stack": "other"})
    result = staging.run("plan", "staging").expect_exit(1)
    assert "belongs to workspace staging of stack pb-deploy" in result.err, result
    assert "pb-deploy adopt" not in result.err, result
    staging.configure({"stack": None})
