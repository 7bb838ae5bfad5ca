"""Terraform states that `adopt` cannot use: each is refused with its reason, before anything is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness import Result, TestWorkspace
from test_adopt import forget_all, state_file
from test_images import OWN_IMAGES

ENCRYPTED = b'{"serial": 3, "encrypted_data": "AAAA", "encryption_version": "v0"}'
BACKEND = b'{"version": 3, "backend": {"type": "s3", "config": {"bucket": "b", "key": "k"}}}'


def resource(kind: str, name: str, *instances: dict[str, Any]) -> dict[str, Any]:
    """Returns a resource in format 4."""
    return {"mode": "managed", "type": kind, "name": name,
            "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
            "instances": [{"schema_version": 0, "attributes": one} for one in instances]}  # fmt: skip


def adopt(workspace: TestWorkspace, *resources: dict[str, Any], code: int, options: tuple[str, ...] = ()) -> Result:
    """Imports from a state with these resources, and asserts that nothing is changed unless the exit code is 0 or 4."""
    state = {"version": 4, "terraform_version": "1.11.4", "serial": 9, "lineage": "x", "outputs": {},
             "resources": list(resources)}  # fmt: skip
    return adopt_bytes(workspace, json.dumps(state).encode(), code, options)


def adopt_bytes(workspace: TestWorkspace, content: bytes, code: int, options: tuple[str, ...] = ()) -> Result:
    """Imports from a file with this content."""
    (workspace.folder / "it.tfstate").write_bytes(content)
    since = workspace.mark()
    result = workspace.run("adopt", "staging", "--from-terraform", "it.tfstate", "--yes", *options).expect_exit(code)
    if code not in (0, 4):
        assert workspace.mutations(since) == [], result
    return result


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_empty_state_is_refused(workspace: TestWorkspace, options: tuple[str, ...]) -> None:
    result = adopt(workspace, code=1, options=options)
    assert "error[PB0309]: the Terraform state it.tfstate has no resources" in result.err, result
    assert "terraform workspace list" in result.err and "already managed" not in result.err


def test_state_with_only_ambiguous_resources_is_refused(workspace: TestWorkspace) -> None:
    balancers = resource("aws_lb", "front", {"id": "a", "name": "one"}, {"id": "b", "name": "two"})
    vpcs = resource("aws_vpc", "main", {"id": "vpc-1"}, {"id": "vpc-2"})
    result = adopt(workspace, balancers, vpcs, code=1)
    assert result.err.startswith("Verdict: nothing to import."), result
    assert "nothing to import: 4 resources could have several addresses" in result.err
    assert "choose an address for each with ADDRESS=ID" in result.err and "already managed" not in result.err
    unrelated = adopt(workspace, resource("aws_s3_bucket", "assets", {"id": "assets"}), code=1)
    assert "no resource of the state has a counterpart in the configuration" in unrelated.err


def test_state_of_another_account_is_named_once(workspace: TestWorkspace) -> None:
    arn = "arn:aws:elasticloadbalancing:us-east-1:210987654321:loadbalancer/app/a/0123456789abcdef"
    vpc = {
        "id": "vpc-0a1b2c3d",
        "arn": "arn:aws:ec2:us-east-1:210987654321:vpc/vpc-0a1b2c3d",
        "owner_id": "210987654321",
    }
    result = adopt(
        workspace, resource("aws_lb", "front", {"id": arn, "arn": arn}), resource("aws_vpc", "main", vpc), code=1
    )
    there, here = "account 210987654321, region us-east-1", f"account {workspace.account}, region us-east-2"
    assert f"error[PB0203]: the resources of the Terraform state it.tfstate are in {there}" in result.err, result
    assert result.err.count(there) == 1 and f"but the workspace is in {here}; nothing was changed" in result.err
    by_hand = workspace.run("adopt", "staging", f"edge/balancer={arn}", "--yes").expect_exit(1)
    assert f"edge/balancer: {arn} is in {there}, but the workspace is in {here}" in by_hand.err, by_hand


def test_log_group_of_another_region_is_not_imported(workspace: TestWorkspace) -> None:
    name = "staging-pb_workers"
    workspace.aws.logs.create_log_group(logGroupName=name)
    group = resource("aws_cloudwatch_log_group", "europe", {"id": name, "name": name, "region": "eu-west-1"})
    subnet = {"id": "vpc-1", "owner_id": workspace.account}
    refused = adopt(workspace, group, resource("aws_nat_gateway", "it", subnet), code=1)
    assert "are in region eu-west-1" in refused.err, refused
    (found,) = workspace.aws.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert workspace.aws.logs.list_tags_for_resource(resourceArn=found["arn"].removesuffix(":*"))["tags"] == {}


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (ENCRYPTED, "it is encrypted by OpenTofu", "tofu state pull"),
        (b"PK\x03\x04rest of a plan", "it is a saved plan, not a state", "terraform state pull"),
        (b'{"format_version": "1.2", "planned_values": {}}', "it is a plan in JSON", "terraform state pull"),
        (b"", "it is empty", "terraform workspace list"),
        (b'{"version": 1, "modules": []}', "it has format 1", "Terraform 0.11"),
        (BACKEND, "the configuration of a backend", "s3://b/k"),
    ],
)  # fmt: skip
def test_files_that_are_no_state_are_named(workspace: TestWorkspace, content: bytes, message: str, hint: str) -> None:
    result = adopt_bytes(workspace, content, 1)
    assert "error[PB0309]" in result.err and message in result.err and hint in result.err, result


def test_missing_state_names_workspace_key_prefix(workspace: TestWorkspace) -> None:
    url = f"s3://{workspace.config['state']['bucket']}/nothing.tfstate"
    result = workspace.run("adopt", "staging", "--from-terraform", url, "--yes").expect_exit(1)
    assert "s3://BUCKET/env:/WORKSPACE/KEY" in result.err and "`workspace_key_prefix`" in result.err, result


def test_services_without_images_exit_with_4(workspace: TestWorkspace) -> None:
    workspace.deploy()
    ids = forget_all(workspace)
    workspace.configure(OWN_IMAGES)
    content = state_file(workspace, ids).read_bytes()
    result = adopt_bytes(workspace, content, 4)
    assert "aws_ecs_service.flask is not imported: images that are not pushed yet: " in result.err, result
    assert "push them, then run `adopt` again" in result.err
    assert adopt_bytes(workspace, content, 4).err.count("Nothing to adopt") == 1


def test_import_by_hand_does_not_mention_terraform(staging: TestWorkspace) -> None:
    staging.run("forget", "staging", "fargate/logs", "--yes").expect_exit()
    result = staging.run("adopt", "staging", "fargate/logs=staging-pb_workers", "--yes").expect_exit()
    assert "Adopted 1 resource" in result.err and "Terraform" not in result.err, result
    assert "Afterwards, a deploy would change nothing." in result.err and "would do this. No changes" not in result.err
    staging.assert_no_changes()
