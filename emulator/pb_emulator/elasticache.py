"""ElastiCache: replication groups, cache clusters, and the table of all operations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from moto.elasticache.models import ElastiCacheBackend
from moto.elasticache.responses import ElastiCacheResponse

from . import elasticache_events, elasticache_parameters, elasticache_tags, interfaces, quotas, tags, timings
from .elasticache_model import (
    Group,
    Node,
    advance,
    cache_cluster_response,
    cache_state,
    random_hash,
    replication_group_response,
)
from .elasticache_subnets import (
    create_subnet_group,
    delete_subnet_group,
    describe_subnet_groups,
    invalid,
    modify_subnet_group,
    subnet_group,
)
from .elasticache_versions import (
    change_of,
    check_node_type,
    check_parameters,
    engine_versions,
    node_offerings,
    version_of,
)
from .errors import AwsError
from .patching import Operation, Place, disable, install
from .tagging_api import TaggedResource

__all__ = ["advance", "install_rules"]
ID = re.compile(r"[a-z](?!.*--)[a-z0-9-]{0,39}(?<!-)")


def check_groups(place: Place, ids: list[str]) -> None:
    """Requires that all security groups exist, and that there are at most five."""
    if len(ids) > interfaces.MAX_GROUPS:
        raise invalid("A cache cluster can have at most five security groups.")
    for group_id in ids:
        if interfaces.backend(place).get_security_group_from_id(group_id) is None:
            raise invalid(f"Invalid security group ID: {group_id}")


def new_group(place: Place, identity: str, request: dict[str, Any], count: int, standalone: bool) -> Group:
    """Creates a replication group or a cache cluster, with an interface for each node."""
    state = cache_state(place)
    engine = request.get("Engine") or "redis"
    version, family = version_of(place, engine, request.get("EngineVersion"))
    check_node_type(request.get("CacheNodeType") or "")
    running = sum(len(known.nodes) for known in state.groups.values())
    if running + count > quotas.limit(place.account, place.region, quotas.CACHE_NODES):
        raise AwsError("NodeQuotaForCustomerExceeded", "You have exceeded the quota of nodes for your account.")
    subnets = subnet_group(place, request.get("CacheSubnetGroupName") or "default")
    check_groups(place, request.get("SecurityGroupIds") or [])
    parameters = check_parameters(place, request.get("CacheParameterGroupName"), family)
    given = tags.from_pairs(request.get("Tags"))
    tags.check(given, "InvalidParameterValue")
    names = [identity] if standalone else [f"{identity}-{number:03d}" for number in range(1, count + 1)]
    taken = {node.id for group in state.groups.values() for node in group.nodes}
    if taken & set(names):
        raise AwsError("CacheClusterAlreadyExists", f"Cache cluster {min(taken & set(names))} already exists.")
    nodes = []
    for number, name in enumerate(names):
        eni = interfaces.attach(
            place, subnets.subnets[number % len(subnets.subnets)], request.get("SecurityGroupIds") or [],
            f"ElastiCache {name}", owner="amazon-elasticache", kind="interface",
        )  # fmt: skip
        nodes.append(Node(name, eni.subnet.availability_zone, "primary" if number == 0 else "replica", eni))
    kind = "cluster" if standalone else "replicationgroup"
    made = Group(
        id=identity,
        arn=place.arn("elasticache", f"{kind}:{identity}"),
        description=request.get("ReplicationGroupDescription") or "",
        engine=engine,
        version=version,
        node_type=request["CacheNodeType"],
        port=int(request.get("Port") or 6379),
        subnet_group=subnets.name,
        security_groups=list(request.get("SecurityGroupIds") or []),
        parameter_group=parameters,
        settings=settings_of(request),
        nodes=nodes,
        hash=random_hash(),
        standalone=standalone,
        due=timings.now() + timings.seconds("cache_creating"),
    )
    state.groups[identity] = made
    for arn in {made.arn, *(place.arn("elasticache", f"cluster:{node.id}") for node in nodes)}:
        state.tags[arn] = dict(given)
    return made


def settings_of(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a request that responses include, completed with AWS's defaults. Data on disk is encrypted
    by default only with Valkey.
    """
    encrypted = request.get("AtRestEncryptionEnabled")
    encrypted = request.get("Engine") == "valkey" if encrypted is None else bool(encrypted)
    settings: dict[str, Any] = {
        "AutomaticFailover": "enabled" if request.get("AutomaticFailoverEnabled") else "disabled",
        "MultiAZ": "enabled" if request.get("MultiAZEnabled") else "disabled",
        "SnapshotRetentionLimit": int(request.get("SnapshotRetentionLimit") or 0),
        "SnapshotWindow": request.get("SnapshotWindow") or "03:00-04:00",
        "TransitEncryptionEnabled": bool(request.get("TransitEncryptionEnabled")),
        "AtRestEncryptionEnabled": encrypted,
        "AuthTokenEnabled": bool(request.get("AuthToken")),
        "AutoMinorVersionUpgrade": request.get("AutoMinorVersionUpgrade") is not False,
    }
    if settings["TransitEncryptionEnabled"]:
        settings["TransitEncryptionMode"] = request.get("TransitEncryptionMode") or "required"
    return settings


def create_group(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """CreateReplicationGroup: the id is converted to lower case."""
    state, identity = cache_state(place), request["ReplicationGroupId"].lower()
    if not ID.fullmatch(identity):
        raise invalid(
            "The parameter ReplicationGroupIdentifier is not a valid identifier: 1 to 40 letters, digits and hyphens,"
            " beginning with a letter, without two hyphens in a row or one at the end."
        )
    if not request.get("ReplicationGroupDescription"):
        raise invalid("The parameter ReplicationGroupDescription must be provided and must not be blank.")
    if identity in state.groups:
        raise AwsError("ReplicationGroupAlreadyExists", f"Replication group {identity} already exists.")
    count = int(request.get("NumCacheClusters") or (1 + int(request.get("ReplicasPerNodeGroup") or 0)))
    if not 1 <= count <= 6:
        raise invalid("The number of cache clusters must be between 1 and 6.")
    if request.get("AutomaticFailoverEnabled") and count < 2:
        raise AwsError(
            "InvalidParameterCombination", "Automatic failover is not supported for replication groups with one node."
        )
    if request.get("MultiAZEnabled") and not request.get("AutomaticFailoverEnabled"):
        raise AwsError(
            "InvalidParameterCombination", "Must specify AutomaticFailoverEnabled when MultiAZEnabled is set."
        )
    if request.get("AuthToken") and not request.get("TransitEncryptionEnabled"):
        raise AwsError("InvalidParameterCombination", "AuthToken can only be used with transit encryption.")
    made = new_group(place, identity, request, count, standalone=False)
    return {"ReplicationGroup": replication_group_response(place, made)}


def describe_groups(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeReplicationGroups: returns one group or all groups, without standalone clusters."""
    state, name = cache_state(place), request.get("ReplicationGroupId")
    found = [state.replication_group(name)] if name else [g for g in state.groups.values() if not g.standalone]
    return {"ReplicationGroups": [replication_group_response(place, group) for group in found]}


def require_available(group: Group) -> None:
    """Requires that a replication group is available, which modifying and deleting need."""
    if group.status != "available":
        raise AwsError(
            "InvalidReplicationGroupState",
            f"Replication group {group.id} is not in the available state: it is {group.status}.",
        )


def modify_group(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ModifyReplicationGroup: without ApplyImmediately, changes of node type and version wait for the maintenance
    window.
    """
    group = cache_state(place).replication_group(request["ReplicationGroupId"])
    require_available(group)
    apply_changes(place, group, request)
    group.description = request.get("ReplicationGroupDescription") or group.description
    return {"ReplicationGroup": replication_group_response(place, group)}


def apply_changes(place: Place, group: Group, request: dict[str, Any]) -> None:
    """Records the changes to a group; they take effect when it is available again."""
    later, parameters = change_of(place, group, request)
    now: dict[str, Any] = {"parameter_group": parameters} if parameters else {}
    if request.get("CacheNodeType") and request["CacheNodeType"] != group.node_type:
        check_node_type(request["CacheNodeType"])
        later["node_type"] = request["CacheNodeType"]
    if request.get("SecurityGroupIds"):
        check_groups(place, request["SecurityGroupIds"])
        now["security_groups"] = list(request["SecurityGroupIds"])
        for node in group.nodes:
            interfaces.set_groups(place, node.eni, request["SecurityGroupIds"])
    for name in ("SnapshotRetentionLimit", "SnapshotWindow", "PreferredMaintenanceWindow", "AutoMinorVersionUpgrade"):
        if request.get(name) is not None:
            group.settings[name] = request[name]
    for name, key in (("AutomaticFailoverEnabled", "AutomaticFailover"), ("MultiAZEnabled", "MultiAZ")):
        if request.get(name) is not None:
            if request[name] and len(group.nodes) < 2:
                raise AwsError("InvalidParameterCombination", f"{name} needs a replica.")
            group.settings[key] = "enabled" if request[name] else "disabled"
    if request.get("ApplyImmediately"):
        now, later = {**group.deferred, **now, **later}, {}
        group.deferred = {}
    group.deferred.update(later)
    group.pending.update(now)
    if now:
        group.status = group.held or "modifying"
        group.due = timings.now() + timings.seconds("cache_modifying")


def begin_delete(group: Group) -> None:
    """Starts the deletion of a replication group or a standalone cluster."""
    group.held = ""
    group.status, group.due = "deleting", timings.now() + timings.seconds("cache_deleting")


def delete_group(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteReplicationGroup: possible only while the group is available, or after its creation failed."""
    group = cache_state(place).replication_group(request["ReplicationGroupId"])
    if group.status != "create-failed":
        require_available(group)
    begin_delete(group)
    return {"ReplicationGroup": replication_group_response(place, group)}


def create_cluster(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """CreateCacheCluster: creates one Redis node; Valkey requires CreateReplicationGroup."""
    state, identity = cache_state(place), request["CacheClusterId"].lower()
    if not re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{0,49}(?<!-)", identity):
        raise invalid("The parameter CacheClusterIdentifier is not a valid identifier.")
    if any(node.id == identity for group in state.groups.values() for node in group.nodes):
        raise AwsError("CacheClusterAlreadyExists", f"Cache cluster {identity} already exists.")
    if request.get("Engine") == "valkey":
        raise invalid(
            "This API doesn't support Valkey engine. Please use CreateReplicationGroup API for Valkey cluster creation."
        )
    if (request.get("Engine") or "redis") == "redis" and int(request.get("NumCacheNodes") or 1) > 1:
        raise invalid("Cannot create a Redis cluster with a NumCacheNodes parameter greater than 1.")
    made = new_group(place, identity, request, 1, standalone=True)
    return {"CacheCluster": cache_cluster_response(place, made, made.nodes[0], False)}


def describe_clusters(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeCacheClusters: returns standalone clusters and members of replication groups."""
    state, name = cache_state(place), request.get("CacheClusterId")
    pairs = [state.node(name)] if name else [(g, node) for g in state.groups.values() for node in g.nodes]
    if request.get("ShowCacheClustersNotInReplicationGroups"):
        pairs = [(group, node) for group, node in pairs if group.standalone]
    with_nodes = bool(request.get("ShowCacheNodeInfo"))
    return {"CacheClusters": [cache_cluster_response(place, group, node, with_nodes) for group, node in pairs]}


def require_standalone(place: Place, name: str) -> tuple[Group, Node]:
    """Returns a cache cluster, or raises an error unless it is available and standalone."""
    group, node = cache_state(place).node(name)
    if not group.standalone:
        raise AwsError("InvalidCacheClusterState", f"Cache cluster {name} is serving in a replication group.")
    if group.status != "available":
        raise AwsError(
            "InvalidCacheClusterState", f"Cache cluster {name} is not in a valid state: it is {group.status}."
        )
    return group, node


def modify_cluster(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ModifyCacheCluster: possible only for an available standalone cluster."""
    group, node = require_standalone(place, request["CacheClusterId"])
    apply_changes(place, group, request)
    return {"CacheCluster": cache_cluster_response(place, group, node, False)}


def delete_cluster(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteCacheCluster: possible only for an available standalone cluster."""
    group, node = require_standalone(place, request["CacheClusterId"])
    begin_delete(group)
    return {"CacheCluster": cache_cluster_response(place, group, node, False)}


OPERATIONS: dict[str, Operation] = {
    "CreateCacheSubnetGroup": create_subnet_group,
    "DescribeCacheSubnetGroups": describe_subnet_groups,
    "ModifyCacheSubnetGroup": modify_subnet_group,
    "DeleteCacheSubnetGroup": delete_subnet_group,
    "CreateCacheParameterGroup": elasticache_parameters.create,
    "DescribeCacheParameterGroups": elasticache_parameters.describe,
    "DescribeCacheParameters": elasticache_parameters.parameters,
    "ModifyCacheParameterGroup": elasticache_parameters.modify,
    "ResetCacheParameterGroup": elasticache_parameters.reset,
    "DeleteCacheParameterGroup": elasticache_parameters.delete,
    "CreateReplicationGroup": create_group,
    "DescribeReplicationGroups": describe_groups,
    "ModifyReplicationGroup": modify_group,
    "DeleteReplicationGroup": delete_group,
    "CreateCacheCluster": create_cluster,
    "DescribeCacheClusters": describe_clusters,
    "ModifyCacheCluster": modify_cluster,
    "DeleteCacheCluster": delete_cluster,
    "DescribeCacheEngineVersions": engine_versions,
    "DescribeEvents": elasticache_events.describe,
    "DescribeReservedCacheNodesOfferings": node_offerings,
    "ListTagsForResource": elasticache_tags.list_tags,
    "AddTagsToResource": elasticache_tags.add_tags,
    "RemoveTagsFromResource": elasticache_tags.remove_tags,
}


def install_rules() -> None:
    """Replaces moto's ElastiCache with that of this package."""
    disable(ElastiCacheResponse, ("CreateSnapshot", "DescribeSnapshots", "DeleteSnapshot"))
    for action, operation in OPERATIONS.items():
        install(ElastiCacheResponse, action, operation)

    def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
        for arn, found in cache_state(Place(self.account_id, self.region_name)).tags.items():
            yield TaggedResource(arn=arn, tags=dict(found), resource_type=f"elasticache:{arn.split(':')[5]}")

    ElastiCacheBackend.iter_tagged_resources = iter_tagged_resources
