"""The Terraform commands in messages, run by the installed Terraform as they are printed."""

from __future__ import annotations

import json
from typing import Any

from harness import TestWorkspace
from printed_commands import Shell, commands
from test_terraform_lock import (
    ADDRESS, KEY, create_managed_log_group, init_backend, is_unlocked, lock_file, needs_terraform, tags,
)  # fmt: skip

pytestmark = needs_terraform
STATE = "state.tfstate"


class TerraformShell:
    """A shell in the folder of a Terraform configuration whose backend has the state of a workspace."""

    def __init__(self, workspace: TestWorkspace) -> None:
        init_backend(workspace, "use_lockfile=true")
        self.shell = Shell(workspace)

    def run(self, command: str) -> str:
        """Runs a command line, which must succeed, and returns its output."""
        quiet: dict[str, str | None] = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        return self.shell.run(f"cd tf && {command}", env=quiet)


def printed(text: str) -> str:
    """Returns the only Terraform command in an output."""
    (command,) = commands(text, "terraform")
    return command


def adopt(workspace: TestWorkspace, state: str, code: int = 0, *options: str) -> str:
    """Imports from a state file in the folder of Terraform, and returns what `adopt` says."""
    return workspace.run("adopt", "staging", "--from-terraform", f"tf/{state}", *options).expect_exit(code).err


def test_state_is_pulled_and_its_resources_removed(workspace: TestWorkspace) -> None:
    terraform = TerraformShell(workspace)
    create_managed_log_group(workspace)
    pull = printed(adopt(workspace, STATE, 1))
    terraform.run(pull.replace("FILE", STATE))
    removals = commands(adopt(workspace, STATE, 0, "--yes"), "terraform")
    remove = next(command for command in removals if command.startswith("terraform state rm"))
    assert remove == f"terraform state rm {ADDRESS}" and tags(workspace)["pb-deploy:address"] == "fargate/logs"
    terraform.run(remove)
    assert terraform.run("terraform state list") == ""


def test_states_of_other_workspaces_are_listed(workspace: TestWorkspace) -> None:
    terraform = TerraformShell(workspace)
    terraform.run("terraform workspace new green")
    bucket = workspace.config["state"]["bucket"]
    empty = {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "9f", "outputs": {}, "resources": []}
    (workspace.folder / "tf" / STATE).write_text(json.dumps(empty), encoding="utf-8")
    list_workspaces, list_resources = commands(adopt(workspace, STATE, 1), "terraform")
    assert "green" in terraform.run(list_workspaces)
    create_managed_log_group(workspace)
    state = workspace.aws.s3.get_object(Bucket=bucket, Key=KEY)["Body"].read()
    workspace.aws.s3.put_object(Bucket=bucket, Key=f"env:/green/{KEY}", Body=state)
    assert terraform.run(list_resources) == f"{ADDRESS}\n"


def test_output_of_show_is_named(workspace: TestWorkspace) -> None:
    terraform = TerraformShell(workspace)
    state: dict[str, Any] = {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "9f", "resources": [],
                             "outputs": {"name": {"value": "x", "type": "string"}}}  # fmt: skip
    workspace.aws.s3.put_object(Bucket=workspace.config["state"]["bucket"], Key=KEY, Body=json.dumps(state).encode())
    terraform.run(f"terraform show -json > {STATE}")
    assert "it is the output of `terraform show -json`, not a state" in adopt(workspace, STATE, 1)


def test_lock_of_a_dead_process_is_removed(workspace: TestWorkspace) -> None:
    terraform = TerraformShell(workspace)
    from_bucket = create_managed_log_group(workspace)
    bucket = workspace.config["state"]["bucket"]
    info = {"ID": "7f0e91c5-0f9b-4d09-a6bd-6a3d4e8a9a10", "Operation": "OperationTypeApply", "Info": "",
            "Who": "ana@build", "Version": "1.11.4", "Created": "2026-11-22T10:00:00Z", "Path": f"{bucket}/{KEY}"}  # fmt: skip
    workspace.aws.s3.put_object(Bucket=bucket, Key=f"{KEY}.tflock", Body=json.dumps(info).encode())
    command = printed(workspace.run(*from_bucket).expect_exit(3).err)
    terraform.run(f"echo yes | {command}")
    assert lock_file(workspace) is None and is_unlocked(workspace)
    workspace.run(*from_bucket).expect_exit()
