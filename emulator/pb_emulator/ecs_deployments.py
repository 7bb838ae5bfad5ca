"""ECS service deployments and service revisions: the history that shows whether a rollout succeeded or was rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import ecs_hooks
from .ecs_model import Deployment, EcsState, Service, counts, ecs_state, utc
from .ecs_rollout import breaker, threshold
from .errors import AwsError
from .patching import Place


def all_deployments(state: EcsState) -> Iterator[tuple[Service, Deployment]]:
    """Yields all recorded deployments, including those of deleted services."""
    for service in [*state.services.values(), *state.past_services]:
        for deployment in service.deployments:
            yield service, deployment


def deployment_summary(service: Service, deployment: Deployment) -> dict[str, Any]:
    """Returns a deployment in the form of ListServiceDeployments."""
    answer = {
        "serviceDeploymentArn": deployment.arn,
        "serviceArn": service.arn,
        "clusterArn": service.cluster.arn,
        "createdAt": deployment.created,
        "startedAt": deployment.created,
        "targetServiceRevisionArn": deployment.revision_arn,
        "status": deployment.state,
        "statusReason": deployment.state_reason,
    }
    if deployment.finished:
        answer["finishedAt"] = deployment.finished
    return answer


def list_deployments(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListServiceDeployments: returns the newest first."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    service = state.service(cluster, request["service"])
    if service is None:
        raise AwsError("ServiceNotFoundException", "Service not found.")
    statuses = request.get("status") or []
    shown = [d for d in reversed(service.deployments) if not statuses or d.state in statuses]
    found = [deployment_summary(service, d) for d in shown]
    start, limit = int(request.get("nextToken") or 0), int(request.get("maxResults") or 20)
    answer: dict[str, Any] = {"serviceDeployments": found[start : start + limit]}
    if len(found) > start + limit:
        answer["nextToken"] = str(start + limit)
    return answer


def revision_summary(state: EcsState, service: Service, deployment: Deployment) -> dict[str, Any]:
    """Returns the service revision of a deployment with its task counts, in the form of DescribeServiceDeployments."""
    running, pending = counts(state, service, deployment)
    requested = deployment.desired if deployment.status == "PRIMARY" else running + pending
    return {
        "arn": deployment.revision_arn,
        "requestedTaskCount": requested,
        "runningTaskCount": running,
        "pendingTaskCount": pending,
    }


def deployment_details(state: EcsState, service: Service, deployment: Deployment) -> dict[str, Any]:
    """Returns a deployment in the form of DescribeServiceDeployments."""
    source = service.find(deployment.source)
    settings = breaker(service)
    monitor = "TRIGGERED" if deployment.triggered else "MONITORING" if deployment.open else "MONITORING_COMPLETE"
    answer = {
        **deployment_summary(service, deployment),
        "updatedAt": deployment.updated,
        "sourceServiceRevisions": [revision_summary(state, service, source)] if source else [],
        "targetServiceRevision": revision_summary(state, service, deployment),
        "deploymentConfiguration": service.fields["deploymentConfiguration"],
        "deploymentCircuitBreaker": {
            "status": monitor if settings.get("enable") else "DISABLED",
            "failureCount": deployment.failed,
            "threshold": threshold(service),
        },
        "alarms": {"status": "DISABLED"},
    }
    answer.pop("targetServiceRevisionArn")
    answer.update(ecs_hooks.details(deployment))
    if deployment.rollback:
        answer["rollback"] = deployment.rollback
    if deployment.state == "STOPPED":
        answer["stoppedAt"] = deployment.finished
    return answer


def describe(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeServiceDeployments: returns the service deployments, and reports missing ones in `failures`."""
    state = ecs_state(place)
    known = {deployment.arn: (service, deployment) for service, deployment in all_deployments(state)}
    found, failures = [], []
    for arn in request["serviceDeploymentArns"]:
        if arn in known:
            found.append(deployment_details(state, *known[arn]))
        else:
            failures.append({"arn": arn, "reason": "MISSING"})
    return {"serviceDeployments": found, "failures": failures}


def revisions(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeServiceRevisions: returns the task definition of a deployment."""
    deployments = all_deployments(ecs_state(place))
    known = {deployment.revision_arn: (service, deployment) for service, deployment in deployments}
    found, failures = [], []
    for arn in request["serviceRevisionArns"]:
        if arn not in known:
            failures.append({"arn": arn, "reason": "MISSING"})
            continue
        service, deployment = known[arn]
        found.append(
            {
                "serviceRevisionArn": arn,
                "serviceArn": service.arn,
                "clusterArn": service.cluster.arn,
                "taskDefinition": deployment.task_definition,
                "launchType": deployment.snapshot.get("launchType") or "FARGATE",
                "platformVersion": "1.4.0",
                "platformFamily": "Linux",
                "networkConfiguration": deployment.snapshot.get("networkConfiguration"),
                "loadBalancers": deployment.snapshot.get("loadBalancers") or [],
                "containerImages": [
                    {"containerName": container["name"], "image": container["image"]}
                    for container in deployment.definition.containers
                ],
                "createdAt": deployment.created,
            }
        )
    return {"serviceRevisions": found, "failures": failures}


def stop(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """StopServiceDeployment: rolls back by default, or aborts; possible only while the deployment is in progress."""
    known = {deployment.arn: deployment for _, deployment in all_deployments(ecs_state(place))}
    deployment = known.get(request["serviceDeploymentArn"])
    if deployment is None:
        raise AwsError("ServiceDeploymentNotFoundException", "The specified service deployment was not found.")
    if deployment.state not in ("PENDING", "IN_PROGRESS"):
        raise AwsError("ConflictException", f"The service deployment is {deployment.state} and cannot be stopped.")
    kind = request.get("stopType") or "ROLLBACK"
    deployment.state = "STOP_REQUESTED" if kind == "ABORT" else "ROLLBACK_REQUESTED"
    deployment.updated = utc()
    return {"serviceDeploymentArn": deployment.arn}
