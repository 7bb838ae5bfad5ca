"""`bootstrap` makes what a first deploy needs, and uses what is there."""

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

MANAGED = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


@pytest.fixture
def bare(url: str, tmp_path: Path) -> Iterator[TestWorkspace]:
    """An account with nothing in it."""
    workspace = TestWorkspace(url, str(random.SystemRandom().randrange(10**11, 10**12)), tmp_path)
    yield workspace
    workspace.end()


def statements(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """The policy of the state bucket."""
    found = workspace.aws.s3.get_bucket_policy(Bucket=workspace.config["state"]["bucket"])
    return list(json.loads(found["Policy"])["Statement"])


def is_safe(workspace: TestWorkspace) -> None:
    """The bucket is versioned, encrypted, private and refuses plain HTTP."""
    s3, name = workspace.aws.s3, workspace.config["state"]["bucket"]
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert set(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()) == {True}
    (tls,) = [statement for statement in statements(workspace) if statement["Effect"] == "Deny"]
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} and tls["Action"] == "s3:*"


def test_an_empty_account_is_ready_to_deploy_after_it(bare: TestWorkspace) -> None:
    assert bare.run("plan", "staging").code == 1
    result = bare.run("bootstrap", "staging", "--zone", "--yes").expect_exit()
    assert "Bootstrapped staging: 4 made" in result.err, result
    is_safe(bare)
    name = bare.config["state"]["bucket"]
    assert bare.aws.s3.get_bucket_location(Bucket=name)["LocationConstraint"] == bare.config["region"]
    table = bare.aws.dynamodb.describe_table(TableName=bare.config["state"]["lock_table"])["Table"]
    assert table["KeySchema"] == [{"AttributeName": "LockID", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    attached = bare.aws.iam.list_attached_role_policies(RoleName=bare.config["roles"]["execution"])
    assert [policy["PolicyArn"] for policy in attached["AttachedPolicies"]] == [MANAGED]
    (zone,) = bare.aws.route53.list_hosted_zones()["HostedZones"]
    servers = bare.aws.route53.get_hosted_zone(Id=zone["Id"])["DelegationSet"]["NameServers"]
    assert all(server in result.err for server in servers)
    bare.deploy()

    since = bare.mark()
    again = bare.run("bootstrap", "production", "--zone", "--yes").expect_exit()
    assert "No changes" in again.err and all(server in again.err for server in servers)
    assert bare.mutations(since) == []


def test_what_is_there_is_used_and_what_it_lacks_is_shown_and_added(workspace: TestWorkspace) -> None:
    name, role = workspace.config["state"]["bucket"], workspace.config["roles"]["execution"]
    theirs = {"Sid": "Theirs", "Effect": "Allow", "Principal": {"AWS": workspace.account}, "Action": "s3:GetObject",
              "Resource": f"arn:aws:s3:::{name}/*"}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [theirs]})
    workspace.aws.s3.put_bucket_policy(Bucket=name, Policy=policy)
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    workspace.aws.iam.update_assume_role_policy(RoleName=role, PolicyDocument=document)
    since = workspace.mark()
    shown = workspace.run("bootstrap", "staging").expect_exit(64)
    assert workspace.mutations(since) == [], "nothing without consent"
    for field in ("encrypted: false -> true", "private: false -> true", "tls_only: false -> true",
                  "has_policy: false -> true", "trusts_ecs_tasks: false -> true"):  # fmt: skip
        assert field in shown.err, shown
    assert "versioned" not in shown.err and "state/table" not in shown.err
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    is_safe(workspace)
    assert theirs in statements(workspace)
    found = workspace.aws.iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust in found and len(found) == 2
    assert "Tags" not in workspace.aws.iam.get_role(RoleName=role)["Role"], "it is used, not taken over"
    with pytest.raises(ClientError):
        workspace.aws.s3.get_bucket_tagging(Bucket=name)
    assert "No changes" in workspace.run("bootstrap", "staging", "--yes").expect_exit().err


def test_a_table_with_another_key_and_a_bucket_elsewhere_are_left_alone(bare: TestWorkspace) -> None:
    bare.aws.dynamodb.create_table(
        TableName=bare.config["state"]["lock_table"],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    elsewhere = Aws(bare.url, bare.account, "eu-west-1")
    place = {"LocationConstraint": "eu-west-1"}
    elsewhere.s3.create_bucket(Bucket=bare.config["state"]["bucket"], CreateBucketConfiguration=place)
    since = bare.mark()
    result = bare.run("bootstrap", "staging", "--yes").expect_exit(1)
    assert "the table has the key `id S`" in result.err, result
    assert "the bucket is in eu-west-1, and what is in it stays: correct `region` or `state.bucket`" in result.err
    assert bare.mutations(since) == []


def test_a_bucket_of_another_account_is_left_alone(bare: TestWorkspace, workspace: TestWorkspace) -> None:
    bare.configure({"state": {"bucket": workspace.config["state"]["bucket"]}})
    since = bare.mark()
    result = bare.run("bootstrap", "staging", "--yes").expect_exit(1)
    assert "state/bucket:" in result.err and "another account" in result.err, result
    assert bare.mutations(since) == []


def test_an_account_that_is_not_allowed_is_left_alone(bare: TestWorkspace) -> None:
    bare.configure({"allowed_account_ids": ["999999999999"]})
    result = bare.run("bootstrap", "staging", "--yes").expect_exit(1)
    assert bare.account in result.err and bare.mutations() == []
