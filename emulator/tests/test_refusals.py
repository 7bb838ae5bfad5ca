"""Refusals that need only one call each."""

from __future__ import annotations

import urllib.error
from typing import Any

import pytest
from conftest import App, Aws, control


@pytest.mark.parametrize(
    "settings",
    [
        {"cpu": ""},
        {"cpu": "much"},
        {"containerDefinitions": []},
        {"container": {"name": ""}},
        {"container": {"image": ""}},
        {"container": {"essential": False}},
        {"container": {"memory": 1024}},
        {"containerDefinitions": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]},
    ],
)
def test_invalid_task_definitions_are_refused(app: App, settings: dict[str, Any]) -> None:
    assert app.aws.code(app.definition, **settings) == "ClientException"


def test_task_sizes_accept_units(app: App) -> None:
    arn = app.definition(cpu="1 vCPU", memory="2 GB")
    shown = app.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    assert (shown["cpu"], shown["memory"]) == ("1024", "2048")


def test_only_inactive_task_definition_can_be_deleted(app: App) -> None:
    arn = app.definition()
    assert app.aws.code(app.ecs.deregister_task_definition, taskDefinition="web") == "ClientException"
    assert app.ecs.delete_task_definitions(taskDefinitions=[arn, "nope:1"])["taskDefinitions"] == []
    app.ecs.deregister_task_definition(taskDefinition=arn)
    gone = app.ecs.delete_task_definitions(taskDefinitions=[arn])["taskDefinitions"]
    assert [d["status"] for d in gone] == ["DELETE_IN_PROGRESS"]
    assert app.aws.code(app.ecs.describe_task_definition, taskDefinition=arn) == "ClientException"


def test_invalid_services_and_tasks_are_refused(app: App) -> None:
    ecs, code, definition = app.ecs, app.aws.code, app.definition()
    invalid = "InvalidParameterException"
    assert code(ecs.create_cluster, clusterName="no good") == invalid
    assert code(app.create, definition=definition, name="no good") == invalid
    assert (
        code(app.create, definition=definition, networkConfiguration={"awsvpcConfiguration": {"subnets": []}})
        == invalid
    )
    bridge = app.definition(family="old", networkMode="bridge", requiresCompatibilities=["EC2"], cpu="", memory="")
    assert code(app.create, definition=bridge) == invalid
    assert code(ecs.describe_services, cluster="c", services=[]) == invalid
    assert code(ecs.list_tasks, cluster="c", serviceName="nope") == "ServiceNotFoundException"
    assert code(ecs.list_service_deployments, cluster="c", service="nope") == "ServiceNotFoundException"
    assert code(ecs.stop_task, cluster="c", task="nope") == invalid
    run = {"cluster": "c", "networkConfiguration": app.net.awsvpc()}
    assert code(ecs.run_task, taskDefinition="nope", **run) == "ClientException"
    assert code(ecs.run_task, taskDefinition=definition, count=11, **run) == invalid
    ecs.deregister_task_definition(taskDefinition=definition)
    assert code(ecs.run_task, taskDefinition=definition, **run) == "ClientException"
    missing = f"arn:aws:ecs:{app.aws.region}:{app.aws.account}:service/c/nope"
    assert code(ecs.list_tags_for_resource, resourceArn=missing) == invalid
    other = app.aws.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    group = app.aws.ec2.create_security_group(GroupName="g", Description="g", VpcId=other)["GroupId"]
    mixed = {"awsvpcConfiguration": {"subnets": app.net.subnets, "securityGroups": [group]}}
    assert code(app.create, definition=app.definition(), networkConfiguration=mixed) == invalid


def test_scalable_target_requires_service(aws: Aws) -> None:
    wanted = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/c/nope",
        "ScalableDimension": "ecs:service:DesiredCount",
        "MinCapacity": 1,
        "MaxCapacity": 2,
    }
    client = aws.__getattr__("application-autoscaling")
    assert aws.code(client.register_scalable_target, **wanted) == "ValidationException"


def test_invalid_cache_requests_are_refused(aws: Aws) -> None:
    net, ec, code = aws.network(), aws.elasticache, aws.code
    subnets = {"CacheSubnetGroupDescription": "d", "SubnetIds": net.subnets}
    assert code(ec.create_cache_subnet_group, CacheSubnetGroupName="no good", **subnets) == "InvalidParameterValue"
    ec.create_cache_subnet_group(CacheSubnetGroupName="s", **subnets)
    bad = {"CacheParameterGroupName": "no good", "CacheParameterGroupFamily": "redis7", "Description": "d"}
    assert code(ec.create_cache_parameter_group, **bad) == "InvalidParameterValue"
    ec.create_cache_parameter_group(**{**bad, "CacheParameterGroupName": "p"})
    nothing = {"CacheParameterGroupName": "p", "ParameterNameValues": []}
    assert code(ec.modify_cache_parameter_group, **nothing) == "InvalidParameterValue"
    common = {"CacheNodeType": "cache.t4g.micro", "CacheSubnetGroupName": "s", "Engine": "redis"}
    group = {"ReplicationGroupId": "g", "ReplicationGroupDescription": "d", **common}
    assert code(ec.create_replication_group, **{**group, "ReplicationGroupDescription": ""}) == "InvalidParameterValue"
    assert code(ec.create_replication_group, NumCacheClusters=7, **group) == "InvalidParameterValue"
    multi = {"NumCacheClusters": 2, "MultiAZEnabled": True, "AutomaticFailoverEnabled": False}
    assert code(ec.create_replication_group, **multi, **group) == "InvalidParameterCombination"
    assert code(ec.create_replication_group, AuthToken="x" * 16, **group) == "InvalidParameterCombination"
    many = [net.add_group(f"g{n}") for n in range(6)]
    assert code(ec.create_replication_group, SecurityGroupIds=many, **group) == "InvalidParameterValue"
    assert code(ec.create_cache_cluster, CacheClusterId="1", **common) == "InvalidParameterValue"
    assert code(ec.create_cache_cluster, CacheClusterId="a", NumCacheNodes=2, **common) == "InvalidParameterValue"
    ec.create_cache_cluster(CacheClusterId="g-001", NumCacheNodes=1, **common)
    assert code(ec.create_cache_cluster, CacheClusterId="g-001", **common) == "CacheClusterAlreadyExists"
    assert code(ec.create_replication_group, **group) == "CacheClusterAlreadyExists"
    assert code(ec.delete_cache_cluster, CacheClusterId="g-001") == "InvalidCacheClusterState"
    arn = f"arn:aws:elasticache:{aws.region}:{aws.account}:subnetgroup:s"
    assert code(ec.remove_tags_from_resource, ResourceName=arn, TagKeys=["nope"]) == "TagNotFound"


def test_invalid_load_balancers_are_refused(aws: Aws) -> None:
    net, code = aws.network(), aws.code
    other = aws.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    elsewhere = aws.ec2.create_subnet(VpcId=other, CidrBlock="10.1.0.0/24", AvailabilityZone=f"{aws.region}b")
    mixed = [net.subnets[0], elsewhere["Subnet"]["SubnetId"]]
    assert code(net.balancer, Subnets=mixed) == "InvalidConfigurationRequest"
    group = aws.ec2.create_security_group(GroupName="g", Description="g", VpcId=other)["GroupId"]
    assert code(net.balancer, SecurityGroups=[group]) == "InvalidConfigurationRequest"
    assert (
        code(net.balancer, SecurityGroups=[net.add_group(f"g{n}") for n in range(6)]) == "InvalidConfigurationRequest"
    )
    actions = [{"Type": "forward", "TargetGroupArn": net.target_group()}]
    https = {"LoadBalancerArn": net.balancer()["LoadBalancerArn"], "Protocol": "HTTPS", "Port": 443}
    assert code(aws.elbv2.create_listener, DefaultActions=actions, **https) == "ValidationError"


def test_invalid_record_changes_are_refused(aws: Aws) -> None:
    r53 = aws.route53
    zone = r53.create_hosted_zone(Name="example.org", CallerReference=aws.account)["HostedZone"]["Id"]
    soa = next(r for r in r53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"] if r["Type"] == "SOA")

    def change(action: str, record: dict[str, Any], identity: str = zone) -> str:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        return aws.code(r53.change_resource_record_sets, HostedZoneId=identity, ChangeBatch=batch)

    assert change("DELETE", soa) == "InvalidChangeBatch"
    cname = {"Name": "example.org", "Type": "CNAME", "TTL": 1, "ResourceRecords": [{"Value": "a.b"}]}
    assert change("CREATE", cname) == "InvalidChangeBatch"
    assert change("CREATE", {"Name": "a.example.org", "Type": "A"}) == "InvalidInput"
    assert change("CREATE", cname, "Z0000000000000") == "NoSuchHostedZone"


def test_client_token_is_bound_to_one_vpc(aws: Aws) -> None:
    one, two = (aws.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(2))
    aws.ec2.create_route_table(VpcId=one, ClientToken="t")
    assert aws.code(aws.ec2.create_route_table, VpcId=two, ClientToken="t") == "IdempotentParameterMismatch"


def test_bucket_names_are_global(aws: Aws) -> None:
    bucket = f"global-{aws.account}"
    control(aws.url, "POST", "preconditions", {"bucket": bucket, "account": aws.account})
    with pytest.raises(urllib.error.HTTPError) as refused:
        control(aws.url, "POST", "preconditions", {"bucket": bucket, "account": "400000000001"})
    assert refused.value.code == 400
