"""Unmanaged resources with names that the configuration needs: a refusal names them, and nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from harness import TestWorkspace
from inventory import normalized


def vpc(workspace: TestWorkspace) -> str:
    """Creates an unmanaged VPC and returns its id."""
    return str(workspace.aws.ec2.create_vpc(CidrBlock="172.16.0.0/16")["Vpc"]["VpcId"])


def subnets(workspace: TestWorkspace, network: str) -> list[str]:
    """Creates an internet gateway in a VPC and subnets in two zones, and returns the subnets' ids."""
    ec2, region = workspace.aws.ec2, workspace.aws.region
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network)
    return [
        ec2.create_subnet(VpcId=network, CidrBlock=f"172.16.{n}.0/24", AvailabilityZone=f"{region}{z}")["Subnet"][
            "SubnetId"
        ]
        for n, z in enumerate("ab")
    ]


def log_group(workspace: TestWorkspace) -> None:
    workspace.aws.logs.create_log_group(logGroupName="staging-pb_workers")


def repository(workspace: TestWorkspace) -> None:
    workspace.aws.ecr.create_repository(repositoryName="staging-celeryflask")


def cluster(workspace: TestWorkspace) -> None:
    workspace.aws.ecs.create_cluster(clusterName="staging-ecs-cluster", tags=[{"key": "owner", "value": "somebody"}])


def service(workspace: TestWorkspace) -> None:
    cluster(workspace)
    net = vpc(workspace)
    subnet_ids = subnets(workspace, net)
    group = workspace.aws.ec2.create_security_group(GroupName="x", Description="x", VpcId=net)["GroupId"]
    definition = workspace.aws.ecs.register_task_definition(
        family="theirs", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
        containerDefinitions=[{"name": "x", "image": "x:1"}],
    )["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
    network = {"subnets": subnet_ids, "securityGroups": [group], "assignPublicIp": "ENABLED"}
    workspace.aws.ecs.create_service(
        cluster="staging-ecs-cluster", serviceName="staging-flask", taskDefinition=definition, desiredCount=1,
        launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": network},
    )  # fmt: skip


def balancer(workspace: TestWorkspace) -> None:
    answer = workspace.aws.elbv2.create_load_balancer(Name="staging-public", Subnets=subnets(workspace, vpc(workspace)))
    (arn,) = [created["LoadBalancerArn"] for created in answer["LoadBalancers"]]
    waiter = workspace.aws.elbv2.get_waiter("load_balancer_available")
    waiter.wait(LoadBalancerArns=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def target_group(workspace: TestWorkspace) -> None:
    workspace.aws.elbv2.create_target_group(
        Name="staging-flask-5050", Protocol="HTTP", Port=5050, VpcId=vpc(workspace), TargetType="ip"
    )


def record(workspace: TestWorkspace) -> None:
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    values = {"Name": "staging.ospcapi.org", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.9"}]}
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": values}]}
    workspace.aws.route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch=batch)


def parameter_group(workspace: TestWorkspace) -> None:
    workspace.aws.elasticache.create_cache_parameter_group(
        CacheParameterGroupName="staging-jobqr-redis7", CacheParameterGroupFamily="redis7", Description="theirs"
    )


def subnet_group(workspace: TestWorkspace) -> None:
    workspace.aws.elasticache.create_cache_subnet_group(
        CacheSubnetGroupName="staging-jobqr",
        CacheSubnetGroupDescription="theirs",
        SubnetIds=subnets(workspace, vpc(workspace)),
    )


def replication_group(workspace: TestWorkspace) -> None:
    workspace.aws.elasticache.create_cache_subnet_group(
        CacheSubnetGroupName="theirs",
        CacheSubnetGroupDescription="theirs",
        SubnetIds=subnets(workspace, vpc(workspace)),
    )
    workspace.aws.elasticache.create_replication_group(
        ReplicationGroupId="staging-jobqr", ReplicationGroupDescription="theirs", Engine="redis",
        CacheNodeType="cache.t3.micro", NumCacheClusters=1, CacheSubnetGroupName="theirs",
    )  # fmt: skip
    while workspace.inventory.replication_groups()["staging-jobqr"]["Status"] != "available":
        time.sleep(0.1)


#: Function that creates the resource, address that needs the same name, and the resource's name in the refusal.
UNMANAGED: dict[str, tuple[Callable[[TestWorkspace], Any], str, str]] = {
    "a log group": (log_group, "fargate/logs", "staging-pb_workers"),
    "a repository": (repository, "fargate/repository", "staging-celeryflask"),
    "a cluster": (cluster, "fargate/cluster", "staging-ecs-cluster"),
    "a service": (service, "fargate/flask", "staging-flask"),
    "a load balancer": (balancer, "edge/balancer", "staging-public"),
    "a target group": (target_group, "edge/targets", "staging-flask-5050"),
    "a record": (record, "edge/record", "staging.ospcapi.org"),
    "a parameter group": (parameter_group, "redis/parameters", "staging-jobqr-redis7"),
    "a subnet group": (subnet_group, "redis/subnets", "staging-jobqr"),
    "a replication group": (replication_group, "redis/jobqr", "staging-jobqr"),
}
#: One resource of each service that reports a name conflict with an error code of its own.
SAMPLE = {"a service", "a target group", "a record", "a replication group"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.sample] * (name in SAMPLE)) for name in UNMANAGED]
)
def test_unmanaged_resource_is_named_and_left_unchanged(workspace: TestWorkspace, name: str) -> None:
    create, address, described_as = UNMANAGED[name]
    create(workspace)
    before = normalized(workspace.inventory.everything())
    for command in (["plan", "staging"], ["deploy", "staging", "--yes"]):
        result = workspace.run(*command).expect_exit(1)
        (line,) = [line for line in result.err.splitlines() if f"{address}:" in line]
        assert described_as in line, result
        assert "nothing was changed" in result.err
    assert "Nothing to destroy" in workspace.destroy().err
    assert workspace.mutations() == []
    assert normalized(workspace.inventory.everything()) == before


@pytest.mark.sample
def test_unmanaged_group_in_managed_vpc_is_left_unchanged(staging: TestWorkspace) -> None:
    ec2 = staging.aws.ec2
    (celery,) = [g for g in staging.inventory.groups().values() if g["GroupName"] == "staging-ecs-celery-sg"]
    keys = [{"Key": f"pb-deploy:{key}"} for key in ("stack", "workspace", "address")]
    ec2.delete_tags(Resources=[celery["GroupId"]], Tags=keys)
    bucket = staging.config["state"]["bucket"]
    staging.aws.s3.delete_object(Bucket=bucket, Key=staging.state_key())
    since, before = staging.mark(), normalized(staging.inventory.everything())
    result = staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert "net/celery_group:" in result.err and celery["GroupId"] in result.err, result
    assert staging.mutations(since) == []
    assert normalized(staging.inventory.everything()) == before


def test_unmanaged_resources_are_reported_together(workspace: TestWorkspace) -> None:
    log_group(workspace)
    cluster(workspace)
    result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "fargate/logs:" in result.err and "fargate/cluster:" in result.err


def test_other_stack_of_same_workspace_is_unmanaged(staging: TestWorkspace) -> None:
    since = staging.mark()
    staging.configure({"stack": "other"})
    result = staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert "fargate/cluster:" in result.err, result
    assert "Nothing to destroy" in staging.destroy().err
    assert staging.mutations(since) == []
    staging.configure({"stack": None})
    staging.assert_no_changes()
