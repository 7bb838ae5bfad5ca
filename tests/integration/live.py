"""Live tests: a workspace with a random name on AWS or another endpoint, and the leftovers of earlier live tests."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from configuration import Table, merged, toml
from harness import BINARY, Result, Running

#: Stack of all live tests. Resources of other stacks are never read.
STACK = "pb-live"
WORKSPACE = re.compile(r"t-[0-9a-f]{8}")
#: Timeout of one run: AWS takes 5 to 8 minutes to create or delete a cache node.
RUN_TIMEOUT_SECONDS = 3600.0
#: Maximum number of attempts to destroy a workspace.
DESTROY_TRIES = 3
ACCOUNT, CONFIG = "PB_LIVE_ACCOUNT", "PB_LIVE_CONFIG"


class Refused(Exception):
    """A live test that must not start, with the reason."""


def on_aws() -> bool:
    """Returns whether the tests run on AWS itself."""
    return os.environ.get("PB_TEST_LIVE") == "1"


def check_account(environment: dict[str, str], account: str) -> None:
    """Refuses any account except the one named in PB_LIVE_ACCOUNT, and any endpoint except AWS."""
    named = environment.get(ACCOUNT, "")
    if not re.fullmatch(r"\d{12}", named):
        raise Refused(f"{ACCOUNT} must name the account that may be used, in 12 digits")
    if account != named:
        raise Refused(f"the credentials are for account {account}, but {ACCOUNT} allows only {named}")
    endpoints = sorted(name for name in environment if name.startswith("AWS_ENDPOINT_URL"))
    if endpoints:
        raise Refused(f"{', '.join(endpoints)} must not be set: live tests use only AWS itself")


def new_workspace() -> str:
    """Returns a random workspace name."""
    return f"t-{secrets.token_hex(4)}"


def workspace_configuration(base: Table, workspace: str, account: str) -> Table:
    """Returns this configuration for one workspace: in the live tests' stack, with one task per service and without
    deletion protection."""
    if not WORKSPACE.fullmatch(workspace):
        raise Refused(f"`{workspace}` is not the name of a live test's workspace")
    overrides = {
        "stack": STACK, "allowed_account_ids": [account], "load_balancer": {"deletion_protection": False},
        "services": {key: {"count": 1} for key in base.get("services", {"flask": {}, "celery": {}})},
    }  # fmt: skip
    shared = {key: value for key, value in base.items() if key != "workspace"}
    return {**merged(shared, overrides), "workspace": {workspace: {}}}


class Live:
    """A live test's workspace, and the tool's commands in it."""

    def __init__(self, workspace: str, base: Table, account: str, folder: Path, environment: dict[str, str]) -> None:
        self.workspace, self.account, self.folder, self.environment = workspace, account, folder, environment
        self.config = workspace_configuration(base, workspace, account)
        self._runs = 0
        self.configure({})

    def configure(self, changes: Table) -> None:
        """Changes the configuration and writes it."""
        self.config = merged(self.config, changes)
        (self.folder / "pb_deploy.toml").write_text(toml(self.config), encoding="utf-8")

    def run(self, command: str, *arguments: str) -> Result:
        """Runs a command in the workspace, and waits until it exits."""
        self._runs += 1
        command_line = [str(BINARY), command, self.workspace, *arguments]
        return Running(command_line, self.folder, self.environment, self._runs).result(RUN_TIMEOUT_SECONDS)

    def remains(self) -> bool:
        """Returns whether the workspace has resources. Asks the tool, because the tagging API continues to list deleted
        resources for some time."""
        result = self.run("plan", "--destroy", "--detailed-exitcode")
        if result.code not in (0, 2):
            raise AssertionError(f"cannot determine which resources of {self.workspace} remain:\n{result}")
        return result.code == 2

    def remove(self) -> None:
        """Destroys the workspace in up to 3 attempts, and fails with instructions if resources remain."""
        for _ in range(DESTROY_TRIES):
            result = self.run("destroy", "--yes", "--lock-timeout", "120")
            if result.code == 0:
                return
        raise AssertionError(
            f"{self.workspace} is NOT removed from account {self.account} and costs money; "
            f"run `sweep.py --remove`, or look for the tag pb-deploy:workspace={self.workspace}\n{result}"
        )


@contextlib.contextmanager
def deployed(workspace: Live) -> Iterator[Result]:
    """Deploys a workspace, and destroys it at the end, even if the deploy or the test fails."""
    print(f"\nworkspace {workspace.workspace} in account {workspace.account}", file=sys.stderr)
    try:
        yield workspace.run("deploy", "--yes").expect_exit()
    finally:
        workspace.remove()


def base_configuration(environment: dict[str, str]) -> Table:
    """Returns the configuration that PB_LIVE_CONFIG names."""
    if not environment.get(CONFIG):
        raise Refused(f"{CONFIG} must name a configuration whose prerequisites exist")
    return tomllib.loads(Path(environment[CONFIG]).read_text(encoding="utf-8"))


def leftovers(session: boto3.Session, region: str, **client_options: Any) -> dict[str, list[str]]:
    """Returns, by workspace, the ARNs of resources with live tests' ownership tags; some may already be deleted."""
    found: dict[str, list[str]] = {}
    for arn, tags in tagged(session, region, **client_options):
        workspace = tags.get("pb-deploy:workspace", "")
        # Inactive task definitions remain forever and cost nothing.
        if WORKSPACE.fullmatch(workspace) and ":task-definition/" not in arn:
            found.setdefault(workspace, []).append(arn)
    return found


def tagged(session: boto3.Session, region: str, **client_options: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the ARN and the tags of each resource in the live tests' stack."""
    api = session.client("resourcegroupstaggingapi", region_name=region, **client_options)
    filters = [{"Key": "pb-deploy:stack", "Values": [STACK]}]
    for page in api.get_paginator("get_resources").paginate(TagFilters=filters):
        for resource in page["ResourceTagMappingList"]:
            yield resource["ResourceARN"], {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
