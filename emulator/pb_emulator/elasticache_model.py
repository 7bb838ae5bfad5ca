"""ElastiCache resources, their states, and their form in responses."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.elasticache.models import elasticache_backends

from . import interfaces, settings, timings
from .errors import AwsError
from .patching import Place, attached_state

MEMCACHED = "1.4.5 1.4.14 1.4.24 1.4.33 1.4.34 1.5.10 1.5.16 1.6.6 1.6.12 1.6.17 1.6.22".split()
#: Full version and parameter group family by engine and by the version that a request names.
VERSIONS: dict[str, dict[str, tuple[str, str]]] = {
    "redis": {
        "5.0.5": ("5.0.5", "redis5.0"),
        "5.0.6": ("5.0.6", "redis5.0"),
        "6.0": ("6.0.5", "redis6.x"),
        "6.2": ("6.2.6", "redis6.x"),
        "6.x": ("6.2.6", "redis6.x"),
        "7.0": ("7.0.7", "redis7"),
        "7.1": ("7.1.0", "redis7"),
    },
    "valkey": {
        "7.2": ("7.2.6", "valkey7"),
        "8.0": ("8.0.1", "valkey8"),
        "8.1": ("8.1.0", "valkey8"),
        "8.2": ("8.2.0", "valkey8"),
    },
    "memcached": {version: (version, f"memcached{version[:3]}") for version in MEMCACHED},
}
DEFAULT_VERSION = {"redis": "7.1", "valkey": "8.0", "memcached": "1.6.22"}
FAMILIES = sorted({family for known in VERSIONS.values() for _, family in known.values()})
#: Full versions that AWS does not offer yet, by account and engine.
_hidden: dict[str, dict[str, list[str]]] = {}
#: Accounts for whose cache nodes AWS has no capacity.
_without_capacity: set[str] = set()
#: Offered node types. (ElastiCache user guide: Supported node types)
NODE_TYPES = [
    *(f"cache.{family}.{size}" for family in ("t2", "t3", "t4g") for size in ("micro", "small", "medium")),
    *(
        f"cache.{family}.{size}"
        for family in ("m5", "m6g", "m7g", "r5", "r6g", "r7g", "r6gd", "c7gn")
        for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
    ),
]


def short_region(region: str) -> str:
    """Returns the abbreviation of a region in endpoint names, such as use2 for us-east-2."""
    first, second, number = (region.split("-") + ["", ""])[:3]
    abbreviations = {"northeast": "ne", "southeast": "se", "northwest": "nw", "southwest": "sw"}
    return f"{first}{abbreviations.get(second, second[:1])}{number}"


@dataclass
class Node:
    """A cache cluster of one node: a member of a replication group, or standalone."""

    id: str
    zone: str
    role: str
    eni: interfaces.ManagedInterface
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Group:
    """A replication group, or a standalone cache cluster."""

    id: str
    arn: str
    description: str
    engine: str
    version: str
    node_type: str
    port: int
    subnet_group: str
    security_groups: list[str]
    parameter_group: str
    settings: dict[str, Any]
    nodes: list[Node]
    hash: str
    standalone: bool = False
    status: str = "creating"
    due: float = 0.0
    pending: dict[str, Any] = field(default_factory=dict)
    deferred: dict[str, Any] = field(default_factory=dict)
    #: Status that a test has set; it stays until the test releases it.
    held: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class SubnetGroup:
    """A cache subnet group."""

    name: str
    arn: str
    description: str
    subnets: list[str]
    vpc: str


@dataclass
class ParameterGroup:
    """A cache parameter group, with the values that differ from those of its family."""

    name: str
    arn: str
    family: str
    description: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass
class Event:
    """An event of a replication group (`replication-group`) or of a node (`cache-cluster`)."""

    source: str
    kind: str
    message: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class CacheState:
    """All ElastiCache resources of one account and region."""

    groups: dict[str, Group] = field(default_factory=dict)
    subnet_groups: dict[str, SubnetGroup] = field(default_factory=dict)
    parameter_groups: dict[str, ParameterGroup] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def replication_group(self, name: str) -> Group:
        """Returns a replication group, or raises an error if it does not exist."""
        found = self.groups.get(name.lower())
        if found is None or found.standalone:
            raise AwsError("ReplicationGroupNotFoundFault", f"ReplicationGroup {name} not found.")
        return found

    def node(self, name: str) -> tuple[Group, Node]:
        """Returns a cache cluster with its group, or raises an error if it does not exist."""
        for group in self.groups.values():
            for node in group.nodes:
                if node.id == name.lower():
                    return group, node
        raise AwsError("CacheClusterNotFound", f"CacheCluster not found: {name}")


def cache_state(place: Place) -> CacheState:
    """Returns the ElastiCache resources of an account and region. They are stored in moto's backend, so that a reset
    clears them.
    """
    return attached_state(elasticache_backends[place.account][place.region], "elasticache", CacheState)


def set_capacity(account: str, available: bool) -> None:
    """Makes AWS have capacity for the cache nodes of an account, or none."""
    _without_capacity.discard(account) if available else _without_capacity.add(account)


def hide_versions(account: str, hidden: dict[str, list[str]]) -> None:
    """Makes AWS offer to an account all engine versions except these, which are full versions by engine."""
    _hidden[account] = hidden


def offered(account: str, engine: str) -> dict[str, tuple[str, str]]:
    """Returns the offered versions of an engine: full version and family by the version that a request names."""
    hidden = _hidden.get(account, {}).get(engine, [])
    return {short: found for short, found in VERSIONS[engine].items() if found[0] not in hidden}


#: Statuses in which a group can be held. `available` hides accepted changes, which AWS shows only after some seconds.
HELD = ("available", "modifying", "snapshotting")


def hold(place: Place, name: str, status: str) -> None:
    """Holds a replication group in a status, or releases it if the status is empty. AWS takes automatic snapshots
    (`snapshotting`) and does maintenance (`modifying`) at times of its own. A change that was accepted meanwhile begins
    with the release.
    """
    group = cache_state(place).replication_group(name)
    if status and status not in HELD:
        raise ValueError(f"a group cannot be held in status {status!r}, only in {', '.join(HELD)}")
    group.held = status
    group.status = status or ("modifying" if group.pending else "available")
    group.due = timings.now() + (timings.seconds("cache_modifying") if group.pending else 0)


def reset() -> None:
    """Makes capacity and all versions available to all accounts."""
    _without_capacity.clear()
    _hidden.clear()


def random_hash() -> str:
    """Returns a random value for the part of endpoint names that differs between accounts."""
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=6))


def advance(place: Place) -> None:
    """Advances the groups: those that are being created or modified become available, or fail if there is no capacity;
    those that are being deleted disappear, and their interfaces linger.
    """
    if not dict.__contains__(elasticache_backends[place.account], place.region):
        return
    state = cache_state(place)
    for group in list(state.groups.values()):
        if group.held or group.status in ("available", "create-failed") or timings.now() < group.due:
            continue
        if group.status == "creating" and place.account in _without_capacity:
            group.status = "create-failed"
            for node in group.nodes:
                message = f"Cannot create {group.node_type} in {node.zone}: insufficient capacity."
                state.events.append(Event(node.id, "cache-cluster", message))
            continue
        if group.status == "deleting":
            for node in group.nodes:
                interfaces.release(node.eni, group.due)
                state.tags.pop(place.arn("elasticache", f"cluster:{node.id}"), None)
            del state.groups[group.id]
            state.tags.pop(group.arn, None)
            continue
        if group.status == "modifying":
            for name, value in group.pending.items():
                setattr(group, name, value)
            group.pending = {}
        group.status = "available"


def endpoint_host(place: Place, group: Group, kind: str) -> str:
    """Returns the host name of an endpoint: `primary`, `reader`, or the id of a node."""
    tail = f"{group.hash}.{{0}}{short_region(place.region)}.cache.amazonaws.com"
    encrypted = group.settings.get("TransitEncryptionEnabled")
    if group.standalone:
        return f"{kind}.{tail.format('0001.')}"
    if kind == "primary":
        return f"master.{group.id}.{tail.format('')}" if encrypted else f"{group.id}.{tail.format('ng.0001.')}"
    if kind == "reader":
        return f"replica.{group.id}.{tail.format('')}" if encrypted else f"{group.id}-ro.{tail.format('ng.0001.')}"
    return f"{kind}.{group.id}.{tail.format('')}" if encrypted else f"{kind}.{tail.format('0001.')}"


def endpoint(place: Place, group: Group, kind: str) -> dict[str, Any]:
    """Returns an endpoint in the form of ElastiCache's responses."""
    return {"Address": settings.cache_host or endpoint_host(place, group, kind), "Port": group.port}


def replication_group_response(place: Place, group: Group) -> dict[str, Any]:
    """Returns a replication group in the form of ElastiCache's responses, with endpoints once its creation has
    finished.
    """
    known = group.status not in ("creating", "create-failed")
    node_group: dict[str, Any] = {"NodeGroupId": "0001", "Status": group.status}
    if known:
        node_group["PrimaryEndpoint"] = endpoint(place, group, "primary")
        node_group["ReaderEndpoint"] = endpoint(place, group, "reader")
        node_group["NodeGroupMembers"] = [
            {
                "CacheClusterId": node.id,
                "CacheNodeId": "0001",
                "ReadEndpoint": endpoint(place, group, node.id),
                "PreferredAvailabilityZone": node.zone,
                "CurrentRole": node.role,
            }
            for node in group.nodes
        ]
    return {
        **group.settings,
        "ReplicationGroupId": group.id,
        "Description": group.description,
        "Status": group.status,
        "PendingModifiedValues": {},
        "MemberClusters": [node.id for node in group.nodes],
        "NodeGroups": [node_group] if known else [],
        "SnapshottingClusterId": None,
        "ClusterEnabled": False,
        "ClusterMode": "disabled",
        "CacheNodeType": group.node_type,
        "AuthTokenEnabled": bool(group.settings.get("AuthTokenEnabled")),
        "ARN": group.arn,
        "ReplicationGroupCreateTime": group.created,
        "DataTiering": "disabled",
        "NetworkType": "ipv4",
        "IpDiscovery": "ipv4",
        "LogDeliveryConfigurations": [],
        "UserGroupIds": [],
        "MemberClustersOutpostArns": [],
        "Engine": group.engine,
    }


def cache_cluster_response(place: Place, group: Group, node: Node, with_nodes: bool) -> dict[str, Any]:
    """Returns a cache cluster in the form of ElastiCache's responses, with version, parameter group, security groups
    and subnet group.
    """
    # AWS shows neither a pending engine nor a pending parameter group.
    changes = {**group.deferred, **group.pending}
    pending = {"CacheNodeType": changes.get("node_type"), "EngineVersion": changes.get("version")}
    answer: dict[str, Any] = {
        "CacheClusterId": node.id,
        "ARN": place.arn("elasticache", f"cluster:{node.id}"),
        "ClientDownloadLandingPage": "https://console.aws.amazon.com/elasticache/home#client-download:",
        "CacheNodeType": group.node_type,
        "Engine": group.engine,
        "EngineVersion": group.version,
        "CacheClusterStatus": group.status,
        "NumCacheNodes": 1,
        "PreferredAvailabilityZone": node.zone,
        "CacheClusterCreateTime": node.created,
        "PreferredMaintenanceWindow": group.settings.get("PreferredMaintenanceWindow", "sun:05:00-sun:06:00"),
        "PendingModifiedValues": {key: value for key, value in pending.items() if value},
        "CacheSecurityGroups": [],
        "CacheParameterGroup": {
            "CacheParameterGroupName": group.parameter_group,
            "ParameterApplyStatus": "in-sync",
            "CacheNodeIdsToReboot": [],
        },
        "CacheSubnetGroupName": group.subnet_group,
        "AutoMinorVersionUpgrade": group.settings.get("AutoMinorVersionUpgrade", True),
        "SecurityGroups": [{"SecurityGroupId": name, "Status": "active"} for name in group.security_groups],
        "SnapshotRetentionLimit": group.settings.get("SnapshotRetentionLimit", 0),
        "SnapshotWindow": group.settings.get("SnapshotWindow", "03:00-04:00"),
        "AuthTokenEnabled": bool(group.settings.get("AuthTokenEnabled")),
        "TransitEncryptionEnabled": bool(group.settings.get("TransitEncryptionEnabled")),
        "AtRestEncryptionEnabled": bool(group.settings.get("AtRestEncryptionEnabled")),
        "ReplicationGroupLogDeliveryEnabled": False,
        "LogDeliveryConfigurations": [],
        "NetworkType": "ipv4",
        "IpDiscovery": "ipv4",
    }
    if not group.standalone:
        answer["ReplicationGroupId"] = group.id
    if with_nodes:
        cache_node: dict[str, Any] = {
            "CacheNodeId": "0001",
            "CacheNodeStatus": group.status,
            "CacheNodeCreateTime": node.created,
            "ParameterGroupStatus": "in-sync",
            "CustomerAvailabilityZone": node.zone,
        }
        if group.status not in ("creating", "create-failed"):
            cache_node["Endpoint"] = endpoint(place, group, node.id)
        answer["CacheNodes"] = [cache_node]
    return answer
