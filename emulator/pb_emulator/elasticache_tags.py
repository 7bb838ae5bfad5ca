"""Tags of ElastiCache resources."""

from __future__ import annotations

from typing import Any

from . import tags
from .elasticache_model import cache_state
from .errors import AwsError
from .patching import Place


def tags_of(place: Place, arn: str) -> dict[str, str]:
    """Returns the tags of a resource, or raises an error if it does not exist."""
    state = cache_state(place)
    if arn not in state.tags:
        kind = arn.split(":")[5] if arn.count(":") >= 6 else ""
        code = {
            "replicationgroup": "ReplicationGroupNotFoundFault",
            "subnetgroup": "CacheSubnetGroupNotFoundFault",
            "parametergroup": "CacheParameterGroupNotFound",
            "cluster": "CacheClusterNotFound",
        }.get(kind, "InvalidARN")
        raise AwsError(code, f"The resource {arn} does not exist.")
    return state.tags[arn]


def list_tags(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListTagsForResource: returns the tags of an existing resource."""
    return {"TagList": tags.upper_pairs(tags_of(place, request["ResourceName"]))}


def add_tags(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """AddTagsToResource: adds or changes tags, and returns all tags of the resource."""
    found = tags_of(place, request["ResourceName"])
    merged = {**found, **tags.from_pairs(request.get("Tags"))}
    tags.check(merged, "InvalidParameterValue")
    found.update(merged)
    return {"TagList": tags.upper_pairs(found)}


def remove_tags(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """RemoveTagsFromResource: a missing key is an error."""
    found = tags_of(place, request["ResourceName"])
    for key in request["TagKeys"]:
        if key not in found:
            raise AwsError("TagNotFound", f"The tag {key} was not found on the resource.")
    for key in request["TagKeys"]:
        del found[key]
    return {"TagList": tags.upper_pairs(found)}
