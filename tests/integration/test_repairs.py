"""Repair of broken routing by a deploy and by a rollback.

Routing is broken if a listener, rule or port leads to no task of the service. Older versions of pb-deploy could
leave routing in this condition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from configuration import Table, image, merged
from harness import TestWorkspace, until
from prober import address, ask
from test_rollouts import revision, service

pytestmark = [pytest.mark.needs("data-plane"), pytest.mark.unserved("requests fail until the routing is repaired")]
#: Options with a short wait, because a rollout behind broken routing never ends.
SHORT_WAIT = ["--wait-timeout", "20"]


@dataclass(frozen=True)
class Misrouting:
    """A change that breaks the routing to a service."""

    apply: Callable[[TestWorkspace], None]
    service: str
    failure: str
    #: Actions of the deploy that repairs the routing, by address.
    repaired: dict[str, str]


def image_changes(tag: str) -> Table:
    """Returns a configuration in which both web services run this image."""
    api = {"kind": "web", "hosts": ["api"], "port": 8080}
    return {"services": {"flask": image_settings(tag), "api": {**api, **image_settings(tag)}}}


def image_settings(tag: str) -> Table:
    """Returns the settings that both services share."""
    return {"image": image(tag), "breaker_threshold": 1}


@pytest.fixture(scope="module")
def shared_workspace(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a staging workspace with two web services: the default service, and a service with a listener rule."""
    workspace = new_workspace()
    workspace.initial_config = merged(workspace.initial_config, image_changes("good"))
    return workspace


@pytest.fixture
def web_services(shared_workspace: TestWorkspace) -> TestWorkspace:
    """Deploys the shared workspace again, so that each test begins with the same resources."""
    shared_workspace.reset()
    return shared_workspace


def create_empty_group(workspace: TestWorkspace) -> str:
    """Creates a target group without targets. Returns its ARN."""
    (vpc,) = workspace.inventory.vpcs()
    created = workspace.aws.elbv2.create_target_group(
        Name="empty", Protocol="HTTP", Port=8000, VpcId=vpc, TargetType="ip"
    )
    return str(created["TargetGroups"][0]["TargetGroupArn"])


def misroute_listener(workspace: TestWorkspace) -> None:
    """Makes the listener send requests to a target group without targets."""
    (listener,) = workspace.inventory.listeners()
    action = {"Type": "forward", "TargetGroupArn": create_empty_group(workspace)}
    workspace.aws.elbv2.modify_listener(ListenerArn=listener, DefaultActions=[action])


def misroute_rule(workspace: TestWorkspace) -> None:
    """Makes the second service's listener rule send requests to a target group without targets."""
    (listener,) = workspace.inventory.listeners()
    rules = workspace.aws.elbv2.describe_rules(ListenerArn=listener)["Rules"]
    (rule,) = [rule["RuleArn"] for rule in rules if not rule["IsDefault"]]
    action = {"Type": "forward", "TargetGroupArn": create_empty_group(workspace)}
    workspace.aws.elbv2.modify_rule(RuleArn=rule, Actions=[action])


def open_wrong_port(workspace: TestWorkspace) -> None:
    """Changes the port in the first service's managed security group rules."""
    ec2 = workspace.aws.ec2
    for rule in [rule for rule in workspace.inventory.rules().values() if rule["FromPort"] == 5050]:
        direction = "egress" if rule["IsEgress"] else "ingress"
        peer = {"GroupId": rule["ReferencedGroupInfo"]["GroupId"]}
        permission = {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "UserIdGroupPairs": [peer]}
        tags = {"ResourceType": "security-group-rule", "Tags": rule["Tags"]}
        ids = [rule["SecurityGroupRuleId"]]
        getattr(ec2, f"revoke_security_group_{direction}")(GroupId=rule["GroupId"], SecurityGroupRuleIds=ids)
        getattr(ec2, f"authorize_security_group_{direction}")(
            GroupId=rule["GroupId"], IpPermissions=[permission], TagSpecifications=[tags]
        )


MISROUTINGS = {
    "listener": Misrouting(misroute_listener, "flask", "503", {"edge/listener": "update"}),
    "rule": Misrouting(misroute_rule, "api", "503", {"edge/api_rule": "update"}),
    "ports": Misrouting(
        open_wrong_port,
        "flask",
        "504",
        {"net/lb_out_flask": "create_first", "net/flask_in_lb": "create_first"},
    ),
}
each_misrouting = pytest.mark.parametrize(
    "misrouting", [pytest.param(misrouting, id=name) for name, misrouting in MISROUTINGS.items()]
)


def break_routing(workspace: TestWorkspace, misrouting: Misrouting) -> None:
    """Breaks the routing to a service, checks that requests fail, and waits until the service has no healthy target."""
    misrouting.apply(workspace)
    assert probe(workspace, misrouting.service).startswith(misrouting.failure), probe(workspace, misrouting.service)
    until(lambda: "healthy" not in target_states(workspace, misrouting.service))


def target_states(workspace: TestWorkspace, key: str) -> set[str]:
    """Returns the states of a service's targets."""
    group = service(workspace, key)["loadBalancers"][0]["targetGroupArn"]
    targets = workspace.aws.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {target["TargetHealth"]["State"] for target in targets}


def probe(workspace: TestWorkspace, key: str) -> str:
    """Returns the revision that answers requests to a service, or the failure of the request."""
    host = f"staging.{workspace.config['hostname']}"
    return "".join(ask(address(workspace), host if key == "flask" else f"{key}.{host}", "/"))


def assert_served(workspace: TestWorkspace) -> None:
    """Asserts that each service's revision in use answers the requests to that service."""
    for key in ("flask", "api"):
        assert probe(workspace, key) == revision(workspace, key), key


@each_misrouting
def test_deploy_repairs_broken_routing(web_services: TestWorkspace, misrouting: Misrouting) -> None:
    break_routing(web_services, misrouting)
    waited = web_services.run("wait", "staging", "--wait-timeout", "2").expect_exit(1)
    assert "no target is healthy" in waited.err, waited
    plan = web_services.plan()
    assert plan.changes == misrouting.repaired
    assert {plan.origin(address) for address in misrouting.repaired} == {"drift"}
    web_services.deploy()
    assert_served(web_services)
    web_services.assert_no_changes()


@each_misrouting
def test_deploy_of_new_image_repairs_routing_first(web_services: TestWorkspace, misrouting: Misrouting) -> None:
    break_routing(web_services, misrouting)
    web_services.configure(image_changes("next"))
    web_services.run("deploy", "staging", "--yes", *SHORT_WAIT).expect_exit()
    assert_served(web_services)
    web_services.assert_no_changes()


@each_misrouting
def test_rollback_after_failed_rollout_repairs_routing(web_services: TestWorkspace, misrouting: Misrouting) -> None:
    expected = revision(web_services, misrouting.service)
    web_services.configure(image_changes("fail"))
    web_services.deploy(code=1)
    break_routing(web_services, misrouting)
    # ECS has already rolled back, so there is no service left to roll back.
    web_services.run("rollback", "staging", "--yes", *SHORT_WAIT).expect_exit()
    assert revision(web_services, misrouting.service) == expected
    assert_served(web_services)
    web_services.restore()


@each_misrouting
def test_rollback_to_previous_revision_repairs_routing(web_services: TestWorkspace, misrouting: Misrouting) -> None:
    expected = revision(web_services, misrouting.service)
    web_services.configure(image_changes("next"))
    web_services.deploy()
    break_routing(web_services, misrouting)
    web_services.run("rollback", "staging", "--yes", *SHORT_WAIT).expect_exit()
    assert revision(web_services, misrouting.service) == expected
    assert_served(web_services)
    web_services.restore()


def test_rollback_with_correct_routing_changes_nothing(web_services: TestWorkspace) -> None:
    web_services.configure(image_changes("fail"))
    web_services.deploy(code=1)
    since = web_services.mark()
    result = web_services.run("rollback", "staging", "--yes").expect_exit()
    assert "Nothing to do." in result.err and web_services.mutations(since) == [], result
    assert_served(web_services)
    web_services.restore()
