"""Tests of changes to a replication group: engine, version, and the states in which AWS refuses changes."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Aws, control
from test_elasticache import Cache


@pytest.fixture
def cache(aws: Aws) -> Cache:
    return Cache(aws)


def modify(cache: Cache, **changes: Any) -> None:
    """Changes the replication group at once."""
    cache.ec.modify_replication_group(ReplicationGroupId="queue", ApplyImmediately=True, **changes)


def refusal(cache: Cache, **changes: Any) -> str:
    """Returns the error code with which a change of the replication group is refused."""
    return cache.aws.code(lambda: modify(cache, **changes))


def hold(cache: Cache, status: str) -> None:
    """Holds the replication group in a status; releases it if the status is empty."""
    wanted = {"account": cache.aws.account, "region": cache.aws.region, "group": "queue", "status": status}
    control(cache.aws.url, "POST", "cache-status", wanted)


def add_parameters(cache: Cache, name: str, family: str) -> None:
    """Creates a parameter group."""
    cache.ec.create_cache_parameter_group(
        CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="d"
    )


def test_redis_becomes_valkey_with_its_parameter_group(cache: Cache) -> None:
    add_parameters(cache, "old", "redis7")
    add_parameters(cache, "new", "valkey8")
    cache.create(CacheParameterGroupName="old")
    before = cache.available()["NodeGroups"][0]["PrimaryEndpoint"]
    engine = {"Engine": "valkey", "EngineVersion": "8.0"}
    assert refusal(cache, **engine) == "InvalidParameterCombination", "the group of the old family is not kept"
    assert refusal(cache, CacheParameterGroupName="old", **engine) == "InvalidParameterCombination"
    assert refusal(cache, CacheParameterGroupName="new") == "InvalidParameterCombination"
    assert refusal(cache, Engine="valkey", CacheParameterGroupName="new") == "InvalidParameterCombination"
    assert refusal(cache, Engine="valkey", EngineVersion="9.9", CacheParameterGroupName="new") == (
        "InvalidParameterValue"
    )
    modify(cache, CacheParameterGroupName="new", **engine)
    node = cache.node()
    assert (node["Engine"], node["EngineVersion"]) == ("redis", "7.1.0"), "the change is in progress"
    assert node["PendingModifiedValues"] == {"EngineVersion": "8.0.1"}
    done = cache.available()
    assert (done["Engine"], done["NodeGroups"][0]["PrimaryEndpoint"]) == ("valkey", before)
    node = cache.node()
    assert (node["Engine"], node["EngineVersion"]) == ("valkey", "8.0.1")
    assert node["CacheParameterGroup"]["CacheParameterGroupName"] == "new"


def test_default_parameter_group_is_exchanged(cache: Cache) -> None:
    cache.create()
    cache.available()
    modify(cache, Engine="valkey", EngineVersion="7.2")
    cache.available()
    assert cache.node()["CacheParameterGroup"]["CacheParameterGroupName"] == "default.valkey7"
    modify(cache, EngineVersion="8.1")
    cache.available()
    assert cache.node()["CacheParameterGroup"]["CacheParameterGroupName"] == "default.valkey8"
    assert refusal(cache, EngineVersion="8.0") == "InvalidParameterValue", "a downgrade"
    assert refusal(cache, Engine="redis", EngineVersion="7.1") == "InvalidParameterCombination"


def test_major_version_needs_its_parameter_group(cache: Cache) -> None:
    add_parameters(cache, "old", "valkey7")
    add_parameters(cache, "new", "valkey8")
    cache.create(Engine="valkey", EngineVersion="7.2", CacheParameterGroupName="old")
    cache.available()
    assert refusal(cache, EngineVersion="8.0") == "InvalidParameterCombination"
    modify(cache, EngineVersion="8.0", CacheParameterGroupName="new")
    cache.available()
    assert cache.node()["EngineVersion"] == "8.0.1"


@pytest.mark.parametrize("status", ["snapshotting", "modifying"])
def test_passing_states_refuse_changes_and_deletes(cache: Cache, status: str) -> None:
    cache.create()
    cache.available()
    hold(cache, status)
    assert (cache.show()["Status"], cache.node()["CacheClusterStatus"]) == (status, status)
    assert cache.show()["NodeGroups"][0]["PrimaryEndpoint"]["Port"] == 6400, "it serves meanwhile"
    assert refusal(cache, CacheNodeType="cache.t4g.small") == "InvalidReplicationGroupState"
    delete = cache.ec.delete_replication_group
    assert cache.aws.code(delete, ReplicationGroupId="queue") == "InvalidReplicationGroupState"
    hold(cache, "")
    assert cache.show()["Status"] == "available"
    delete(ReplicationGroupId="queue")


def test_accepted_change_can_be_invisible_for_a_while(cache: Cache) -> None:
    cache.create()
    cache.available()
    hold(cache, "available")
    modify(cache, CacheNodeType="cache.t4g.small")
    assert (cache.show()["Status"], cache.show()["CacheNodeType"]) == ("available", "cache.t4g.micro")
    hold(cache, "")
    assert cache.show()["Status"] == "modifying"
    assert cache.available()["CacheNodeType"] == "cache.t4g.small"


def test_engine_versions_have_families_and_pages(cache: Cache) -> None:
    versions = cache.ec.describe_cache_engine_versions
    valkey = versions(Engine="valkey")["CacheEngineVersions"]
    assert {found["Engine"] for found in valkey} == {"valkey"}
    families = {found["EngineVersion"]: found["CacheParameterGroupFamily"] for found in valkey}
    assert (families["7.2.6"], families["8.0.1"]) == ("valkey7", "valkey8")
    assert all(version.count(".") == 2 for version in families)
    assert cache.aws.code(versions, MaxRecords=19) == "InvalidParameterValue"
    whole = versions()["CacheEngineVersions"]
    pages = cache.ec.get_paginator("describe_cache_engine_versions").paginate(PaginationConfig={"PageSize": 20})
    assert [found for page in pages for found in page["CacheEngineVersions"]] == whole


def test_version_that_is_not_offered_is_refused(cache: Cache) -> None:
    wanted = {"account": cache.aws.account, "hidden": {"valkey": ["8.1.0", "8.2.0"]}}
    control(cache.aws.url, "POST", "cache-versions", wanted)
    valkey = cache.ec.describe_cache_engine_versions(Engine="valkey")["CacheEngineVersions"]
    assert [found["EngineVersion"] for found in valkey] == ["7.2.6", "8.0.1"]
    new = {"Engine": "valkey", "EngineVersion": "8.1"}
    assert cache.aws.code(lambda: cache.create(**new)) == "InvalidParameterValue"
    control(cache.aws.url, "POST", "cache-versions", {**wanted, "hidden": {}})
    assert cache.create(**new)["Engine"] == "valkey"


def test_data_at_rest_is_encrypted_by_default_with_valkey(cache: Cache) -> None:
    cache.create()
    assert cache.available()["AtRestEncryptionEnabled"] is False
    assert cache.create("other", Engine="valkey", EngineVersion="8.0")["AtRestEncryptionEnabled"] is True
    off = cache.create("third", Engine="valkey", EngineVersion="8.0", AtRestEncryptionEnabled=False)
    assert off["AtRestEncryptionEnabled"] is False
