"""Quotas that EC2 and ELBv2 enforce, and that Service Quotas returns."""

from __future__ import annotations

from typing import Any

from conftest import Aws, control

RULES, TARGETS = "L-0EA8095F", "L-B22855CB"
BALANCER_RULES, BALANCER_TARGETS = "L-7EED9B64", "L-822D1B1B"


def apply(aws: Aws, **quotas: int) -> None:
    """Sets quotas of the account by code; underscores in the names stand for hyphens."""
    values = {code.replace("_", "-"): value for code, value in quotas.items()}
    control(aws.url, "POST", "preconditions", {"quotas": values, "account": aws.account, "region": aws.region})


def rules(first: int, count: int, **peer: Any) -> dict[str, Any]:
    """Returns rules that differ in their ports, by default for an IPv4 block."""
    peer = peer or {"IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    ports = range(first, first + count)
    return {"IpPermissions": [{"IpProtocol": "tcp", "FromPort": p, "ToPort": p, **peer} for p in ports]}


IPV6: dict[str, Any] = {"Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}]}


def test_security_group_rules_count_by_direction_and_version(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    into, out = ec2.authorize_security_group_ingress, ec2.authorize_security_group_egress
    group, exceeded = {"GroupId": net.group}, "RulesPerSecurityGroupLimitExceeded"
    into(**group, **rules(1, 60))
    assert aws.code(into, **group, **rules(100, 1)) == exceeded
    # A new group already has a rule that allows all egress.
    out(**group, **rules(1, 59))
    assert aws.code(out, **group, **rules(100, 1)) == exceeded
    into(**group, **rules(1, 60, **IPV6))
    assert aws.code(into, **group, **rules(100, 1, **IPV6)) == exceeded


def test_rule_referencing_a_group_counts_for_both_versions(aws: Aws) -> None:
    net = aws.network()
    into, group = aws.ec2.authorize_security_group_ingress, {"GroupId": net.group}
    into(**group, **rules(1, 60, **IPV6))
    named = rules(100, 1, UserIdGroupPairs=[{"GroupId": net.add_group("other")}])
    assert aws.code(into, **group, **named) == "RulesPerSecurityGroupLimitExceeded"
    aws.ec2.revoke_security_group_ingress(**group, **rules(1, 1, **IPV6))
    into(**group, **named)


def test_raised_quota_allows_more_rules(aws: Aws) -> None:
    net = aws.network()
    into, group = aws.ec2.authorize_security_group_ingress, {"GroupId": net.group}
    into(**group, **rules(1, 60))
    apply(aws, L_0EA8095F=61)
    into(**group, **rules(61, 1))
    assert aws.code(into, **group, **rules(100, 1)) == "RulesPerSecurityGroupLimitExceeded"


def test_target_group_beyond_quota_is_refused(aws: Aws) -> None:
    net = aws.network()
    place = {"account": aws.account, "region": aws.region}
    assert control(aws.url, "POST", "preconditions", {"target_groups": 2999, **place})["target_groups"] == 2999
    assert len(aws.elbv2.describe_target_groups()["TargetGroups"]) == 2999
    last = net.target_group("last")
    assert aws.code(net.target_group, name="more") == "TooManyTargetGroups"
    assert net.target_group("last") == last
    apply(aws, L_B22855CB=3001)
    net.target_group("more")


def test_listener_rule_beyond_quota_is_refused(aws: Aws) -> None:
    net, elb = aws.network(), aws.elbv2
    balancer, group = net.balancer()["LoadBalancerArn"], net.target_group()
    listeners = [net.listener(balancer, group, port) for port in (80, 8080)]

    def rule(number: int) -> dict[str, Any]:
        actions = [{"Type": "forward", "TargetGroupArn": group}]
        conditions = [{"Field": "path-pattern", "Values": [f"/{number}"]}]
        return {"ListenerArn": listeners[number % 2], "Priority": number, "Conditions": conditions, "Actions": actions}

    for number in range(1, 101):
        elb.create_rule(**rule(number))
    assert aws.code(elb.create_rule, **rule(101)) == "TooManyRules"
    apply(aws, L_7EED9B64=101)
    made = elb.create_rule(**rule(101))["Rules"][0]["RuleArn"]
    assert aws.code(elb.create_rule, **rule(102)) == "TooManyRules"
    elb.delete_rule(RuleArn=made)
    elb.create_rule(**rule(102))


def test_target_group_counts_once_per_load_balancer(aws: Aws) -> None:
    net, elb = aws.network(), aws.elbv2
    apply(aws, L_822D1B1B=2)
    balancer, groups = net.balancer()["LoadBalancerArn"], [net.target_group(f"g{number}") for number in range(3)]
    listener, many = net.listener(balancer, groups[0]), "TooManyUniqueTargetGroupsPerLoadBalancer"

    def to(group: str) -> list[dict[str, Any]]:
        return [{"Type": "forward", "TargetGroupArn": group}]

    def rule(priority: int, group: str) -> dict[str, Any]:
        conditions = [{"Field": "path-pattern", "Values": [f"/{priority}"]}]
        return {"ListenerArn": listener, "Priority": priority, "Conditions": conditions, "Actions": to(group)}

    first = elb.create_rule(**rule(1, groups[1]))["Rules"][0]["RuleArn"]
    elb.create_rule(**rule(2, groups[1]))
    assert aws.code(elb.create_rule, **rule(3, groups[2])) == many
    assert aws.code(elb.modify_rule, RuleArn=first, Actions=to(groups[2])) == many
    assert aws.code(net.listener, balancer=balancer, group=groups[2], port=81) == many
    # The target group that the listener used before the change does not count: no other listener uses it.
    elb.modify_listener(ListenerArn=listener, DefaultActions=to(groups[2]))
    assert aws.code(elb.create_rule, **rule(4, groups[0])) == many


def test_service_quotas_match_enforced_limits(aws: Aws) -> None:
    client = getattr(aws, "service-quotas")

    def value(service: str, code: str) -> float:
        return client.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"]

    balancing = "elasticloadbalancing"
    assert (value("vpc", RULES), value(balancing, TARGETS)) == (60, 3000)
    assert (value(balancing, BALANCER_RULES), value(balancing, BALANCER_TARGETS)) == (100, 100)
    apply(aws, L_0EA8095F=100)
    assert value("vpc", RULES) == 100


def test_load_balancer_beyond_quota_is_refused(aws: Aws) -> None:
    net = aws.network()
    settings = {"Subnets": net.subnets, "SecurityGroups": [net.group]}
    apply(aws, L_53DA6B97=1)
    first = aws.elbv2.create_load_balancer(Name="one", **settings)["LoadBalancers"][0]["LoadBalancerArn"]
    assert aws.code(aws.elbv2.create_load_balancer, Name="two", **settings) == "TooManyLoadBalancers"
    again = aws.elbv2.create_load_balancer(Name="one", **settings)["LoadBalancers"][0]["LoadBalancerArn"]
    assert again == first


def test_requested_quota_increase_is_granted(aws: Aws) -> None:
    client = getattr(aws, "service-quotas")
    asked = {"ServiceCode": "vpc", "QuotaCode": "L-0EA8095F"}
    assert aws.code(client.request_service_quota_increase, DesiredValue=60, **asked) == "IllegalArgumentException"
    client.request_service_quota_increase(DesiredValue=61, **asked)
    assert client.get_service_quota(**asked)["Quota"]["Value"] == 61.0
