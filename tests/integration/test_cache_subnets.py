"""Subnets of running cache nodes, which stay in their subnet group; and `forget` after a failed run."""

from __future__ import annotations

from typing import Any

from fault_proxy import FaultProxy
from harness import TestWorkspace, until


def resources(workspace: TestWorkspace) -> dict[str, Any]:
    """Returns the recorded resources by address."""
    records: dict[str, Any] = workspace.state_object()["snapshot"]["resources"]
    return records


def recreate_cache_in_second_zone(workspace: TestWorkspace) -> list[str]:
    """Recreates the cache as in some Terraform stacks: both subnets in its group, and the node in the second zone.

    Returns the arguments with which `adopt` imports it.
    """
    ec, records = workspace.aws.elasticache, resources(workspace)
    subnets = [records[f"net/{name}_subnet"]["attrs"]["id"] for name in ("balancer", "tasks")]
    workspace.run("forget", "staging", "redis/jobqr", "redis/subnets", "--yes").expect_exit()
    group, subnet_group = records["redis/jobqr"]["spec"], records["redis/subnets"]["spec"]
    ec.delete_replication_group(ReplicationGroupId=group["id"])
    until(lambda: not ec.describe_replication_groups()["ReplicationGroups"])
    ec.delete_cache_subnet_group(CacheSubnetGroupName=subnet_group["name"])
    settings = {
        "CacheSubnetGroupName": subnet_group["name"],
        "CacheSubnetGroupDescription": subnet_group["description"],
    }
    ec.create_cache_subnet_group(SubnetIds=subnets, **settings, Tags=tag_list(subnet_group["tags"]))
    ec.create_replication_group(
        ReplicationGroupId=group["id"], ReplicationGroupDescription=group["description"], Engine=group["engine"],
        EngineVersion=group["engine_version"], CacheNodeType=group["node_type"], Port=group["port"],
        NumCacheClusters=1, CacheSubnetGroupName=subnet_group["name"], AutoMinorVersionUpgrade=False,
        CacheParameterGroupName=group["parameter_group"], SecurityGroupIds=group["security_group_ids"],
        Tags=tag_list(group["tags"]),
    )  # fmt: skip
    until(lambda: ec.describe_replication_groups()["ReplicationGroups"][0]["Status"] == "available")
    return [f"redis/subnets={subnet_group['name']}", f"redis/jobqr={group['id']}"]


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Returns tags in the form that the ElastiCache API accepts."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def subnet_count(workspace: TestWorkspace) -> int:
    """Returns the number of subnets in the cache subnet group."""
    (group,) = workspace.aws.elasticache.describe_cache_subnet_groups()["CacheSubnetGroups"]
    return len(group["Subnets"])


def test_deploy_after_adopt_keeps_subnet_of_cache_node(workspace: TestWorkspace) -> None:
    workspace.deploy()
    pairs = recreate_cache_in_second_zone(workspace)
    workspace.run("adopt", "staging", *pairs, "--yes").expect_exit()
    planned = workspace.plan().changes
    assert "redis/subnets" not in planned and "redis/jobqr" not in planned, planned
    workspace.deploy()
    workspace.assert_no_changes()
    assert subnet_count(workspace) == 2
    # An update of another field does not remove subnets from the group.
    name = resources(workspace)["redis/subnets"]["attrs"]["name"]
    workspace.aws.elasticache.modify_cache_subnet_group(CacheSubnetGroupName=name, CacheSubnetGroupDescription="other")
    workspace.deploy()
    assert subnet_count(workspace) == 2
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_forget_after_failed_deploy_keeps_other_intents(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    workspace.deploy()
    body = b'{"__type": "AccessDeniedException", "message": "not allowed"}'
    proxy.refuse("ecs:UpdateService", 403, body, times=100)
    workspace.configure({"services": {"celery": {"count": 2}}})
    workspace.run("deploy", "staging", "--yes", url=proxy.url).expect_exit(1)
    intents = workspace.state_object()["snapshot"]["intents"]
    assert "finish it first" in workspace.run("adopt", "staging", "net/vpc=vpc-1", "--yes").expect_exit(1).err
    workspace.run("forget", "staging", "redis/subnets", "--yes").expect_exit()
    assert "redis/subnets" not in resources(workspace)
    assert workspace.state_object()["snapshot"]["intents"] == intents, "the failed run's intents remain recorded"
    addresses = [step["address"] for step in intents["steps"]]
    workspace.run("forget", "staging", *addresses, "--yes").expect_exit()
    assert "intents" not in workspace.state_object()["snapshot"], "no intent of the failed run remains"


def test_forget_of_possibly_created_resource_is_refused(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    stop = proxy.hold_after("elasticache:CreateReplicationGroup")
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    stop.wait()
    until(lambda: "redis/parameters" in resources(workspace))
    running.kill()
    proxy.release_all()
    workspace.run("unlock", "staging", workspace.lock_id()).expect_exit()
    result = workspace.run("forget", "staging", "redis/jobqr", "--yes").expect_exit(1)
    assert "may have created redis/jobqr" in result.err and "pb-deploy deploy staging" in result.err, result
    workspace.run("forget", "staging", "redis/parameters", "--yes").expect_exit()
    steps = workspace.state_object()["snapshot"]["intents"]["steps"]
    assert "redis/jobqr" in [step["address"] for step in steps]
