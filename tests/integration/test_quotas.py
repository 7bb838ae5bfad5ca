"""Preflight checks of service quotas: a plan that would exceed a quota is refused, and nothing is changed.

A port change creates security group rules before it deletes the old ones. An additional web service
needs a target group and a listener rule.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from configuration import Table, image
from endpoint import control
from fault_proxy import FaultProxy
from harness import TestWorkspace
from test_blockers import id_of
from test_changed_plans import held_before_lock

pytestmark = pytest.mark.needs("quotas")

GROUP_RULES, TARGET_GROUPS = "L-0EA8095F", "L-B22855CB"
BALANCER_RULES, BALANCER_TARGETS = "L-7EED9B64", "L-822D1B1B"
PORT: Table = {"services": {"flask": {"port": 8000}}}
#: Second web service. It uses the same port as the first one, so it needs no security group rules of its own.
API: Table = {"services": {"api": {"kind": "web", "image": image("api"), "paths": ["/api/*"]}}}
FULL = "has 60 of 60 inbound rules, and would have 61 before this plan deletes any"


def set_preconditions(workspace: TestWorkspace, **preconditions: Any) -> None:
    """Sets preconditions of the workspace's account through the emulator's control endpoint."""
    control(
        workspace.url,
        "preconditions",
        {"account": workspace.account, "region": workspace.config["region"], **preconditions},
    )


def set_quota(workspace: TestWorkspace, code: str, value: int) -> None:
    """Sets the applied value of a quota in the account."""
    set_preconditions(workspace, quotas={code: value})


def fill_group(workspace: TestWorkspace, address: str, is_outbound: bool = False, count: int = 59) -> str:
    """Adds unmanaged rules to a managed security group, which has one managed rule. Returns the id of the group."""
    group = id_of(workspace, address)
    blocks = {"IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    rules = [{"IpProtocol": "udp", "FromPort": p, "ToPort": p, **blocks} for p in range(9000, 9000 + count)]
    authorize = (
        workspace.aws.ec2.authorize_security_group_egress
        if is_outbound
        else workspace.aws.ec2.authorize_security_group_ingress
    )
    authorize(GroupId=group, IpPermissions=rules)
    return group


def deploy_ignoring_unmanaged_rules(workspace: TestWorkspace, address: str = "net/flask_group") -> None:
    """Deploys a stack that ignores unmanaged rules in a security group, then configures another port."""
    workspace.configure({"ignore_changes": [f"{address}.unmanaged_rules"]})
    workspace.deploy()
    workspace.configure(PORT)


def assert_refused(workspace: TestWorkspace, *words: str) -> None:
    """Asserts that `plan` and `deploy` are refused with a message that contains these words, and change nothing."""
    since = workspace.mark()
    for command in (["plan", "staging"], ["deploy", "staging", "--yes"]):
        result = workspace.run(*command).expect_exit(1)
        assert workspace.mutations(since) == [], result
        assert [word for word in words if word not in result.err] == [], result


def assert_deploys(workspace: TestWorkspace) -> None:
    """Asserts that a deploy succeeds and that the next plan has no changes."""
    workspace.deploy()
    workspace.assert_no_changes()


@pytest.mark.parametrize(("address", "is_outbound"), [("net/flask_group", False), ("net/lb_group", True)])
def test_port_change_with_full_security_group_is_refused(
    workspace: TestWorkspace, address: str, is_outbound: bool
) -> None:
    deploy_ignoring_unmanaged_rules(workspace, address)
    group, direction = fill_group(workspace, address, is_outbound), "outbound" if is_outbound else "inbound"
    name, rule = (
        ("staging-lb-public", "net/lb_out_flask") if is_outbound else ("staging-ecs-flask-sg", "net/flask_in_lb")
    )
    assert_refused(
        workspace, rule, f"security group {name} ({group}) has 60 of 60 {direction} rules, and would have 61",
        f"quota {GROUP_RULES}, Inbound or outbound rules per security group",
        f"--service-code vpc --quota-code {GROUP_RULES} --desired-value 61",
    )  # fmt: skip
    set_quota(workspace, GROUP_RULES, 61)
    assert_deploys(workspace)


def test_port_change_within_quota_makes_no_extra_calls(staging: TestWorkspace) -> None:
    counts = []
    for change in ({}, PORT):
        staging.configure(change)
        since = staging.mark()
        assert bool(staging.plan().changes) == bool(change)
        calls = Counter(staging.calls(since))
        counts.append([calls["ec2:DescribeSecurityGroupRules"], calls["elasticloadbalancing:DescribeTargetGroups"]])
        assert calls["servicequotas:GetServiceQuota"] == 0
    assert counts[0] == counts[1]
    staging.mark_unchanged()


def test_rules_revoked_by_the_deploy_do_not_count(workspace: TestWorkspace) -> None:
    workspace.deploy()
    fill_group(workspace, "net/flask_group")
    workspace.configure(PORT)
    assert_deploys(workspace)


def test_quota_without_read_permission_is_the_default(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    deploy_ignoring_unmanaged_rules(workspace)
    fill_group(workspace, "net/flask_group")
    set_quota(workspace, GROUP_RULES, 100)
    denied = b'{"__type": "AccessDeniedException", "message": "not allowed"}'
    proxy.refuse("servicequotas:GetServiceQuota", 400, denied)
    result = workspace.run("plan", "staging", url=proxy.url).expect_exit(1)
    note = "the default; the value of this account is unknown: servicequotas:GetServiceQuota: AccessDeniedException"
    assert f"60 of 60 ({note}" in result.err, result
    workspace.run("plan", "staging").expect_exit()


def test_security_group_filled_before_the_lock_is_refused(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    deploy_ignoring_unmanaged_rules(workspace)
    since = workspace.mark()
    with held_before_lock(workspace, proxy, "deploy", "staging", "--yes") as running:
        fill_group(workspace, "net/flask_group")
    result = running.result().expect_exit(1)
    assert FULL in result.err and workspace.writes(since) == [], result
    assert workspace.run("status", "staging", "--json").expect_exit().json()["lock"] is None


def test_web_service_beyond_target_group_quota_is_refused(workspace: TestWorkspace) -> None:
    workspace.deploy()
    set_preconditions(workspace, target_groups=2999)
    workspace.configure(API)
    assert_refused(
        workspace, "edge/api_targets", "this region has 3000 of 3000 target groups, and would have 3001",
        f"--service-code elasticloadbalancing --quota-code {TARGET_GROUPS} --desired-value 3001",
    )  # fmt: skip
    set_quota(workspace, TARGET_GROUPS, 3001)
    assert_deploys(workspace)


def add_rules(workspace: TestWorkspace, groups: list[str]) -> list[str]:
    """Adds an unmanaged rule for each of these target groups to the managed listener. Returns the ARNs of the rules."""
    elb, listener = workspace.aws.elbv2, next(iter(workspace.inventory.listeners()))
    return [
        elb.create_rule(
            ListenerArn=listener, Priority=priority, Actions=[{"Type": "forward", "TargetGroupArn": group}],
            Conditions=[{"Field": "path-pattern", "Values": [f"/theirs/{priority}"]}],
        )["Rules"][0]["RuleArn"]
        for priority, group in enumerate(groups, 1)
    ]  # fmt: skip


def test_web_service_beyond_listener_rule_quota_is_refused(workspace: TestWorkspace) -> None:
    workspace.deploy()
    (existing,) = workspace.inventory.target_groups().values()
    add_rules(workspace, [existing["TargetGroupArn"]] * 100)
    workspace.configure(API)
    assert_refused(
        workspace, "edge/api_rule", "load balancer staging-public has 100 of 100 listener rules, and would have 101",
        f"--service-code elasticloadbalancing --quota-code {BALANCER_RULES} --desired-value 101",
    )  # fmt: skip
    set_quota(workspace, BALANCER_RULES, 101)
    assert_deploys(workspace)


def test_web_service_beyond_load_balancer_quota_is_refused(workspace: TestWorkspace) -> None:
    workspace.deploy()
    elb, vpc = workspace.aws.elbv2, id_of(workspace, "net/vpc")
    settings = {"Protocol": "HTTP", "Port": 80, "VpcId": vpc}
    groups = [elb.create_target_group(Name=f"other-{number}", **settings)["TargetGroups"] for number in range(99)]
    rules = add_rules(workspace, [group["TargetGroupArn"] for (group,) in groups])
    workspace.configure(API)
    assert_refused(
        workspace, "edge/api_rule", "load balancer staging-public has 100 of 100 target groups, and would have 101",
        f"quota {BALANCER_TARGETS}, Target Groups per Application Load Balancer", "AWS does not increase this quota",
    )  # fmt: skip
    elb.delete_rule(RuleArn=rules[0])
    assert_deploys(workspace)
