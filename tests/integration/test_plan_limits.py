"""A plan is refused if the account or the region lacks what it needs, as `doctor` reports it.

A plan asks only about what it creates or grows.
"""

from __future__ import annotations

import pytest
from configuration import Table
from fault_proxy import FaultProxy
from harness import TestWorkspace
from test_quotas import assert_deploys, assert_refused, set_preconditions, set_quota

pytestmark = pytest.mark.needs("quotas")

BALANCERS, CACHE_NODES = "L-53DA6B97", "L-DFE45DF3"
#: Calls that only these checks make.
QUESTIONS = {
    "servicequotas:GetServiceQuota",
    "elasticache:DescribeCacheEngineVersions",
    "elasticache:DescribeReservedCacheNodesOfferings",
}


def assert_doctor_agrees(workspace: TestWorkspace, name: str) -> None:
    """Asserts that `doctor` reports the same problem in the check of this name."""
    document = workspace.run("doctor", "staging", "--json").expect_exit(1).json()
    assert {check["name"]: check["verdict"] for check in document["checks"]}[name] == "bad", document


@pytest.mark.parametrize(
    ("redis", "check", "words"),
    [
        (
            {"engine": "valkey", "version": "7.9"},
            "engine",
            ["valkey 7.9 is not offered in us-east-2, only 7.2.6, 8.0.1", "choose another `redis.version`"],
        ),
        (
            {"node_type": "cache.t3.large"},
            "node type",
            ["cache.t3.large is not offered in us-east-2", "choose another `redis.node_type`"],
        ),
    ],
)
def test_new_queue_that_is_not_offered_is_refused(
    workspace: TestWorkspace, redis: Table, check: str, words: list[str]
) -> None:
    workspace.configure({"redis": redis})
    assert_refused(workspace, "redis/jobqr", *words)
    assert_doctor_agrees(workspace, check)


@pytest.mark.parametrize(
    ("redis", "word"),
    [
        ({"node_type": "cache.t3.large"}, "cache.t3.large is not offered"),
        # The engine is changed by a replacement that deletes the old queue first.
        ({"engine": "valkey", "version": "7.9"}, "valkey 7.9 is not offered"),
    ],
)
def test_change_to_a_queue_not_offered_is_refused(staging: TestWorkspace, redis: Table, word: str) -> None:
    staging.configure({"redis": redis})
    assert_refused(staging, "redis/jobqr", word)
    staging.mark_unchanged()


def test_region_full_of_vpcs_refuses_the_plan(workspace: TestWorkspace) -> None:
    ec2 = workspace.aws.ec2
    others = [ec2.create_vpc(CidrBlock=f"172.{16 + n}.0.0/16")["Vpc"]["VpcId"] for n in range(4)]
    assert_refused(
        workspace, "net/vpc", "this region has 5 of 5 VPCs, and would have 6",
        "--service-code vpc --quota-code L-F678F1CE --desired-value 6",
    )  # fmt: skip
    assert_doctor_agrees(workspace, "room for a VPC")
    ec2.delete_vpc(VpcId=others[0])
    assert_deploys(workspace)


def test_region_full_of_gateways_refuses_the_plan(workspace: TestWorkspace) -> None:
    ec2 = workspace.aws.ec2
    # The default VPC has an internet gateway, too.
    count = 5 - len(ec2.describe_internet_gateways()["InternetGateways"])
    for _ in range(count):
        ec2.create_internet_gateway()
    assert_refused(workspace, "net/igw", "this region has 5 of 5 internet gateways, and would have 6")
    assert_doctor_agrees(workspace, "room for an internet gateway")


def other_load_balancers(workspace: TestWorkspace, count: int) -> None:
    """Creates unmanaged load balancers in the default VPC."""
    subnets = [subnet["SubnetId"] for subnet in workspace.aws.ec2.describe_subnets()["Subnets"]][:2]
    for number in range(count):
        workspace.aws.elbv2.create_load_balancer(Name=f"other-{number}", Subnets=subnets)


def test_region_full_of_load_balancers_refuses_the_plan(workspace: TestWorkspace) -> None:
    other_load_balancers(workspace, 50)
    assert_refused(
        workspace, "edge/balancer", "this region has 50 of 50 load balancers, and would have 51",
        f"--service-code elasticloadbalancing --quota-code {BALANCERS} --desired-value 51",
    )  # fmt: skip
    assert_doctor_agrees(workspace, "room for a load balancer")
    set_quota(workspace, BALANCERS, 51)
    assert_deploys(workspace)


def test_region_full_of_cache_nodes_refuses_the_plan(workspace: TestWorkspace) -> None:
    subnets = [subnet["SubnetId"] for subnet in workspace.aws.ec2.describe_subnets()["Subnets"]]
    cache = workspace.aws.elasticache
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="other", CacheSubnetGroupDescription="d", SubnetIds=subnets[:1]
    )
    for number in range(50):
        cache.create_replication_group(
            ReplicationGroupId=f"other-{number}", ReplicationGroupDescription="d", Engine="redis",
            CacheNodeType="cache.t4g.micro", NumCacheClusters=6, CacheSubnetGroupName="other",
        )  # fmt: skip
    assert_refused(
        workspace, "redis/jobqr", "this region has 300 of 300 cache nodes, and would have 301",
        f"--service-code elasticache --quota-code {CACHE_NODES} --desired-value 301",
    )  # fmt: skip
    assert_doctor_agrees(workspace, "room for a cache node")
    set_quota(workspace, CACHE_NODES, 301)
    workspace.plan()


def test_tasks_beyond_the_vcpu_quota_are_refused(workspace: TestWorkspace) -> None:
    set_preconditions(workspace, vcpus=4)
    assert_refused(
        workspace, "the tasks need 5 vCPU; the quota for all tasks in us-east-2 is 4", "some tasks would never start",
        "--service-code fargate --quota-code L-3032A538 --desired-value 5",
    )  # fmt: skip
    assert_doctor_agrees(workspace, "virtual CPUs")
    set_preconditions(workspace, vcpus=5)
    assert_deploys(workspace)


def test_growth_beyond_the_vcpu_quota_is_refused(workspace: TestWorkspace) -> None:
    set_preconditions(workspace, vcpus=6)
    workspace.deploy()
    for service in ({"count": 6}, {"count": 4, "cpu": 2048, "memory": 8192}):
        workspace.configure({"services": {"celery": service}})
        assert_refused(workspace, "vCPU; the quota for all tasks in us-east-2 is 6")
    workspace.configure({"services": {"celery": {"count": 5, "cpu": 1024, "memory": 4096}}})
    assert_deploys(workspace)
    workspace.configure({"services": {"celery": {"count": 1}}})
    since = workspace.mark()
    workspace.plan()
    assert not QUESTIONS & set(workspace.calls(since)), "fewer tasks need no quota"


def test_plan_that_creates_nothing_asks_for_no_quota(staging: TestWorkspace) -> None:
    since = staging.mark()
    staging.assert_no_changes()
    staging.configure({"logs": {"retention_days": 14}, "redis": {"port": 6400}})
    staging.plan()
    assert not QUESTIONS & set(staging.calls(since))
    staging.mark_unchanged()


def test_unknown_offerings_and_quotas_refuse_nothing(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    set_preconditions(workspace, vcpus=1)
    xml = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    json = b'{"__type": "AccessDeniedException", "message": "no"}'
    for call in QUESTIONS:
        proxy.refuse(call, 403, json if call.startswith("servicequotas") else xml, times=10)
    workspace.configure({"redis": {"node_type": "cache.t3.large"}})
    workspace.run("plan", "staging", url=proxy.url).expect_exit()
