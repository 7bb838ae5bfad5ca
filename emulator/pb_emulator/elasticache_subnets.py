"""ElastiCache subnet groups."""

from __future__ import annotations

import re
from typing import Any

from . import interfaces, tags
from .elasticache_model import SubnetGroup, cache_state
from .errors import AwsError
from .patching import Place

SUBNET_GROUP_NAME = re.compile(r"[a-z0-9-]{1,255}")


def invalid(message: str) -> AwsError:
    """Returns an InvalidParameterValue, the most common error of ElastiCache."""
    return AwsError("InvalidParameterValue", message)


def vpc_of(place: Place, ids: list[str]) -> str:
    """Returns the VPC of some subnets, or raises an error unless they exist and are all in one VPC."""
    ec2 = interfaces.backend(place)
    known = {subnet.id: subnet for zone in ec2.subnets.values() for subnet in zone.values()}
    for subnet in ids:
        if subnet not in known:
            raise AwsError("InvalidSubnet", f"Some input subnets in :[{', '.join(ids)}] are invalid.")
    vpcs = {known[subnet].vpc_id for subnet in ids}
    if len(vpcs) != 1:
        raise AwsError("InvalidSubnet", "The subnets must be in one VPC.")
    return vpcs.pop()


def subnet_group_response(place: Place, group: SubnetGroup) -> dict[str, Any]:
    """Returns a subnet group in the form of ElastiCache's responses."""
    ec2 = interfaces.backend(place)
    zones = {subnet.id: subnet.availability_zone for zone in ec2.subnets.values() for subnet in zone.values()}
    return {
        "CacheSubnetGroupName": group.name,
        "CacheSubnetGroupDescription": group.description,
        "VpcId": group.vpc,
        "Subnets": [
            {
                "SubnetIdentifier": subnet,
                "SubnetAvailabilityZone": {"Name": zones.get(subnet, "")},
                "SupportedNetworkTypes": ["ipv4"],
            }
            for subnet in group.subnets
        ],
        "ARN": group.arn,
        "SupportedNetworkTypes": ["ipv4"],
    }


def subnet_group(place: Place, name: str) -> SubnetGroup:
    """Returns a subnet group, or raises an error if it does not exist."""
    found = cache_state(place).subnet_groups.get((name or "").lower())
    if found is None:
        raise AwsError("CacheSubnetGroupNotFoundFault", f"Cache Subnet Group {name} does not exist.")
    return found


def create_subnet_group(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """CreateCacheSubnetGroup: the name is converted to lower case."""
    state, name = cache_state(place), request["CacheSubnetGroupName"].lower()
    if not SUBNET_GROUP_NAME.fullmatch(name) or name == "default":
        raise invalid("The parameter CacheSubnetGroupName must have 1 to 255 alphanumeric characters or hyphens.")
    if name in state.subnet_groups:
        raise AwsError("CacheSubnetGroupAlreadyExists", f"Cache subnet group {name} already exists.")
    given = tags.from_pairs(request.get("Tags"))
    tags.check(given, "InvalidParameterValue")
    vpc = vpc_of(place, request.get("SubnetIds") or [])
    made = SubnetGroup(
        name,
        place.arn("elasticache", f"subnetgroup:{name}"),
        request["CacheSubnetGroupDescription"],
        request["SubnetIds"],
        vpc,
    )
    state.subnet_groups[name] = made
    state.tags[made.arn] = given
    return {"CacheSubnetGroup": subnet_group_response(place, made)}


def describe_subnet_groups(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeCacheSubnetGroups: returns one group or all groups."""
    name = request.get("CacheSubnetGroupName")
    found = [subnet_group(place, name)] if name else list(cache_state(place).subnet_groups.values())
    return {"CacheSubnetGroups": [subnet_group_response(place, group) for group in found]}


def modify_subnet_group(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ModifyCacheSubnetGroup: a subnet that a cluster uses cannot be removed."""
    group = subnet_group(place, request["CacheSubnetGroupName"])
    if request.get("SubnetIds"):
        vpc_of(place, request["SubnetIds"])
        users = [known for known in cache_state(place).groups.values() if known.subnet_group == group.name]
        used = {node.eni.subnet.id for known in users for node in known.nodes}
        if used - set(request["SubnetIds"]):
            raise AwsError("SubnetInUse", "The subnet ID is in use by a cache cluster.")
        group.subnets = request["SubnetIds"]
    group.description = request.get("CacheSubnetGroupDescription") or group.description
    return {"CacheSubnetGroup": subnet_group_response(place, group)}


def delete_subnet_group(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteCacheSubnetGroup: refused while a cluster uses the group."""
    state = cache_state(place)
    group = subnet_group(place, request["CacheSubnetGroupName"])
    if any(known.subnet_group == group.name for known in state.groups.values()):
        raise AwsError(
            "CacheSubnetGroupInUse", f"Cache subnet group {group.name} is currently in use by a cache cluster."
        )
    del state.subnet_groups[group.name]
    state.tags.pop(group.arn, None)
    return {}
