"""Resources that `deploy production` creates in an empty account, field by field, and staging's differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from configuration import image
from harness import Result, TestWorkspace
from inventory import Resources, tags_of

pytestmark = pytest.mark.sample

HOST = "ospcapi.org"
ANYWHERE = "0.0.0.0/0"


@dataclass
class Deployed:
    """A deployed workspace and all resources in its account."""

    workspace: TestWorkspace
    name: str
    result: Result
    resources: dict[str, Resources]

    def one(self, kind: str, suffix: str = "") -> Any:
        """Returns the only resource of a kind whose name or Name tag is `WORKSPACE-suffix`."""
        name = f"{self.name}-{suffix}"
        matches = {k: v for k, v in self.resources[kind].items() if name in (k, tags_of(v).get("Name"))}
        assert len(matches) == 1, f"{list(matches)} in {kind} have the name {name}"
        return next(iter(matches.values()))

    def group_ids(self) -> dict[str, str]:
        """Returns the ids of the security groups by name."""
        return {group["GroupName"]: identity for identity, group in self.resources["groups"].items()}


def deploy_and_read(workspace: TestWorkspace, name: str) -> Deployed:
    """Deploys a workspace and reads all resources in its account."""
    result = workspace.deploy(name)
    return Deployed(
        workspace, name, result, {kind: getattr(workspace.inventory, kind)() for kind in workspace.inventory.KINDS}
    )


@pytest.fixture(scope="module")
def production(new_workspace: Callable[[], TestWorkspace]) -> Deployed:
    """Returns the production workspace, deployed once for this file."""
    return deploy_and_read(new_workspace(), "production")


@pytest.fixture(scope="module")
def staging(new_workspace: Callable[[], TestWorkspace]) -> Deployed:
    """Returns the staging workspace, deployed once for this file in another account."""
    return deploy_and_read(new_workspace(), "staging")


def test_deploy_prints_url_and_created_resources(production: Deployed) -> None:
    assert production.result.out == f"http://{HOST}\n"
    for address, _ in production.workspace.inventory.managed_resources():
        assert f"  {address}: created" in production.result.err, address
    assert "Deployed production:" in production.result.err


@pytest.mark.needs("interfaces")
def test_deploy_creates_exact_resource_counts(production: Deployed) -> None:
    assert {kind: len(resources) for kind, resources in production.resources.items()} == {
        "vpcs": 1, "gateways": 1, "subnets": 2, "route_tables": 2, "groups": 5, "rules": 9, "interfaces": 8,
        "replication_groups": 1, "cache_subnet_groups": 1, "cache_parameter_groups": 1, "log_groups": 1,
        "repositories": 1, "clusters": 1, "services": 2, "task_definitions": 2, "balancers": 1, "target_groups": 1,
        "listeners": 1, "records": 1, "certificates": 0,
    }  # fmt: skip


def test_vpc_has_dns_names_and_internet_gateway(production: Deployed) -> None:
    vpc = production.one("vpcs", "vpc")
    assert vpc["CidrBlock"] == "10.0.0.0/16"
    assert (vpc["EnableDnsSupport"], vpc["EnableDnsHostnames"]) == (True, True)
    gateway = production.one("gateways", "igw")
    assert [(a["VpcId"], a["State"]) for a in gateway["Attachments"]] == [(vpc["VpcId"], "available")]


def test_subnets_are_public_and_in_two_zones(production: Deployed) -> None:
    subnets = sorted(production.resources["subnets"].values(), key=lambda subnet: subnet["CidrBlock"])
    assert [subnet["CidrBlock"] for subnet in subnets] == ["10.0.1.0/24", "10.0.2.0/24"]
    assert {subnet["VpcId"] for subnet in subnets} == set(production.resources["vpcs"])
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets), "tasks ask for their addresses"


def test_subnets_have_default_route(production: Deployed) -> None:
    (gateway,) = production.resources["gateways"]
    tables = production.resources["route_tables"].values()
    (main,) = [t for t in tables if any(a["Main"] for a in t["Associations"])]
    assert [r["DestinationCidrBlock"] for r in main["Routes"]] == ["10.0.0.0/16"]
    (managed_table,) = [t for t in tables if t is not main]
    routes = {r["DestinationCidrBlock"]: r["GatewayId"] for r in managed_table["Routes"]}
    assert routes == {"10.0.0.0/16": "local", ANYWHERE: gateway}
    assert {a["SubnetId"] for a in managed_table["Associations"]} == set(production.resources["subnets"])


def test_security_groups_allow_only_required_traffic(production: Deployed) -> None:
    ids = production.group_ids()
    names = {identity: name.removeprefix("production-") for name, identity in ids.items()}
    assert set(names.values()) == {"default", "lb-public", "ecs-flask-sg", "ecs-celery-sg", "elasticache-jobqr-sg"}
    rules = set()
    for rule in production.resources["rules"].values():
        peer = names.get(rule.get("ReferencedGroupInfo", {}).get("GroupId"), rule.get("CidrIpv4"))
        direction = "out" if rule["IsEgress"] else "in"
        ports = (rule["IpProtocol"], rule["FromPort"], rule["ToPort"])
        rules.add((names[rule["GroupId"]], direction, *ports, peer))
    assert rules == {
        ("lb-public", "in", "tcp", 80, 80, ANYWHERE),
        ("lb-public", "out", "tcp", 5050, 5050, "ecs-flask-sg"),
        ("ecs-flask-sg", "in", "tcp", 5050, 5050, "lb-public"),
        ("ecs-flask-sg", "out", "tcp", 443, 443, ANYWHERE),
        ("ecs-flask-sg", "out", "tcp", 6400, 6400, "elasticache-jobqr-sg"),
        ("ecs-celery-sg", "out", "tcp", 443, 443, ANYWHERE),
        ("ecs-celery-sg", "out", "tcp", 6400, 6400, "elasticache-jobqr-sg"),
        ("elasticache-jobqr-sg", "in", "tcp", 6400, 6400, "ecs-flask-sg"),
        ("elasticache-jobqr-sg", "in", "tcp", 6400, 6400, "ecs-celery-sg"),
    } and len(production.resources["rules"]) == len(rules)


def test_queue_is_single_node_without_eviction(production: Deployed) -> None:
    group = production.one("replication_groups", "jobqr")
    (cluster,) = group["Clusters"]
    assert (group["Status"], group["CacheNodeType"], group["ClusterEnabled"]) == ("available", "cache.t3.small", False)
    assert (cluster["Engine"], cluster["EngineVersion"][:3], cluster["NumCacheNodes"]) == ("redis", "7.1", 1)
    assert group["NodeGroups"][0]["PrimaryEndpoint"]["Port"] == 6400
    parameters = production.resources["cache_parameter_groups"][
        cluster["CacheParameterGroup"]["CacheParameterGroupName"]
    ]
    assert parameters["Changed"] == {"maxmemory-policy": "noeviction"}
    assert parameters["CacheParameterGroupFamily"] == "redis7"
    subnets = production.resources["cache_subnet_groups"][cluster["CacheSubnetGroupName"]]
    (tasks,) = [s["SubnetId"] for s in production.resources["subnets"].values() if s["CidrBlock"] == "10.0.1.0/24"]
    assert [s["SubnetIdentifier"] for s in subnets["Subnets"]] == [tasks]
    assert [g["SecurityGroupId"] for g in cluster["SecurityGroups"]] == [
        production.group_ids()["production-elasticache-jobqr-sg"]
    ]


def test_log_group_repository_and_cluster_are_configured(production: Deployed) -> None:
    assert production.one("log_groups", "pb_workers")["retentionInDays"] == 30
    assert production.one("repositories", "celeryflask")["imageScanningConfiguration"] == {"scanOnPush": True}
    assert production.one("clusters", "ecs-cluster")["status"] == "ACTIVE"


@pytest.mark.parametrize(("key", "ports", "stop", "init"), [("flask", [5050], 35, False), ("celery", [], 120, True)])
def test_task_definition_has_configured_fields(
    production: Deployed, key: str, ports: list[int], stop: int, init: bool
) -> None:
    region = production.workspace.aws.region
    definition = production.resources["task_definitions"][f"production-{key}:1"]
    role = production.workspace.aws.iam.get_role(RoleName="ecsTaskExecutionRole")["Role"]["Arn"]
    assert (definition["cpu"], definition["memory"], definition["networkMode"]) == ("1024", "4096", "awsvpc")
    assert (definition["requiresCompatibilities"], definition["executionRoleArn"]) == (["FARGATE"], role)
    assert not definition.get("taskRoleArn")
    (container,) = definition["containerDefinitions"]
    assert container["image"] == image(key)
    assert [p["containerPort"] for p in container.get("portMappings", [])] == ports
    endpoint = production.one("replication_groups", "jobqr")["NodeGroups"][0]["PrimaryEndpoint"]
    queue = f"redis://{endpoint['Address']}:6400/0"
    environment = {pair["name"]: pair["value"] for pair in container["environment"]}
    assert environment == {"CELERY_BROKER_URL": queue, "CELERY_RESULT_BACKEND": queue}
    log = container["logConfiguration"]
    assert (log["logDriver"], log["options"]["awslogs-group"]) == ("awslogs", "production-pb_workers")
    assert log["options"]["awslogs-region"] == region and log["options"]["awslogs-stream-prefix"]
    assert container["stopTimeout"] == stop
    assert container.get("linuxParameters", {}).get("initProcessEnabled", False) is init


@pytest.mark.parametrize(("key", "count"), [("flask", 1), ("celery", 4)])
def test_service_has_configured_fields(production: Deployed, key: str, count: int) -> None:
    service = production.resources["services"][f"production-{key}"]
    assert (service["status"], service["launchType"]) == ("ACTIVE", "FARGATE")
    assert (service["desiredCount"], service["runningCount"]) == (count, count)
    (deployment,) = service["deployments"]
    assert (deployment["rolloutState"], deployment["taskDefinition"]) == ("COMPLETED", service["taskDefinition"])
    assert service["taskDefinition"].endswith(f"task-definition/production-{key}:1")
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    (tasks,) = [s["SubnetId"] for s in production.resources["subnets"].values() if s["CidrBlock"] == "10.0.1.0/24"]
    assert (network["subnets"], network["assignPublicIp"]) == ([tasks], "ENABLED")
    assert network["securityGroups"] == [production.group_ids()[f"production-ecs-{key}-sg"]]
    configuration = service["deploymentConfiguration"]
    breaker = configuration["deploymentCircuitBreaker"]
    assert (breaker["enable"], breaker["rollback"]) == (True, True)
    assert (configuration["minimumHealthyPercent"], configuration["maximumPercent"]) == (100, 200)
    assert (service["propagateTags"], service["enableECSManagedTags"]) == ("SERVICE", True)


@pytest.mark.needs("target-health")
def test_load_balancer_serves_only_flask(production: Deployed) -> None:
    (group,) = production.resources["target_groups"].values()
    expected = [{"targetGroupArn": group["TargetGroupArn"], "containerName": "flask", "containerPort": 5050}]
    flask, celery = (production.resources["services"][f"production-{key}"] for key in ("flask", "celery"))
    assert (flask["loadBalancers"], flask["healthCheckGracePeriodSeconds"]) == (expected, 60)
    assert celery["loadBalancers"] == []
    health = production.workspace.aws.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
    assert [t["TargetHealth"]["State"] for t in health["TargetHealthDescriptions"]] == ["healthy"]


def test_load_balancer_is_public_and_protected(production: Deployed) -> None:
    balancer = production.one("balancers", "public")
    assert (balancer["Type"], balancer["Scheme"], balancer["State"]["Code"]) == (
        "application",
        "internet-facing",
        "active",
    )
    assert {zone["SubnetId"] for zone in balancer["AvailabilityZones"]} == set(production.resources["subnets"])
    assert balancer["SecurityGroups"] == [production.group_ids()["production-lb-public"]]
    assert balancer["Attributes"]["deletion_protection.enabled"] == "true"


def test_target_group_and_listener_have_configured_fields(production: Deployed) -> None:
    (group,) = production.resources["target_groups"].values()
    assert group["TargetGroupName"].startswith("production-")
    assert (group["Protocol"], group["Port"], group["TargetType"]) == ("HTTP", 5050, "ip")
    assert (group["HealthCheckPath"], group["Matcher"], group["HealthCheckPort"]) == (
        "/hello",
        {"HttpCode": "200"},
        "traffic-port",
    )
    checks = (
        "HealthCheckIntervalSeconds",
        "HealthCheckTimeoutSeconds",
        "HealthyThresholdCount",
        "UnhealthyThresholdCount",
    )
    assert [group[check] for check in checks] == [10, 5, 2, 3]
    assert group["Attributes"]["deregistration_delay.timeout_seconds"] == "15"
    (listener,) = production.resources["listeners"].values()
    assert (listener["Protocol"], listener["Port"]) == ("HTTP", 80)
    (action,) = listener["DefaultActions"]
    assert (action["Type"], action["TargetGroupArn"]) == ("forward", group["TargetGroupArn"])


def test_record_of_production_has_bare_hostname(production: Deployed) -> None:
    (record,) = production.resources["records"].values()
    balancer = production.one("balancers", "public")
    assert (record["Name"], record["Type"]) == (f"{HOST}.", "A")
    assert record["AliasTarget"]["HostedZoneId"] == balancer["CanonicalHostedZoneId"]
    assert balancer["DNSName"] in record["AliasTarget"]["DNSName"]


def test_resources_carry_ownership_tags(production: Deployed) -> None:
    addresses: list[str] = []
    main = {i for i, t in production.resources["route_tables"].items() if any(a["Main"] for a in t["Associations"])}
    for kind, resources in production.resources.items():
        for identity, resource in resources.items():
            if kind in ("records", "interfaces") or identity in main:
                continue
            tags = tags_of(resource)
            assert tags.get("pb-deploy:stack") == "pb-deploy", f"{kind} {identity}: {tags}"
            assert tags.get("pb-deploy:workspace") == "production", f"{kind} {identity}: {tags}"
            assert tags.get("Name"), f"{kind} {identity}: {tags}"
            addresses.append(tags["pb-deploy:address"])
    assert len(addresses) == len(set(addresses)) == 32


def test_tasks_carry_ownership_tags(production: Deployed) -> None:
    ecs, cluster = production.workspace.aws.ecs, "production-ecs-cluster"
    arns = ecs.list_tasks(cluster=cluster)["taskArns"]
    tasks = ecs.describe_tasks(cluster=cluster, tasks=arns, include=["TAGS"])["tasks"]
    assert len(tasks) == 5 and all(tags_of(task)["pb-deploy:workspace"] == "production" for task in tasks)


def test_intents_are_written_before_resources_are_created(production: Deployed) -> None:
    mutations = production.workspace.mutations()
    assert mutations[:2] == ["dynamodb:UpdateItem", "s3:PutObject"], (
        "the lease is acquired first, then the intents are written"
    )
    assert mutations[-1] == "dynamodb:UpdateItem", "the lease is released last"
    assert "intents" not in production.workspace.state_object("production")["snapshot"]


def test_staging_has_own_hostname_and_no_protection(staging: Deployed) -> None:
    assert staging.result.out == f"http://staging.{HOST}\n"
    assert list(staging.resources["records"]) == [f"staging.{HOST}. A"]
    balancer = staging.one("balancers", "public")
    assert balancer["Attributes"]["deletion_protection.enabled"] == "false"
    for kind, suffix in (
        ("vpcs", "vpc"), ("gateways", "igw"), ("replication_groups", "jobqr"), ("log_groups", "pb_workers"),
        ("repositories", "celeryflask"), ("clusters", "ecs-cluster"), ("services", "flask"), ("services", "celery"),
    ):  # fmt: skip
        assert staging.one(kind, suffix)
    groups = {g["GroupName"] for g in staging.resources["groups"].values()} - {"default"}
    assert groups == {
        "staging-lb-public", "staging-ecs-flask-sg", "staging-ecs-celery-sg", "staging-elasticache-jobqr-sg",
    }  # fmt: skip
