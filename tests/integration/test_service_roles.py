"""Denied permissions whose remedy lies outside of the stack: service-linked roles, the KMS key and the region of the
state bucket.
"""

from __future__ import annotations

import pytest

from endpoint import Aws
from fault_proxy import FaultProxy
from harness import TestWorkspace
from printed_commands import Shell, commands

CREATE_ROLE = "aws iam create-service-linked-role --aws-service-name"


def error(code: str, message: str) -> bytes:
    """Returns an error response of the query protocol."""
    return f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode()


def not_authorized(permission: str, resource: str) -> str:
    """Returns the message for a permission that is denied."""
    user = "User: arn:aws:iam::123456789012:user/me"
    return f"{user} is not authorized to perform: {permission} on resource: {resource}"


@pytest.mark.parametrize(
    ("call", "code", "message", "service"),
    [
        (
            "elasticache:CreateReplicationGroup",
            "ServiceLinkedRoleNotFoundFault",
            "The specified service linked role was not found.",
            "elasticache",
        ),
        (
            "elasticloadbalancing:CreateLoadBalancer",
            "AccessDenied",
            not_authorized("iam:CreateServiceLinkedRole", "arn:aws:iam::123456789012:role/aws-service-role/x"),
            "elasticloadbalancing",
        ),
    ],
)
def test_denied_service_linked_role_names_the_command(
    workspace: TestWorkspace, proxy: FaultProxy, call: str, code: str, message: str, service: str
) -> None:
    proxy.refuse(call, 403 if code == "AccessDenied" else 400, error(code, message), times=10_000)
    result = workspace.run("deploy", "staging", "--yes", "--wait-timeout", "5", url=proxy.url, timeout=90)
    result.expect_exit(1)
    assert f"{CREATE_ROLE} {service}.amazonaws.com" in result.err and code in result.err, result
    proxy.release_all()
    workspace.deploy()


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (
            403,
            "AccessDenied",
            not_authorized("kms:GenerateDataKey", "arn:aws:kms:us-east-2:123456789012:key/1"),
            "needs kms:GenerateDataKey and kms:Decrypt on the KMS key",
        ),
        (
            400,
            "KMS.DisabledException",
            "arn:aws:kms:us-east-2:123456789012:key/1 is disabled.",
            "get-bucket-encryption",
        ),
    ],
)
def test_unusable_key_of_state_bucket_is_named(
    workspace: TestWorkspace, proxy: FaultProxy, status: int, code: str, message: str, hint: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    proxy.refuse("s3:PutObject", status, body, times=10_000)
    result = workspace.run("deploy", "staging", "--yes", url=proxy.url, timeout=90).expect_exit(1)
    assert message in result.err and hint in result.err, result
    assert "s3:ListBucket" not in result.err, result
    for command in commands(result.err, "aws"):
        workspace.aws.s3.put_bucket_encryption(
            Bucket=workspace.config["state"]["bucket"],
            ServerSideEncryptionConfiguration={
                "Rules": [
                    {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "key/1"}}
                ]
            },
        )
        assert "key/1" in Shell(workspace).run(command)


def test_state_bucket_in_another_region_is_named_by_doctor(workspace: TestWorkspace) -> None:
    elsewhere = Aws(workspace.url, workspace.account, "eu-west-1")
    bucket = f"elsewhere-{workspace.account}"
    elsewhere.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    workspace.configure({"state": {"bucket": bucket}})
    plan = workspace.run("plan", "staging").expect_exit(1)
    assert f"bucket {bucket} is in region eu-west-1" in plan.err, plan
    document = workspace.run("doctor", "staging", "--json").expect_exit(1).json()
    checks = {check["name"]: check for check in document["checks"]}
    assert f"bucket {bucket} is in region eu-west-1" in checks["state"]["found"], checks
    assert "the bucket is in eu-west-1" in checks["state/bucket"]["found"], checks
    for check in (checks["state"], checks["state/bucket"]):
        assert "another name" not in str(check) and "rename" not in str(check), check
