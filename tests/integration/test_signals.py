"""Ctrl-C and SIGTERM: nothing new is started, what runs is finished and recorded, and another deploy does the rest."""

from __future__ import annotations

import signal

import pytest
from gate import Gate
from harness import Running, Site, until

CALLS = ["ec2:CreateVpc", "elasticache:CreateReplicationGroup", "ecs:CreateService"]


def interrupted(site: Site, gate: Gate, command: str, call: str, number: signal.Signals) -> Running:
    """A run that is asked to stop while a call is on its way."""
    stop = gate.hold_before(call)
    running = site.start(command, "staging", "--yes", url=gate.url)
    stop.wait()
    running.interrupt(number)
    until(lambda: "stopping" in running.so_far().err)
    stop.let_go()
    return running


@pytest.mark.parametrize(
    ("call", "number"), [*((call, signal.SIGINT) for call in CALLS), ("ecs:CreateService", signal.SIGTERM)]
)
def test_an_interrupted_deploy_records_all_and_can_be_finished(
    site: Site, gate: Gate, call: str, number: signal.Signals
) -> None:
    result = interrupted(site, gate, "deploy", call, number).result().ended(130)
    assert "stopping: nothing new is started" in result.err and result.out == ""
    assert "Run `pb-deploy deploy staging` again to finish" in result.err, result
    resources = site.state_object()["snapshot"]["resources"]
    owned = {address for address, _ in site.world.owned()}
    assert owned and owned <= set(resources)
    assert site.run("status", "staging", "--json").ended().json()["lock"] is None
    assert site.run("status", "staging", "--json").json()["unfinished"] == "deploy"
    site.deploy()
    assert sorted(address for address, _ in site.world.owned()) == sorted({a for a, _ in site.world.owned()})
    site.finds_nothing()


def test_the_call_that_runs_is_finished(site: Site, gate: Gate) -> None:
    interrupted(site, gate, "deploy", "ec2:CreateVpc", signal.SIGINT).result().ended(130)
    (vpc,) = site.world.vpcs()
    assert site.state_object()["snapshot"]["resources"]["net/vpc"]["attrs"]["id"] == vpc
    assert site.world.subnets() == {}


def test_an_interrupted_destroy_can_be_finished(site: Site, gate: Gate) -> None:
    site.deploy()
    interrupted(site, gate, "destroy", "ecs:DeleteService", signal.SIGINT).result().ended(130)
    assert "vpcs" in site.world.remains()
    site.destroy()
    assert site.world.remains() == {}


def test_a_second_ctrl_c_stops_at_once(site: Site, gate: Gate) -> None:
    stop = gate.hold_before("elasticache:CreateReplicationGroup")
    running = site.start("deploy", "staging", "--yes", url=gate.url)
    stop.wait()
    running.interrupt()
    until(lambda: "stopping" in running.so_far().err)
    running.interrupt()
    running.result(60).ended(130)
    gate.open_all()
    site.run("unlock", "staging", site.lock_id()).ended()
    site.deploy()
    site.finds_nothing()


def test_ctrl_c_before_anything_was_done_leaves_nothing(site: Site, gate: Gate) -> None:
    stop = gate.hold_before("ec2:DescribeVpcs")
    running = site.start("deploy", "staging", "--yes", url=gate.url)
    stop.wait()
    running.interrupt()
    code = running.result(60).code
    assert code in (130, -signal.SIGINT)
    gate.open_all()
    assert site.mutations() == []
