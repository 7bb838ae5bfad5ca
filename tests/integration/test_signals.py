"""Ctrl-C and SIGTERM: no new step starts, current calls are completed and recorded, and the next deploy finishes."""

from __future__ import annotations

import signal

import pytest
from fault_proxy import FaultProxy
from harness import Running, TestWorkspace, until

HELD_CALLS = ["ec2:CreateVpc", "elasticache:CreateReplicationGroup", "ecs:CreateService"]


def interrupt_during(
    workspace: TestWorkspace, proxy: FaultProxy, command: str, call: str, signal_number: signal.Signals
) -> Running:
    """Sends a signal to a run during a call, and returns the run."""
    held = proxy.hold_before(call)
    running = workspace.start(command, "staging", "--yes", url=proxy.url)
    held.wait()
    running.interrupt(signal_number)
    until(lambda: "stopping" in running.output_so_far().err)
    held.release()
    return running


@pytest.mark.parametrize(
    ("call", "signal_number"), [*((call, signal.SIGINT) for call in HELD_CALLS), ("ecs:CreateService", signal.SIGTERM)]
)
def test_interrupted_deploy_is_recorded_and_can_be_finished(
    workspace: TestWorkspace, proxy: FaultProxy, call: str, signal_number: signal.Signals
) -> None:
    result = interrupt_during(workspace, proxy, "deploy", call, signal_number).result().expect_exit(130)
    assert "stopping: no new steps are started" in result.err and result.out == ""
    assert "Run `pb-deploy deploy staging` again to finish" in result.err, result
    resources = workspace.state_object()["snapshot"]["resources"]
    owned = {address for address, _ in workspace.inventory.managed_resources()}
    assert owned and owned <= set(resources)
    assert workspace.run("status", "staging", "--json").expect_exit().json()["lock"] is None
    assert workspace.run("status", "staging", "--json").json()["unfinished"] == "deploy"
    workspace.deploy()
    assert sorted(address for address, _ in workspace.inventory.managed_resources()) == sorted(
        {a for a, _ in workspace.inventory.managed_resources()}
    )
    workspace.assert_no_changes()


def test_interrupted_call_is_completed_and_recorded(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    interrupt_during(workspace, proxy, "deploy", "ec2:CreateVpc", signal.SIGINT).result().expect_exit(130)
    (vpc,) = workspace.inventory.vpcs()
    assert workspace.state_object()["snapshot"]["resources"]["net/vpc"]["attrs"]["id"] == vpc
    assert workspace.inventory.subnets() == {}


def test_interrupted_destroy_can_be_finished(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    workspace.deploy()
    interrupt_during(workspace, proxy, "destroy", "ecs:DeleteService", signal.SIGINT).result().expect_exit(130)
    assert "vpcs" in workspace.inventory.remains()
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_second_ctrl_c_exits_immediately(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    held = proxy.hold_before("elasticache:CreateReplicationGroup")
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    running.interrupt()
    until(lambda: "stopping" in running.output_so_far().err)
    running.interrupt()
    running.result(60).expect_exit(130)
    proxy.release_all()
    workspace.run("unlock", "staging", workspace.lock_id()).expect_exit()
    workspace.deploy()
    workspace.assert_no_changes()


def test_ctrl_c_before_the_first_write_leaves_nothing(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    held = proxy.hold_before("ec2:DescribeVpcs")
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    running.interrupt()
    code = running.result(60).code
    assert code in (130, -signal.SIGINT)
    proxy.release_all()
    assert workspace.mutations() == []
