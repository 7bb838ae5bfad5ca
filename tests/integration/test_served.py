"""Releases without downtime: a request every 20 ms succeeds during each change and after each interrupted run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace
from prober import Prober, address, ask
from test_killed import kill
from test_rollouts import configure_flask, revision

pytestmark = [pytest.mark.needs("data-plane"), pytest.mark.unserved("these tests send requests themselves")]
#: Health checks that detect an unhealthy target as early as AWS allows: after 2 failed checks, 5 s apart.
FAST = {"health_interval": 5, "health_timeout": 2, "unhealthy_threshold": 2}


def deploy_while_probed(
    workspace: TestWorkspace, code: int = 0, path: str = "/", **changes: Any
) -> tuple[list[str], str, str]:
    """Deploys a changed web service while requests are sent.

    Returns the revisions that answered during the deploy, and the revisions in use before and after it.
    """
    before = revision(workspace)
    with Prober(workspace, path=path) as prober:
        configure_flask(workspace, **changes)
        workspace.run("deploy", "staging", "--yes").expect_exit(code)
    return prober.served(), before, revision(workspace)


def security_group_rules(workspace: TestWorkspace) -> set[tuple[str, bool, int]]:
    """Returns the group id, the direction (True for egress) and the first port of each security group rule."""
    described = workspace.aws.ec2.describe_security_group_rules()["SecurityGroupRules"]
    return {(rule["GroupId"], rule["IsEgress"], rule.get("FromPort", -1)) for rule in described}


def health_check(workspace: TestWorkspace) -> tuple[str, str]:
    """Returns the first web service's health check path, and the status codes that count as healthy."""
    groups = workspace.aws.elbv2.describe_target_groups()["TargetGroups"]
    group = next(one for one in groups if one["TargetGroupName"].startswith("staging-flask"))
    return str(group["HealthCheckPath"]), str(group["Matcher"]["HttpCode"])


def configure_checks(workspace: TestWorkspace, **changes: str) -> None:
    """Changes the health check settings, with short intervals."""
    workspace.configure({"load_balancer": {**FAST, **changes}})


def deploy_and_configure_checks(workspace: TestWorkspace, path: str) -> None:
    """Deploys an image that answers only at the default health check path, then configures another path."""
    workspace.configure({"load_balancer": FAST})
    configure_flask(workspace, image=image("v1.only-hello"))
    workspace.deploy()
    configure_checks(workspace, health_path=path)


def test_image_change_is_served_by_old_then_new_revision(staging: TestWorkspace) -> None:
    seen, before, after = deploy_while_probed(staging, image=image("second"))
    assert seen[0] == before and seen[-1] == after != before
    staging.assert_no_changes()


def test_port_change_fails_no_request(staging: TestWorkspace) -> None:
    ports = {rule[2] for rule in security_group_rules(staging)}
    seen, before, after = deploy_while_probed(staging, image=image("third"), port=8000)
    assert seen[0] == before and seen[-1] == after != before
    assert {rule[2] for rule in security_group_rules(staging)} == ports - {5050} | {8000}, "the old port is closed"
    staging.assert_no_changes()


def test_port_exchange_fails_no_request(workspace: TestWorkspace) -> None:
    host = f"api.{workspace.config['hostname']}"
    api = {"kind": "web", "image": image("api"), "port": 8080, "hosts": [host]}
    workspace.configure({"services": {"api": api}})
    workspace.deploy()
    rules_before = security_group_rules(workspace)
    with Prober(workspace) as main, Prober(workspace, host) as prober:
        workspace.configure({"services": {"flask": {"port": 8080}, "api": {"port": 5050}}})
        workspace.deploy()
    assert (len(main.served()), len(prober.served())) == (2, 2)
    assert security_group_rules(workspace) == rules_before
    workspace.assert_no_changes()


def test_port_change_is_waited_for_despite_no_wait(staging: TestWorkspace) -> None:
    before = revision(staging)
    with Prober(staging) as prober:
        configure_flask(staging, image=image("unwatched"), port=8000)
        staging.run("deploy", "staging", "--yes", "--no-wait").expect_exit()
    assert prober.served()[-1] == revision(staging) != before
    assert {rule[2] for rule in security_group_rules(staging)} & {5050, 8000} == {8000}
    staging.restore()


@pytest.mark.parametrize("tag", ["fail", "unhealthy"])
def test_failing_image_fails_no_request(staging: TestWorkspace, tag: str) -> None:
    seen, before, after = deploy_while_probed(staging, code=1, image=image(tag))
    assert seen == [before] and after == before
    staging.restore()


@pytest.mark.parametrize("tag", ["fail", "unhealthy"])
def test_failing_image_on_another_port_restores_the_rules(staging: TestWorkspace, tag: str) -> None:
    rules_before = security_group_rules(staging)
    seen, before, after = deploy_while_probed(staging, code=1, image=image(tag), port=8001)
    assert seen == [before] and after == before
    assert security_group_rules(staging) == rules_before, "the old port stays open, and the new one is closed"
    staging.restore()
    assert security_group_rules(staging) == rules_before


def test_health_path_change_is_applied_after_the_new_image(workspace: TestWorkspace) -> None:
    workspace.deploy()
    configure_checks(workspace, health_path="/health")
    seen, before, after = deploy_while_probed(workspace, image=image("knows-health"))
    assert seen[0] == before and seen[-1] == after and health_check(workspace)[0] == "/health"
    workspace.assert_no_changes()


def test_health_path_of_new_image_is_not_checked_on_the_old(workspace: TestWorkspace) -> None:
    deploy_and_configure_checks(workspace, "/ready")
    seen, before, after = deploy_while_probed(workspace, path="/hello", image=image("v2.only-hello_ready"))
    assert seen[0] == before and seen[-1] == after and health_check(workspace)[0] == "/ready"
    workspace.assert_no_changes()


def test_health_path_that_no_task_answers_is_reverted(workspace: TestWorkspace) -> None:
    deploy_and_configure_checks(workspace, "/nowhere")
    before = revision(workspace)
    with Prober(workspace, path="/hello") as prober:
        result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert prober.served() == [before] and health_check(workspace)[0] == "/hello"
    assert "no target of staging-flask-5050 passes the new health check" in result.err, result
    assert "tasks must answer GET /nowhere with 200" in result.err, result


def test_health_matcher_change_fails_no_request(workspace: TestWorkspace) -> None:
    workspace.deploy()
    before = revision(workspace)
    with Prober(workspace) as prober:
        configure_checks(workspace, health_matcher="200-299")
        workspace.deploy()
    assert prober.served() == [before] and health_check(workspace)[1] == "200-299"
    workspace.assert_no_changes()


def test_health_matcher_change_with_new_image_fails_no_request(workspace: TestWorkspace) -> None:
    workspace.deploy()
    configure_checks(workspace, health_matcher="200,202")
    seen, before, after = deploy_while_probed(workspace, image=image("next"))
    assert seen[0] == before and seen[-1] == after != before and health_check(workspace)[1] == "200,202"
    workspace.assert_no_changes()


def test_health_matcher_that_no_task_meets_is_reverted(workspace: TestWorkspace) -> None:
    workspace.deploy()
    before = revision(workspace)
    with Prober(workspace) as prober:
        configure_checks(workspace, health_matcher="204")
        result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert set(prober.served()) == {before} and health_check(workspace)[1] == "200"
    assert "tasks must answer GET /hello with 204" in result.err, result


def test_host_addition_and_removal_fail_no_request(staging: TestWorkspace) -> None:
    host, other = f"api.{staging.config['hostname']}", {"kind": "web", "image": image("api"), "port": 8080}
    with Prober(staging) as main, Prober(staging, host) as prober:
        staging.configure({"services": {"api": {**other, "hosts": [host]}}})
        staging.deploy()
        assert ask(prober.where, host, "/")[0].startswith("staging-api:"), "the service answers for its host"
        staging.configure({"services": {"api": {"hosts": [host, f"v2.{host}"]}}})
        staging.deploy()
        staging.configure({"services": {"api": None}})
        staging.deploy()
    # Once the host has no listener rule, the first web service answers its requests.
    assert prober.services() == ["flask", "api", "flask"]
    assert main.services() == ["flask"]
    staging.assert_no_changes()


def test_service_that_fails_to_start_receives_no_requests(staging: TestWorkspace) -> None:
    host = f"api.{staging.config['hostname']}"
    api = {"kind": "web", "image": image("fail"), "port": 8080, "hosts": [host], "breaker_threshold": 1}
    with Prober(staging, host) as prober:
        staging.configure({"services": {"api": api}})
        staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert prober.services() == ["flask"]
    staging.configure({"services": {"api": {"image": image("good")}}})
    staging.deploy()
    assert ask(address(staging), host, "/")[0].startswith("staging-api:")
    staging.configure({"services": {"api": None}})
    staging.restore()


def test_load_balancer_subnet_change_fails_no_request(staging: TestWorkspace) -> None:
    (old,) = staging.inventory.balancers().values()
    with Prober(staging) as prober:
        staging.configure({"network": {"balancer_subnet": "10.0.3.0/24"}})
        staging.deploy()
    prober.served()
    (new,) = staging.inventory.balancers().values()
    subnets = {subnet["CidrBlock"]: key for key, subnet in staging.inventory.subnets().items()}
    assert set(subnets) == {"10.0.1.0/24", "10.0.3.0/24"}
    assert {zone["SubnetId"] for zone in new["AvailabilityZones"]} == set(subnets.values())
    assert new["LoadBalancerArn"] == old["LoadBalancerArn"], "a load balancer's subnets can be updated in place"
    staging.assert_no_changes()


def port_change_calls(new_workspace: Callable[[], TestWorkspace]) -> list[str]:
    """Returns the mutating calls of a port change, in order, without those for the state and the lease."""
    workspace = new_workspace()
    workspace.deploy()
    since = workspace.mark()
    configure_flask(workspace, image=image("next"), port=8000)
    workspace.deploy()
    return [call for call in workspace.mutations(since) if not call.startswith(("s3:", "dynamodb:"))]


@pytest.mark.parametrize("when", ["before", "after"])
def test_port_change_killed_at_any_write_fails_no_request(
    new_workspace: Callable[[], TestWorkspace], url: str, when: str
) -> None:
    calls = port_change_calls(new_workspace)
    assert {"ecs:UpdateService", "ec2:RevokeSecurityGroupIngress"} <= set(calls), calls
    workspace = new_workspace()
    workspace.deploy()
    for number, call in enumerate(sorted(set(calls))):
        with FaultProxy(url) as proxy, Prober(workspace) as prober:
            configure_flask(workspace, image=image(f"next-{number}"), port=8000 + number)
            kill(workspace, proxy, call, when)
            workspace.run("deploy", "staging", "--yes").expect_exit()
        assert prober.served()[-1] == revision(workspace), call
        workspace.assert_no_changes()
