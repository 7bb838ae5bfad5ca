"""Tests of the ElastiCache rules."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Aws, Network, control, wait_until


class Cache:
    """A subnet group in a network."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.ec, self.net = aws, aws.elasticache, Network(aws, True)
        self.ec.create_cache_subnet_group(
            CacheSubnetGroupName="Subnets", CacheSubnetGroupDescription="d", SubnetIds=self.net.subnets,
            Tags=[{"Key": "a", "Value": "b"}],
        )  # fmt: skip

    def create(self, identity: str = "Queue", **settings: Any) -> dict[str, Any]:
        """Creates a replication group of one node."""
        wanted = {
            "ReplicationGroupId": identity, "ReplicationGroupDescription": "d", "Engine": "redis", "EngineVersion": "7.1",
            "CacheNodeType": "cache.t4g.micro", "NumCacheClusters": 1, "Port": 6400, "CacheSubnetGroupName": "subnets",
            "SecurityGroupIds": [self.net.group], **settings,
        }  # fmt: skip
        return self.ec.create_replication_group(**wanted)["ReplicationGroup"]

    def show(self) -> dict[str, Any]:
        """Returns the replication group."""
        return self.ec.describe_replication_groups(ReplicationGroupId="queue")["ReplicationGroups"][0]

    def available(self) -> dict[str, Any]:
        """Waits until the replication group is available, and returns it."""
        return wait_until(lambda: (g := self.show())["Status"] == "available" and g)

    def node(self, name: str = "queue-001") -> dict[str, Any]:
        """Returns a member cluster of the replication group."""
        return self.ec.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]


@pytest.fixture
def cache(aws: Aws) -> Cache:
    return Cache(aws)


def test_replication_group_has_endpoints_once_available(cache: Cache) -> None:
    made = cache.create()
    assert (made["ReplicationGroupId"], made["Status"], made["NodeGroups"]) == ("queue", "creating", [])
    assert "Endpoint" not in cache.node()["CacheNodes"][0]
    done = cache.available()
    endpoint = done["NodeGroups"][0]["PrimaryEndpoint"]
    assert endpoint["Port"] == 6400
    assert endpoint["Address"].startswith("queue.") and endpoint["Address"].endswith(
        ".ng.0001.use2.cache.amazonaws.com"
    )
    assert done["NodeGroups"][0]["NodeGroupMembers"][0]["CurrentRole"] == "primary"
    assert (done["MemberClusters"], done["ClusterEnabled"], done["AutomaticFailover"]) == (
        ["queue-001"],
        False,
        "disabled",
    )


def test_member_clusters_carry_the_settings(cache: Cache) -> None:
    cache.create(NumCacheClusters=2, AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    cache.available()
    node = cache.node("queue-002")
    assert (node["ReplicationGroupId"], node["Engine"], node["EngineVersion"]) == ("queue", "redis", "7.1.0")
    assert node["CacheSubnetGroupName"] == "subnets"
    assert node["CacheParameterGroup"]["CacheParameterGroupName"] == "default.redis7"
    assert [g["SecurityGroupId"] for g in node["SecurityGroups"]] == [cache.net.group]
    assert len(cache.ec.describe_cache_clusters()["CacheClusters"]) == 2
    assert cache.ec.describe_cache_clusters(ShowCacheClustersNotInReplicationGroups=True)["CacheClusters"] == []
    assert cache.aws.code(cache.ec.delete_cache_cluster, CacheClusterId="queue-001") == "InvalidCacheClusterState"


@pytest.mark.parametrize("identity", ["1queue", "que--ue", "queue-", "q" * 41, "que_ue"])
def test_invalid_replication_group_id_is_refused(cache: Cache, identity: str) -> None:
    assert cache.aws.code(cache.create, identity=identity) == "InvalidParameterValue"


def test_invalid_replication_group_is_refused(cache: Cache) -> None:
    code = cache.aws.code
    assert code(cache.create, CacheNodeType="cache.bogus") == "InvalidParameterValue"
    assert code(cache.create, EngineVersion="3.2") == "InvalidParameterValue"
    assert code(cache.create, Engine="oracle") == "InvalidParameterValue"
    assert code(cache.create, SecurityGroupIds=["sg-0123456789abcdef0"]) == "InvalidParameterValue"
    assert code(cache.create, CacheSubnetGroupName="nope") == "CacheSubnetGroupNotFoundFault"
    assert code(cache.create, CacheParameterGroupName="nope") == "CacheParameterGroupNotFound"
    assert code(cache.create, CacheParameterGroupName="default.valkey8") == "InvalidParameterCombination"
    assert code(cache.create, AutomaticFailoverEnabled=True) == "InvalidParameterCombination"
    assert code(cache.create, Tags=[{"Key": "aws:x", "Value": "v"}]) == "InvalidParameterValue"
    cache.create()
    assert code(cache.create) == "ReplicationGroupAlreadyExists"
    alone = {
        "CacheClusterId": "v",
        "CacheNodeType": "cache.t4g.micro",
        "NumCacheNodes": 1,
        "CacheSubnetGroupName": "subnets",
    }
    assert code(cache.ec.create_cache_cluster, Engine="valkey", **alone) == "InvalidParameterValue"
    assert cache.create("v8", Engine="valkey", EngineVersion="8.0")["Engine"] == "valkey"


def test_replication_group_changes_require_available(cache: Cache) -> None:
    cache.create()
    group = {"ReplicationGroupId": "queue"}
    assert cache.aws.code(cache.ec.delete_replication_group, **group) == "InvalidReplicationGroupState"
    assert cache.aws.code(cache.ec.modify_replication_group, **group) == "InvalidReplicationGroupState"
    cache.available()
    assert cache.ec.delete_replication_group(**group)["ReplicationGroup"]["Status"] == "deleting"
    assert cache.aws.code(cache.ec.delete_replication_group, **group) == "InvalidReplicationGroupState"
    assert cache.aws.code(cache.create) == "ReplicationGroupAlreadyExists"
    wait_until(lambda: cache.ec.describe_replication_groups()["ReplicationGroups"] == [])
    assert cache.aws.code(cache.ec.describe_replication_groups, **group) == "ReplicationGroupNotFoundFault"
    assert cache.aws.code(cache.ec.describe_cache_clusters, CacheClusterId="queue-001") == "CacheClusterNotFound"


def test_modify_now_and_later(cache: Cache) -> None:
    cache.create(EngineVersion="7.0")
    cache.available()
    other = cache.net.add_group("other")
    modify = cache.ec.modify_replication_group
    modify(ReplicationGroupId="queue", CacheNodeType="cache.t4g.small", ApplyImmediately=False)
    assert (cache.show()["Status"], cache.show()["CacheNodeType"]) == ("available", "cache.t4g.micro")
    assert cache.node()["PendingModifiedValues"] == {"CacheNodeType": "cache.t4g.small"}
    modify(
        ReplicationGroupId="queue", CacheNodeType="cache.t4g.medium", EngineVersion="7.1", SecurityGroupIds=[other],
        ApplyImmediately=True,
    )  # fmt: skip
    assert cache.show()["Status"] == "modifying"
    assert cache.available()["CacheNodeType"] == "cache.t4g.medium"
    node = cache.node()
    assert (node["EngineVersion"], node["SecurityGroups"][0]["SecurityGroupId"]) == ("7.1.0", other)
    assert "PendingModifiedValues" not in node or node["PendingModifiedValues"] == {}
    assert cache.aws.interfaces(group_id=cache.net.group) == []
    older = {"ReplicationGroupId": "queue", "EngineVersion": "6.2", "ApplyImmediately": True}
    assert cache.aws.code(modify, **older) == "InvalidParameterValue"


def test_parameter_groups(cache: Cache) -> None:
    ec, code = cache.ec, cache.aws.code
    create = {"CacheParameterGroupName": "broker", "CacheParameterGroupFamily": "redis7", "Description": "d"}
    ec.create_cache_parameter_group(**create)
    assert code(ec.create_cache_parameter_group, **create) == "CacheParameterGroupAlreadyExists"
    bad = {**create, "CacheParameterGroupName": "x", "CacheParameterGroupFamily": "redis99"}
    assert code(ec.create_cache_parameter_group, **bad) == "InvalidParameterValue"

    def values(name: str, value: str, group: str = "broker") -> dict[str, Any]:
        return {
            "CacheParameterGroupName": group,
            "ParameterNameValues": [{"ParameterName": name, "ParameterValue": value}],
        }

    ec.modify_cache_parameter_group(**values("maxmemory-policy", "noeviction"))
    for wrong in (("maxmemory-policy", "none"), ("nonsense", "1"), ("cluster-enabled", "yes"), ("timeout", "soon")):
        assert code(ec.modify_cache_parameter_group, **values(*wrong)) == "InvalidParameterValue", wrong
    assert code(ec.modify_cache_parameter_group, **values("timeout", "0", "default.redis7")) == "InvalidParameterValue"
    set_by_user = ec.describe_cache_parameters(CacheParameterGroupName="broker", Source="user")["Parameters"]
    assert [(p["ParameterName"], p["ParameterValue"], p["Source"]) for p in set_by_user] == [
        ("maxmemory-policy", "noeviction", "user")
    ]
    every = ec.describe_cache_parameters(CacheParameterGroupName="default.redis7")["Parameters"]
    assert ("maxmemory-policy", "volatile-lru", "system") in [
        (p["ParameterName"], p["ParameterValue"], p["Source"]) for p in every
    ]
    cache.create(CacheParameterGroupName="broker")
    assert code(ec.delete_cache_parameter_group, CacheParameterGroupName="broker") == "InvalidCacheParameterGroupState"
    cache.available()
    ec.modify_replication_group(
        ReplicationGroupId="queue", CacheParameterGroupName="default.redis7", ApplyImmediately=True
    )
    cache.available()
    ec.delete_cache_parameter_group(CacheParameterGroupName="broker")
    assert code(ec.describe_cache_parameter_groups, CacheParameterGroupName="broker") == "CacheParameterGroupNotFound"


def test_subnet_groups(cache: Cache) -> None:
    ec, code = cache.ec, cache.aws.code
    shown = ec.describe_cache_subnet_groups(CacheSubnetGroupName="subnets")["CacheSubnetGroups"][0]
    assert (shown["VpcId"], len(shown["Subnets"])) == (cache.net.vpc, 2)
    again = {"CacheSubnetGroupName": "subnets", "CacheSubnetGroupDescription": "d", "SubnetIds": cache.net.subnets}
    assert code(ec.create_cache_subnet_group, **again) == "CacheSubnetGroupAlreadyExists"
    unknown = {**again, "CacheSubnetGroupName": "x", "SubnetIds": ["subnet-0123456789abcdef0"]}
    assert code(ec.create_cache_subnet_group, **unknown) == "InvalidSubnet"
    cache.create()
    assert code(ec.delete_cache_subnet_group, CacheSubnetGroupName="subnets") == "CacheSubnetGroupInUse"
    only = {"CacheSubnetGroupName": "subnets", "SubnetIds": cache.net.subnets[1:]}
    assert code(ec.modify_cache_subnet_group, **only) == "SubnetInUse"
    cache.available()
    ec.delete_replication_group(ReplicationGroupId="queue")
    wait_until(lambda: not ec.describe_replication_groups()["ReplicationGroups"])
    ec.delete_cache_subnet_group(CacheSubnetGroupName="subnets")
    assert code(ec.describe_cache_subnet_groups, CacheSubnetGroupName="subnets") == "CacheSubnetGroupNotFoundFault"


def test_cache_node_interfaces_linger(cache: Cache) -> None:
    cache.create()
    (eni,) = cache.aws.interfaces(vpc_id=cache.net.vpc)
    assert (eni["Description"], eni["RequesterId"]) == ("ElastiCache queue-001", "amazon-elasticache")
    cache.available()
    cache.ec.delete_replication_group(ReplicationGroupId="queue")
    wait_until(lambda: not cache.ec.describe_replication_groups()["ReplicationGroups"])
    assert cache.aws.interfaces(vpc_id=cache.net.vpc), "it lingers"
    assert cache.aws.code(cache.aws.ec2.delete_security_group, GroupId=cache.net.group) == "DependencyViolation"
    wait_until(lambda: not cache.aws.interfaces(vpc_id=cache.net.vpc))
    cache.aws.ec2.delete_security_group(GroupId=cache.net.group)


def test_group_without_capacity_is_not_created(cache: Cache) -> None:
    control(cache.aws.url, "POST", "cache-capacity", {"account": cache.aws.account, "available": False})
    cache.create()
    failed = wait_until(lambda: (group := cache.show())["Status"] == "create-failed" and group)
    assert failed["NodeGroups"] == [] and "Endpoint" not in cache.node()["CacheNodes"][0]
    (event,) = cache.ec.describe_events(SourceType="cache-cluster", SourceIdentifier="queue-001")["Events"]
    assert "insufficient capacity" in event["Message"]
    assert cache.ec.describe_events(SourceType="replication-group")["Events"] == []
    cache.ec.delete_replication_group(ReplicationGroupId="queue")
    wait_until(lambda: not cache.ec.describe_replication_groups()["ReplicationGroups"])


def test_tags(cache: Cache) -> None:
    arn = cache.create(Tags=[{"Key": "a", "Value": "b"}])["ARN"]
    ec = cache.ec
    assert ec.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "a", "Value": "b"}]
    ec.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "c", "Value": "d"}])
    ec.remove_tags_from_resource(ResourceName=arn, TagKeys=["a"])
    assert ec.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "c", "Value": "d"}]
    assert cache.aws.code(ec.list_tags_for_resource, ResourceName=arn + "x") == "ReplicationGroupNotFoundFault"
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(50)]
    assert cache.aws.code(ec.add_tags_to_resource, ResourceName=arn, Tags=many) == "InvalidParameterValue"


def test_node_beyond_quota_is_refused(cache: Cache) -> None:
    control(
        cache.aws.url,
        "POST",
        "preconditions",
        {"quotas": {"L-DFE45DF3": 2}, "account": cache.aws.account, "region": cache.aws.region},
    )  # fmt: skip
    assert cache.aws.code(cache.create, NumCacheClusters=3) == "NodeQuotaForCustomerExceeded"
    cache.create(NumCacheClusters=2)
    assert cache.aws.code(cache.create, identity="other") == "NodeQuotaForCustomerExceeded"


def test_node_types_are_those_with_offerings(cache: Cache) -> None:
    assert cache.aws.code(cache.create, CacheNodeType="cache.t3.large") == "InvalidParameterValue"
    offerings = cache.ec.describe_reserved_cache_nodes_offerings
    of_type = offerings(CacheNodeType="cache.t3.small")["ReservedCacheNodesOfferings"]
    assert [offering["CacheNodeType"] for offering in of_type] == ["cache.t3.small"]
    assert offerings(CacheNodeType="cache.t3.large")["ReservedCacheNodesOfferings"] == []
    assert len(offerings(MaxRecords=20)["ReservedCacheNodesOfferings"]) == 20
