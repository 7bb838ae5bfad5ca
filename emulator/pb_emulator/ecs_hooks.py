"""Lifecycle hooks of ECS service deployments: a PAUSE hook holds a deployment until ContinueServiceDeployment.

AWS rule: the deployment is IN_PROGRESS while it is paused, and its hook is AWAITING_ACTION. If nobody acts before the
hook expires, ECS does what the hook's timeout says. (Amazon ECS developer guide: Pause hooks for Amazon ECS service
deployments)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from .ecs_model import Deployment, Service, ecs_state, hex_id, utc
from .errors import AwsError
from .patching import Place

#: The stage before the tasks of a deployment are started, the only one at which this package can hold a deployment.
STAGE = "PRE_SCALE_UP"
#: Stages at which a deployment cannot be paused. (ECS API: DeploymentLifecycleHook)
UNPAUSED = ("TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT")
TIMEOUT_MINUTES, TIMEOUT_ACTION = 1440, "ROLLBACK"


def invalid(message: str) -> AwsError:
    """Returns ECS's error for invalid parameters."""
    return AwsError("InvalidParameterException", message)


def check(hooks: list[dict[str, Any]]) -> None:
    """Checks the hooks of a service."""
    for hook in hooks:
        stages = hook.get("lifecycleStages") or []
        if not stages:
            raise invalid("A lifecycle hook must have lifecycleStages.")
        if hook.get("targetType") != "PAUSE":
            raise NotImplementedError("lifecycle hooks that call Lambda functions are not emulated")
        if unpaused := [stage for stage in stages if stage in UNPAUSED]:
            raise invalid(f"PAUSE hooks cannot be configured at {unpaused[0]}.")
        if other := [stage for stage in stages if stage != STAGE]:
            raise NotImplementedError(f"pauses at {other[0]} are not emulated")


def awaited(service: Service) -> dict[str, Any] | None:
    """Returns the details of the hook at which a new deployment pauses, as DescribeServiceDeployments has them."""
    hooks = (service.fields.get("deploymentConfiguration") or {}).get("lifecycleHooks") or []
    if not hooks:
        return None
    timeout = hooks[0].get("timeoutConfiguration") or {}
    return {
        "hookId": f"ecs-pause-{hex_id()}",
        "targetType": "PAUSE",
        "status": "AWAITING_ACTION",
        "expiresAt": utc() + timedelta(minutes=int(timeout.get("timeoutInMinutes") or TIMEOUT_MINUTES)),
        "timeoutAction": timeout.get("action") or TIMEOUT_ACTION,
    }


def is_paused(deployment: Deployment) -> bool:
    """Returns whether a deployment is paused; first ends a pause that has expired."""
    hook = deployment.hook
    if hook is None or hook["status"] != "AWAITING_ACTION" or not deployment.open:
        return False
    if utc() >= hook["expiresAt"]:
        end(deployment, "TIMED_OUT", hook["timeoutAction"])
    return bool(hook["status"] == "AWAITING_ACTION")


def end(deployment: Deployment, status: str, action: str) -> None:
    """Ends the pause of a deployment, which continues or is rolled back."""
    assert deployment.hook
    deployment.hook["status"], deployment.updated = status, utc()
    if action == "ROLLBACK":
        deployment.state = "ROLLBACK_REQUESTED"


def details(deployment: Deployment) -> dict[str, Any]:
    """Returns the fields that DescribeServiceDeployments has for a deployment that has reached a hook."""
    if deployment.hook is None or deployment.state == "PENDING":
        return {}
    stage = {"lifecycleStage": STAGE} if deployment.hook["status"] == "AWAITING_ACTION" else {}
    return {**stage, "lifecycleHookDetails": [deployment.hook]}


def continue_deployment(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ContinueServiceDeployment: possible only while the deployment is in progress and its hook awaits an action."""
    arn = request["serviceDeploymentArn"]
    services = ecs_state(place).services.values()
    found = next((known for service in services for known in service.deployments if known.arn == arn), None)
    if found is None:
        raise AwsError("ServiceDeploymentNotFoundException", "The specified service deployment was not found.")
    if found.hook is None or found.hook["hookId"] != request["hookId"]:
        raise invalid(f"The lifecycle hook {request['hookId']} was not found.")
    if found.state != "IN_PROGRESS" or not is_paused(found):
        raise invalid(f"The lifecycle hook {request['hookId']} does not await an action.")
    end(found, "SUCCEEDED", request.get("action") or "CONTINUE")
    return {"serviceDeploymentArn": arn}
