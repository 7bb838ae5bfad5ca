"""Lifecycle hooks that pause ECS deployments."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import App, wait_until


def configure(app: App, *stages: str) -> None:
    """Gives the service a hook that pauses its deployments at the stages."""
    hook = {"targetType": "PAUSE", "lifecycleStages": list(stages)}
    app.ecs.update_service(cluster="c", service="web", deploymentConfiguration={"lifecycleHooks": [hook]})


def paused(app: App, image: str) -> tuple[str, dict[str, Any]]:
    """Starts a deployment; returns its revision and what ECS says about it once it is paused."""
    app.create(app.definition())
    app.steady()
    configure(app, "PRE_SCALE_UP")
    revision = app.definition(image)
    app.ecs.update_service(cluster="c", service="web", taskDefinition=revision)
    return revision, wait_until(lambda: (found := newest(app)).get("lifecycleHookDetails") and found)


def newest(app: App) -> dict[str, Any]:
    """Returns the newest deployment of the service."""
    listed = app.ecs.list_service_deployments(cluster="c", service="web")["serviceDeployments"]
    arns = [listed[0]["serviceDeploymentArn"]]
    return dict(app.ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"][0])


def test_paused_deployment_waits_until_it_is_continued(app: App) -> None:
    revision, found = paused(app, "app:2")
    (hook,) = found["lifecycleHookDetails"]
    assert (found["status"], found["lifecycleStage"]) == ("IN_PROGRESS", "PRE_SCALE_UP")
    assert (hook["targetType"], hook["status"], hook["timeoutAction"]) == ("PAUSE", "AWAITING_ACTION", "ROLLBACK")
    assert (hook["expiresAt"] - found["createdAt"]).total_seconds() == pytest.approx(86_400, abs=5)
    shown = app.show()
    assert shown["runningCount"] == 2 and shown["deployments"][0]["runningCount"] == 0, "no new task is started"
    arn = found["serviceDeploymentArn"]
    with pytest.raises(ClientError, match="ecs-pause-x was not found"):
        app.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId="ecs-pause-x")
    app.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"])
    with pytest.raises(ClientError, match="does not await an action"):
        app.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"])
    assert app.steady()["taskDefinition"] == revision and newest(app)["status"] == "SUCCESSFUL"


def test_paused_deployment_is_rolled_back_on_request(app: App) -> None:
    revision, found = paused(app, "app:2")
    app.ecs.continue_service_deployment(
        serviceDeploymentArn=found["serviceDeploymentArn"],
        hookId=found["lifecycleHookDetails"][0]["hookId"],
        action="ROLLBACK",
    )
    wait_until(lambda: newest(app)["status"] == "ROLLBACK_SUCCESSFUL")
    assert app.show()["taskDefinition"] != revision


def test_pause_while_traffic_shifts_is_refused(app: App) -> None:
    app.create(app.definition())
    with pytest.raises(ClientError, match="cannot be configured at TEST_TRAFFIC_SHIFT"):
        configure(app, "TEST_TRAFFIC_SHIFT")
    with pytest.raises(ClientError, match="deployment was not found"):
        app.ecs.continue_service_deployment(serviceDeploymentArn="arn:aws:ecs:r:1:service-deployment/a", hookId="x")
