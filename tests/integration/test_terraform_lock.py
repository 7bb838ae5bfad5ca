"""Terraform's two state locks: `adopt` holds both during an import, and is refused while Terraform holds either."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import Any

import pytest
from fault_proxy import FaultProxy
from harness import TestWorkspace, until

KEY = "terraform.tfstate"
#: Address of the only resource in the Terraform state.
ADDRESS = "aws_cloudwatch_log_group.workers"
BACKEND = """
terraform {
  backend "s3" {
    key                         = "terraform.tfstate"
    region                      = "us-east-2"
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
  }
}
"""


def terraform_skip_reason() -> str | None:
    """Returns the reason why Terraform cannot run on this machine, or None. These tests need no provider."""
    if os.environ.get("PB_TEST_TERRAFORM") == "0":
        return "PB_TEST_TERRAFORM=0"
    return None if shutil.which("terraform") else "terraform is not installed"


needs_terraform = pytest.mark.skipif(terraform_skip_reason() is not None, reason=str(terraform_skip_reason()))


def terraform(workspace: TestWorkspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Terraform in a workspace's folder."""
    environment = workspace.environment({"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "AWS_REGION": "us-east-2"})
    return subprocess.run(
        ["terraform", *arguments], cwd=workspace.folder / "tf", env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def init_backend(workspace: TestWorkspace, *backend: str) -> None:
    """Initializes Terraform's backend; must run before a state exists, which would require a provider."""
    (workspace.folder / "tf").mkdir()
    (workspace.folder / "tf" / "main.tf").write_text(BACKEND, encoding="utf-8")
    settings = [f"-backend-config={setting}" for setting in (f"bucket={workspace.config['state']['bucket']}", *backend)]
    result = terraform(workspace, "init", "-input=false", *settings)
    assert result.returncode == 0, result.stdout + result.stderr


def create_managed_log_group(workspace: TestWorkspace) -> list[str]:
    """Creates a log group and a Terraform state that contains it. Returns the arguments of its import."""
    name = "staging-pb_workers"
    workspace.aws.logs.create_log_group(logGroupName=name)
    provider = 'provider["registry.terraform.io/hashicorp/aws"]'
    instance = {"schema_version": 0, "attributes": {"id": name, "name": name}, "sensitive_attributes": []}
    resource = {"mode": "managed", "type": "aws_cloudwatch_log_group", "name": "workers", "provider": provider,
                "instances": [instance]}  # fmt: skip
    state = {"version": 4, "terraform_version": "1.11.4", "serial": 3, "lineage": "9f", "outputs": {},
             "resources": [resource]}  # fmt: skip
    bucket = workspace.config["state"]["bucket"]
    workspace.aws.s3.put_object(Bucket=bucket, Key=KEY, Body=json.dumps(state).encode())
    return ["adopt", "staging", "--from-terraform", f"s3://{bucket}/{KEY}", "--yes"]


def lock_file(workspace: TestWorkspace) -> dict[str, Any] | None:
    """Returns the content of Terraform's lock file, or None if there is no such file."""
    try:
        answer = workspace.aws.s3.get_object(Bucket=workspace.config["state"]["bucket"], Key=f"{KEY}.tflock")
    except workspace.aws.s3.exceptions.NoSuchKey:
        return None
    return dict(json.loads(answer["Body"].read()))


def lock_item(workspace: TestWorkspace) -> dict[str, Any] | None:
    """Returns the content of Terraform's item in the lock table, or None if there is no such item."""
    key = {"LockID": {"S": f"{workspace.config['state']['bucket']}/{KEY}"}}
    item = workspace.aws.dynamodb.get_item(TableName=workspace.config["state"]["lock_table"], Key=key).get("Item")
    return dict(json.loads(item["Info"]["S"])) if item else None


def tags(workspace: TestWorkspace) -> dict[str, str]:
    """Returns the tags of the log group."""
    (group,) = workspace.aws.logs.describe_log_groups(logGroupNamePrefix="staging-pb_workers")["logGroups"]
    arn = str(group["arn"]).removesuffix(":*")
    return dict(workspace.aws.logs.list_tags_for_resource(resourceArn=arn)["tags"])


def is_unlocked(workspace: TestWorkspace) -> bool:
    """Returns whether both locks are absent."""
    return lock_file(workspace) is None and lock_item(workspace) is None


def test_adopt_holds_both_locks_and_releases_them(workspace: TestWorkspace) -> None:
    adopt = create_managed_log_group(workspace)
    with FaultProxy(workspace.url) as proxy:
        held = proxy.hold_before("logs:TagResource")
        running = workspace.start(*adopt, url=proxy.url)
        held.wait()
        file, item = lock_file(workspace), lock_item(workspace)
        proxy.release_all()
        running.result().expect_exit()
    assert file == item and file is not None, "both places have the same lock, so that one `force-unlock` removes both"
    assert set(file) == {"ID", "Operation", "Info", "Who", "Version", "Created", "Path"}
    assert file["Path"] == f"{workspace.config['state']['bucket']}/{KEY}"
    assert file["Operation"] == "pb-deploy adopt pb-deploy/staging" and file["Who"]
    assert is_unlocked(workspace)


@pytest.mark.parametrize("how", ["interrupted", "refused", "killed"])
def test_both_locks_are_released_however_adopt_ends(workspace: TestWorkspace, how: str) -> None:
    adopt = create_managed_log_group(workspace)
    with FaultProxy(workspace.url) as proxy:
        held = proxy.hold_before("logs:TagResource")
        running = workspace.start(*adopt, url=proxy.url)
        held.wait()
        assert lock_file(workspace) and lock_item(workspace)
        if how == "killed":
            running.kill()
            assert lock_file(workspace) and lock_item(workspace), "a killed process cannot release its locks"
            proxy.release_all()
            # The next run recognizes the lock by its operation, and its own lease proves that no other run is active.
            until(lambda: workspace.run(*adopt, "--lock-timeout", "60").code == 0, 60)
            return None if is_unlocked(workspace) else pytest.fail("a lock is left over")
        if how == "interrupted":
            running.interrupt(signal.SIGINT)
        else:
            proxy.refuse("logs:TagResource", 400, b'{"__type": "AccessDeniedException", "message": "no"}')
        proxy.release_all()
        result = running.result()
    assert result.code in (0, 1, 130), result
    assert is_unlocked(workspace), result


def test_held_terraform_lock_exits_3_and_names_the_holder(workspace: TestWorkspace) -> None:
    adopt = create_managed_log_group(workspace)
    bucket, table = workspace.config["state"]["bucket"], workspace.config["state"]["lock_table"]
    info = {"ID": "7f0e", "Operation": "OperationTypeApply", "Info": "", "Who": "ana@build", "Version": "1.11.4",
            "Created": "2026-11-22T10:00:00Z", "Path": f"{bucket}/{KEY}"}  # fmt: skip
    text = json.dumps(info)
    workspace.aws.s3.put_object(Bucket=bucket, Key=f"{KEY}.tflock", Body=text.encode())
    by_file = workspace.run(*adopt).expect_exit(3)
    assert lock_file(workspace) == info and lock_item(workspace) is None, (
        "Terraform's lock is unchanged, and `adopt` leaves no lock behind"
    )
    workspace.aws.s3.delete_object(Bucket=bucket, Key=f"{KEY}.tflock")
    item = {"LockID": {"S": f"{bucket}/{KEY}"}, "Info": {"S": text}}
    workspace.aws.dynamodb.put_item(TableName=table, Item=item)
    by_item = workspace.run(*adopt).expect_exit(3)
    assert lock_item(workspace) == info and lock_file(workspace) is None
    for result, place in ((by_file, f"s3://{bucket}/{KEY}.tflock"), (by_item, f"{bucket}/{KEY} in the table {table}")):
        assert f"{place} is held by ana@build (OperationTypeApply, since 2026-11-22T10:00:00Z), id 7f0e" in result.err
        assert "terraform force-unlock 7f0e" in result.err
    assert tags(workspace) == {}


@needs_terraform
@pytest.mark.parametrize("backend", ["use_lockfile=true", "dynamodb_table"])
def test_terraform_is_refused_while_adopt_runs(workspace: TestWorkspace, backend: str) -> None:
    init_backend(workspace, backend if "=" in backend else f"{backend}={workspace.config['state']['lock_table']}")
    adopt = create_managed_log_group(workspace)
    with FaultProxy(workspace.url) as proxy:
        held = proxy.hold_before("logs:TagResource")
        running = workspace.start(*adopt, url=proxy.url)
        held.wait()
        refused = terraform(workspace, "state", "rm", ADDRESS)
        assert refused.returncode == 1 and "Error acquiring the state lock" in refused.stderr, refused
        assert "pb-deploy adopt pb-deploy/staging" in refused.stderr
        proxy.release_all()
        output = running.result().expect_exit().err
    (command,) = [line for line in output.splitlines() if line.startswith("terraform state rm ")]
    removed = terraform(workspace, *command.split()[1:])
    assert removed.returncode == 0, f"the command that `adopt` prints must succeed: {removed.stderr}"
    assert terraform(workspace, "state", "list").stdout == ""


@needs_terraform
def test_adopt_is_refused_while_terraform_runs(workspace: TestWorkspace) -> None:
    init_backend(workspace, "use_lockfile=true")
    adopt = create_managed_log_group(workspace)
    with FaultProxy(workspace.url) as proxy:
        # The first object that Terraform writes is its lock file.
        held = proxy.hold_after("s3:PutObject")
        environment = workspace.environment(
            {
                "AWS_ENDPOINT_URL": proxy.url,
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
                "AWS_REGION": "us-east-2",
            }
        )
        process = subprocess.Popen(
            ["terraform", "state", "rm", ADDRESS], cwd=workspace.folder / "tf", env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            held.wait(60)
            assert lock_file(workspace)
            refused = workspace.run(*adopt).expect_exit(3)
            assert f"s3://{workspace.config['state']['bucket']}/{KEY}.tflock is held by " in refused.err
            assert "terraform force-unlock " in refused.err
        finally:
            proxy.release_all()
            process.wait(60)
    assert tags(workspace) == {}
