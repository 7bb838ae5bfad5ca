"""An address that leads nowhere, as releases before this one could leave it, is repaired by a deploy and by a rollback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from configuration import Table, image, merged
from harness import TestWorkspace, until
from prober import address, ask
from test_rollouts import revision, service

pytestmark = [pytest.mark.needs("data-plane"), pytest.mark.unserved("nobody is served until the address is repaired")]
#: A rollout behind an address that leads nowhere never ends.
BRIEFLY = ["--wait-timeout", "20"]


@dataclass(frozen=True)
class Damage:
    """A way in which the address of a service leads nowhere."""

    do: Callable[[TestWorkspace], None]
    service: str
    answer: str
    #: The resources that a deploy repairs, and how.
    repaired: dict[str, str]


def running(tag: str) -> Table:
    """A configuration in which both web services run an image."""
    api = {"kind": "web", "hosts": ["api"], "port": 8080}
    return {"services": {"flask": each(tag), "api": {**api, **each(tag)}}}


def each(tag: str) -> Table:
    """What both services have."""
    return {"image": image(tag), "breaker_threshold": 1}


@pytest.fixture(scope="module")
def shared(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """A staging with two web services: the first one gets what no rule takes, the other one has a rule."""
    workspace = new_workspace()
    workspace.first = merged(workspace.first, running("good"))
    return workspace


@pytest.fixture
def both(shared: TestWorkspace) -> TestWorkspace:
    """The same, deployed: each test begins so, whatever the one before has left."""
    shared.reset()
    return shared


def empty_group(workspace: TestWorkspace) -> str:
    """Makes a target group without targets; returns its ARN."""
    (vpc,) = workspace.inventory.vpcs()
    made = workspace.aws.elbv2.create_target_group(Name="empty", Protocol="HTTP", Port=8000, VpcId=vpc, TargetType="ip")
    return str(made["TargetGroups"][0]["TargetGroupArn"])


def mislead_listener(workspace: TestWorkspace) -> None:
    """Has the listener send requests to a group without targets."""
    (listener,) = workspace.inventory.listeners()
    nowhere = {"Type": "forward", "TargetGroupArn": empty_group(workspace)}
    workspace.aws.elbv2.modify_listener(ListenerArn=listener, DefaultActions=[nowhere])


def mislead_rule(workspace: TestWorkspace) -> None:
    """Has the rule of the other service do so."""
    (listener,) = workspace.inventory.listeners()
    rules = workspace.aws.elbv2.describe_rules(ListenerArn=listener)["Rules"]
    (rule,) = [rule["RuleArn"] for rule in rules if not rule["IsDefault"]]
    nowhere = {"Type": "forward", "TargetGroupArn": empty_group(workspace)}
    workspace.aws.elbv2.modify_rule(RuleArn=rule, Actions=[nowhere])


def let_another_port_through(workspace: TestWorkspace) -> None:
    """Has the security groups let another port through to the first service, in rules that are ours."""
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


DAMAGES = {
    "listener": Damage(mislead_listener, "flask", "503", {"edge/listener": "update"}),
    "rule": Damage(mislead_rule, "api", "503", {"edge/api_rule": "update"}),
    "ports": Damage(
        let_another_port_through,
        "flask",
        "504",
        {"net/lb_out_flask": "create_first", "net/flask_in_lb": "create_first"},
    ),
}
each_damage = pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage in DAMAGES.items()])


def lead_nowhere(workspace: TestWorkspace, damage: Damage) -> None:
    """Damages the address of a service, which does not answer then, and waits until its targets are not healthy."""
    damage.do(workspace)
    assert answer(workspace, damage.service).startswith(damage.answer), answer(workspace, damage.service)
    until(lambda: "healthy" not in states(workspace, damage.service))


def states(workspace: TestWorkspace, key: str) -> set[str]:
    """The states of the targets of a service."""
    group = service(workspace, key)["loadBalancers"][0]["targetGroupArn"]
    targets = workspace.aws.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {target["TargetHealth"]["State"] for target in targets}


def answer(workspace: TestWorkspace, key: str) -> str:
    """The revision that answers at the address of a service, or why none does."""
    host = f"staging.{workspace.config['hostname']}"
    return "".join(ask(address(workspace), host if key == "flask" else f"{key}.{host}", "/"))


def serves(workspace: TestWorkspace) -> None:
    """The addresses of both services lead to what they run."""
    for key in ("flask", "api"):
        assert answer(workspace, key) == revision(workspace, key), key


@each_damage
def test_deploy_repairs_an_address_that_leads_nowhere(both: TestWorkspace, damage: Damage) -> None:
    lead_nowhere(both, damage)
    waited = both.run("wait", "staging", "--wait-timeout", "2").expect_exit(1)
    assert "0 of 1 targets" in waited.err, waited
    plan = both.plan()
    assert plan.changes == damage.repaired
    assert {plan.origin(address) for address in damage.repaired} == {"drift"}
    both.deploy()
    serves(both)
    both.assert_no_changes()


@each_damage
def test_deploy_of_an_image_repairs_the_address_first(both: TestWorkspace, damage: Damage) -> None:
    lead_nowhere(both, damage)
    both.configure(running("next"))
    both.run("deploy", "staging", "--yes", *BRIEFLY).expect_exit()
    serves(both)
    both.assert_no_changes()


@each_damage
def test_rollback_repairs_an_address_that_leads_nowhere(both: TestWorkspace, damage: Damage) -> None:
    good = revision(both, damage.service)
    both.configure(running("fail"))
    both.deploy(code=1)
    lead_nowhere(both, damage)
    # ECS has gone back by itself, so no service has anything to go back to.
    both.run("rollback", "staging", "--yes", *BRIEFLY).expect_exit()
    assert revision(both, damage.service) == good
    serves(both)
    both.restore()


@each_damage
def test_rollback_to_what_ran_before_repairs_the_address(both: TestWorkspace, damage: Damage) -> None:
    good = revision(both, damage.service)
    both.configure(running("next"))
    both.deploy()
    lead_nowhere(both, damage)
    both.run("rollback", "staging", "--yes", *BRIEFLY).expect_exit()
    assert revision(both, damage.service) == good
    serves(both)
    both.restore()


def test_rollback_of_an_address_in_order_changes_nothing(both: TestWorkspace) -> None:
    both.configure(running("fail"))
    both.deploy(code=1)
    since = both.mark()
    result = both.run("rollback", "staging", "--yes").expect_exit()
    assert "Nothing to do." in result.err and both.mutations(since) == [], result
    serves(both)
    both.restore()
