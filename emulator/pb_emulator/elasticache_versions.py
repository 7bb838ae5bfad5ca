"""ElastiCache: engine versions and node types that are offered, and the rules for changing an engine or its version."""

from __future__ import annotations

from typing import Any

from . import elasticache_parameters
from .elasticache_model import DEFAULT_VERSION, NODE_TYPES, VERSIONS, Group, offered
from .elasticache_subnets import invalid
from .errors import AwsError
from .patching import Place

#: Smallest and largest number of records in a response. (ElastiCache API: DescribeCacheEngineVersions, `MaxRecords`)
MIN_RECORDS, MAX_RECORDS = 20, 100


def version_of(place: Place, engine: str, wanted: str | None) -> tuple[str, str]:
    """Returns the full version and the parameter group family of an engine version that is offered."""
    if engine not in VERSIONS:
        raise invalid(f"Invalid cache engine: {engine}. Valid values: {', '.join(VERSIONS)}")
    wanted = wanted or DEFAULT_VERSION[engine]
    for short, (full, family) in offered(place.account, engine).items():
        if wanted in (short, full):
            return full, family
    raise invalid(f"Cannot find version {wanted} for {engine}")


def check_node_type(wanted: str) -> None:
    """Requires a node type that is offered."""
    if wanted not in NODE_TYPES:
        raise invalid(f"Invalid Cache Node Type: {wanted}.")


def check_parameters(place: Place, name: str | None, family: str) -> str:
    """Returns the name of the requested or default parameter group, which must exist and belong to the engine's family.
    """
    group = elasticache_parameters.find(place, name or f"default.{family}")
    if group.family != family:
        raise AwsError(
            "InvalidParameterCombination",
            f"Expected a parameter group of family {family} but found one of family {group.family}",
        )
    return group.name


def change_of(place: Place, group: Group, request: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Returns the change of engine and version that a request asks for, and the parameter group that it sets at once.

    Only Redis can become another engine, which is Valkey; the request then names the version. A version is never
    lowered. The parameter group must belong to the family of the new version: a default group is exchanged for the one
    of that family, and any other has to be named in the same request.
    """
    engine, changes = request.get("Engine") or group.engine, {}
    if engine != group.engine:
        if (group.engine, engine) != ("redis", "valkey"):
            raise AwsError(
                "InvalidParameterCombination", f"The engine cannot be changed from {group.engine} to {engine}."
            )
        if not request.get("EngineVersion"):
            raise AwsError("InvalidParameterCombination", "A change of the engine needs an engine version.")
    version, family = version_of(place, engine, request.get("EngineVersion") or group.version)
    if request.get("EngineVersion"):
        if engine == group.engine and numbers(version) < numbers(group.version):
            raise invalid("Downgrading the engine version is not possible.")
        changes = {"version": version, "engine": engine}
    named = request.get("CacheParameterGroupName")
    if named:
        return changes, check_parameters(place, named, family)
    if changes and group.parameter_group.startswith("default."):
        changes["parameter_group"] = f"default.{family}"
    else:
        check_parameters(place, group.parameter_group, family)
    return changes, None


def numbers(version: str) -> list[int]:
    """Returns the numbers of a version."""
    return [int(number) for number in version.split(".")]


def engine_versions(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeCacheEngineVersions: returns the offered versions of an engine or a parameter group family, or all, in
    pages.
    """
    listed = []
    for engine in VERSIONS:
        for full, family in dict.fromkeys(offered(place.account, engine).values()):
            if request.get("Engine") in (None, engine) and request.get("CacheParameterGroupFamily") in (None, family):
                listed.append({"Engine": engine, "EngineVersion": full, "CacheParameterGroupFamily": family})
    size = int(request.get("MaxRecords") or MAX_RECORDS)
    if not MIN_RECORDS <= size <= MAX_RECORDS:
        raise invalid(f"MaxRecords must be between {MIN_RECORDS} and {MAX_RECORDS}.")
    start = int(request.get("Marker") or 0)
    page: dict[str, Any] = {"CacheEngineVersions": listed[start : start + size]}
    if start + size < len(listed):
        page["Marker"] = str(start + size)
    return page


def node_offerings(_: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeReservedCacheNodesOfferings: returns an offering for a node type or for each one, at most MaxRecords."""
    wanted = request.get("CacheNodeType")
    found = [
        {"ReservedCacheNodesOfferingId": f"offering-{number}", "CacheNodeType": known, "ProductDescription": "redis"}
        for number, known in enumerate(NODE_TYPES)
        if wanted in (None, known)
    ]
    return {"ReservedCacheNodesOfferings": found[: int(request.get("MaxRecords") or MAX_RECORDS)]}
