"""EC2: dependencies, duplicates, quotas and eventual consistency of the network resources."""

from __future__ import annotations

import copy
import re
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.internet_gateways import InternetGatewayBackend
from moto.ec2.models.route_tables import RouteBackend
from moto.ec2.models.security_groups import SecurityGroupBackend, SecurityGroupRule
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.tags import TagBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.responses import EC2Response

from . import interfaces, settings, timings
from .errors import dependency_violation, ec2_error
from .patching import attached_state, wrap

GROUP_NAME = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")

#: Result key, name of the id parameter and error code for an unknown id, by describe operation.
EVENTUALLY_CONSISTENT = {
    "describe_vpcs": ("Vpcs", "VpcIds", "InvalidVpcID.NotFound"),
    "describe_subnets": ("Subnets", "SubnetIds", "InvalidSubnetID.NotFound"),
    "describe_internet_gateways": ("InternetGateways", "InternetGatewayIds", "InvalidInternetGatewayID.NotFound"),
    "describe_route_tables": ("RouteTables", "RouteTableIds", "InvalidRouteTableID.NotFound"),
    "describe_security_groups": ("SecurityGroups", "GroupIds", "InvalidGroup.NotFound"),
}


def install_rules() -> None:
    """Adds the rules to moto's EC2."""
    vpc_rules()
    subnet_rules()
    security_group_rules()
    security_group_rule_responses()
    security_group_rule_descriptions()
    route_rules()
    route_table_rules()
    gateway_rules()
    tag_rules()
    consistency_rules()


def mark_created(resource: Any, pending: bool = False) -> Any:
    """Records the creation time of a resource; with `pending`, the resource starts in the state `pending`."""
    resource._pb_created = timings.now()
    if pending and timings.seconds("network_pending"):
        resource.state = "pending"
    return resource


def deleting_vpc(ec2: Any) -> bool:
    """Returns whether the backend is being called as part of DeleteVpc."""
    return bool(ec2.__dict__.get("_pb_deleting_vpc"))


def route_table_entries(table: Any, name: str) -> dict[str, Any]:
    """Returns the `routes` or `associations` of a route table; the older moto inside LocalStack stores them without the
    underscore.
    """
    found: dict[str, Any] = table.__dict__[f"_{name}" if f"_{name}" in table.__dict__ else name]
    return found


def vpc_rules() -> None:
    """Refuses DeleteVpc while the VPC contains more than its default resources; limits the VPCs per region (default:
    5).
    """

    @wrap(VPCBackend)
    def create_vpc(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        if settings.vpc_quota and len(self.vpcs) >= settings.vpc_quota and not kwargs.get("is_default"):
            raise ec2_error("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
        return mark_created(original(self, *args, **kwargs), pending=True)

    @wrap(VPCBackend)
    def delete_vpc(original: Any, self: Any, vpc_id: str) -> Any:
        self.get_vpc(vpc_id)
        groups = [group for group in self.groups.get(vpc_id, {}).values() if group.name != "default"]
        gateways = [igw for igw in self.internet_gateways.values() if igw.vpc and igw.vpc.id == vpc_id]
        if groups or gateways or interfaces.in_vpc(self, vpc_id) or attached_to_vpc(self, vpc_id):
            raise dependency_violation(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        self.__dict__["_pb_deleting_vpc"] = True
        try:
            gone = original(self, vpc_id)
        finally:
            self.__dict__["_pb_deleting_vpc"] = False
        for acl in [acl for acl in self.network_acls.values() if acl.vpc_id == vpc_id]:
            del self.network_acls[acl.id]
        return gone


def attached_to_vpc(ec2: Any, vpc_id: str) -> list[str]:
    """Returns the ids of network ACLs, endpoints, peering connections and egress-only gateways that block deletion of a
    VPC.
    """
    acls = [acl for acl in ec2.network_acls.values() if acl.vpc_id == vpc_id and not acl.default]
    endpoints = [end for end in ec2.vpc_end_points.values() if end.vpc_id == vpc_id and end.state != "deleted"]
    peerings = [
        peering
        for peering in ec2.vpc_pcxs.values()
        if vpc_id in (peering.vpc.id, peering.peer_vpc.id) and peering._status.code in ("active", "pending-acceptance")
    ]
    egress_only = [igw for igw in ec2.egress_only_internet_gateways.values() if igw.vpc_id == vpc_id]
    return [found.id for found in [*acls, *endpoints, *peerings, *egress_only]]


def subnet_rules() -> None:
    """Requires that a subnet's zone belongs to its region, and refuses to delete a subnet that contains an interface.
    """

    @wrap(SubnetBackend)
    def create_subnet(
        original: Any, self: Any, vpc_id: str, cidr_block: str, ipv6_cidr_block: Any = None,
        availability_zone: str | None = None, availability_zone_id: str | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        zone = availability_zone
        if zone is None and not availability_zone_id:
            zone = f"{self.region_name}a"
        elif zone and zone not in [known.name for known in self.describe_availability_zones()]:
            raise ec2_error("InvalidParameterValue", f"Value ({zone}) for parameter availabilityZone is invalid.")
        made = original(self, vpc_id, cidr_block, ipv6_cidr_block, zone, availability_zone_id, **kwargs)
        return mark_created(made, pending=True)

    @wrap(SubnetBackend)
    def delete_subnet(original: Any, self: Any, subnet_id: str) -> Any:
        self.get_subnet(subnet_id)
        if interfaces.in_subnet(self, subnet_id):
            raise dependency_violation(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        for table in self.route_tables.values():
            for association, subnet in list(route_table_entries(table, "associations").items()):
                if subnet == subnet_id:
                    del route_table_entries(table, "associations")[association]
        return original(self, subnet_id)


def security_group_rules() -> None:
    """Refuses to delete a security group while an interface uses it or a rule of another group refers to it."""

    @wrap(SecurityGroupBackend)
    def create_security_group(original: Any, self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if name.lower().startswith("sg-") or not GROUP_NAME.fullmatch(name):
            raise ec2_error("InvalidParameterValue", f"Value ({name}) for parameter GroupName is invalid.")
        vpc_id = kwargs.get("vpc_id")
        if vpc_id:
            self.get_vpc(vpc_id)
            if any(group.name == name for group in self.groups.get(vpc_id, {}).values()):
                raise ec2_error(
                    "InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc_id}'"
                )
            kwargs["force"] = True
        made = mark_created(original(self, name, *args, **kwargs))
        if kwargs.get("is_default"):
            # The default group initially allows ingress from its own members.
            own = [{"GroupId": made.id}]
            self.authorize_security_group_ingress(made.id, "-1", None, None, [], source_groups=own)
        return made

    @wrap(SecurityGroupBackend)
    def delete_security_group(original: Any, self: Any, name: Any = None, group_id: Any = None) -> Any:
        group = self.get_security_group_from_id(group_id) if group_id else None
        if group and group.name == "default" and not deleting_vpc(self):
            raise ec2_error(
                "CannotDelete",
                f'the specified group: "{group_id}" name: "default" cannot be deleted by a user',
            )
        return original(self, name=name, group_id=group_id)

    @wrap(SecurityGroupBackend)
    def _delete_security_group(original: Any, self: Any, vpc_id: Any, group_id: str) -> Any:
        if interfaces.in_group(self, group_id) or referencing_groups(self, group_id):
            raise dependency_violation(f"resource {group_id} has a dependent object")
        return original(self, vpc_id, group_id)


def referencing_groups(ec2: Any, group_id: str) -> list[str]:
    """Returns the ids of the groups whose rules refer to a group."""
    found = []
    for groups in ec2.groups.values():
        for group in groups.values():
            rules = list(group.ingress_rules) + list(group.egress_rules)
            if group.id != group_id and any(rule.source_group.get("GroupId") == group_id for rule in rules):
                found.append(group.id)
    return found


def security_group_rule_responses() -> None:
    """Makes the Authorize operations return the rules for all permissions of the request, not only for the last one."""

    def authorize(self: Any, method: str) -> ActionResult:
        made = []
        for fields in self._process_rules_from_querystring():
            rules, _ = getattr(self.ec2_backend, method)(**fields)
            made.extend(rules)
        return ActionResult({"Return": True, "SecurityGroupRules": made})

    def authorize_security_group_ingress(self: Any) -> ActionResult:
        return authorize(self, "authorize_security_group_ingress")

    def authorize_security_group_egress(self: Any) -> ActionResult:
        return authorize(self, "authorize_security_group_egress")

    EC2Response.authorize_security_group_ingress = authorize_security_group_ingress
    EC2Response.authorize_security_group_egress = authorize_security_group_egress


def security_group_rule_descriptions() -> None:
    """Shows a rule's description even if its peer is a group; rules that differ only in the description are equal."""

    def description(self: Any) -> str | None:
        return self.ip_range.get("Description") or self.source_group.get("Description")

    def without(rule: Any) -> Any:
        bare = copy.copy(rule)
        bare.source_group = {key: value for key, value in rule.source_group.items() if key != "Description"}
        return bare

    SecurityGroupRule.description = property(description)

    @wrap(SecurityGroupRule)
    def __eq__(original: Any, self: Any, other: Any) -> bool:
        return original(without(self), without(other))


def route_rules() -> None:
    """Makes CreateRoute idempotent; a route to the same destination with another target fails with RouteAlreadyExists.
    A gateway must be attached to the table's VPC.
    """

    @wrap(RouteBackend)
    def create_route(
        original: Any, self: Any, route_table_id: str, destination_cidr_block: Any, *args: Any, **kwargs: Any
    ) -> Any:
        gateway = kwargs.get("gateway_id")
        if gateway and gateway.startswith("igw-"):
            if gateway not in self.internet_gateways:
                raise ec2_error("InvalidGatewayID.NotFound", f"The gateway ID '{gateway}' does not exist")
            table = self.get_route_table(route_table_id)
            routes = route_table_entries(table, "routes").values()
            existing = [known for known in routes if known.destination_cidr_block == destination_cidr_block]
            for route in existing:
                if route.gateway is not None and route.gateway.id == gateway:
                    return route
            attached_vpc = self.internet_gateways[gateway].vpc
            if not existing and (attached_vpc is None or attached_vpc.id != table.vpc_id):
                words = f"route table {route_table_id} and network gateway {gateway} belong to different networks"
                raise ec2_error("InvalidParameterValue", words)
        return original(self, route_table_id, destination_cidr_block, *args, **kwargs)


def route_table_rules() -> None:
    """Makes CreateRouteTable idempotent with a client token; a subnet has one table; the main table cannot be deleted.
    """

    @wrap(EC2Response)
    def create_route_table(original: Any, self: Any) -> ActionResult:
        token, vpc_id = self._get_param("ClientToken"), self._get_param("VpcId")
        made: dict[str, Any] = attached_state(self.ec2_backend, "route_table_tokens", dict)
        if token in made:
            known = self.ec2_backend.route_tables.get(made[token])
            if known and known.vpc_id != vpc_id:
                raise ec2_error("IdempotentParameterMismatch", f"The client token {token} was used for another VPC.")
            if known:
                return ActionResult({"RouteTable": known})
        answer = original(self)
        if not isinstance(answer, ActionResult):
            # An older moto returns XML instead of the route table, so the token cannot be recorded.
            return answer
        mark_created(answer.result["RouteTable"])
        if token:
            made[token] = answer.result["RouteTable"].id
        return answer

    @wrap(RouteBackend)
    def associate_route_table(
        original: Any, self: Any, route_table_id: str, gateway_id: Any = None, subnet_id: Any = None
    ) -> Any:
        for table in self.route_tables.values():
            associated = route_table_entries(table, "associations").values()
            if subnet_id and table.id != route_table_id and subnet_id in associated:
                raise ec2_error(
                    "Resource.AlreadyAssociated",
                    f"the specified association for route table {route_table_id} conflicts with an existing"
                    " association",
                )
        return original(self, route_table_id, gateway_id, subnet_id)

    @wrap(RouteBackend)
    def delete_route_table(original: Any, self: Any, route_table_id: str) -> Any:
        table = self.get_route_table(route_table_id)
        if table.main_association_id and not deleting_vpc(self):
            raise dependency_violation(f"The routeTable '{route_table_id}' has dependencies and cannot be deleted.")
        return original(self, route_table_id)


def gateway_rules() -> None:
    """Allows one internet gateway per VPC, which cannot be detached while an interface has a public address."""

    @wrap(InternetGatewayBackend)
    def create_internet_gateway(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        if settings.vpc_quota and len(self.internet_gateways) >= settings.vpc_quota:
            raise ec2_error("InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached.")
        return mark_created(original(self, *args, **kwargs))

    @wrap(InternetGatewayBackend)
    def attach_internet_gateway(original: Any, self: Any, internet_gateway_id: str, vpc_id: str) -> Any:
        gateway = self.get_internet_gateway(internet_gateway_id)
        taken = [igw for igw in self.internet_gateways.values() if igw.vpc and igw.vpc.id == vpc_id]
        if taken and not gateway.vpc:
            raise ec2_error("InvalidParameterValue", f"Network {vpc_id} already has an internet gateway attached")
        return original(self, internet_gateway_id, vpc_id)

    @wrap(InternetGatewayBackend)
    def detach_internet_gateway(original: Any, self: Any, internet_gateway_id: str, vpc_id: str) -> Any:
        if any(eni.public_ip for eni in interfaces.in_vpc(self, vpc_id)):
            raise dependency_violation(
                f"Network {vpc_id} has some mapped public address(es). "
                "Please unmap those public address(es) before detaching the gateway."
            )
        return original(self, internet_gateway_id, vpc_id)


def tag_rules() -> None:
    """50 tags per resource, 128 characters per key, 256 per value, no `aws:` prefix; only existing resources can be
    tagged and untagged.
    """

    def existing_only(operation: str) -> None:
        @wrap(EC2Response, operation)
        def tag(original: Any, self: Any) -> Any:
            for resource_id in self._get_param("Resources", []):
                try:
                    self.ec2_backend.do_resources_exist([resource_id])
                except EC2ClientError as error:
                    raise ec2_error("InvalidID", f"The ID '{resource_id}' is not valid") from error
            return original(self)

    for operation in ("create_tags", "delete_tags"):
        existing_only(operation)

    @wrap(TagBackend)
    def create_tags(original: Any, self: Any, resource_ids: list[str], tags: dict[str, str]) -> Any:
        for key, value in tags.items():
            if key.lower().startswith("aws:"):
                raise ec2_error(
                    "InvalidParameterValue",
                    f"Tag keys starting with 'aws:' are reserved for internal use: {key}",
                )
            if len(key) > 128 or len(value or "") > 256:
                raise ec2_error("InvalidParameterValue", f"The tag '{key[:140]}' exceeds the maximum length.")
        for resource_id in resource_ids:
            present = {tag["key"] for tag in self.describe_tags(filters={"resource-id": [resource_id]})}
            if len(present | set(tags)) > 50:
                raise ec2_error("TagLimitExceeded", f"The tag limit of 50 for {resource_id} is exceeded.")
        return original(self, resource_ids, tags)


def consistency_rules() -> None:
    """Hides new resources from describe operations for a while: a read by id fails with `...NotFound`, and a filter
    finds nothing.
    """

    def delay_visibility(operation: str, key: str, ids_parameter: str, code: str) -> None:
        @wrap(EC2Response, operation)
        def describe(original: Any, self: Any) -> ActionResult:
            answer = original(self)
            if not isinstance(answer, ActionResult):
                return answer
            delay, moment = timings.seconds("ec2_visible"), timings.now()
            shown = []
            for resource in answer.result[key]:
                age = moment - getattr(resource, "_pb_created", 0.0)
                if getattr(resource, "state", None) == "pending" and age >= timings.seconds("network_pending"):
                    resource.state = "available"
                if age >= delay:
                    shown.append(resource)
                elif resource.id in self._get_param(ids_parameter, []):
                    raise ec2_error(code, f"The ID '{resource.id}' does not exist")
            answer.result[key] = shown
            return answer

    for operation, (key, ids_parameter, code) in EVENTUALLY_CONSISTENT.items():
        delay_visibility(operation, key, ids_parameter, code)
