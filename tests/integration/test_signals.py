"""Ctrl-C and SIGTERM: nothing new is started, what runs is finished and recorded, and another deploy does the rest."""

from __future__ import annotations

import signal

import pytest
from fault_proxy import FaultProxy
from harness import Running, TestWorkspace, until

CALLS = ["ec2:CreateVpc", "elasticache:CreateReplicationGroup", "ecs:CreateService"]


def interrupted(
    workspace: TestWorkspace, proxy: FaultProxy, command: str, call: str, number: signal.Signals
) -> Running:
    """A run that is asked to stop while a call is on its way."""
    stop = proxy.hold_before(call)
    running = workspace.start(command, "staging", "--yes", url=proxy.url)
    stop.wait()
    running.interrupt(number)
    until(lambda: "stopping" in running.output_so_far().err)
    stop.release()
    return running


@pytest.mark.parametrize(
    ("call", "number"), [*((call, signal.SIGINT) for call in CALLS), ("ecs:CreateService", signal.SIGTERM)]
)
def test_an_interrupted_deploy_records_all_and_can_be_finished(
    workspace: TestWorkspace, proxy: FaultProxy, call: str, number: signal.Signals
) -> None:
    result = interrupted(workspace, proxy, "deploy", call, number).result().expect_exit(130)
    assert "stopping: nothing new is started" in result.err and result.out == ""
    assert "Run `pb-deploy deploy staging` again to finish" in result.err, result
    resources = workspace.state_object()["snapshot"]["resources"]
    owned = {address for address, _ in workspace.inventory.owned()}
    assert owned and owned <= set(resources)
    assert workspace.run("status", "staging", "--json").expect_exit().json()["lock"] is None
    assert workspace.run("status", "staging", "--json").json()["unfinished"] == "deploy"
    workspace.deploy()
    assert sorted(address for address, _ in workspace.inventory.owned()) == sorted(
        {a for a, _ in workspace.inventory.owned()}
    )
    workspace.assert_no_changes()


def test_the_call_that_runs_is_finished(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    interrupted(workspace, proxy, "deploy", "ec2:CreateVpc", signal.SIGINT).result().expect_exit(130)
    (vpc,) = workspace.inventory.vpcs()
    assert workspace.state_object()["snapshot"]["resources"]["net/vpc"]["attrs"]["id"] == vpc
    assert workspace.inventory.subnets() == {}


def test_an_interrupted_destroy_can_be_finished(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    workspace.deploy()
    interrupted(workspace, proxy, "destroy", "ecs:DeleteService", signal.SIGINT).result().expect_exit(130)
    assert "vpcs" in workspace.inventory.remains()
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_a_second_ctrl_c_stops_at_once(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    stop = proxy.hold_before("elasticache:CreateReplicationGroup")
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    stop.wait()
    running.interrupt()
    until(lambda: "stopping" in running.output_so_far().err)
    running.interrupt()
    running.result(60).expect_exit(130)
    proxy.release_all()
    workspace.run("unlock", "staging", workspace.lock_id()).expect_exit()
    workspace.deploy()
    workspace.assert_no_changes()


def test_ctrl_c_before_anything_was_done_leaves_nothing(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    stop = proxy.hold_before("ec2:DescribeVpcs")
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    stop.wait()
    running.interrupt()
    code = running.result(60).code
    assert code in (130, -signal.SIGINT)
    proxy.release_all()
    assert workspace.mutations() == []
