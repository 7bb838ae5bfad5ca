"""A workspace of a random name on AWS, or on any endpoint that stands in for it; and what was left of earlier ones."""

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

#: The stack of all live tests: what carries another is never looked at.
STACK = "pb-live"
WORKSPACE = re.compile(r"t-[0-9a-f]{8}")
#: One run of the tool on AWS: a cache node takes 5 to 8 minutes to come or go.
RUN_TIMEOUT_SECONDS = 3600.0
#: How often what is left is removed, when removing it fails.
DESTROY_TRIES = 3
ACCOUNT, CONFIG = "PB_LIVE_ACCOUNT", "PB_LIVE_CONFIG"


class Refused(Exception):
    """The guards do not let a live test begin."""


def on_aws() -> bool:
    """Whether the tests are to run on AWS itself."""
    return os.environ.get("PB_TEST_LIVE") == "1"


def check_account(environment: dict[str, str], account: str) -> None:
    """Refuses an account that its owner has not named, and anything that only stands in for AWS."""
    named = environment.get(ACCOUNT, "")
    if not re.fullmatch(r"\d{12}", named):
        raise Refused(f"{ACCOUNT} has to name the account that may be used, in 12 digits")
    if account != named:
        raise Refused(f"the credentials are for account {account}, and {ACCOUNT} allows {named}")
    endpoints = sorted(name for name in environment if name.startswith("AWS_ENDPOINT_URL"))
    if endpoints:
        raise Refused(f"{', '.join(endpoints)} points to something else than AWS")


def new_workspace() -> str:
    """A name that no other run has."""
    return f"t-{secrets.token_hex(4)}"


def workspace_configuration(base: Table, workspace: str, account: str) -> Table:
    """The person's configuration, for this one workspace: a stack of its own, one small task each, no protection."""
    if not WORKSPACE.fullmatch(workspace):
        raise Refused(f"`{workspace}` is no workspace of a live test")
    overrides = {
        "stack": STACK, "allowed_account_ids": [account], "load_balancer": {"deletion_protection": False},
        "services": {key: {"count": 1} for key in base.get("services", {"flask": {}, "celery": {}})},
    }  # fmt: skip
    shared = {key: value for key, value in base.items() if key != "workspace"}
    return {**merged(shared, overrides), "workspace": {workspace: {}}}


class Live:
    """The tool in one workspace."""

    def __init__(self, workspace: str, base: Table, account: str, folder: Path, environment: dict[str, str]) -> None:
        self.workspace, self.account, self.folder, self.environment = workspace, account, folder, environment
        self.config = workspace_configuration(base, workspace, account)
        self._runs = 0
        self.configure({})

    def configure(self, changes: Table) -> None:
        """Change the configuration and write it."""
        self.config = merged(self.config, changes)
        (self.folder / "pb_deploy.toml").write_text(toml(self.config), encoding="utf-8")

    def run(self, command: str, *arguments: str) -> Result:
        """Run a command of the tool in the workspace, to its end."""
        self._runs += 1
        command_line = [str(BINARY), command, self.workspace, *arguments]
        return Running(command_line, self.folder, self.environment, self._runs).result(RUN_TIMEOUT_SECONDS)

    def remains(self) -> bool:
        """Whether anything of it is there: the tagging API shows for some time what is gone, the tool does not."""
        result = self.run("plan", "--destroy", "--detailed-exitcode")
        if result.code not in (0, 2):
            raise AssertionError(f"what is left of {self.workspace} cannot be told:\n{result}")
        return result.code == 2

    def remove(self) -> None:
        """Destroy what is there, whatever state it is in; and if that cannot be done, say so loudly."""
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
    """A workspace that is removed at the end, whatever happens on the way, its deploy among it."""
    print(f"\nworkspace {workspace.workspace} in account {workspace.account}", file=sys.stderr)
    try:
        yield workspace.run("deploy", "--yes").expect_exit()
    finally:
        workspace.remove()


def base_configuration(environment: dict[str, str]) -> Table:
    """What the person has for tests."""
    if not environment.get(CONFIG):
        raise Refused(f"{CONFIG} has to name a configuration, with what has to be there already")
    return tomllib.loads(Path(environment[CONFIG]).read_text(encoding="utf-8"))


def leftovers(session: boto3.Session, region: str, **client_options: Any) -> dict[str, list[str]]:
    """What carries the ownership tags of live tests, by workspace; some of it may be gone already."""
    found: dict[str, list[str]] = {}
    for arn, tags in tagged(session, region, **client_options):
        workspace = tags.get("pb-deploy:workspace", "")
        # Definitions that are inactive stay for ever, and cost nothing.
        if WORKSPACE.fullmatch(workspace) and ":task-definition/" not in arn:
            found.setdefault(workspace, []).append(arn)
    return found


def tagged(session: boto3.Session, region: str, **client_options: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Each resource of the stack of live tests, with its tags."""
    api = session.client("resourcegroupstaggingapi", region_name=region, **client_options)
    filters = [{"Key": "pb-deploy:stack", "Values": [STACK]}]
    for page in api.get_paginator("get_resources").paginate(TagFilters=filters):
        for resource in page["ResourceTagMappingList"]:
            yield resource["ResourceARN"], {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
