"""Terraform's lock table and bucket after a change of the backend, and without the permission to list the bucket."""

from __future__ import annotations

import hashlib

from fault_proxy import FaultProxy
from harness import TestWorkspace
from printed_commands import Shell, commands
from test_terraform_lock import KEY, create_managed_log_group, is_unlocked, tags

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>1</RequestId></Error>"


def put_digest(workspace: TestWorkspace, body: bytes) -> str:
    """Stores the digest of a state as Terraform does with `dynamodb_table`, and returns the id of the item."""
    lock_id = f"{workspace.config['state']['bucket']}/{KEY}-md5"
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    item = {"LockID": {"S": lock_id}, "Digest": {"S": digest}}
    workspace.aws.dynamodb.put_item(TableName=workspace.config["state"]["lock_table"], Item=item)
    return lock_id


def test_digest_left_by_use_lockfile_is_only_a_warning(workspace: TestWorkspace) -> None:
    earlier = b'{"version": 4, "serial": 2, "resources": []}'
    workspace.aws.s3.put_object(Bucket=workspace.config["state"]["bucket"], Key=KEY, Body=earlier)
    lock_id = put_digest(workspace, earlier)
    adopt = create_managed_log_group(workspace)
    result = workspace.run(*adopt).expect_exit()
    table = workspace.config["state"]["lock_table"]
    assert f"warning: the item {lock_id} in the table {table} contains the digest of an earlier version" in result.err
    assert f"aws dynamodb delete-item --table-name {table} --key" in result.err
    (command,) = (line for line in commands(result.err, "aws") if "delete-item" in line)
    Shell(workspace).run(command)
    assert "Item" not in workspace.aws.dynamodb.get_item(TableName=table, Key={"LockID": {"S": lock_id}})
    assert tags(workspace)["pb-deploy:address"] == "fargate/logs"
    assert is_unlocked(workspace)


def test_digest_of_an_unknown_state_is_refused(workspace: TestWorkspace) -> None:
    adopt = create_managed_log_group(workspace)
    lock_id = put_digest(workspace, b"a state that was never in the bucket")
    result = workspace.run(*adopt).expect_exit(1)
    assert f"in the item {lock_id} of the table" in result.err and "aws dynamodb delete-item" in result.err, result
    assert tags(workspace) == {} and is_unlocked(workspace)


def test_denied_state_explains_the_missing_permission(workspace: TestWorkspace) -> None:
    adopt = create_managed_log_group(workspace)
    with FaultProxy(workspace.url) as proxy:
        # The first object that `adopt` reads is Terraform's state.
        proxy.refuse("s3:GetObject", 403, DENIED)
        result = workspace.run(*adopt, url=proxy.url).expect_exit(1)
    assert "without s3:ListBucket, S3 gives the same answer for an object that does not exist" in result.err, result
    assert "`workspace_key_prefix`" in result.err


def test_denied_lock_file_does_not_suggest_force_unlock(workspace: TestWorkspace) -> None:
    adopt = create_managed_log_group(workspace)
    with FaultProxy(workspace.url) as proxy:
        proxy.refuse("s3:PutObject", 403, DENIED, body_contains=b'"Operation":"pb-deploy adopt')
        result = workspace.run(*adopt, url=proxy.url).expect_exit(1)
    assert "s3:PutObject" in result.err and "force-unlock" not in result.err, result
    assert tags(workspace) == {} and is_unlocked(workspace)
