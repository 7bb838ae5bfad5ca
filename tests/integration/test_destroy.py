"""Deletion of a whole workspace by `destroy`, and refusals while a resource is protected."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace, until

pytestmark = pytest.mark.sample


def prerequisites(workspace: TestWorkspace) -> list[object]:
    """Returns the prerequisites in the account, which no command may delete."""
    aws = workspace.aws
    return [
        [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]],
        aws.dynamodb.list_tables()["TableNames"],
        [zone["Name"] for zone in aws.route53.list_hosted_zones()["HostedZones"]],
        [role["RoleName"] for role in aws.iam.list_roles()["Roles"] if "AWSServiceRole" not in role["RoleName"]],
        len(aws.ec2.describe_vpcs()["Vpcs"]),
    ]


def test_destroy_leaves_nothing(workspace: TestWorkspace) -> None:
    before = prerequisites(workspace)
    workspace.deploy()
    result = workspace.destroy()
    assert workspace.inventory.remains() == {}
    assert prerequisites(workspace) == before
    assert "Destroyed staging: 33 deleted" in result.err
    assert result.out == "", "a destroy prints no URL"
    snapshot = workspace.state_object()["snapshot"]
    assert (snapshot["resources"], snapshot["outputs"], "intents" in snapshot) == ({}, {}, False)
    assert "Nothing to destroy" in workspace.destroy().err


def test_destroy_plan_lists_all_deletions(staging: TestWorkspace) -> None:
    text = staging.run("plan", "staging", "--destroy", "--detailed-exitcode").expect_exit(2).out
    assert "Plan: 0 to add, 0 to change, 0 to replace, 33 to destroy." in text
    assert "  - net/vpc  ec2.vpc" in text
    staging.mark_unchanged()


def test_deploy_after_destroy_recreates_stack(workspace: TestWorkspace) -> None:
    workspace.deploy()
    counts = workspace.inventory.counts()
    workspace.destroy()
    workspace.deploy()
    assert workspace.inventory.counts() == counts
    workspace.assert_no_changes()


@pytest.mark.needs("elb-rules")
def test_destroy_with_deletion_protection_is_refused_at_plan(new_workspace: Callable[[], TestWorkspace]) -> None:
    workspace = new_workspace()
    workspace.deploy("production")
    since, before = workspace.mark(), workspace.inventory.counts()
    for command in (["plan", "production", "--destroy"], ["destroy", "production", "--yes"]):
        result = workspace.run(*command).expect_exit(1)
        assert "edge/balancer" in result.err and "deletion protection" in result.err, result
        assert "deletion_protection = false" in result.err, "the hint names the key that turns protection off"
    assert workspace.mutations(since) == [] and workspace.inventory.counts() == before
    workspace.configure({"workspace": {"production": {"load_balancer": {"deletion_protection": False}}}})
    workspace.run("destroy", "production", "--yes").expect_exit(1)
    assert workspace.plan("production").changes == {"edge/balancer": "update"}
    workspace.deploy("production")
    workspace.destroy("production")
    assert workspace.inventory.remains() == {}


def test_destroy_of_repository_with_images_is_refused_at_plan(staging: TestWorkspace) -> None:
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": {"digest": "sha256:" + "0" * 64}, "layers": []}
    staging.aws.ecr.put_image(
        repositoryName="staging-celeryflask", imageManifest=json.dumps(manifest), imageTag="flask"
    )
    since = staging.mark()
    result = staging.run("destroy", "staging", "--yes").expect_exit(1)
    assert "fargate/repository" in result.err and "image" in result.err, result
    assert staging.mutations(since) == []
    staging.aws.ecr.batch_delete_image(repositoryName="staging-celeryflask", imageIds=[{"imageTag": "flask"}])
    staging.assert_no_changes()


@pytest.mark.needs("ecs-breaker")
def test_destroy_succeeds_after_image_fails_to_start(workspace: TestWorkspace) -> None:
    workspace.configure({"services": {"flask": {"image": image("fail"), "breaker_threshold": 3}}})
    result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "fargate/flask: failed:" in result.err, result
    assert "Essential container in task exited" in result.err, "the message contains the tasks' stop reason"
    assert "Fix the error and run `pb-deploy deploy staging` again" in result.err
    workspace.destroy()
    assert workspace.inventory.remains() == {}


@pytest.mark.needs("ecs-breaker", "ecs-threshold")
def test_image_that_fails_to_start_fails_deploy_and_rolls_back(staging: TestWorkspace) -> None:
    old = staging.inventory.services()["staging-flask"]["taskDefinition"]
    staging.configure({"services": {"flask": {"image": image("fail"), "breaker_threshold": 3}}})
    result = staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert "fargate/flask: failed: roll out staging-flask:" in result.err, result
    assert "Essential container in task exited" in result.err, result
    assert result.out == "", "no URL is printed if the new image does not run"

    def is_rolled_back() -> bool:
        service = staging.inventory.services()["staging-flask"]
        return (service["taskDefinition"], service["runningCount"]) == (old, 1)

    until(is_rolled_back)
    staging.configure({"services": {"flask": {"image": image("good")}}})
    staging.deploy()
    staging.assert_no_changes()


@pytest.mark.parametrize("call", ["ecs:CreateService", "elasticache:CreateReplicationGroup", "ec2:CreateSubnet"])
def test_destroy_succeeds_after_deploy_was_denied_a_call(
    workspace: TestWorkspace, proxy: FaultProxy, call: str
) -> None:
    body = b'{"__type": "AccessDeniedException", "message": "not allowed"}'
    if not call.startswith("ecs"):
        error = b"<Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error>"
        body = b"<Response><Errors>" + error + b"</Errors></Response>"
    if call.startswith("elasticache"):
        body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    proxy.refuse(call, 403, body, times=100)
    result = workspace.run("deploy", "staging", "--yes", url=proxy.url).expect_exit(1)
    assert call in result.err and "lacks this permission" in result.err, result
    assert workspace.inventory.remains() != {}
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_destroy_requires_no_execution_role(workspace: TestWorkspace) -> None:
    workspace.deploy()
    workspace.configure({"roles": {"execution": "a-role-that-is-gone"}})
    assert 'role "a-role-that-is-gone" not found' in workspace.run("plan", "staging").expect_exit(1).err
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_destroy_without_hosted_zone_is_refused_with_hint(staging: TestWorkspace) -> None:
    staging.configure({"hostname": "api.gone.example", "zone": "gone.example"})
    result = staging.run("destroy", "staging", "--yes").expect_exit(1)
    assert "no public hosted zone `gone.example`" in result.err, result
    assert "belong to the right account" in result.err and "create an empty public zone" in result.err, result
    assert staging.inventory.remains() != {}
