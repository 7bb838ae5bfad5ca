"""Tests of the ECS rules."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from conftest import App, Aws, wait_until


def test_create_cluster_is_idempotent(aws: Aws) -> None:
    tags = [{"key": "a", "value": "b"}]
    one = aws.ecs.create_cluster(clusterName="c", tags=tags)["cluster"]
    assert aws.ecs.create_cluster(clusterName="c")["cluster"]["clusterArn"] == one["clusterArn"]
    answer = aws.ecs.describe_clusters(clusters=["c", "nope"], include=["TAGS"])
    assert answer["clusters"][0]["tags"] == tags
    assert answer["failures"][0]["reason"] == "MISSING"
    assert aws.ecs.delete_cluster(cluster="c")["cluster"]["status"] == "INACTIVE"
    assert aws.ecs.describe_clusters(clusters=["c"])["clusters"][0]["status"] == "INACTIVE"
    assert aws.code(aws.ecs.delete_cluster, cluster="c") == "ClusterNotFoundException"


@pytest.mark.parametrize(
    "settings",
    [
        {"cpu": "256", "memory": "4096"},
        {"cpu": "300", "memory": "512"},
        {"networkMode": "bridge"},
        {"container": {"portMappings": [{"containerPort": 80, "hostPort": 81}]}},
        {"container": {"stopTimeout": 121}},
        {"container": {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g"}}}},
        {"family": "no good"},
    ],
)
def test_fargate_refuses_invalid_definition(app: App, settings: dict[str, Any]) -> None:
    assert app.aws.code(app.definition, **settings) == "ClientException"


def test_task_definition_beyond_64_kib_is_refused(app: App) -> None:
    def environment(length: int) -> dict[str, Any]:
        return {
            "containerDefinitions": [
                {"name": "app", "image": "i", "environment": [{"name": "A", "value": "x" * length}]}
            ]
        }

    app.definition(**environment(64_000))
    assert app.aws.code(app.definition, **environment(65_536)) == "ClientException"


def test_awslogs_requires_execution_role(app: App) -> None:
    assert app.aws.code(app.definition, executionRoleArn="") == "ClientException"


def test_revisions_are_numbered_and_deregistered(app: App) -> None:
    first = app.definition(tags=[{"key": "a", "value": "b"}])
    second = app.definition()
    assert (first[-2:], second[-2:]) == (":1", ":2")
    assert app.ecs.describe_task_definition(taskDefinition=first, include=["TAGS"])["tags"] == [
        {"key": "a", "value": "b"}
    ]
    assert app.ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]["revision"] == 2
    app.ecs.deregister_task_definition(taskDefinition=second)
    assert app.ecs.describe_task_definition(taskDefinition=second)["taskDefinition"]["status"] == "INACTIVE"
    assert app.ecs.list_task_definitions(familyPrefix="web")["taskDefinitionArns"] == [first]
    assert app.aws.code(app.create, definition=second) == "ClientException"
    assert app.aws.code(app.ecs.describe_task_definition, taskDefinition="nope") == "ClientException"


def test_service_becomes_steady(app: App) -> None:
    made = app.create(
        app.definition(taskRoleArn=app.role), tags=[{"key": "a", "value": "b"}], propagateTags="SERVICE",
        enableECSManagedTags=True, enableExecuteCommand=True,
    )  # fmt: skip
    assert (made["status"], made["runningCount"], made["deployments"][0]["rolloutState"]) == (
        "ACTIVE",
        0,
        "IN_PROGRESS",
    )
    assert app.show()["pendingCount"] == 2
    done = app.steady()
    assert (done["runningCount"], done["pendingCount"], len(done["deployments"])) == (2, 0, 1)
    assert done["deploymentConfiguration"]["deploymentCircuitBreaker"]["thresholdConfiguration"] == {
        "type": "COUNT",
        "value": 2,
    }
    assert (done["propagateTags"], done["enableECSManagedTags"], done["enableExecuteCommand"]) == (
        "SERVICE",
        True,
        True,
    )
    assert done["tags"] == [{"key": "a", "value": "b"}]
    assert "has reached a steady state" in done["events"][0]["message"]
    assert app.rollout()["status"] == "SUCCESSFUL"


def test_tasks_have_network_interfaces(app: App) -> None:
    app.create(app.definition(), tags=[{"key": "a", "value": "b"}], propagateTags="SERVICE")
    app.steady()
    arns = app.ecs.list_tasks(cluster="c", serviceName="web")["taskArns"]
    tasks = app.ecs.describe_tasks(cluster="c", tasks=arns + ["missing"], include=["TAGS"])
    assert tasks["failures"][0]["reason"] == "MISSING"
    assert [(t["lastStatus"], t["group"]) for t in tasks["tasks"]] == [("RUNNING", "service:web")] * 2
    assert tasks["tasks"][0]["tags"] == [{"key": "a", "value": "b"}]
    details = {d["name"]: d["value"] for d in tasks["tasks"][0]["attachments"][0]["details"]}
    found = app.aws.interfaces(network_interface_id=details["networkInterfaceId"])[0]
    assert found["Description"].startswith(f"arn:aws:ecs:{app.aws.region}:{app.aws.account}:attachment/")
    assert found["InterfaceType"] == "interface" and found["RequesterManaged"]
    assert found["PrivateIpAddress"] == details["privateIPv4Address"] and found["Association"]["PublicIp"]
    assert app.aws.code(app.aws.ec2.delete_security_group, GroupId=app.net.group) == "DependencyViolation"
    assert app.aws.code(app.ecs.describe_tasks, cluster="c", tasks=["x"] * 101) == "InvalidParameterException"


def test_targets_follow_the_tasks(app: App) -> None:
    _, group = app.web()
    pair = [{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}]
    app.create(app.definition(), loadBalancers=pair, healthCheckGracePeriodSeconds=30)

    def states() -> list[str]:
        found = app.aws.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return sorted(t["TargetHealth"]["State"] for t in found)

    assert wait_until(states) in (["initial", "initial"], ["healthy", "healthy"])
    app.steady()
    assert states() == ["healthy", "healthy"]
    assert app.show()["healthCheckGracePeriodSeconds"] == 30
    app.ecs.delete_service(cluster="c", service="web", force=True)
    assert states() == ["draining", "draining"]
    wait_until(lambda: states() == [])


def test_targets_without_load_balancer_are_unused(app: App) -> None:
    balancer, group = app.web()
    pair = [{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}]
    app.create(app.definition(), loadBalancers=pair, desiredCount=1)
    app.steady()

    def health() -> dict[str, str]:
        (only,) = app.aws.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return dict(only["TargetHealth"])

    assert health()["State"] == "healthy"
    (listener,) = app.aws.elbv2.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
    app.aws.elbv2.delete_listener(ListenerArn=listener["ListenerArn"])
    assert (health()["State"], health()["Reason"]) == ("unused", "Target.NotInUse")


def test_failed_rollout_deregisters_its_targets(app: App) -> None:
    balancer, old = app.web()
    new = app.net.target_group("new")
    app.net.listener(balancer, new, 81)

    def balancers(group: str) -> list[dict[str, object]]:
        return [{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}]

    def states(group: str) -> list[str]:
        found = app.aws.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [target["TargetHealth"]["State"] for target in found]

    app.create(app.definition(), loadBalancers=balancers(old), desiredCount=1)
    app.steady()
    app.ecs.update_service(
        cluster="c", service="web", taskDefinition=app.definition("app:unhealthy"), loadBalancers=balancers(new),
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    )  # fmt: skip
    wait_until(lambda: states(new) == ["unhealthy"])
    wait_until(lambda: app.rollout()["status"] == "ROLLBACK_SUCCESSFUL")
    wait_until(lambda: states(new) == [])
    assert states(old) == ["healthy"]


def test_unhealthy_targets_trip_the_breaker(app: App) -> None:
    _, group = app.web()
    pair = [{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}]
    app.create(app.definition("app:unhealthy"), loadBalancers=pair, desiredCount=1)
    wait_until(lambda: "unhealthy" in [
        t["TargetHealth"]["State"]
        for t in app.aws.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    ])  # fmt: skip
    assert app.rollout()["status"] == "ROLLBACK_FAILED"
    assert "ELB health checks" in app.show()["deployments"][0]["rolloutStateReason"]


def test_revision_without_target_port_is_refused(app: App) -> None:
    """ECS API, LoadBalancer: the port must be a port of the container in the task definition that the service uses."""
    _, group = app.web()
    target = {"targetGroupArn": group, "containerName": "app"}
    app.create(app.definition(), loadBalancers=[{**target, "containerPort": 8080}])
    other = app.definition(container={"portMappings": [{"containerPort": 8000}]})
    wanted = {"cluster": "c", "service": "web", "taskDefinition": other}
    assert "did not have a container port 8080" in app.aws.message(app.ecs.update_service, **wanted)
    app.ecs.update_service(**wanted, loadBalancers=[{**target, "containerPort": 8000}])


def test_service_with_invalid_settings_is_refused(app: App) -> None:
    definition, code = app.definition(), "InvalidParameterException"
    lone = app.net.target_group("lone")

    def pair(**changed: Any) -> list[dict[str, Any]]:
        return [{"targetGroupArn": lone, "containerName": "app", "containerPort": 8080, **changed}]

    assert "does not have an associated load balancer" in app.aws.message(
        app.create, definition=definition, loadBalancers=pair()
    )
    assert app.aws.code(app.create, definition=definition, loadBalancers=pair(containerName="x")) == code
    assert app.aws.code(app.create, definition=definition, loadBalancers=pair(containerPort=1)) == code
    assert app.aws.code(app.create, definition=definition, loadBalancers=pair(targetGroupArn=lone[:-1] + "x")) == code
    assert "grace period" in app.aws.message(app.create, definition=definition, healthCheckGracePeriodSeconds=1)
    bad = {"awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"], "securityGroups": [app.net.group]}}
    assert app.aws.code(app.create, definition=definition, networkConfiguration=bad) == code
    bad = {"awsvpcConfiguration": {"subnets": app.net.subnets, "securityGroups": ["sg-0123456789abcdef0"]}}
    assert app.aws.code(app.create, definition=definition, networkConfiguration=bad) == code
    assert app.aws.code(app.create, definition=definition, cluster="nope") == "ClusterNotFoundException"
    assert app.aws.code(app.create, definition="nope:1") == "ClientException"
    assert app.aws.code(app.create, definition=definition, clientToken="x" * 37) == code
    both = {"maximumPercent": 100, "minimumHealthyPercent": 100}
    assert app.aws.code(app.create, definition=definition, deploymentConfiguration=both) == code
    instance = app.net.target_group("instances", TargetType="instance")
    app.net.listener(app.net.balancer()["LoadBalancerArn"], instance)
    assert "target type instance" in app.aws.message(
        app.create, definition=definition, loadBalancers=pair(targetGroupArn=instance)
    )


def test_service_name_is_reserved_until_inactive(app: App) -> None:
    definition, token = app.definition(), str(uuid.uuid4())
    one = app.create(definition, clientToken=token)
    assert app.create(definition, clientToken=token)["serviceArn"] == one["serviceArn"]
    assert "not idempotent" in app.aws.message(app.create, definition=definition, desiredCount=1)
    assert app.aws.code(app.ecs.delete_cluster, cluster="c") == "ClusterContainsServicesException"
    assert "scaled above 0" in app.aws.message(app.ecs.delete_service, cluster="c", service="web")
    assert app.ecs.delete_service(cluster="c", service="web", force=True)["service"]["status"] == "DRAINING"
    assert "still Draining" in app.aws.message(app.create, definition=definition)
    assert app.ecs.list_services(cluster="c")["serviceArns"] == []
    assert app.aws.code(app.ecs.delete_cluster, cluster="c") == "ClusterContainsServicesException"
    wait_until(lambda: app.show()["status"] == "INACTIVE")
    assert (
        app.aws.code(app.ecs.update_service, cluster="c", service="web", desiredCount=1) == "ServiceNotActiveException"
    )
    assert app.aws.code(app.ecs.delete_service, cluster="c", service="web") == "ServiceNotFoundException"
    wait_until(lambda: not app.aws.interfaces(vpc_id=app.net.vpc))
    app.create(definition)
    assert app.show()["status"] == "ACTIVE"


def test_task_interfaces_linger(app: App) -> None:
    app.create(app.definition())
    app.steady()
    app.ecs.delete_service(cluster="c", service="web", force=True)
    wait_until(lambda: app.show()["status"] == "INACTIVE")
    assert app.aws.interfaces(group_id=app.net.group), "they outlive the service"
    assert app.aws.code(app.aws.ec2.delete_subnet, SubnetId=app.net.subnets[0]) == "DependencyViolation"
    wait_until(lambda: not app.aws.interfaces(group_id=app.net.group))
    app.aws.ec2.delete_subnet(SubnetId=app.net.subnets[0])


def test_cluster_with_tasks_cannot_be_deleted(app: App) -> None:
    app.ecs.run_task(
        cluster="c", taskDefinition=app.definition(), launchType="FARGATE", networkConfiguration=app.net.awsvpc()
    )
    assert app.aws.code(app.ecs.delete_cluster, cluster="c") == "ClusterContainsTasksException"
    arn = app.ecs.list_tasks(cluster="c")["taskArns"][0]
    app.ecs.stop_task(cluster="c", task=arn, reason="enough")
    wait_until(lambda: app.ecs.describe_tasks(cluster="c", tasks=[arn])["tasks"][0]["lastStatus"] == "STOPPED")
    app.ecs.delete_cluster(cluster="c")


def test_describe_services(app: App) -> None:
    answer = app.ecs.describe_services(cluster="c", services=["nope"])
    assert answer["services"] == [] and answer["failures"][0]["reason"] == "MISSING"
    assert app.aws.code(app.ecs.describe_services, cluster="c", services=["x"] * 11) == "InvalidParameterException"
    assert app.aws.code(app.ecs.update_service, cluster="c", service="nope") == "ServiceNotFoundException"


def test_tags(app: App) -> None:
    arn = app.create(app.definition())["serviceArn"]
    app.ecs.tag_resource(resourceArn=arn, tags=[{"key": "k", "value": "v"}])
    assert app.ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "k", "value": "v"}]
    app.ecs.untag_resource(resourceArn=arn, tagKeys=["k"])
    assert app.show()["tags"] == []
    many = [{"key": f"k{n}", "value": "v"} for n in range(51)]
    for tags in (many, [{"key": "aws:x", "value": "v"}], [{"key": "k", "value": "v" * 257}]):
        assert app.aws.code(app.ecs.tag_resource, resourceArn=arn, tags=tags) == "InvalidParameterException"


def test_interface_has_at_most_five_security_groups(app: App) -> None:
    groups = [app.net.add_group(f"g{n}") for n in range(6)]
    network = {"awsvpcConfiguration": {"subnets": app.net.subnets, "securityGroups": groups}}
    assert (
        app.aws.code(app.create, definition=app.definition(), networkConfiguration=network)
        == "InvalidParameterException"
    )
