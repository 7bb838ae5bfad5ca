"""Protection of the state: lost fencing tokens, stores without conditional writes, other accounts and regions.

A refused command must also be refused at every retry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from endpoint import Aws, control
from harness import Result, TestWorkspace

OTHER_REGION = "eu-west-1"


def lock_item(workspace: TestWorkspace) -> dict[str, Any]:
    """Returns the lock table's item for staging's lease."""
    config = workspace.config["state"]
    key = {"LockID": {"S": f"pb-deploy:{config['bucket']}/{workspace.state_key()}"}}
    answer = workspace.aws.dynamodb.get_item(TableName=config["lock_table"], Key=key, ConsistentRead=True)
    return dict(answer.get("Item", {}))


def lose_fencing_token(workspace: TestWorkspace, left: int | None) -> None:
    """Deletes the lease's item, as if the table had been recreated, or resets the item to an older fencing token."""
    table, item = workspace.config["state"]["lock_table"], lock_item(workspace)
    if left is None:
        workspace.aws.dynamodb.delete_item(TableName=table, Key={"LockID": item["LockID"]})
    else:
        workspace.aws.dynamodb.put_item(TableName=table, Item={"LockID": item["LockID"], "fence": {"N": str(left)}})


def deploy_with_high_token(workspace: TestWorkspace) -> dict[str, Any]:
    """Deploys staging with a fencing token so high that a few retries cannot reach it, and returns the snapshot."""
    workspace.deploy()
    config, item = workspace.config["state"], lock_item(workspace)
    item["fence"] = {"N": "30"}
    workspace.aws.dynamodb.put_item(TableName=config["lock_table"], Item=item)
    workspace.run("state", "rm", "staging", "fargate/celery", "--yes").expect_exit()
    workspace.deploy()
    return dict(workspace.state_object()["snapshot"])


def assert_token_refused(result: Result, fence: int) -> None:
    """Asserts that a command was refused because of the fencing token, and that its message has a cause and a hint."""
    result.expect_exit(1)
    assert f"written under lock number {fence}" in result.err, result
    assert "state.lock_table" in result.err and "pb-deploy state restore" in result.err, result


@pytest.mark.parametrize("left", [None, 20])
def test_lost_fencing_token_is_refused_on_every_retry(workspace: TestWorkspace, left: int | None) -> None:
    fence = deploy_with_high_token(workspace)["fence"]
    assert fence > 30
    lose_fencing_token(workspace, left)
    before, since = lock_item(workspace), workspace.mark()
    commands = (
        ("restart", "staging", "celery", "--yes"),
        ("scale", "staging", "celery=2", "--yes"),
        ("state", "rm", "staging", "fargate/celery", "--yes"),
        ("state", "restore", "staging", "no-such-version", "--yes"),
        ("forget", "staging", "fargate/logs", "--yes"),
    )
    for number in range(50):
        command = commands[number % len(commands)]
        result = workspace.run(*command)
        if "restore" in command:
            assert "has no version no-such-version" in result.expect_exit(1).err
        else:
            assert_token_refused(result, fence)
        assert lock_item(workspace) == before, f"try {number + 1}, {command[0]}: a refusal changed the item"
    assert workspace.writes(since) == [] and workspace.state_object()["snapshot"]["fence"] == fence
    table, err = (
        workspace.config["state"]["lock_table"],
        workspace.run("restart", "staging", "--yes").expect_exit(1).err,
    )
    assert f"lock table {table} does not belong to this state: its lock number is {left or 0}, but" in err

    newest = workspace.run("state", "versions", "staging", "--json").expect_exit().json()[0]["id"]
    workspace.run("state", "restore", "staging", newest, "--yes").expect_exit()
    assert int(lock_item(workspace)["fence"]["N"]) == workspace.state_object()["snapshot"]["fence"] > fence
    workspace.run("restart", "staging", "celery", "--yes").expect_exit()
    workspace.assert_no_changes()


def test_failed_restore_does_not_bypass_fencing_token(workspace: TestWorkspace, proxy: Any) -> None:
    fence = deploy_with_high_token(workspace)["fence"]
    lose_fencing_token(workspace, None)
    newest = workspace.run("state", "versions", "staging", "--json").expect_exit().json()[0]["id"]
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    proxy.refuse("s3:PutObject", 403, denied, times=1000)
    for _ in range(3):
        workspace.run("state", "restore", "staging", newest, "--yes", url=proxy.url).expect_exit(1)
        assert lock_item(workspace).get("fence") == {"N": "0"}, (
            "the table's fencing token does not increase unless a snapshot is written"
        )
    assert_token_refused(workspace.run("restart", "staging", "celery", "--yes"), fence)


@pytest.fixture
def empty(url: str, tmp_path: Path) -> Iterator[TestWorkspace]:
    """Yields a workspace in an empty account."""
    workspace = TestWorkspace(url, str(SystemRandom().randrange(10**11, 10**12)), tmp_path)
    yield workspace
    workspace.end()


def ignore_conditions(workspace: TestWorkspace) -> str:
    """Makes the state store ignore conditional writes and returns the expected message."""
    bucket = workspace.config["state"]["bucket"]
    control(workspace.url, "s3", {"bucket": bucket, "without_conditions": True})
    return f"the store of bucket {bucket} ignores conditional writes"


def objects(workspace: TestWorkspace) -> list[str]:
    """Returns the keys in the state bucket, including those of old versions and delete markers."""
    listing = workspace.aws.s3.list_object_versions(Bucket=workspace.config["state"]["bucket"])
    return [entry["Key"] for kind in ("Versions", "DeleteMarkers") for entry in listing.get(kind, [])]


@pytest.mark.needs("s3-stand-in")
def test_store_ignoring_conditions_is_refused_by_deploy(workspace: TestWorkspace) -> None:
    message = ignore_conditions(workspace)
    since = workspace.mark()
    for _ in range(2):
        result = workspace.deploy(code=1)
        assert message in result.err and "two runs could overwrite each other's state" in result.err, result
        assert "AWS_ENDPOINT_URL_S3" in result.err, result
    assert set(workspace.writes(since)) <= {"s3:DeleteObject"} and workspace.inventory.remains() == {}
    assert objects(workspace) == [] and "holder" not in lock_item(workspace)


@pytest.mark.needs("s3-stand-in")
def test_store_ignoring_conditions_is_refused_by_bootstrap(empty: TestWorkspace) -> None:
    message = ignore_conditions(empty)
    result = empty.run("bootstrap", "staging", "--zone", "--yes").expect_exit(1)
    assert "Bootstrap of staging failed" in result.err and message in result.err, (
        "the store is checked as soon as the bucket exists"
    )
    since = empty.mark()
    assert message in empty.run("bootstrap", "production", "--zone", "--yes").expect_exit(1).err
    assert [call for call in empty.writes(since) if call != "s3:DeleteObject"] == [], (
        "no prerequisite of production is created"
    )
    assert objects(empty) == []


@pytest.mark.needs("s3-stand-in", "quotas")
def test_store_ignoring_conditions_is_reported_first_by_doctor(workspace: TestWorkspace) -> None:
    message = ignore_conditions(workspace)
    document = workspace.run("doctor", "staging", "--json").expect_exit(1).json()
    names = [check["name"] for check in document["checks"]]
    assert names[:2] == ["account", "conditional writes"], names
    check = document["checks"][1]
    assert check["verdict"] == "bad" and message in check["found"] and "If-Match" in check["hint"], check
    assert objects(workspace) == []


def test_conditional_write_probe_leaves_no_objects(workspace: TestWorkspace) -> None:
    for command in (("bootstrap", "staging", "--yes"), ("doctor", "staging")):
        workspace.run(*command)
        assert objects(workspace) == [], command
    document = workspace.run("doctor", "staging", "--json").json()
    (check,) = [check for check in document["checks"] if check["name"] == "conditional writes"]
    assert check["verdict"] == "good", check
    workspace.deploy()
    keys = objects(workspace)
    assert set(keys) == {workspace.state_key()}
    assert len(workspace.run("state", "versions", "staging", "--json").expect_exit().json()) == len(keys)


def test_account_and_region_are_recorded_and_shown(staging: TestWorkspace) -> None:
    snapshot = staging.state_object()["snapshot"]
    assert (snapshot["account"], snapshot["region"]) == (staging.account, staging.config["region"])
    assert (
        f"account {staging.account}  region {staging.config['region']}" in staging.run("state", "show", "staging").out
    )
    assert json.loads(staging.run("state", "pull", "staging").out)["snapshot"]["account"] == staging.account
    staging.mark_unchanged()


def remove_account_and_region(workspace: TestWorkspace) -> None:
    """Stores the state without an account and a region, as early versions did."""
    document = workspace.state_object()
    for field in ("account", "region"):
        document["snapshot"].pop(field, None)
    store_snapshot(workspace, document, workspace.config["state"]["bucket"], workspace.aws)


def store_snapshot(workspace: TestWorkspace, document: dict[str, Any], bucket: str, aws: Aws) -> None:
    """Stores a snapshot with a valid checksum, as the tool does."""
    zeros = "0" * 64
    text = json.dumps({**document, "checksum": zeros}, indent=2, ensure_ascii=False) + "\n"
    checksum = hashlib.sha256(text.encode()).hexdigest()
    body = text.replace(zeros, checksum, 1).encode()
    aws.s3.put_object(Bucket=bucket, Key=workspace.state_key(), Body=body)


def test_state_without_account_and_region_is_completed(workspace: TestWorkspace) -> None:
    workspace.deploy()
    remove_account_and_region(workspace)
    assert (
        "account not recorded yet  region not recorded yet"
        in workspace.run("state", "show", "staging").expect_exit().out
    )
    workspace.assert_no_changes()
    assert "account" not in workspace.state_object()["snapshot"], "a run without changes does not write the state"
    workspace.run("restart", "staging", "celery", "--yes").expect_exit()
    snapshot = workspace.state_object()["snapshot"]
    assert (snapshot["account"], snapshot["region"]) == (workspace.account, workspace.config["region"])


#: All commands that plan, change or check a workspace's resources.
COMMANDS = (
    ("plan", "staging"), ("plan", "staging", "--destroy"), ("deploy", "staging", "--yes"),
    ("destroy", "staging", "--yes"), ("drift", "staging"), ("status", "staging"), ("restart", "staging", "--yes"),
    ("scale", "staging", "celery=2", "--yes"), ("rollback", "staging", "--yes"), ("history", "staging"),
    ("wait", "staging"), ("logs", "staging"), ("tasks", "staging"), ("run", "staging", "--", "true"),
    ("forget", "staging", "fargate/logs", "--yes"), ("adopt", "staging", "fargate/logs=x", "--yes"),
    ("state", "mv", "staging", "fargate/celery", "fargate/flask", "--yes"),
    ("state", "rm", "staging", "net/vpc", "--yes"), ("state", "push", "staging", "pulled.json", "--yes", "--force"),
    ("deploy", "staging", "--refresh-only", "--yes"),
)  # fmt: skip


def assert_every_command_refused(
    workspace: TestWorkspace, message: str, hint: str, env: dict[str, str | None] | None = None
) -> None:
    """Asserts that every command is refused with this message and hint, and changes nothing."""
    since = workspace.mark()
    for command in COMMANDS:
        result = workspace.run(*command, env=env)
        assert result.code == 1 and message in result.err and hint in result.err, f"{command}: {result}"
    checks = workspace.run("doctor", "staging", "--json", env=env).expect_exit(1).json()["checks"]
    assert [check for check in checks if message in check["found"] and check["verdict"] == "bad"], checks
    assert set(workspace.writes(since)) <= {"iam:SimulatePrincipalPolicy"}, "a simulation changes nothing"


@pytest.mark.needs("s3-regions")
def test_state_of_another_region_is_refused_with_both_names(workspace: TestWorkspace) -> None:
    workspace.deploy()
    region, account = workspace.config["region"], workspace.account
    (workspace.folder / "pulled.json").write_text(
        workspace.run("state", "pull", "staging").expect_exit().out, encoding="utf-8"
    )
    other = Aws(workspace.url, account, OTHER_REGION)
    config = {**workspace.config["state"], "bucket": f"elsewhere-{account}"}
    location = {"LocationConstraint": OTHER_REGION}
    other.s3.create_bucket(Bucket=config["bucket"], CreateBucketConfiguration=location)
    other.s3.put_bucket_versioning(Bucket=config["bucket"], VersioningConfiguration={"Status": "Enabled"})
    other.dynamodb.create_table(
        TableName=config["lock_table"],
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    workspace.configure({"region": OTHER_REGION})
    result = workspace.run("plan", "staging").expect_exit(1)
    assert f"is in region {region}, not in the configured region" in result.err, (
        "the bucket is still in the first region"
    )
    checks = workspace.run("doctor", "staging", "--json").expect_exit(1).json()["checks"]
    (check,) = [check for check in checks if check["name"] == "state/bucket"]
    assert f"the bucket is in {region} and its contents cannot be moved; change `region`" in check["found"], check

    store_snapshot(
        workspace,
        json.loads((workspace.folder / "pulled.json").read_text(encoding="utf-8")),
        config["bucket"],
        other,
    )
    workspace.configure({"state": config})
    message = (
        f"staging is deployed to account {account} in {region}, but this run uses account {account} in {OTHER_REGION}"
    )
    assert_every_command_refused(workspace, message, "`region`")
    version = workspace.run("state", "versions", "staging", "--json").expect_exit().json()[0]["id"]
    assert message in workspace.run("state", "restore", "staging", version, "--yes").expect_exit(1).err


def test_state_of_another_account_is_refused_with_both_names(workspace: TestWorkspace) -> None:
    workspace.deploy()
    (workspace.folder / "pulled.json").write_text(
        workspace.run("state", "pull", "staging").expect_exit().out, encoding="utf-8"
    )
    other = str(SystemRandom().randrange(10**11, 10**12))
    region = workspace.config["region"]
    message = (
        f"staging is deployed to account {workspace.account} in {region}, but this run uses account {other} in {region}"
    )
    assert_every_command_refused(workspace, message, "AWS_PROFILE", {"AWS_ACCESS_KEY_ID": other})
    workspace.assert_no_changes()


def test_workspace_moves_to_another_account_after_destroy(workspace: TestWorkspace) -> None:
    workspace.deploy()
    workspace.destroy()
    document = workspace.state_object()
    document["snapshot"]["account"] = "999999999999"
    store_snapshot(workspace, document, workspace.config["state"]["bucket"], workspace.aws)
    workspace.deploy()
    assert workspace.state_object()["snapshot"]["account"] == workspace.account
