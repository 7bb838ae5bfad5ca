"""Replacement of resources that cannot be updated in place, with all their dependents."""

from __future__ import annotations

import pytest
from configuration import Table
from harness import Plan, TestWorkspace

STABLE_KINDS = ("vpcs", "gateways", "subnets", "groups", "rules", "replication_groups", "balancers", "target_groups",
               "listeners", "services", "records", "cache_parameter_groups", "cache_subnet_groups")  # fmt: skip


def deploy_replacement(workspace: TestWorkspace, change: Table) -> Plan:
    """Plans and deploys a change. Asserts that no resource is duplicated and no change remains. Returns the plan."""
    before = workspace.inventory.counts()
    workspace.configure(change)
    plan = workspace.plan()
    workspace.deploy()
    after = workspace.inventory.counts()
    assert {kind: after[kind] for kind in STABLE_KINDS} == {kind: before[kind] for kind in STABLE_KINDS}
    workspace.assert_no_changes()
    return plan


def replaced_addresses(plan: Plan) -> set[str]:
    """Returns the addresses of the resources that a plan replaces."""
    return {address for address, action in plan.changes.items() if action in ("create_first", "delete_first")}


def test_flask_port_change_replaces_security_group_rules(staging: TestWorkspace) -> None:
    (old,) = staging.inventory.target_groups().values()
    port = old["Port"] + 1
    plan = deploy_replacement(staging, {"services": {"flask": {"port": port}}})
    assert plan.changes["fargate/flask"] == "update"
    rules = {address: change for address, change in plan.changes.items() if address.startswith("net/")}
    assert rules == {"net/lb_out_flask": "create_first", "net/flask_in_lb": "create_first"}, rules
    # A target group can have targets on the old and the new port, so only its Name tag changes.
    assert {address for address in plan.changes if address.startswith("edge/")} <= {"edge/targets"}
    assert set(plan.fields("edge/targets")) == {"tags.Name"}
    (new,) = staging.inventory.target_groups().values()
    (target,) = staging.inventory.services()["staging-flask"]["loadBalancers"]
    assert new["TargetGroupArn"] == old["TargetGroupArn"] == target["targetGroupArn"]
    assert target["containerPort"] == port
    opened = [r for r in staging.inventory.rules().values() if r["FromPort"] == port]
    assert len(opened) == 2


def test_queue_port_change_replaces_the_queue(staging: TestWorkspace) -> None:
    plan = deploy_replacement(staging, {"redis": {"port": 6500}})
    assert plan.changes["redis/jobqr"] == "delete_first"
    assert plan.fields("redis/jobqr")["port"] == (6400, 6500)
    (group,) = staging.inventory.replication_groups().values()
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    assert endpoint["Port"] == 6500
    for service in staging.inventory.services().values():
        definition = staging.aws.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])[
            "taskDefinition"
        ]
        environment = {e["name"]: e["value"] for e in definition["containerDefinitions"][0]["environment"]}
        assert environment["CELERY_BROKER_URL"] == f"redis://{endpoint['Address']}:6500/0"
    assert not [r for r in staging.inventory.rules().values() if r["FromPort"] == 6400]


@pytest.mark.parametrize(
    ("engine", "version", "family"),
    [("redis", "6.2", "redis6.x"), ("valkey", "8.0", "valkey8"), ("redis", "7.1", "redis7")],
)
def test_queue_engine_or_version_change_is_applied(
    staging: TestWorkspace, engine: str, version: str, family: str
) -> None:
    if (engine, version) == ("redis", "7.1"):
        staging.configure({"redis": {"engine": "valkey", "version": "8.0"}})
        staging.deploy()
    deploy_replacement(staging, {"redis": {"engine": engine, "version": version}})
    (group,) = staging.inventory.replication_groups().values()
    (cluster,) = group["Clusters"]
    assert (group["Status"], cluster["Engine"]) == ("available", engine)
    assert cluster["EngineVersion"].startswith(version)
    (parameters,) = staging.inventory.cache_parameter_groups().values()
    assert parameters["CacheParameterGroupFamily"] == family
    assert parameters["Changed"] == {"maxmemory-policy": "noeviction"}
    used = cluster["CacheParameterGroup"]["CacheParameterGroupName"]
    assert used == parameters["CacheParameterGroupName"]


def test_tasks_subnet_change_moves_the_services(staging: TestWorkspace) -> None:
    plan = deploy_replacement(staging, {"network": {"tasks_subnet": "10.0.3.0/24"}})
    assert "net/tasks_subnet" in replaced_addresses(plan) and "net/vpc" not in plan.changes
    subnets = {s["CidrBlock"]: i for i, s in staging.inventory.subnets().items()}
    assert set(subnets) == {"10.0.2.0/24", "10.0.3.0/24"}
    for service in staging.inventory.services().values():
        network = service["networkConfiguration"]["awsvpcConfiguration"]
        assert network["subnets"] == [subnets["10.0.3.0/24"]]
    (balancer,) = staging.inventory.balancers().values()
    assert {zone["SubnetId"] for zone in balancer["AvailabilityZones"]} == set(subnets.values())


@pytest.mark.unserved("a load balancer cannot leave its VPC: it is deleted and created again under the same name")
def test_vpc_cidr_change_replaces_everything_in_the_vpc(workspace: TestWorkspace) -> None:
    workspace.deploy()
    (old,) = workspace.inventory.vpcs()
    change = {"cidr": "10.1.0.0/16", "tasks_subnet": "10.1.1.0/24", "balancer_subnet": "10.1.2.0/24"}
    plan = deploy_replacement(workspace, {"network": change})
    assert {
        "net/vpc",
        "net/tasks_subnet",
        "net/balancer_subnet",
        "net/lb_group",
        "net/flask_group",
    } <= replaced_addresses(plan)
    assert {"redis/jobqr", "edge/balancer", "edge/targets"} <= replaced_addresses(plan)
    ((new, vpc),) = workspace.inventory.vpcs().items()
    assert (vpc["CidrBlock"], new != old) == ("10.1.0.0/16", True)
    assert {s["CidrBlock"] for s in workspace.inventory.subnets().values()} == {"10.1.1.0/24", "10.1.2.0/24"}
    ((_, record),) = workspace.inventory.records().items()
    (balancer,) = workspace.inventory.balancers().values()
    assert balancer["DNSName"] in record["AliasTarget"]["DNSName"] and balancer["VpcId"] == new
    (flask,) = [s for s in workspace.inventory.services().values() if s["serviceName"] == "staging-flask"]
    assert flask["runningCount"] == 1


def test_plan_text_names_the_cause_of_a_replacement(staging: TestWorkspace) -> None:
    staging.configure({"services": {"flask": {"port": 5060}}})
    text = staging.run("plan", "staging").expect_exit().out
    assert "+/- net/lb_out_flask" in text and "# forces replacement" in text
    assert "replacement is created first" in text
    staging.configure({"services": {"flask": {"port": None}}})
    staging.assert_no_changes()
