"""Encryption of the state in buckets whose policy requires a KMS key."""

from __future__ import annotations

import json

from harness import TestWorkspace

KEY = "arn:aws:kms:us-east-2:123456789012:alias/states"


def require_kms(workspace: TestWorkspace) -> str:
    """Makes the policy of the state bucket refuse objects that are not encrypted with the key; returns the bucket."""
    bucket = workspace.config["state"]["bucket"]
    header = "s3:x-amz-server-side-encryption"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    conditions = [{"StringNotEquals": {header: "aws:kms"}}, {"StringNotEquals": {f"{header}-aws-kms-key-id": KEY}}]
    statements = [{**deny, "Condition": condition} for condition in conditions]
    workspace.aws.s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements})
    )
    return bucket


def test_bucket_that_requires_kms_needs_the_key(workspace: TestWorkspace) -> None:
    require_kms(workspace)
    result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "state.kms_key" in result.err and "explicit deny" in result.err, result
    assert workspace.inventory.remains() == {}


def test_state_is_encrypted_with_the_configured_key(workspace: TestWorkspace) -> None:
    bucket = require_kms(workspace)
    workspace.configure({"state": {"kms_key": KEY}})
    workspace.deploy()
    found = workspace.aws.s3.head_object(Bucket=bucket, Key=workspace.state_key())
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", KEY)
    workspace.assert_no_changes()
    workspace.destroy()
