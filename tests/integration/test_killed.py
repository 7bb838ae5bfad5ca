"""A deploy that was killed, or whose answers were lost, at any moment: nothing is doubled, and nothing is left over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gate import Gate
from harness import Site

#: A whole staging.
COMPLETE = {
    "vpcs": 1, "gateways": 1, "subnets": 2, "route_tables": 2, "groups": 5, "rules": 9, "replication_groups": 1,
    "cache_subnet_groups": 1, "cache_parameter_groups": 1, "log_groups": 1, "repositories": 1, "clusters": 1,
    "services": 2, "task_definitions": 2, "balancers": 1, "target_groups": 1, "listeners": 1, "records": 1,
}  # fmt: skip

#: Creates whose answers are lost: those that AWS does a second time, and one of each service.
CREATES = [
    "ec2:CreateVpc", "ec2:CreateInternetGateway", "ec2:CreateSubnet", "ec2:CreateSecurityGroup",
    "elasticache:CreateReplicationGroup", "elasticloadbalancing:CreateLoadBalancer", "ecs:RegisterTaskDefinition",
    "ecs:CreateService", "route53:ChangeResourceRecordSets",
]  # fmt: skip


def kill(site: Site, gate: Gate, call: str, when: str) -> None:
    """Kill a deploy at a call: before the endpoint sees it, or after it was done and before the tool knows."""
    stop = gate.hold_before(call) if when == "before" else gate.hold_after(call)
    running = site.start("deploy", "staging", "--yes", url=gate.url)
    stop.wait()
    running.kill()
    if when == "before":
        # What was not sent yet never arrives.
        gate.drop(stop)
    gate.open_all()
    site.run("unlock", "staging", site.lock_id()).ended()


#: Moments of a deploy at which it is killed; every call is tried by `tests/torture`.
MOMENTS = [
    "s3:PutObject", "ec2:CreateVpc", "ec2:CreateSubnet", "elasticache:CreateReplicationGroup",
    "elasticloadbalancing:CreateLoadBalancer", "ecs:RegisterTaskDefinition", "ecs:CreateService",
]  # fmt: skip


def after_kills(new_site: Callable[[], Site], url: str, command: str, when: str) -> dict[str, Site]:
    """A command after a kill at each moment: all at once, for most of it is waiting for what AWS may not show yet."""
    sites = {}
    for call in MOMENTS:
        sites[call] = new_site()
        with Gate(url) as gate:
            kill(sites[call], gate, call, when)
    runs = {call: site.start(command, "staging", "--yes") for call, site in sites.items()}
    for call, running in runs.items():
        result = running.result()
        assert result.code == 0, f"killed {when} {call}, then {command}:\n{result}"
    return sites


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_deploy_after_a_kill_makes_the_rest(new_site: Callable[[], Site], url: str, when: str) -> None:
    for call, site in after_kills(new_site, url, "deploy", when).items():
        assert site.world.counts() == COMPLETE, f"killed {when} {call}"
        site.finds_nothing()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_destroy_after_a_kill_leaves_nothing(new_site: Callable[[], Site], url: str, when: str) -> None:
    for call, site in after_kills(new_site, url, "destroy", when).items():
        assert site.world.remains() == {}, f"killed {when} {call}"


@pytest.mark.parametrize("call", ["ec2:DeleteSecurityGroup", "elasticache:DeleteReplicationGroup", "ecs:DeleteService"])
def test_a_destroy_after_a_killed_destroy_leaves_nothing(site: Site, gate: Gate, call: str) -> None:
    site.deploy()
    stop = gate.hold_after(call)
    running = site.start("destroy", "staging", "--yes", url=gate.url)
    stop.wait()
    running.kill()
    gate.open_all()
    site.run("unlock", "staging", site.lock_id()).ended()
    site.destroy()
    assert site.world.remains() == {}


@pytest.mark.parametrize("call", CREATES)
def test_a_lost_answer_makes_nothing_twice(site: Site, gate: Gate, call: str) -> None:
    lost = gate.lose(call)
    site.run("deploy", "staging", "--yes", url=gate.url).ended()
    assert lost.reached.is_set()
    assert site.world.counts() == COMPLETE
    site.finds_nothing()


def test_the_lease_of_a_dead_holder_is_followed(new_site: Callable[[], Site], gate: Gate) -> None:
    site = new_site()
    stop = gate.hold_after("elasticache:CreateReplicationGroup")
    running = site.start("deploy", "staging", "--yes", url=gate.url)
    stop.wait()
    running.kill()
    gate.open_all()
    result = site.deploy()
    assert "locked by tester@test-host" in result.err, result
    assert site.world.counts() == COMPLETE
    site.finds_nothing()
