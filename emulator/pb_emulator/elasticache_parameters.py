"""ElastiCache parameter groups."""

from __future__ import annotations

import re
from typing import Any

from . import tags
from .elasticache_model import FAMILIES, CacheState, ParameterGroup, cache_state
from .errors import AwsError
from .patching import Place

NAME = re.compile(r"[a-z](?!.*--)[a-z0-9-]{0,254}(?<!-)")
EVICTION = "volatile-lru,allkeys-lru,volatile-lfu,allkeys-lfu,volatile-random,allkeys-random,volatile-ttl,noeviction"
#: Default, allowed values, type and modifiability by parameter name.
PARAMETERS: dict[str, tuple[str, str, str, bool]] = {
    "activedefrag": ("no", "yes,no", "string", True),
    "appendonly": ("no", "yes,no", "string", False),
    "close-on-replica-write": ("yes", "yes,no", "string", True),
    "cluster-enabled": ("no", "yes,no", "string", False),
    "lazyfree-lazy-eviction": ("no", "yes,no", "string", True),
    "maxmemory-policy": ("volatile-lru", EVICTION, "string", True),
    "maxmemory-samples": ("3", "1-", "integer", True),
    "notify-keyspace-events": ("", "", "string", True),
    "reserved-memory-percent": ("25", "0-100", "integer", True),
    "slowlog-log-slower-than": ("10000", "-1-", "integer", True),
    "slowlog-max-len": ("128", "0-", "integer", True),
    "tcp-keepalive": ("300", "0-", "integer", True),
    "timeout": ("0", "0,20-", "integer", True),
}


def parameter_group_response(group: ParameterGroup) -> dict[str, Any]:
    """Returns a parameter group in the form of ElastiCache's responses."""
    return {
        "CacheParameterGroupName": group.name,
        "CacheParameterGroupFamily": group.family,
        "Description": group.description,
        "IsGlobal": False,
        "ARN": group.arn,
    }


def find(place: Place, name: str) -> ParameterGroup:
    """Returns a parameter group, or raises an error if it does not exist. Each family has a default group."""
    found = cache_state(place).parameter_groups.get(name)
    if found:
        return found
    if name.startswith("default.") and name[len("default.") :] in FAMILIES:
        family = name[len("default.") :]
        return ParameterGroup(
            name, place.arn("elasticache", f"parametergroup:{name}"), family, f"Default parameter group for {family}"
        )
    raise AwsError("CacheParameterGroupNotFound", f"CacheParameterGroup {name} not found.")


def clusters_using(state: CacheState, name: str) -> list[str]:
    """Returns the ids of the groups that use a parameter group, or will after a pending change."""
    return [g.id for g in state.groups.values() if name in (g.parameter_group, g.pending.get("parameter_group"))]


def create(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """CreateCacheParameterGroup: the name is converted to lower case."""
    state, name = cache_state(place), request["CacheParameterGroupName"].lower()
    if not NAME.fullmatch(name):
        raise AwsError("InvalidParameterValue", "The parameter CacheParameterGroupName is not a valid identifier.")
    if request["CacheParameterGroupFamily"] not in FAMILIES:
        raise AwsError(
            "InvalidParameterValue",
            f"CacheParameterGroupFamily {request['CacheParameterGroupFamily']} is not a valid parameter group family.",
        )
    if name in state.parameter_groups:
        raise AwsError("CacheParameterGroupAlreadyExists", f"Parameter group {name} already exists")
    given = tags.from_pairs(request.get("Tags"))
    tags.check(given, "InvalidParameterValue")
    made = ParameterGroup(
        name,
        place.arn("elasticache", f"parametergroup:{name}"),
        request["CacheParameterGroupFamily"],
        request.get("Description") or "",
    )
    state.parameter_groups[name] = made
    state.tags[made.arn] = given
    return {"CacheParameterGroup": parameter_group_response(made)}


def describe(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeCacheParameterGroups: returns one group, or all groups including the default groups."""
    name = request.get("CacheParameterGroupName")
    if name:
        return {"CacheParameterGroups": [parameter_group_response(find(place, name))]}
    groups = [find(place, f"default.{family}") for family in FAMILIES]
    groups += cache_state(place).parameter_groups.values()
    return {"CacheParameterGroups": [parameter_group_response(group) for group in groups]}


def is_allowed(name: str, value: str) -> bool:
    """Returns whether a value is allowed for a parameter; for integers, only the format is checked."""
    _, values, kind, _ = PARAMETERS[name]
    if kind == "integer":
        return re.fullmatch(r"-?\d+", value) is not None
    return not values or value in values.split(",")


def require_modifiable(place: Place, name: str) -> ParameterGroup:
    """Returns a parameter group, or raises an error if it cannot be changed because it is a default group."""
    if name.startswith("default."):
        raise AwsError("InvalidParameterValue", f"The default parameter group {name} cannot be changed.")
    return find(place, name)


def modify(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ModifyCacheParameterGroup: accepts at most 20 parameters, which must be known and modifiable and have allowed
    values.
    """
    group = require_modifiable(place, request["CacheParameterGroupName"])
    wanted = request.get("ParameterNameValues") or []
    if not 1 <= len(wanted) <= 20:
        raise AwsError("InvalidParameterValue", "1 to 20 parameters can be modified in a request.")
    for pair in wanted:
        name, value = pair.get("ParameterName", ""), pair.get("ParameterValue", "")
        if name not in PARAMETERS:
            raise AwsError("InvalidParameterValue", f"Could not find parameter with name: {name}")
        if not PARAMETERS[name][3]:
            raise AwsError("InvalidParameterValue", f"The parameter {name} cannot be modified.")
        if not is_allowed(name, value):
            raise AwsError(
                "InvalidParameterValue", f"The parameter value {value} is not allowed for {name}: {PARAMETERS[name][1]}"
            )
    for pair in wanted:
        group.values[pair["ParameterName"]] = pair["ParameterValue"]
    return {"CacheParameterGroupName": group.name}


def reset(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ResetCacheParameterGroup: removes some or all values that were set."""
    group = require_modifiable(place, request["CacheParameterGroupName"])
    if request.get("ResetAllParameters"):
        group.values.clear()
    for pair in request.get("ParameterNameValues") or []:
        group.values.pop(pair.get("ParameterName"), None)
    return {"CacheParameterGroupName": group.name}


def parameters(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeCacheParameters: the source is `user` for values that were set, `system` for values of the family."""
    group, listed = find(place, request["CacheParameterGroupName"]), []
    for name, (default, values, kind, modifiable) in PARAMETERS.items():
        source = "user" if name in group.values else "system"
        if request.get("Source") not in (None, source):
            continue
        listed.append(
            {
                "ParameterName": name,
                "ParameterValue": group.values.get(name, default),
                "Source": source,
                "DataType": kind,
                "AllowedValues": values,
                "IsModifiable": modifiable,
                "MinimumEngineVersion": "5.0.0",
                "ChangeType": "immediate",
            }
        )
    return {"Parameters": listed}


def delete(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteCacheParameterGroup: refused while a cluster uses the group."""
    state = cache_state(place)
    group = require_modifiable(place, request["CacheParameterGroupName"])
    if clusters_using(state, group.name):
        raise AwsError(
            "InvalidCacheParameterGroupState",
            f"One or more cache clusters are still members of this parameter group {group.name}, so the group cannot be"
            " deleted.",
        )
    del state.parameter_groups[group.name]
    state.tags.pop(group.arn, None)
    return {}
