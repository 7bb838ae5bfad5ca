"""A cache node that runs in a subnet which is not wanted keeps that subnet in the group; a failed run keeps nobody from
forgetting."""

from __future__ import annotations

from typing import Any

from gate import Gate
from harness import Site, until


def resources(site: Site) -> dict[str, Any]:
    """What is remembered."""
    found: dict[str, Any] = site.state_object()["snapshot"]["resources"]
    return found


def cache_in_the_second_zone(site: Site) -> list[str]:
    """Makes the cache anew as Terraform stacks have it: its group has both subnets, and the node is in the second zone. Gives
    what is to be adopted."""
    ec, were = site.aws.elasticache, resources(site)
    subnets = [were[f"net/{name}_subnet"]["attrs"]["id"] for name in ("balancer", "tasks")]
    site.run("forget", "staging", "redis/jobqr", "redis/subnets", "--yes").ended()
    group, subnet_group = were["redis/jobqr"]["spec"], were["redis/subnets"]["spec"]
    ec.delete_replication_group(ReplicationGroupId=group["id"])
    until(lambda: not ec.describe_replication_groups()["ReplicationGroups"])
    ec.delete_cache_subnet_group(CacheSubnetGroupName=subnet_group["name"])
    made = {"CacheSubnetGroupName": subnet_group["name"], "CacheSubnetGroupDescription": subnet_group["description"]}
    ec.create_cache_subnet_group(SubnetIds=subnets, **made, Tags=pairs(subnet_group["tags"]))
    ec.create_replication_group(
        ReplicationGroupId=group["id"], ReplicationGroupDescription=group["description"], Engine=group["engine"],
        EngineVersion=group["engine_version"], CacheNodeType=group["node_type"], Port=group["port"],
        NumCacheClusters=1, CacheSubnetGroupName=subnet_group["name"], AutoMinorVersionUpgrade=False,
        CacheParameterGroupName=group["parameter_group"], SecurityGroupIds=group["security_group_ids"],
        Tags=pairs(group["tags"]),
    )  # fmt: skip
    until(lambda: ec.describe_replication_groups()["ReplicationGroups"][0]["Status"] == "available")
    return [f"redis/subnets={subnet_group['name']}", f"redis/jobqr={group['id']}"]


def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as the API takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def in_group(site: Site) -> int:
    """How many subnets the cache's group has."""
    (group,) = site.aws.elasticache.describe_cache_subnet_groups()["CacheSubnetGroups"]
    return len(group["Subnets"])


def test_deploy_after_adopt_keeps_the_subnet_of_the_node(site: Site) -> None:
    site.deploy()
    wanted = cache_in_the_second_zone(site)
    site.run("adopt", "staging", *wanted, "--yes").ended()
    planned = site.plan().changes
    assert "redis/subnets" not in planned and "redis/jobqr" not in planned, planned
    site.deploy()
    site.finds_nothing()
    assert in_group(site) == 2
    # Another change of the group leaves its subnets alone.
    name = resources(site)["redis/subnets"]["attrs"]["name"]
    site.aws.elasticache.modify_cache_subnet_group(CacheSubnetGroupName=name, CacheSubnetGroupDescription="other")
    site.deploy()
    assert in_group(site) == 2
    site.destroy()
    assert site.world.remains() == {}


def test_forget_after_a_failed_deploy_keeps_other_intents(site: Site, gate: Gate) -> None:
    site.deploy()
    body = b'{"__type": "AccessDeniedException", "message": "not allowed"}'
    gate.refuse("ecs:UpdateService", 403, body, times=100)
    site.configure({"services": {"celery": {"count": 2}}})
    site.run("deploy", "staging", "--yes", url=gate.url).ended(1)
    left = site.state_object()["snapshot"]["intents"]
    assert "finish it first" in site.run("adopt", "staging", "net/vpc=vpc-1", "--yes").ended(1).err
    site.run("forget", "staging", "redis/subnets", "--yes").ended()
    assert "redis/subnets" not in resources(site)
    assert site.state_object()["snapshot"]["intents"] == left, "what is left to do stays on record"
    services = [step["address"] for step in left["steps"]]
    site.run("forget", "staging", *services, "--yes").ended()
    assert "intents" not in site.state_object()["snapshot"], "nothing is left of the failed run"


def test_forget_of_what_may_have_been_created_is_refused(site: Site, gate: Gate) -> None:
    stop = gate.hold_after("elasticache:CreateReplicationGroup")
    running = site.start("deploy", "staging", "--yes", url=gate.url)
    stop.wait()
    until(lambda: "redis/parameters" in resources(site))
    running.kill()
    gate.open_all()
    site.run("unlock", "staging", site.lock_id()).ended()
    result = site.run("forget", "staging", "redis/jobqr", "--yes").ended(1)
    assert "may have created redis/jobqr" in result.err and "pb-deploy deploy staging" in result.err, result
    site.run("forget", "staging", "redis/parameters", "--yes").ended()
    steps = site.state_object()["snapshot"]["intents"]["steps"]
    assert "redis/jobqr" in [step["address"] for step in steps]
