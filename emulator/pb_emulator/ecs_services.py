"""ECS services: creating, updating, deleting and describing them, with the checks of AWS."""

from __future__ import annotations

import re
from typing import Any

from moto.elbv2.models import elbv2_backends

from . import ecs_hooks, ecs_rollout, ecs_tasks, timings
from .ecs_model import (
    ACTIVE, DRAINING, INACTIVE, Definition, EcsState, Service, checked_tags, ecs_state, service_response,
)  # fmt: skip
from .ecs_tasks import invalid
from .errors import AwsError
from .patching import Place

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
#: UpdateService parameters whose change starts a new deployment.
REDEPLOYING = (
    "networkConfiguration",
    "loadBalancers",
    "platformVersion",
    "capacityProviderStrategy",
    "serviceRegistries",
)
#: UpdateService parameters whose change does not start a deployment.
UPDATED_IN_PLACE = (
    "deploymentConfiguration",
    "healthCheckGracePeriodSeconds",
    "enableExecuteCommand",
    "enableECSManagedTags",
    "propagateTags",
    "availabilityZoneRebalancing",
    "placementConstraints",
    "placementStrategy",
)
DEPLOYMENT_DEFAULTS = {
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "strategy": "ROLLING",
    "bakeTimeInMinutes": 0,
}


def usable_definition(state: EcsState, name: str) -> Definition:
    """Returns a task definition for a new deployment; it must exist and be ACTIVE."""
    found = state.definition(name)
    if found is None:
        raise AwsError("ClientException", "TaskDefinition not found.")
    if found.status != ACTIVE:
        raise AwsError("ClientException", "TaskDefinition is inactive")
    return found


def check_load_balancers(place: Place, definition: Definition, balancers: list[dict[str, Any]]) -> None:
    """Requires that the container has the port, and that the target group has type ip and belongs to a load balancer.
    """
    known = elbv2_backends[place.account][place.region].target_groups
    for balancer in balancers:
        name, port, arn = balancer.get("containerName"), balancer.get("containerPort"), balancer.get("targetGroupArn")
        container = next((c for c in definition.containers if c["name"] == name), None)
        if container is None:
            raise invalid(f"The container {name} does not exist in the task definition.")
        if port not in [mapping.get("containerPort") for mapping in container["portMappings"]]:
            raise invalid(f"The container {name} did not have a container port {port} defined.")
        group = known.get(arn)
        if group is None:
            raise invalid(f"The specified target group does not exist. (target group {arn})")
        if group.target_type != "ip" and definition.fields.get("networkMode") == "awsvpc":
            raise invalid(
                f"The provided target group {arn} has target type {group.target_type}, which is incompatible with "
                "the awsvpc network mode specified in the task definition."
            )
        if not group.load_balancer_arns:
            raise invalid(f"The target group with targetGroupArn {arn} does not have an associated load balancer.")


def check_deployment_configuration(configuration: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the configuration completed with AWS's defaults. Refuses 100 percent for both limits, which would block
    every deployment.
    """
    full = {**DEPLOYMENT_DEFAULTS, **(configuration or {})}
    ecs_hooks.check(full.get("lifecycleHooks") or [])
    if int(full["maximumPercent"]) <= 100 and int(full["minimumHealthyPercent"]) >= 100:
        raise invalid("Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.")
    return full


def check_service(place: Place, definition: Definition, fields: dict[str, Any]) -> None:
    """Checks the settings of a service against each other and against its task definition."""
    balancers = fields.get("loadBalancers") or []
    if fields.get("launchType") == "FARGATE" and "FARGATE" not in definition.fields["compatibilities"]:
        raise invalid("Task definition does not support launch_type FARGATE.")
    ecs_tasks.check_network(place, definition, fields.get("networkConfiguration"))
    check_load_balancers(place, definition, balancers)
    if fields.get("enableExecuteCommand") and not definition.fields.get("taskRoleArn"):
        raise invalid(
            "The service couldn't be created because a valid taskRoleArn is not being used. Specify a valid task role in"
            " your task definition and try again."
        )
    if fields.get("healthCheckGracePeriodSeconds") is not None and not balancers:
        raise invalid("Health check grace period is only valid for services configured to use load balancers")


def create(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """CreateService: idempotent with a client token; refused if an ACTIVE or DRAINING service has the name."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    name, token = request.get("serviceName") or "", request.get("clientToken")
    if not NAME.fullmatch(name):
        raise invalid("Invalid service name: expected 1 to 255 letters, digits, hyphens and underscores.")
    if token and (len(token) > 36 or not all(33 <= ord(letter) <= 126 for letter in token)):
        raise invalid("The client token must have at most 36 ASCII characters.")
    known = state.service(cluster, name)
    if known and known.status == ACTIVE:
        if token and token == known.token and request == known.request:
            return {"service": service_response(state, known, True)}
        raise invalid("Creation of service was not idempotent.")
    if known and known.status == DRAINING:
        raise invalid("Unable to Start a service that is still Draining.")
    definition = usable_definition(state, request.get("taskDefinition") or "")
    fields = initial_fields(request)
    check_service(place, definition, fields)
    given = checked_tags(request.get("tags"))
    service = Service(
        arn=place.arn("ecs", f"service/{cluster.name}/{name}"),
        name=name,
        cluster=cluster,
        fields=fields,
        desired=int(request.get("desiredCount") or 0),
        task_definition=definition.arn,
        token=token,
        request=request,
    )
    state.services[(cluster.name, name)] = service
    if known:
        state.past_services.append(known)
    state.tags.pop(service.arn, None)
    if given:
        state.tags[service.arn] = given
    ecs_rollout.start(place, service, "ECS deployment {id} in progress.")
    return {"service": service_response(state, service, True)}


def initial_fields(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a new service, completed with AWS's defaults."""
    fields: dict[str, Any] = {
        "loadBalancers": request.get("loadBalancers") or [],
        "serviceRegistries": request.get("serviceRegistries") or [],
        "placementConstraints": [],
        "placementStrategy": [],
        "platformVersion": request.get("platformVersion") or "LATEST",
        "platformFamily": "Linux",
        "schedulingStrategy": request.get("schedulingStrategy") or "REPLICA",
        "deploymentController": request.get("deploymentController") or {"type": "ECS"},
        "deploymentConfiguration": check_deployment_configuration(request.get("deploymentConfiguration")),
        "enableECSManagedTags": bool(request.get("enableECSManagedTags")),
        "enableExecuteCommand": bool(request.get("enableExecuteCommand")),
        "propagateTags": request.get("propagateTags") or "NONE",
        "availabilityZoneRebalancing": request.get("availabilityZoneRebalancing") or "ENABLED",
    }
    if request.get("capacityProviderStrategy"):
        fields["capacityProviderStrategy"] = request["capacityProviderStrategy"]
    else:
        fields["launchType"] = request.get("launchType") or "EC2"
    if request.get("networkConfiguration"):
        fields["networkConfiguration"] = network_defaults(request["networkConfiguration"])
    if request.get("healthCheckGracePeriodSeconds") is not None:
        fields["healthCheckGracePeriodSeconds"] = request["healthCheckGracePeriodSeconds"]
    elif fields["loadBalancers"]:
        fields["healthCheckGracePeriodSeconds"] = 0
    return fields


def network_defaults(network: dict[str, Any]) -> dict[str, Any]:
    """Returns a network configuration, completed with AWS's defaults."""
    vpc = {"securityGroups": [], "assignPublicIp": "DISABLED", **(network.get("awsvpcConfiguration") or {})}
    return {"awsvpcConfiguration": vpc}


def require_service(state: EcsState, request: dict[str, Any]) -> Service:
    """Returns a service, or raises an error if it does not exist."""
    cluster = state.cluster(request.get("cluster"))
    found = state.service(cluster, request["service"])
    if found is None:
        raise AwsError("ServiceNotFoundException", "Service not found.")
    return found


def update(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateService: starts a deployment if the task definition or a parameter in REDEPLOYING changes, or if forced."""
    state = ecs_state(place)
    service = require_service(state, request)
    if service.status != ACTIVE:
        raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
    definition = service.primary.definition
    if request.get("taskDefinition"):
        definition = usable_definition(state, request["taskDefinition"])
    fields = dict(service.fields)
    for name in REDEPLOYING + UPDATED_IN_PLACE:
        if request.get(name) is not None:
            fields[name] = request[name]
    if request.get("networkConfiguration"):
        fields["networkConfiguration"] = network_defaults(request["networkConfiguration"])
    if request.get("deploymentConfiguration"):
        fields["deploymentConfiguration"] = check_deployment_configuration(
            {**service.fields["deploymentConfiguration"], **request["deploymentConfiguration"]}
        )
    if request.get("healthCheckGracePeriodSeconds") is None and not fields.get("loadBalancers"):
        fields.pop("healthCheckGracePeriodSeconds", None)
    check_service(place, definition, fields)
    changed = any(fields.get(name) != service.fields.get(name) for name in REDEPLOYING)
    changed = changed or definition.arn != service.task_definition or bool(request.get("forceNewDeployment"))
    service.fields, service.task_definition = fields, definition.arn
    if request.get("desiredCount") is not None and int(request["desiredCount"]) != service.desired:
        service.desired = int(request["desiredCount"])
        service.primary.desired, service.steady = service.desired, False
    if changed:
        ecs_rollout.start(place, service, "ECS deployment {id} in progress.")
    return {"service": service_response(state, service, True)}


def delete(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteService: the service becomes DRAINING, and later INACTIVE."""
    state = ecs_state(place)
    service = require_service(state, request)
    if service.status == INACTIVE:
        raise AwsError("ServiceNotFoundException", "Service not found.")
    if service.status == ACTIVE:
        if service.desired > 0 and not request.get("force"):
            raise invalid("The service cannot be stopped while it is scaled above 0.")
        service.status, service.desired = DRAINING, 0
        service.gone_due = timings.now() + timings.seconds("service_draining")
        for task in state.tasks_of(service):
            if task.live:
                ecs_rollout.stop_task(
                    place, service, task, f"Scaling activity initiated by (deployment {service.primary.id})"
                )
        for deployment in service.deployments:
            deployment.desired = 0
            if deployment.open:
                ecs_rollout.finish_deployment(deployment, "STOPPED", "The service was deleted.")
    return {"service": service_response(state, service, True)}


def describe(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeServices: accepts at most 10 names, reports missing services in `failures`, and still returns INACTIVE
    ones.
    """
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    if len(request["services"]) > 10:
        raise invalid("Services cannot have more than 10 items.")
    if not request["services"]:
        raise invalid("Services cannot be empty.")
    found, failures = [], []
    for name in request["services"]:
        service = state.service(cluster, name)
        if service:
            found.append(service_response(state, service, "TAGS" in (request.get("include") or [])))
        else:
            arn = place.arn("ecs", f"service/{cluster.name}/{name.rsplit('/', 1)[-1]}")
            failures.append({"arn": arn, "reason": "MISSING"})
    return {"services": found, "failures": failures}


def list_arns(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListServices: returns only ACTIVE services, ten per page by default."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    arns = [
        service.arn
        for service in state.services.values()
        if service.cluster.arn == cluster.arn
        and service.status == ACTIVE
        and request.get("launchType") in (None, service.fields.get("launchType"))
    ]
    start, limit = int(request.get("nextToken") or 0), int(request.get("maxResults") or 10)
    answer: dict[str, Any] = {"serviceArns": arns[start : start + limit]}
    if len(arns) > start + limit:
        answer["nextToken"] = str(start + limit)
    return answer
