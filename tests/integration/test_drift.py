"""Changes made outside of pb-deploy, which a plan shows as drift and a deploy reverts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from harness import TestWorkspace, until
from inventory import ID, normalized, tags_of


@dataclass
class ExternalChange:
    """A change made outside of pb-deploy, and the planned actions that it causes, by address."""

    apply: Callable[[TestWorkspace], Any]
    planned: dict[str, str]
    #: Reason why requests fail until the repair; empty if they succeed.
    unserved: str = ""


def permission(port: int, cidr: str = "203.0.113.0/24") -> list[dict[str, Any]]:
    """Returns a security group permission in the form that the EC2 API accepts."""
    return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr}]}]


def group(workspace: TestWorkspace, name: str) -> str:
    """Returns the id of the security group with this name."""
    return next(i for i, g in workspace.inventory.groups().items() if g["GroupName"] == name)


def rule_added(workspace: TestWorkspace) -> None:
    workspace.aws.ec2.authorize_security_group_ingress(
        GroupId=group(workspace, "staging-ecs-celery-sg"), IpPermissions=permission(22)
    )


def default_group_filled(workspace: TestWorkspace) -> None:
    workspace.aws.ec2.authorize_security_group_egress(GroupId=group(workspace, "default"), IpPermissions=permission(80))


def rule_deleted(workspace: TestWorkspace) -> None:
    celery = group(workspace, "staging-ecs-celery-sg")
    (rule,) = [r for r in workspace.inventory.rules().values() if r["GroupId"] == celery and r["FromPort"] == 443]
    workspace.aws.ec2.revoke_security_group_egress(GroupId=celery, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])


def count_changed(workspace: TestWorkspace) -> None:
    workspace.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=1)


def other_revision(workspace: TestWorkspace) -> None:
    ecs = workspace.aws.ecs
    old = ecs.describe_task_definition(taskDefinition="staging-flask")["taskDefinition"]
    copied_fields = ("family", "networkMode", "cpu", "memory", "requiresCompatibilities", "executionRoleArn")
    (container,) = old["containerDefinitions"]
    registered = ecs.register_task_definition(
        **{key: old[key] for key in copied_fields}, containerDefinitions=[{**container, "image": "example.org/other:1"}]
    )
    arn = registered["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(cluster="staging-ecs-cluster", service="staging-flask", taskDefinition=arn)


def service_deleted(workspace: TestWorkspace) -> None:
    workspace.aws.ecs.delete_service(cluster="staging-ecs-cluster", service="staging-celery", force=True)


def cluster_deleted(workspace: TestWorkspace) -> None:
    ecs = workspace.aws.ecs
    for service in ("staging-flask", "staging-celery"):
        ecs.delete_service(cluster="staging-ecs-cluster", service=service, force=True)
    until(lambda: not workspace.inventory.interfaces_of("ecs"))
    ecs.delete_cluster(cluster="staging-ecs-cluster")


def group_deleted(workspace: TestWorkspace) -> None:
    service_deleted(workspace)
    celery, queue = group(workspace, "staging-ecs-celery-sg"), group(workspace, "staging-elasticache-jobqr-sg")
    for rule in workspace.inventory.rules().values():
        if rule["GroupId"] == queue and rule.get("ReferencedGroupInfo", {}).get("GroupId") == celery:
            workspace.aws.ec2.revoke_security_group_ingress(
                GroupId=queue, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
            )
    until(lambda: celery not in {g["GroupId"] for i in workspace.inventory.interfaces().values() for g in i["Groups"]})
    workspace.aws.ec2.delete_security_group(GroupId=celery)


def record(workspace: TestWorkspace, action: str, **changes: Any) -> None:
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    (current,) = workspace.inventory.records().values()
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": changes or current}]}
    workspace.aws.route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch=batch)


def record_elsewhere(workspace: TestWorkspace) -> None:
    record(workspace, "UPSERT", Name="staging.ospcapi.org", Type="A", TTL=60, ResourceRecords=[{"Value": "192.0.2.1"}])


def record_deleted(workspace: TestWorkspace) -> None:
    record(workspace, "DELETE")


def log_group_deleted(workspace: TestWorkspace) -> None:
    workspace.aws.logs.delete_log_group(logGroupName="staging-pb_workers")


def retention_changed(workspace: TestWorkspace) -> None:
    workspace.aws.logs.put_retention_policy(logGroupName="staging-pb_workers", retentionInDays=1)


def parameter_changed(workspace: TestWorkspace) -> None:
    change = {"ParameterName": "maxmemory-policy", "ParameterValue": "allkeys-lru"}
    workspace.aws.elasticache.modify_cache_parameter_group(
        CacheParameterGroupName="staging-jobqr-redis7", ParameterNameValues=[change]
    )


def health_check_changed(workspace: TestWorkspace) -> None:
    (found,) = workspace.inventory.target_groups().values()
    workspace.aws.elbv2.modify_target_group(TargetGroupArn=found["TargetGroupArn"], HealthCheckPath="/other")


def listener_deleted(workspace: TestWorkspace) -> None:
    (found,) = workspace.inventory.listeners()
    workspace.aws.elbv2.delete_listener(ListenerArn=found)


def invalid_headers_kept(workspace: TestWorkspace) -> None:
    (found,) = workspace.inventory.balancers().values()
    setting = {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "false"}
    workspace.aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=found["LoadBalancerArn"], Attributes=[setting])


def balancer_in_another_group(workspace: TestWorkspace) -> None:
    (found,) = workspace.inventory.balancers().values()
    workspace.aws.elbv2.set_security_groups(
        LoadBalancerArn=found["LoadBalancerArn"], SecurityGroups=[group(workspace, "staging-ecs-celery-sg")]
    )


def dns_names_turned_off(workspace: TestWorkspace) -> None:
    (vpc,) = workspace.inventory.vpcs()
    workspace.aws.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})


def managed_route_table(workspace: TestWorkspace) -> dict[str, Any]:
    return next(t for t in workspace.inventory.route_tables().values() if not any(a["Main"] for a in t["Associations"]))


def default_route_deleted(workspace: TestWorkspace) -> None:
    workspace.aws.ec2.delete_route(
        RouteTableId=managed_route_table(workspace)["RouteTableId"], DestinationCidrBlock="0.0.0.0/0"
    )


def association_deleted(workspace: TestWorkspace) -> None:
    workspace.aws.ec2.disassociate_route_table(
        AssociationId=managed_route_table(workspace)["Associations"][0]["RouteTableAssociationId"]
    )


def tag_changed(workspace: TestWorkspace) -> None:
    (vpc,) = workspace.inventory.vpcs()
    workspace.aws.ec2.create_tags(
        Resources=[vpc], Tags=[{"Key": "Name", "Value": "mine"}, {"Key": "note", "Value": "x"}]
    )


def scanning_turned_off(workspace: TestWorkspace) -> None:
    workspace.aws.ecr.put_image_scanning_configuration(
        repositoryName="staging-celeryflask", imageScanningConfiguration={"scanOnPush": False}
    )


EXTERNAL_CHANGES = {
    "a rule was added": ExternalChange(rule_added, {"net/celery_group": "update"}),
    "the default security group got a rule": ExternalChange(default_group_filled, {"net/default_group": "update"}),
    "a rule was deleted": ExternalChange(rule_deleted, {"net/celery_out_tcp_443_any": "create"}),
    "a count was changed": ExternalChange(count_changed, {"fargate/celery": "update"}),
    "another revision was deployed": ExternalChange(other_revision, {"fargate/flask": "update"}),
    "a service was deleted": ExternalChange(service_deleted, {"fargate/celery": "any"}),
    "the cluster was deleted": ExternalChange(
        cluster_deleted,
        {"fargate/cluster": "create", "fargate/celery": "create", "fargate/flask": "create"},
        unserved="the web service was deleted with its cluster",
    ),
    "a security group was deleted": ExternalChange(
        group_deleted,
        {
            "net/celery_group": "create",
            "net/celery_out_tcp_443_any": "create",
            "net/celery_out_redis": "create",
            "net/redis_in_celery": "create",
            "fargate/celery": "any",
        },
    ),
    "the record was pointed to another address": ExternalChange(record_elsewhere, {"edge/record": "update"}),
    "the record was deleted": ExternalChange(record_deleted, {"edge/record": "create"}),
    "the log group was deleted": ExternalChange(log_group_deleted, {"fargate/logs": "create"}),
    "the retention was changed": ExternalChange(retention_changed, {"fargate/logs": "update"}),
    "a cache parameter was changed": ExternalChange(parameter_changed, {"redis/parameters": "update"}),
    "the health check was changed": ExternalChange(health_check_changed, {"edge/targets": "update"}),
    "the listener was deleted": ExternalChange(
        listener_deleted, {"edge/listener": "create"}, unserved="no request is answered without the listener"
    ),
    "invalid header fields were let through": ExternalChange(invalid_headers_kept, {"edge/balancer": "update"}),
    "the load balancer got another security group": ExternalChange(
        balancer_in_another_group,
        {"edge/balancer": "update"},
        unserved="this security group admits no traffic from outside",
    ),
    "DNS hostnames were turned off": ExternalChange(dns_names_turned_off, {"net/vpc": "update"}),
    "the default route was deleted": ExternalChange(default_route_deleted, {"net/routes": "update"}),
    "a subnet lost its route table": ExternalChange(association_deleted, {"net/routes": "update"}),
    "tags were changed": ExternalChange(tag_changed, {"net/vpc": "update"}),
    "image scanning was turned off": ExternalChange(scanning_turned_off, {"fargate/repository": "update"}),
}


#: One change per AWS service.
SAMPLE = {
    "a rule was added", "a count was changed", "the record was pointed to another address", "the retention was changed",
    "a cache parameter was changed", "the health check was changed", "tags were changed",
    "image scanning was turned off",
}  # fmt: skip


def marked(name: str) -> Any:
    """Returns the name of a change as a test parameter, marked if the change interrupts service or is in the sample."""
    reason = EXTERNAL_CHANGES[name].unserved
    marks = [pytest.mark.unserved(reason)] if reason else []
    return pytest.param(name, marks=[*marks, *([pytest.mark.sample] if name in SAMPLE else [])])


@pytest.mark.parametrize("name", [marked(name) for name in EXTERNAL_CHANGES])
def test_drift_is_shown_and_repaired(staging: TestWorkspace, name: str) -> None:
    change, before = EXTERNAL_CHANGES[name], comparable(staging)
    change.apply(staging)
    plan = staging.plan()
    assert set(plan.changes) == set(change.planned), plan.changes
    for address, action in change.planned.items():
        assert action in (plan.changes[address], "any"), f"{address}: {plan.changes[address]}"
        assert plan.origin(address) == "drift", f"{address}: {plan.steps[address]}"
    staging.deploy()
    assert_same(before, comparable(staging))
    staging.assert_no_changes()


@pytest.mark.sample
def test_plan_marks_drift_as_changed_outside(staging: TestWorkspace) -> None:
    count_changed(staging)
    text = staging.run("plan", "staging").expect_exit().out
    assert "~ fargate/celery  ecs.service" in text and "# changed outside of pb-deploy" in text
    assert "~ desired_count: 1 -> 4" in text
    staging.deploy()
    staging.assert_no_changes()


def comparable(workspace: TestWorkspace) -> list[str]:
    """Returns all resources as lines of text, with addresses instead of ids, because a repair may change ids."""
    everything = workspace.inventory.everything()
    del everything["interfaces"]
    names = {
        identity: f"<{tags_of(resource)['pb-deploy:address']}>"
        for resources in everything.values()
        for identity, resource in resources.items()
        if ID.search(identity) and "pb-deploy:address" in tags_of(resource)
    }
    lines: list[str] = []
    for kind, resources in everything.items():
        managed = [t for t in resources.values() if kind != "task_definitions" or "pb-deploy:address" in tags_of(t)]
        lines += [kind, *json.dumps(normalized(managed, names), default=str, sort_keys=True, indent=1).splitlines()]
    return lines


def assert_same(before: list[str], after: list[str]) -> None:
    """Fails the test with a diff if the lines differ."""
    if before != after:
        pytest.fail("\n".join(difflib.unified_diff(before, after, "before", "after", lineterm="", n=4)))
