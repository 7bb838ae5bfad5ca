"""Newer features of AWS that change what reads return: archived images, account policies, hidden resources."""

from __future__ import annotations

import json

import pytest

from harness import TestWorkspace
from printed_commands import Shell, commands
from test_blockers import assert_refused, id_of

REPOSITORY = "staging-celeryflask"


def test_archived_image_is_named_with_the_remedy(staging: TestWorkspace) -> None:
    ecr = staging.aws.ecr
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    ecr.put_image(repositoryName=REPOSITORY, imageManifest=json.dumps(manifest), imageTag="old")
    image = {"repositoryName": REPOSITORY, "imageId": {"imageTag": "old"}}
    ecr.update_image_storage_class(**image, targetStorageClass="ARCHIVE")
    since = staging.mark()
    for command in (["plan", "staging"], ["deploy", "staging", "--yes"]):
        result = staging.run(*command, "--image", "celery=old").expect_exit(1)
        assert f'image "old" of the repository {REPOSITORY} is archived' in result.err, result
        restore = f"aws ecr update-image-storage-class --repository-name {REPOSITORY} --image-id imageTag=old"
        assert f"{restore} --target-storage-class STANDARD" in result.err, result
    assert staging.mutations(since) == []
    (command,) = commands(result.err, "aws")
    Shell(staging).run(command)
    plan = staging.plan("staging", "--image", "celery=old")
    assert plan.changes == {"fargate/celery_task": "update", "fargate/celery": "update"}


def test_retention_policy_of_the_account_causes_no_change(staging: TestWorkspace) -> None:
    policy = {"retentionInDays": 90, "enforcementMode": "RETROACTIVE"}
    staging.aws.logs.put_account_policy(
        policyName="all", policyType="RETENTION_POLICY", policyDocument=json.dumps(policy)
    )
    (group,) = staging.inventory.log_groups().values()
    assert group["retentionInDays"] == 90, "the policy hides the retention of the log group"
    assert staging.plan().changes == {}
    staging.run("drift", "staging").expect_exit()
    staging.assert_no_changes()
    staging.configure({"logs": {"retention_days": 60}})
    assert staging.plan().changes == {}


def test_hidden_interfaces_of_other_services_block_a_destroy(staging: TestWorkspace) -> None:
    subnets = [id_of(staging, f"net/{name}_subnet") for name in ("tasks", "balancer")]
    vpc = id_of(staging, "net/vpc")
    group = staging.aws.ec2.create_security_group(GroupName="other", Description="x", VpcId=vpc)["GroupId"]
    made = staging.aws.elbv2.create_load_balancer(Name="somebody-else", Subnets=subnets, SecurityGroups=[group])
    staging.aws.ec2.modify_managed_resource_visibility(DefaultVisibility="hidden")
    result = assert_refused(staging)
    assert "ELB app/somebody-else/" in result.err, result
    staging.aws.elbv2.delete_load_balancer(LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"])


def log_options(workspace: TestWorkspace, key: str) -> dict[str, str]:
    """Returns the log options of the revision that a service runs."""
    service = workspace.inventory.services()[f"staging-{key}"]
    found = workspace.aws.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    return dict(found["containerDefinitions"][0]["logConfiguration"]["options"])


@pytest.mark.sample
def test_log_delivery_is_explicit_and_follows_its_key(staging: TestWorkspace) -> None:
    options = log_options(staging, "celery")
    assert (options["mode"], options["max-buffer-size"]) == ("non-blocking", "25m")
    staging.configure({"logs": {"mode": "blocking"}})
    assert set(staging.plan().changes) == {
        "fargate/celery",
        "fargate/celery_task",
        "fargate/flask",
        "fargate/flask_task",
    }
    staging.deploy()
    options = log_options(staging, "celery")
    assert options["mode"] == "blocking" and "max-buffer-size" not in options
    staging.assert_no_changes()
