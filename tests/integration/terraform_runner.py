"""Runs of the installed Terraform with the stack in `terraform/`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from harness import TestWorkspace

STACK = Path(__file__).parent / "terraform"
#: Folder that contains the AWS provider, so that the provider need not be downloaded.
PLUGIN_FOLDER = Path(os.environ.get("PB_TEST_TERRAFORM_PLUGINS", "/opt/tf-plugins"))
STATE_KEY = "terraform.tfstate"


def unavailable_reason() -> str | None:
    """Returns the reason why Terraform cannot run on this machine; None if it can."""
    if os.environ.get("PB_TEST_TERRAFORM") == "0":
        return "PB_TEST_TERRAFORM=0"
    if shutil.which("terraform") is None:
        return "terraform is not installed"
    if not PLUGIN_FOLDER.is_dir():
        return f"no AWS provider in {PLUGIN_FOLDER}: set PB_TEST_TERRAFORM_PLUGINS to its folder"
    return None


class Terraform:
    """A Terraform configuration whose state is stored in a workspace's account."""

    def __init__(self, workspace: TestWorkspace, **variables: str) -> None:
        self.workspace, self.folder = workspace, workspace.folder / "terraform"
        shutil.copytree(STACK, self.folder)
        mirror = f'filesystem_mirror {{ path = "{PLUGIN_FOLDER}" }}'
        (self.folder / "cli.tfrc").write_text(f"provider_installation {{ {mirror} }}\n", encoding="utf-8")
        values = {
            "endpoint": workspace.url,
            "hostname": workspace.config["hostname"],
            "execution_role": workspace.config["roles"]["execution"],
            **variables,
        }
        (self.folder / "terraform.tfvars.json").write_text(json.dumps(values), encoding="utf-8")
        state = workspace.config["state"]
        self.run("init", f"-backend-config=bucket={state['bucket']}",
                 f"-backend-config=dynamodb_table={state['lock_table']}")  # fmt: skip
        self.run("workspace", "new", "staging")

    def run(self, *arguments: str) -> str:
        """Runs a Terraform command, asserts that it succeeds, and returns its output."""
        environment = self.workspace.environment(
            {
                "TF_CLI_CONFIG_FILE": str(self.folder / "cli.tfrc"),
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
                "AWS_REGION": "us-east-2",
            }
        )
        result = subprocess.run(
            ["terraform", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip
        assert result.returncode == 0, f"terraform {' '.join(arguments)}:\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def apply(self) -> None:
        """Applies the configuration."""
        self.run("apply", "-auto-approve", "-input=false", "-no-color")

    @property
    def url(self) -> str:
        """The state's S3 URL."""
        return f"s3://{self.workspace.config['state']['bucket']}/env:/staging/{STATE_KEY}"

    def state(self) -> Any:
        """Returns the stored state."""
        bucket, _, key = self.url.removeprefix("s3://").partition("/")
        return json.loads(self.workspace.aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
