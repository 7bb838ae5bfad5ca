"""Quotas that EC2 and ELBv2 enforce: rules per security group, load balancers, target groups, rules and target groups
per load balancer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.elbv2.models import ELBv2Backend

from . import quotas
from .errors import AwsError, ec2_error
from .patching import wrap


def install_rules() -> None:
    """Adds the rules to moto's EC2 and ELBv2; they are checked before the rules of the other modules."""
    rules_per_security_group()
    load_balancers()
    target_groups()
    rules_per_balancer()
    target_groups_per_balancer()


def rules_per_security_group() -> None:
    """Limits the rules of a security group per direction, separately for IPv4 and IPv6; a rule that refers to a group
    counts for both. A prefix list counts as one rule. (VPC user guide: Amazon VPC quotas, Security group size)
    """

    @wrap(SecurityGroupBackend)
    def _verify_group_will_respect_rule_count_limit(
        original: Any, self: Any, group: Any, current_rule_nb: int, ip_ranges: Any, source_groups: Any = None,
        egress: bool = False,
    ) -> None:  # fmt: skip
        most = quotas.limit(self.account_id, self.region_name, quotas.RULES_OF_A_GROUP)
        existing = group.egress_rules if egress else group.ingress_rules
        named = len(source_groups or [])
        blocks = [block if isinstance(block, dict) else {"CidrIp": block} for block in ip_ranges or []]
        ipv4 = sum(not rule.cidr_ipv6 for rule in existing) + sum("CidrIpv6" not in block for block in blocks) + named
        ipv6 = sum(not rule.cidr_ipv4 for rule in existing) + sum("CidrIpv6" in block for block in blocks) + named
        if max(ipv4, ipv6) > most:
            raise ec2_error(
                "RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached."
            )


def load_balancers() -> None:
    """Limits the application load balancers per region; creating an existing load balancer still returns it."""

    @wrap(ELBv2Backend)
    def create_load_balancer(original: Any, self: Any, **wanted: Any) -> Any:
        most = quotas.limit(self.account_id, self.region_name, quotas.BALANCERS)
        known = self.load_balancers.values()
        if len(known) >= most and not any(balancer.name == wanted["name"] for balancer in known):
            raise AwsError("TooManyLoadBalancers", "The maximum number of load balancers has been reached")
        return original(self, **wanted)


def target_groups() -> None:
    """Limits the target groups per region; creating an existing target group still returns it."""

    @wrap(ELBv2Backend)
    def create_target_group(original: Any, self: Any, name: str, **wanted: Any) -> Any:
        most = quotas.limit(self.account_id, self.region_name, quotas.TARGET_GROUPS)
        if len(self.target_groups) >= most and not any(group.name == name for group in self.target_groups.values()):
            raise AwsError("TooManyTargetGroups", "The maximum number of target groups has been reached")
        return original(self, name, **wanted)


def balancer_of(elb: Any, listener_arn: str) -> Any:
    """Returns the load balancer of a listener."""
    return next((known for known in elb.load_balancers.values() if listener_arn in known.listeners), None)


def rules_of(balancer: Any) -> list[Any]:
    """Returns the rules of all listeners of a load balancer, except their default rules."""
    found = [rule for listener in balancer.listeners.values() for rule in listener.rules.values()]
    return [rule for rule in found if rule.priority != "default"]


def rules_per_balancer() -> None:
    """Limits the rules per load balancer, counted over all its listeners and without their default rules."""

    @wrap(ELBv2Backend)
    def create_rule(original: Any, self: Any, **wanted: Any) -> Any:
        most = quotas.limit(self.account_id, self.region_name, quotas.RULES_OF_A_BALANCER)
        balancer = balancer_of(self, wanted["listener_arn"])
        if balancer and len(rules_of(balancer)) >= most:
            reached = f"The maximum number of rules on load balancer '{balancer.arn}' has been reached"
            raise AwsError("TooManyRules", reached)
        return original(self, **wanted)


def forwarded_target_groups(elb: Any, actions: Iterable[Any]) -> set[str]:
    """Returns the ARNs of the target groups to which actions forward; actions are parameters of a call or moto's
    objects.
    """
    data = [action if isinstance(action, dict) else action.data for action in actions]
    return {arn for one in data for arn in elb._get_target_group_arns_from(one)}


def target_groups_per_balancer() -> None:
    """Limits the target groups per load balancer; a target group that several rules use counts once."""

    def check(elb: Any, balancer: Any, actions: list[Any], instead_of: str = "") -> None:
        if balancer is None:
            return
        served = forwarded_target_groups(elb, actions or [])
        for listener in balancer.listeners.values():
            if listener.arn != instead_of:
                served |= forwarded_target_groups(elb, listener.default_actions)
        for rule in rules_of(balancer):
            if rule.arn != instead_of:
                served |= forwarded_target_groups(elb, rule.actions)
        if len(served) > quotas.limit(elb.account_id, elb.region_name, quotas.TARGET_GROUPS_OF_A_BALANCER):
            raise AwsError(
                "TooManyUniqueTargetGroupsPerLoadBalancer",
                f"The maximum number of unique target groups on load balancer '{balancer.arn}' has been reached",
            )

    @wrap(ELBv2Backend)
    def create_listener(original: Any, self: Any, **wanted: Any) -> Any:
        check(self, self.load_balancers.get(wanted["load_balancer_arn"]), wanted["actions"])
        return original(self, **wanted)

    @wrap(ELBv2Backend)
    def create_rule(original: Any, self: Any, **wanted: Any) -> Any:
        check(self, balancer_of(self, wanted["listener_arn"]), wanted["actions"])
        return original(self, **wanted)

    @wrap(ELBv2Backend)
    def modify_rule(original: Any, self: Any, **wanted: Any) -> Any:
        rules = {rule.arn: balancer for balancer in self.load_balancers.values() for rule in rules_of(balancer)}
        if wanted["actions"]:
            check(self, rules.get(wanted["rule_arn"]), wanted["actions"], wanted["rule_arn"])
        return original(self, **wanted)

    @wrap(ELBv2Backend)
    def modify_listener(
        original: Any, self: Any, arn: str, port: Any = None, protocol: Any = None, ssl_policy: Any = None,
        certificates: Any = None, actions: Any = None,
    ) -> Any:  # fmt: skip
        if actions:
            check(self, balancer_of(self, arn), actions, arn)
        return original(self, arn, port, protocol, ssl_policy, certificates, actions)
