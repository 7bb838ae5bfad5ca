"""Prerequisites of a first deploy: `bootstrap` uses those that exist and creates those that are missing."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from endpoint import Aws
from harness import TestWorkspace

MANAGED_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


@pytest.fixture
def empty(url: str, tmp_path: Path) -> Iterator[TestWorkspace]:
    """Yields a workspace in an empty account."""
    workspace = TestWorkspace(url, str(random.SystemRandom().randrange(10**11, 10**12)), tmp_path)
    yield workspace
    workspace.end()


def statements(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """Returns the statements of the state bucket's policy."""
    policy = workspace.aws.s3.get_bucket_policy(Bucket=workspace.config["state"]["bucket"])
    return list(json.loads(policy["Policy"])["Statement"])


def assert_bucket_is_protected(workspace: TestWorkspace) -> None:
    """Asserts that the state bucket is versioned, encrypted and private, and refuses plain HTTP."""
    s3, name = workspace.aws.s3, workspace.config["state"]["bucket"]
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert set(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()) == {True}
    (tls,) = [statement for statement in statements(workspace) if statement["Effect"] == "Deny"]
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} and tls["Action"] == "s3:*"


def test_bootstrap_prepares_empty_account_for_deploy(empty: TestWorkspace) -> None:
    assert empty.run("plan", "staging").code == 1
    result = empty.run("bootstrap", "staging", "--zone", "--yes").expect_exit()
    assert "Bootstrapped staging: 4 created" in result.err, result
    assert_bucket_is_protected(empty)
    name = empty.config["state"]["bucket"]
    assert empty.aws.s3.get_bucket_location(Bucket=name)["LocationConstraint"] == empty.config["region"]
    table = empty.aws.dynamodb.describe_table(TableName=empty.config["state"]["lock_table"])["Table"]
    assert table["KeySchema"] == [{"AttributeName": "LockID", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    attached = empty.aws.iam.list_attached_role_policies(RoleName=empty.config["roles"]["execution"])
    assert [policy["PolicyArn"] for policy in attached["AttachedPolicies"]] == [MANAGED_POLICY]
    (zone,) = empty.aws.route53.list_hosted_zones()["HostedZones"]
    servers = empty.aws.route53.get_hosted_zone(Id=zone["Id"])["DelegationSet"]["NameServers"]
    assert all(server in result.err for server in servers)
    empty.deploy()

    since = empty.mark()
    second = empty.run("bootstrap", "production", "--zone", "--yes").expect_exit()
    assert "No changes" in second.err and all(server in second.err for server in servers)
    assert empty.mutations(since) == []


def test_bootstrap_uses_existing_resources_and_adds_missing(workspace: TestWorkspace) -> None:
    name, role = workspace.config["state"]["bucket"], workspace.config["roles"]["execution"]
    existing_statement = {
        "Sid": "Theirs", "Effect": "Allow", "Principal": {"AWS": workspace.account}, "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{name}/*",
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [existing_statement]})
    workspace.aws.s3.put_bucket_policy(Bucket=name, Policy=policy)
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    workspace.aws.iam.update_assume_role_policy(RoleName=role, PolicyDocument=document)
    since = workspace.mark()
    shown = workspace.run("bootstrap", "staging").expect_exit(64)
    assert workspace.mutations(since) == [], "nothing is changed without approval"
    for field in ("encrypted: false -> true", "private: false -> true", "tls_only: false -> true",
                  "has_policy: false -> true", "trusts_ecs_tasks: false -> true"):  # fmt: skip
        assert field in shown.err, shown
    assert "versioned" not in shown.err and "state/table" not in shown.err
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    assert_bucket_is_protected(workspace)
    assert existing_statement in statements(workspace)
    trust_statements = workspace.aws.iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust in trust_statements and len(trust_statements) == 2
    assert "Tags" not in workspace.aws.iam.get_role(RoleName=role)["Role"], "an existing role is used, but not tagged"
    with pytest.raises(ClientError):
        workspace.aws.s3.get_bucket_tagging(Bucket=name)
    assert "No changes" in workspace.run("bootstrap", "staging", "--yes").expect_exit().err


def test_bootstrap_refuses_unsuitable_table_and_bucket(empty: TestWorkspace) -> None:
    empty.aws.dynamodb.create_table(
        TableName=empty.config["state"]["lock_table"],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    other_region = Aws(empty.url, empty.account, "eu-west-1")
    location = {"LocationConstraint": "eu-west-1"}
    other_region.s3.create_bucket(Bucket=empty.config["state"]["bucket"], CreateBucketConfiguration=location)
    since = empty.mark()
    result = empty.run("bootstrap", "staging", "--yes").expect_exit(1)
    assert "the table has the key `id S`" in result.err, result
    assert (
        "the bucket is in eu-west-1 and its contents cannot be moved; change `region` or `state.bucket`" in result.err
    )
    assert empty.mutations(since) == []


def test_bootstrap_refuses_bucket_of_another_account(empty: TestWorkspace, workspace: TestWorkspace) -> None:
    empty.configure({"state": {"bucket": workspace.config["state"]["bucket"]}})
    since = empty.mark()
    result = empty.run("bootstrap", "staging", "--yes").expect_exit(1)
    assert "state/bucket:" in result.err and "another account" in result.err, result
    assert empty.mutations(since) == []


def test_bootstrap_refuses_account_not_allowed(empty: TestWorkspace) -> None:
    empty.configure({"allowed_account_ids": ["999999999999"]})
    result = empty.run("bootstrap", "staging", "--yes").expect_exit(1)
    assert empty.account in result.err and empty.mutations() == []
