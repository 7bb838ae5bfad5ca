"""Lifecycle of one workspace: on AWS with `--target aws`, otherwise on the endpoint that the other tests use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import live
import pytest
from capabilities import DEPLOYS
from harness import Result, TestWorkspace
from live import Live

pytestmark = pytest.mark.sample

deploys = pytest.mark.needs(*DEPLOYS)


def client(service: str, workspace: Live) -> Any:
    """Returns a client for the workspace's account."""
    url = workspace.environment.get("AWS_ENDPOINT_URL")
    keys: dict[str, Any] = {}
    if url:
        secret = workspace.environment["AWS_SECRET_ACCESS_KEY"]
        keys = {"endpoint_url": url, "aws_access_key_id": workspace.account, "aws_secret_access_key": secret}
    return boto3.Session().client(service, region_name=workspace.config["region"], **keys)


def aws_workspace(folder: Path) -> Live:
    """Returns a workspace on AWS, in the account that PB_LIVE_ACCOUNT names."""
    environment = dict(os.environ)
    base = live.base_configuration(environment)
    account = boto3.Session().client("sts", region_name=base["region"]).get_caller_identity()["Account"]
    live.check_account(environment, account)
    return Live(live.new_workspace(), base, account, folder, environment)


def endpoint_workspace(workspace: TestWorkspace) -> Live:
    """Returns a live test's workspace in an account at the tests' endpoint."""
    return Live(live.new_workspace(), workspace.config, workspace.account, workspace.folder, workspace.environment())


@pytest.fixture
def live_workspace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Yields a deployed workspace and removes it at the end, even after a failure."""
    if live.on_aws():
        started = aws_workspace(tmp_path_factory.mktemp("live"))
    else:
        new_workspace: Callable[[], TestWorkspace] = request.getfixturevalue("new_workspace")
        started = endpoint_workspace(new_workspace())
    with live.deployed(started) as result:
        assert result.out.startswith("http://"), result
        yield started


def services(workspace: Live) -> dict[str, dict[str, Any]]:
    """Returns the services by name, as `status` shows them."""
    shown = workspace.run("status", "--json").expect_exit().json()
    return {service["name"]: service for service in shown["services"]}


def deployed_services_run(workspace: Live) -> None:
    shown = services(workspace)
    assert len(shown) == len(workspace.config["services"])
    assert {(s["running"], s["rollout"]) for s in shown.values()} == {(1, "COMPLETED")}


def second_deploy_changes_nothing(workspace: Live) -> None:
    workspace.run("plan", "--detailed-exitcode").expect_exit(0)
    assert "No changes" in workspace.run("deploy", "--yes").expect_exit().err


def change_is_planned_and_applied(workspace: Live) -> None:
    workspace.configure({"services": {"celery": {"count": 2}}})
    text = workspace.run("plan", "--detailed-exitcode").expect_exit(2).out
    assert "~ desired_count: 1 -> 2" in text
    workspace.run("deploy", "--yes").expect_exit()
    assert services(workspace)[f"{workspace.workspace}-celery"]["running"] == 2


def drift_is_shown_and_repaired(workspace: Live) -> None:
    name = workspace.workspace
    client("ecs", workspace).update_service(cluster=f"{name}-ecs-cluster", service=f"{name}-celery", desiredCount=1)
    assert "# changed outside of pb-deploy" in workspace.run("plan").expect_exit().out
    workspace.run("deploy", "--yes").expect_exit()
    workspace.run("plan", "--detailed-exitcode").expect_exit(0)


def ownership_tags_exist_until_destroy(workspace: Live) -> None:
    url = workspace.environment.get("AWS_ENDPOINT_URL")
    keys: dict[str, Any] = {"aws_access_key_id": workspace.account, "aws_secret_access_key": "test"} if url else {}
    session, client_options = boto3.Session(**keys), {"endpoint_url": url} if url else {}
    assert workspace.workspace in live.leftovers(session, workspace.config["region"], **client_options)
    assert workspace.remains()
    workspace.run("destroy", "--yes").expect_exit()
    assert not workspace.remains()


@deploys
def test_live_workspace_lifecycle_succeeds(live_workspace: Live) -> None:
    for step in (deployed_services_run, second_deploy_changes_nothing, change_is_planned_and_applied,
                 drift_is_shown_and_repaired, ownership_tags_exist_until_destroy):  # fmt: skip
        print(step.__name__.replace("_", " "), file=sys.stderr)
        step(live_workspace)


def test_live_account_must_be_named_explicitly() -> None:
    for environment, message in (
        ({}, "must name the account"),
        ({live.ACCOUNT: "12"}, "12 digits"),
        ({live.ACCOUNT: "999999999999"}, "credentials are for account 123456789012"),
        ({live.ACCOUNT: "123456789012", "AWS_ENDPOINT_URL_S3": "http://x"}, "use only AWS itself"),
    ):
        with pytest.raises(live.Refused, match=message):
            live.check_account(environment, "123456789012")
    live.check_account({live.ACCOUNT: "123456789012"}, "123456789012")


def test_live_workspace_is_separate_from_user_workspaces() -> None:
    base = {"stack": "mine", "workspace": {"production": {"services": {"flask": {"count": 9}}}},
            "services": {"flask": {"count": 5}}}  # fmt: skip
    config = live.workspace_configuration(base, "t-0123abcd", "123456789012")
    assert list(config["workspace"]) == ["t-0123abcd"] and config["stack"] == live.STACK
    assert config["allowed_account_ids"] == ["123456789012"]
    assert config["services"]["flask"]["count"] == 1 and not config["load_balancer"]["deletion_protection"]
    for name in ("production", "staging", "t-1", "t-0123abcdef"):
        with pytest.raises(live.Refused):
            live.workspace_configuration(base, name, "123456789012")
    assert live.new_workspace() != live.new_workspace()


class ScriptedLive(Live):
    """A workspace whose commands do nothing except return the given exit codes."""

    def __init__(self, **codes: list[int]) -> None:
        self.workspace, self.account, self.codes = "t-0123abcd", "123456789012", codes
        self.called: list[str] = []

    def run(self, command: str, *arguments: str) -> Result:
        self.called.append(command)
        return Result(self.codes[command].pop(0), "", "")


def test_live_workspace_is_removed_after_failures() -> None:
    succeeding = ScriptedLive(deploy=[0], destroy=[0])
    with pytest.raises(ZeroDivisionError), live.deployed(succeeding):
        raise ZeroDivisionError
    assert succeeding.called == ["deploy", "destroy"]
    failing = ScriptedLive(deploy=[1], destroy=[1, 1, 0])
    with pytest.raises(AssertionError, match="exit 0 was expected"), live.deployed(failing):
        pass
    assert failing.called == ["deploy", "destroy", "destroy", "destroy"]
    with pytest.raises(AssertionError, match="t-0123abcd is NOT removed .* costs money"):
        ScriptedLive(destroy=[1, 1, 1]).remove()


def run_sweeper(
    workspace: TestWorkspace, *arguments: str, account: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the sweeper in a workspace's account."""
    environment = {
        **workspace.environment(), live.ACCOUNT: account or workspace.account, live.CONFIG: str(workspace.config_file),
        "PB_SWEEP_ENDPOINT": workspace.url, "AWS_DEFAULT_REGION": workspace.aws.region, "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    line = [sys.executable, str(Path(__file__).with_name("sweep.py")), *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)


@deploys
def test_sweeper_removes_only_leftover_workspaces(workspace: TestWorkspace) -> None:
    assert "no resources of live tests remain" in run_sweeper(workspace).stdout
    workspace.deploy("staging")
    leftover = endpoint_workspace(workspace)
    leftover.folder = workspace.folder
    leftover.run("deploy", "--yes").expect_exit()
    workspace.configure({})
    assert run_sweeper(workspace, account="999999999999").returncode == 69
    listed = run_sweeper(workspace)
    assert listed.returncode == 1 and leftover.workspace in listed.stdout and "staging" not in listed.stdout, listed
    removed = run_sweeper(workspace, "--remove")
    assert removed.returncode == 0 and f"{leftover.workspace}: removed" in removed.stdout, removed
    assert "no resources of live tests remain" in run_sweeper(workspace).stdout
    workspace.assert_no_changes("staging")
