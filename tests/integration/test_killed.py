"""Runs that are killed or lose a response at any call: no duplicate and no orphan is left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fault_proxy import FaultProxy
from harness import TestWorkspace

#: Number of resources of a complete staging workspace, by kind.
COMPLETE = {
    "vpcs": 1, "gateways": 1, "subnets": 2, "route_tables": 2, "groups": 5, "rules": 9, "replication_groups": 1,
    "cache_subnet_groups": 1, "cache_parameter_groups": 1, "log_groups": 1, "repositories": 1, "clusters": 1,
    "services": 2, "task_definitions": 2, "balancers": 1, "target_groups": 1, "listeners": 1, "records": 1,
    "certificates": 0,
}  # fmt: skip

#: Create calls whose response is lost: calls that would create a duplicate if repeated, and one call per service.
CREATES = [
    "ec2:CreateVpc", "ec2:CreateInternetGateway", "ec2:CreateSubnet", "ec2:CreateSecurityGroup",
    "elasticache:CreateReplicationGroup", "elasticloadbalancing:CreateLoadBalancer", "ecs:RegisterTaskDefinition",
    "ecs:CreateService", "route53:ChangeResourceRecordSets",
]  # fmt: skip


def kill(workspace: TestWorkspace, proxy: FaultProxy, call: str, when: str) -> None:
    """Kills a deploy during a call: before the endpoint receives it, or after its execution but before the response."""
    stop = proxy.hold_before(call) if when == "before" else proxy.hold_after(call)
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    stop.wait()
    running.kill()
    if when == "before":
        # The held call has not reached the endpoint yet, and must not be executed later.
        proxy.drop(stop)
    proxy.release_all()
    workspace.run("unlock", "staging", workspace.lock_id()).expect_exit()


#: Calls during which a deploy is killed; `tests/torture` covers every call.
MOMENTS = [
    "s3:PutObject", "ec2:CreateVpc", "ec2:CreateSubnet", "elasticache:CreateReplicationGroup",
    "elasticloadbalancing:CreateLoadBalancer", "ecs:RegisterTaskDefinition", "ecs:CreateService",
]  # fmt: skip


def run_after_kills(
    new_workspace: Callable[[], TestWorkspace], url: str, command: str, when: str
) -> dict[str, TestWorkspace]:
    """Kills a deploy at each call, then runs a command in all workspaces at once. Returns the workspaces by call.

    The runs are concurrent because most of their time is spent waiting for resources that AWS may not show yet.
    """
    workspaces = {}
    for call in MOMENTS:
        workspaces[call] = new_workspace()
        with FaultProxy(url) as proxy:
            kill(workspaces[call], proxy, call, when)
    runs = {call: workspace.start(command, "staging", "--yes") for call, workspace in workspaces.items()}
    for call, running in runs.items():
        result = running.result()
        assert result.code == 0, f"killed {when} {call}, then {command}:\n{result}"
    return workspaces


@pytest.mark.parametrize("when", ["before", "after"])
def test_deploy_after_kill_creates_remaining_resources(
    new_workspace: Callable[[], TestWorkspace], url: str, when: str
) -> None:
    for call, workspace in run_after_kills(new_workspace, url, "deploy", when).items():
        assert workspace.inventory.counts() == COMPLETE, f"killed {when} {call}"
        workspace.assert_no_changes()


@pytest.mark.parametrize("when", ["before", "after"])
def test_destroy_after_killed_deploy_leaves_nothing(
    new_workspace: Callable[[], TestWorkspace], url: str, when: str
) -> None:
    for call, workspace in run_after_kills(new_workspace, url, "destroy", when).items():
        assert workspace.inventory.remains() == {}, f"killed {when} {call}"


@pytest.mark.parametrize("call", ["ec2:DeleteSecurityGroup", "elasticache:DeleteReplicationGroup", "ecs:DeleteService"])
def test_destroy_after_killed_destroy_leaves_nothing(workspace: TestWorkspace, proxy: FaultProxy, call: str) -> None:
    workspace.deploy()
    stop = proxy.hold_after(call)
    running = workspace.start("destroy", "staging", "--yes", url=proxy.url)
    stop.wait()
    running.kill()
    proxy.release_all()
    workspace.run("unlock", "staging", workspace.lock_id()).expect_exit()
    workspace.destroy()
    assert workspace.inventory.remains() == {}


@pytest.mark.parametrize("call", CREATES)
def test_lost_response_creates_no_duplicate(workspace: TestWorkspace, proxy: FaultProxy, call: str) -> None:
    lost = proxy.lose_response(call)
    workspace.run("deploy", "staging", "--yes", url=proxy.url).expect_exit()
    assert lost.reached.is_set()
    assert workspace.inventory.counts() == COMPLETE
    workspace.assert_no_changes()


def test_lease_of_dead_holder_is_acquired_after_expiry(
    new_workspace: Callable[[], TestWorkspace], proxy: FaultProxy
) -> None:
    workspace = new_workspace()
    stop = proxy.hold_after("elasticache:CreateReplicationGroup")
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    stop.wait()
    running.kill()
    proxy.release_all()
    result = workspace.deploy()
    assert "Waiting for tester@test-host" in result.err, result
    assert workspace.inventory.counts() == COMPLETE
    workspace.assert_no_changes()
