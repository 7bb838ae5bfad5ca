"""Encryption of Terraform's lock file in buckets whose policy requires a KMS key."""

from __future__ import annotations

from typing import Any

from fault_proxy import FaultProxy
from harness import TestWorkspace
from test_state_encryption import KEY as KMS_KEY
from test_state_encryption import require_kms
from test_terraform_lock import KEY, create_managed_log_group, is_unlocked, tags


def encryption(workspace: TestWorkspace, key: str) -> tuple[Any, Any]:
    """Returns the algorithm and the KMS key with which an object of the state bucket is encrypted."""
    found = workspace.aws.s3.head_object(Bucket=workspace.config["state"]["bucket"], Key=key)
    return found["ServerSideEncryption"], found.get("SSEKMSKeyId")


def encrypt_state(workspace: TestWorkspace) -> None:
    """Encrypts Terraform's state with the KMS key, as its backend does with `kms_key_id`."""
    bucket = workspace.config["state"]["bucket"]
    body = workspace.aws.s3.get_object(Bucket=bucket, Key=KEY)["Body"].read()
    workspace.aws.s3.put_object(Bucket=bucket, Key=KEY, Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=KMS_KEY)


def test_lock_file_has_the_kms_key_of_the_state(workspace: TestWorkspace) -> None:
    adopt = create_managed_log_group(workspace)
    encrypt_state(workspace)
    require_kms(workspace)
    workspace.configure({"state": {"kms_key": KMS_KEY}})
    with FaultProxy(workspace.url) as proxy:
        held = proxy.hold_before("logs:TagResource")
        running = workspace.start(*adopt, url=proxy.url)
        held.wait()
        assert encryption(workspace, f"{KEY}.tflock") == ("aws:kms", KMS_KEY)
        proxy.release_all()
        running.result().expect_exit()
    assert tags(workspace)["pb-deploy:address"] == "fargate/logs"
    assert is_unlocked(workspace)


def test_lock_file_of_an_unencrypted_state_has_sse_s3(workspace: TestWorkspace) -> None:
    adopt = create_managed_log_group(workspace)
    with FaultProxy(workspace.url) as proxy:
        held = proxy.hold_before("logs:TagResource")
        running = workspace.start(*adopt, url=proxy.url)
        held.wait()
        assert encryption(workspace, f"{KEY}.tflock") == ("AES256", None)
        proxy.release_all()
        running.result().expect_exit()
