"""Rollbacks over a change of the port: the way from the load balancer to the tasks goes back with them."""

from __future__ import annotations

import pytest
from configuration import image
from harness import Site
from prober import Prober
from test_rollouts import flask, revision
from test_served import rules

pytestmark = pytest.mark.needs("data-plane")


def web_ports(site: Site) -> set[int]:
    """The ports that the load balancer may open connections to."""
    return {port for _, is_egress, port in rules(site) if is_egress} & {5050, 8000, 9000, 9001}


def test_rollback_over_a_port_change_is_served_throughout(staging: Site) -> None:
    flask(staging, image=image("first"), port=5050)
    staging.deploy()
    first = revision(staging)
    flask(staging, image=image("second"), port=8000)
    staging.deploy()
    assert web_ports(staging) == {8000}
    with Prober(staging) as prober:
        result = staging.run("rollback", "staging", "--yes").ended()
    assert prober.served()[-1] == revision(staging) == first
    assert "net/lb_out_flask: port 8000 -> 5050" in result.err, result
    assert web_ports(staging) == {5050}, "the port of the undone release is closed again"
    plan = staging.plan()
    assert plan.origin("net/lb_out_flask") == plan.origin("fargate/flask") == "configuration", plan
    staging.deploy()
    assert web_ports(staging) == {8000}
    staging.finds_nothing()


def test_rollback_of_one_service_opens_its_port_alone(site: Site) -> None:
    host = f"api.{site.config['hostname']}"
    api = {"kind": "web", "image": image("one"), "port": 9000, "hosts": [host]}
    site.configure({"services": {"api": api}})
    site.deploy()
    first = revision(site, "api")
    site.configure({"services": {"api": {"image": image("two"), "port": 9001}}})
    site.deploy()
    with Prober(site) as main, Prober(site, host) as prober:
        site.run("rollback", "staging", first.removeprefix("staging-"), "--yes").ended()
    assert prober.served()[-1] == revision(site, "api") == first
    assert main.served() == [revision(site)], "the other service is left alone"
    assert web_ports(site) == {5050, 9000}
    site.deploy()
    assert web_ports(site) == {5050, 9001}
    site.finds_nothing()


def test_failed_rollback_over_a_port_change_leaves_the_present_port(staging: Site) -> None:
    flask(staging, image=image("fail"), port=5050, breaker_threshold=1)
    staging.run("deploy", "staging", "--yes").ended(1)
    revisions = staging.aws.ecs.list_task_definitions(familyPrefix="staging-flask", sort="DESC")
    broken = revisions["taskDefinitionArns"][0].rsplit("/", 1)[-1]
    flask(staging, image=image("sound"), port=8000)
    staging.deploy()
    with Prober(staging) as prober:
        staging.run("rollback", "staging", broken.removeprefix("staging-"), "--yes").ended(1)
    assert prober.served() == [revision(staging)]
    assert web_ports(staging) == {8000}
    staging.mend()
