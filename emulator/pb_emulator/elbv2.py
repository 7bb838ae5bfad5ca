"""Elastic Load Balancing v2: names, subnets, duplicates, states, interfaces and target health."""

from __future__ import annotations

import random
import re
from typing import Any

from moto.core.responses import EmptyResult
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeLoadBalancer, FakeTargetGroup
from moto.elbv2.responses import ELBV2Response

from . import interfaces, tags, timings
from .errors import AwsError
from .patching import Place, attached_state, wrap

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
#: Hosted zone ids of the load balancers by region, for alias records.
HOSTED_ZONES = {
    "us-east-1": "Z35SXDOTRQ7X7K",
    "us-east-2": "Z3AADJGX6KTTL2",
    "us-west-1": "Z368ELLRRE2KJ0",
    "us-west-2": "Z1H1FL5HABSF5",
    "ca-central-1": "ZQSVJUPU6J1EY",
    "eu-west-1": "Z32O12XQLNTSW2",
    "eu-west-2": "ZHURV8PSTC4K8",
    "eu-central-1": "Z215JYRZR1TBD5",
    "ap-northeast-1": "Z14GRHDCWA56QT",
    "ap-southeast-1": "Z1LMS91P8CMLE5",
    "ap-southeast-2": "Z1GM3OXH4ZPM65",
}
#: Health of a target in a group that no load balancer uses.
NOT_IN_USE = (
    "unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"
)  # fmt: skip
LOAD_BALANCER_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "client_keep_alive.seconds": "3600",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.prefix": "",
    "idle_timeout.timeout_seconds": "60",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
}


def install_rules() -> None:
    """Adds the rules to moto's ELBv2."""
    load_balancer_creation()
    load_balancer_changes()
    target_group_rules()
    target_health()
    listener_rules()
    priority_rules()
    tag_rules()


def place_of(elb: ELBv2Backend) -> Place:
    """Returns the account and region of a moto backend."""
    return Place(elb.account_id, elb.region_name)


def check_name(name: str, kind: str) -> None:
    """Requires a name of at most 32 letters, digits and hyphens, without a hyphen at either end."""
    if not NAME.fullmatch(name or ""):
        raise AwsError(
            "ValidationError",
            f"The {kind} name '{name}' cannot be longer than '32' characters, can only contain alphanumeric "
            "characters and hyphens, and must not begin or end with a hyphen",
        )


def check_subnets(elb: ELBv2Backend, ids: list[str], scheme: str) -> None:
    """Requires subnets in at least two zones, one per zone, each /27 or larger with 8 free addresses; an
    internet-facing load balancer also needs an internet gateway.
    """
    known = {subnet.id: subnet for zone in elb.ec2_backend.subnets.values() for subnet in zone.values()}
    for subnet_id in ids:
        if subnet_id not in known:
            raise AwsError("SubnetNotFound", f"The subnet ID '{subnet_id}' does not exist")
    if len(ids) < 2:
        raise AwsError("ValidationError", "At least two subnets in two different Availability Zones must be specified")
    subnets = [known[subnet_id] for subnet_id in ids]
    if len({subnet.availability_zone for subnet in subnets}) < len(subnets):
        raise AwsError(
            "InvalidConfigurationRequest",
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
        )
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise AwsError("InvalidConfigurationRequest", "The subnets must be in the same VPC")
    for subnet in subnets:
        if subnet.cidr.prefixlen > 27 or subnet.available_ip_address_count < 8:
            raise AwsError(
                "InvalidSubnet",
                f"Not enough IP space available in {subnet.id}. ELB requires at least 8 free IP addresses in each"
                " subnet.",
            )
    vpc = elb.ec2_backend.vpcs[subnets[0].vpc_id]
    gateways = [igw for igw in elb.ec2_backend.internet_gateways.values() if igw.vpc and igw.vpc.id == vpc.id]
    if scheme == "internet-facing" and not gateways and not vpc.is_default:
        raise AwsError("InvalidSubnet", f"VPC {vpc.id} has no internet gateway")


def check_groups(elb: ELBv2Backend, groups: list[str], vpc_id: str) -> None:
    """Requires that all security groups exist in the load balancer's VPC, and that there are at most five."""
    if len(groups) > interfaces.MAX_GROUPS:
        raise AwsError("InvalidConfigurationRequest", "A load balancer can have at most five security groups")
    for group_id in groups:
        group = elb.ec2_backend.get_security_group_from_id(group_id)
        if group is None:
            raise AwsError("InvalidSecurityGroup", f"The security group '{group_id}' does not exist")
        if group.vpc_id != vpc_id:
            raise AwsError("InvalidConfigurationRequest", f"The security group '{group_id}' is in another VPC")


def load_balancer_creation() -> None:
    """Makes CreateLoadBalancer return an existing load balancer of this name with the same settings; with other
    settings the call is refused.
    """

    @wrap(ELBv2Backend)
    def create_load_balancer(original: Any, self: Any, **wanted: Any) -> FakeLoadBalancer:
        name, scheme = wanted["name"], wanted.get("scheme") or "internet-facing"
        check_name(name, "load balancer")
        if name.startswith("internal-"):
            raise AwsError("ValidationError", f"The load balancer name '{name}' must not begin with 'internal-'")
        tags.check(tags.from_pairs(wanted.get("tags")), "ValidationError")
        ids = list(wanted.get("subnet_ids") or [])
        ids += [mapping["SubnetId"] for mapping in wanted.get("subnet_mappings") or []]
        if (wanted.get("loadbalancer_type") or "application") == "application":
            check_subnets(self, ids, scheme)
            vpc_id = self.ec2_backend.get_subnet(ids[0]).vpc_id
            groups = list(wanted.get("security_groups") or [])
            check_groups(self, groups, vpc_id)
            wanted["security_groups"] = groups or [self.ec2_backend.get_default_security_group(vpc_id).id]
        for known in self.load_balancers.values():
            if known.name == name:
                return same_load_balancer(known, scheme, ids, wanted)
        wanted["scheme"] = scheme
        made = original(self, **wanted)
        initialize_load_balancer(self, made)
        return made

    @wrap(ELBv2Backend)
    def describe_load_balancers(original: Any, self: Any, arns: Any, names: Any) -> Any:
        found = original(self, arns, names)
        for balancer in found:
            balancer.state = "active" if is_active(balancer) else "provisioning"
        return found


def is_active(balancer: Any) -> bool:
    """Returns whether a load balancer has been provisioned and is active."""
    return bool(timings.now() - getattr(balancer, "_pb_created", 0.0) >= timings.seconds("alb_provisioning"))


def same_load_balancer(known: Any, scheme: str, ids: list[str], wanted: dict[str, Any]) -> FakeLoadBalancer:
    """Returns an existing load balancer if it has the requested settings, else raises an error."""
    have = (known.scheme, sorted(s.id for s in known.subnets), sorted(known.security_groups or []), known.type)
    want = (
        scheme,
        sorted(ids),
        sorted(wanted.get("security_groups") or []),
        wanted.get("loadbalancer_type") or "application",
    )
    if have != want:
        raise AwsError(
            "DuplicateLoadBalancerName",
            f"A load balancer with the same name '{known.name}' exists, but with different settings",
        )
    return known


def initialize_load_balancer(elb: ELBv2Backend, balancer: Any) -> None:
    """Sets the DNS name and hosted zone, known before provisioning ends, and creates an interface in each subnet."""
    number = random.randrange(10**8, 10**10)
    prefix = "internal-" if balancer.scheme == "internal" else ""
    balancer.dns_name = f"{prefix}{balancer.name}-{number}.{elb.region_name}.elb.amazonaws.com"
    balancer.canonical_hosted_zone_id = HOSTED_ZONES.get(elb.region_name, "Z35SXDOTRQ7X7K")
    balancer.attrs.update(LOAD_BALANCER_ATTRIBUTES)
    balancer._pb_created = timings.now()
    balancer.state = "provisioning"
    sync_interfaces(elb, balancer)


def sync_interfaces(elb: ELBv2Backend, balancer: Any) -> None:
    """Creates missing interfaces in the subnets of a load balancer, updates their security groups, and releases the
    others.
    """
    own: dict[str, interfaces.ManagedInterface] = attached_state(balancer, "interfaces", dict)
    wanted = {subnet.id for subnet in balancer.subnets}
    for subnet_id in set(own) - wanted:
        interfaces.release(own.pop(subnet_id))
    for subnet_id in sorted(wanted - set(own)):
        own[subnet_id] = interfaces.attach(
            place_of(elb),
            subnet_id,
            balancer.security_groups,
            f"ELB {balancer.arn.split(':loadbalancer/', 1)[1]}",
            owner="amazon-elb",
            kind="interface",
            public=balancer.scheme == "internet-facing",
        )
    for eni in own.values():
        interfaces.set_groups(place_of(elb), eni, balancer.security_groups)


def load_balancer_changes() -> None:
    """Refuses deletion while protected; interfaces follow security groups and subnets, and linger after deletion."""

    @wrap(ELBv2Backend)
    def delete_load_balancer(original: Any, self: Any, arn: str) -> None:
        balancer = self.load_balancers.get(arn)
        if balancer and balancer.attrs.get("deletion_protection.enabled") == "true":
            raise AwsError(
                "OperationNotPermitted",
                f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
            )
        if balancer:
            for eni in attached_state(balancer, "interfaces", dict).values():
                interfaces.release(eni)
        original(self, arn)

    @wrap(ELBv2Backend)
    def set_security_groups(original: Any, self: Any, arn: str, sec_groups: list[str]) -> None:
        if arn in self.load_balancers:
            check_groups(self, sec_groups, self.load_balancers[arn].vpc_id)
        original(self, arn, sec_groups)
        sync_interfaces(self, self.load_balancers[arn])

    @wrap(ELBv2Backend)
    def set_subnets(original: Any, self: Any, arn: str, subnets: list[str], subnet_mappings: Any) -> Any:
        if arn in self.load_balancers:
            ids = list(subnets) + [mapping["SubnetId"] for mapping in subnet_mappings or []]
            check_subnets(self, ids, self.load_balancers[arn].scheme)
        zones = original(self, arn, subnets, subnet_mappings)
        sync_interfaces(self, self.load_balancers[arn])
        return zones


def load_balancers_using(group: Any) -> list[str]:
    """Returns the ARNs of the load balancers with a listener or rule that forwards to a target group."""
    from moto.elbv2 import elbv2_backends

    elb = elbv2_backends[group.account_id][group.region_name]
    found = []
    for balancer in elb.load_balancers.values():
        for listener in balancer.listeners.values():
            actions = [action for rule in listener.rules.values() for action in rule.actions]
            actions += listener.default_actions
            if any(group.arn in elb._get_target_group_arns_from(action.data) for action in actions):
                found.append(balancer.arn)
                break
    return found


def target_group_rules() -> None:
    """Makes CreateTargetGroup return an existing group of this name with the same settings; a group that a listener
    uses cannot be deleted.
    """
    FakeTargetGroup.load_balancer_arns = property(load_balancers_using, lambda self, value: None)

    @wrap(ELBv2Backend)
    def create_target_group(original: Any, self: Any, name: str, **wanted: Any) -> FakeTargetGroup:
        check_name(name, "target group")
        tags.check(tags.from_pairs(wanted.get("tags")), "ValidationError")
        http = wanted.get("protocol") in ("HTTP", "HTTPS")
        interval = int(wanted.get("healthcheck_interval_seconds") or 30)
        if http and not wanted.get("healthcheck_timeout_seconds"):
            wanted["healthcheck_timeout_seconds"] = 5
        if http and interval <= int(wanted["healthcheck_timeout_seconds"]):
            raise AwsError("ValidationError", "Health check interval must be greater than the timeout.")
        settings = {key: str(value) for key, value in wanted.items() if key != "tags" and value is not None}
        for group in self.target_groups.values():
            if group.name == name and getattr(group, "_pb_settings", None) == settings:
                return group
            if group.name == name:
                raise AwsError(
                    "DuplicateTargetGroupName",
                    f"A target group with the same name '{name}' exists, but with different settings",
                )
        made = original(self, name, **wanted)
        made._pb_settings = settings
        return made

    @wrap(ELBv2Backend)
    def delete_target_group(original: Any, self: Any, target_group_arn: str) -> Any:
        group = self.target_groups.get(target_group_arn)
        if group is None:
            return None
        if group.load_balancer_arns:
            raise AwsError(
                "ResourceInUse",
                f"Target group '{target_group_arn}' is currently in use by a listener or a rule",
            )
        return original(self, target_group_arn)


def target_health() -> None:
    """Reports the health that rollouts determine for Fargate tasks; targets of a group without a load balancer are
    unused.
    """

    @wrap(FakeTargetGroup)
    def health_for(original: Any, self: Any, target: dict[str, Any], ec2_backend: Any) -> FakeHealthStatus:
        states: dict[str, tuple[str, str | None, str | None]] = attached_state(self, "health", dict)
        if target["Id"] not in states:
            return original(self, target, ec2_backend)
        port = str(self.targets.get(target["Id"], target).get("Port", self.port))
        state, reason, description = states[target["Id"]]
        if state != "draining" and not self.load_balancer_arns:
            state, reason, description = NOT_IN_USE
        return FakeHealthStatus(target["Id"], port, port, state, reason, description)


def listener_rules() -> None:
    """Allows one listener per port and one load balancer per target group; HTTPS requires a certificate."""

    def check_targets(elb: Any, balancer_arn: str, actions: list[dict[str, Any]]) -> None:
        for action in actions:
            for arn in elb._get_target_group_arns_from(action):
                group = elb.target_groups.get(arn)
                if group is None:
                    raise AwsError("TargetGroupNotFound", f"Target group '{arn}' not found")
                if [user for user in group.load_balancer_arns if user != balancer_arn]:
                    raise AwsError(
                        "TargetGroupAssociationLimit",
                        f"The following target groups cannot be associated with more than one load balancer: {arn}",
                    )

    @wrap(ELBv2Backend)
    def create_listener(original: Any, self: Any, **wanted: Any) -> Any:
        balancer = self.load_balancers.get(wanted["load_balancer_arn"])
        if balancer and int(wanted["port"] or 0) in [int(known.port) for known in balancer.listeners.values()]:
            raise AwsError(
                "DuplicateListener", f"A listener already exists on port {wanted['port']} for this load balancer"
            )
        if balancer and balancer.type == "application":
            if wanted["protocol"] == "HTTPS" and not wanted["certificate"]:
                raise AwsError("ValidationError", "A certificate must be specified for HTTPS listeners")
            check_targets(self, balancer.arn, wanted["actions"])
        tags.check(tags.from_pairs(wanted.get("tags")), "ValidationError")
        return original(self, **wanted)


def priority_rules() -> None:
    """Makes SetRulePriorities change all named rules at once; only the resulting priorities must be free of conflicts.
    """

    @wrap(ELBv2Backend)
    def set_rule_priorities(original: Any, self: Any, rule_priorities: list[dict[str, Any]]) -> Any:
        wanted = {pair["RuleArn"]: pair["Priority"] for pair in rule_priorities}
        rules = [rule for arn in wanted for rule in self.describe_rules(listener_arn=None, rule_arns=[arn])]
        if len(rules) < len(wanted):
            raise AwsError("RuleNotFound", "One or more rules not found")
        for rule in rules:
            [listener] = self.describe_listeners(None, [rule.listener_arn])
            others = [known.priority for known in listener.rules.values() if known.arn not in wanted]
            if wanted[rule.arn] in others or list(wanted.values()).count(wanted[rule.arn]) > 1:
                raise AwsError("PriorityInUse", f"Priority '{wanted[rule.arn]}' is currently in use")
        for rule in rules:
            rule.priority = wanted[rule.arn]
        return rules


def tag_rules() -> None:
    """Limits DescribeTags to 20 ARNs, and each resource to 50 tags."""

    @wrap(ELBV2Response)
    def describe_tags(original: Any, self: Any) -> Any:
        if len(self._get_param("ResourceArns", [])) > 20:
            raise AwsError("ValidationError", "Cannot have more than 20 resources described")
        return original(self)

    @wrap(ELBV2Response, "add_tags")
    def add_tags_request(original: Any, self: Any) -> Any:
        self.elbv2_backend.add_tags(self._get_param("ResourceArns", []), tags=self._get_param("Tags", []))
        return EmptyResult()

    @wrap(ELBv2Backend)
    def add_tags(original: Any, self: Any, resource_arns: list[str], **given: list[dict[str, str]]) -> None:
        for arn in resource_arns:
            self._get_resource_by_arn(arn)
            merged = {**self.tagging_service.get_tag_dict_for_resource(arn), **tags.from_pairs(given["tags"])}
            if len(merged) > tags.MAX_TAGS:
                raise AwsError("TooManyTags", "The maximum number of tags has been reached")
            tags.check(merged, "ValidationError")
            self.tagging_service.tag_resource(arn, given["tags"])
