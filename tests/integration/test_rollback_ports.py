"""Rollbacks across a port change: the security group rules for the port are rolled back with the service."""

from __future__ import annotations

import pytest
from configuration import image
from harness import TestWorkspace
from prober import Prober
from test_rollouts import configure_flask, revision
from test_served import security_group_rules

pytestmark = pytest.mark.needs("data-plane")


def web_ports(workspace: TestWorkspace) -> set[int]:
    """Returns the ports to which the load balancer may open connections."""
    return {port for _, is_egress, port in security_group_rules(workspace) if is_egress} & {5050, 8000, 9000, 9001}


def test_rollback_across_port_change_fails_no_request(staging: TestWorkspace) -> None:
    configure_flask(staging, image=image("first"), port=5050)
    staging.deploy()
    first = revision(staging)
    configure_flask(staging, image=image("second"), port=8000)
    staging.deploy()
    assert web_ports(staging) == {8000}
    with Prober(staging) as prober:
        result = staging.run("rollback", "staging", "--yes").expect_exit()
    assert prober.served()[-1] == revision(staging) == first
    assert "net/lb_out_flask: port 8000 -> 5050" in result.err, result
    assert web_ports(staging) == {5050}, "the port of the rolled-back release is closed"
    plan = staging.plan()
    assert plan.origin("net/lb_out_flask") == plan.origin("fargate/flask") == "configuration", plan
    staging.deploy()
    assert web_ports(staging) == {8000}
    staging.assert_no_changes()


def test_rollback_of_one_service_opens_only_its_port(workspace: TestWorkspace) -> None:
    host = f"api.{workspace.config['hostname']}"
    api = {"kind": "web", "image": image("one"), "port": 9000, "hosts": [host]}
    workspace.configure({"services": {"api": api}})
    workspace.deploy()
    first = revision(workspace, "api")
    workspace.configure({"services": {"api": {"image": image("two"), "port": 9001}}})
    workspace.deploy()
    with Prober(workspace) as main, Prober(workspace, host) as prober:
        workspace.run("rollback", "staging", first.removeprefix("staging-"), "--yes").expect_exit()
    assert prober.served()[-1] == revision(workspace, "api") == first
    assert main.served() == [revision(workspace)], "the other service is unchanged"
    assert web_ports(workspace) == {5050, 9000}
    workspace.deploy()
    assert web_ports(workspace) == {5050, 9001}
    workspace.assert_no_changes()


def test_failed_rollback_across_port_change_keeps_current_port(staging: TestWorkspace) -> None:
    configure_flask(staging, image=image("fail"), port=5050, breaker_threshold=1)
    staging.run("deploy", "staging", "--yes").expect_exit(1)
    revisions = staging.aws.ecs.list_task_definitions(familyPrefix="staging-flask", sort="DESC")
    broken = revisions["taskDefinitionArns"][0].rsplit("/", 1)[-1]
    configure_flask(staging, image=image("sound"), port=8000)
    staging.deploy()
    with Prober(staging) as prober:
        staging.run("rollback", "staging", broken.removeprefix("staging-"), "--yes").expect_exit(1)
    assert prober.served() == [revision(staging)]
    assert web_ports(staging) == {8000}
    staging.restore()
