"""ECS rollouts: success, circuit breaker, rollback, and the events and stopped tasks that a failure leaves."""

from __future__ import annotations

import time

import pytest
from conftest import App, control, wait_until


def test_service_update_starts_rollout(app: App) -> None:
    first, second = app.definition(), app.definition("app:2")
    app.create(first)
    before = app.steady()["deployments"][0]["id"]
    updated = app.ecs.update_service(cluster="c", service="web", taskDefinition=second)["service"]
    assert [(d["status"], d["taskDefinition"]) for d in updated["deployments"]] == [
        ("PRIMARY", second),
        ("ACTIVE", first),
    ]
    assert updated["deployments"][0]["id"] != before
    assert app.show()["runningCount"] == 2, "the old tasks run on"
    done = app.steady()
    assert (len(done["deployments"]), done["taskDefinition"]) == (1, second)
    rollout = app.rollout()
    assert rollout["status"] == "SUCCESSFUL"
    revision = app.ecs.describe_service_revisions(serviceRevisionArns=[rollout["targetServiceRevision"]["arn"]])
    assert revision["serviceRevisions"][0]["taskDefinition"] == second


def test_rollout_starts_only_when_tasks_change(app: App) -> None:
    definition = app.definition(taskRoleArn=app.role)
    app.create(definition)
    before = app.steady()["deployments"][0]["id"]
    update = app.ecs.update_service
    update(cluster="c", service="web", desiredCount=3, taskDefinition=definition, enableExecuteCommand=True)
    assert wait_until(lambda: (s := app.show())["runningCount"] == 3 and s)["deployments"][0]["id"] == before
    update(cluster="c", service="web", desiredCount=1)
    wait_until(lambda: app.show()["runningCount"] == 1)
    forced = update(cluster="c", service="web", forceNewDeployment=True)["service"]["deployments"][0]["id"]
    assert forced != before
    app.steady()
    network = app.net.awsvpc()
    network["awsvpcConfiguration"]["assignPublicIp"] = "DISABLED"
    changed = update(cluster="c", service="web", networkConfiguration=network)["service"]
    assert changed["deployments"][0]["id"] != forced
    assert changed["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"


def test_breaker_rolls_back(app: App) -> None:
    first, bad = app.definition(), app.definition("app:fail")
    app.create(first)
    before = app.steady()["deployments"][0]["id"]
    updated = app.ecs.update_service(cluster="c", service="web", taskDefinition=bad)["service"]
    failed = updated["deployments"][0]["id"]
    rollout = app.rollout()
    assert rollout["status"] == "ROLLBACK_SUCCESSFUL"
    assert rollout["deploymentCircuitBreaker"] == {"status": "TRIGGERED", "failureCount": 2, "threshold": 2}
    after = app.show()
    assert [(d["id"], d["rolloutState"]) for d in after["deployments"]] == [(before, "COMPLETED")] and failed != before
    assert (after["taskDefinition"], after["runningCount"], after["desiredCount"]) == (first, 2, 2)
    messages = " ".join(event["message"] for event in after["events"])
    assert f"(deployment {failed}) deployment failed: tasks failed to start." in messages
    stopped = app.ecs.list_tasks(cluster="c", serviceName="web", desiredStatus="STOPPED")["taskArns"]
    tasks = [t for t in app.ecs.describe_tasks(cluster="c", tasks=stopped)["tasks"] if t["taskDefinitionArn"] == bad]
    assert tasks and tasks[0]["stoppedReason"] == "Essential container in task exited"
    assert (tasks[0]["stopCode"], tasks[0]["containers"][0]["exitCode"]) == ("EssentialContainerExited", 1)
    stream = f"p/app/{tasks[0]['taskArn'].rsplit('/', 1)[-1]}"
    lines = app.aws.logs.get_log_events(logGroupName="app", logStreamName=stream)["events"]
    assert "exited with status 1" in lines[0]["message"]


def test_first_deployment_cannot_roll_back(app: App) -> None:
    app.create(app.definition("app:fail"))
    assert app.rollout()["status"] == "ROLLBACK_FAILED"
    assert app.show()["deployments"][0]["rolloutState"] == "FAILED"
    good = app.definition()
    app.ecs.update_service(cluster="c", service="web", taskDefinition=good)
    assert app.steady()["taskDefinition"] == good


def test_rollback_to_deregistered_revision_fails(app: App) -> None:
    first = app.definition()
    app.create(first)
    app.steady()
    app.ecs.deregister_task_definition(taskDefinition=first)
    app.ecs.update_service(cluster="c", service="web", taskDefinition=app.definition("app:fail"))
    assert app.rollout()["status"] == "ROLLBACK_FAILED"


def test_rollout_without_breaker_never_ends(app: App) -> None:
    app.create(app.definition("app:fail"), deploymentConfiguration={})
    wait_until(lambda: app.show()["deployments"][0]["failedTasks"] >= 6)
    assert app.show()["deployments"][0]["rolloutState"] == "IN_PROGRESS"


def test_breaker_without_rollback_stops(app: App) -> None:
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    app.create(app.definition("app:fail"), deploymentConfiguration=breaker)
    assert app.rollout()["status"] == "STOPPED"
    assert app.show()["deployments"][0]["failedTasks"] >= 3, "the default threshold"


@pytest.mark.parametrize(
    "image,reason", [("app:missing", "CannotPullContainerError"), ("app:1", "ResourceInitializationError")]
)
def test_tasks_that_fail_to_start_have_a_reason(app: App, image: str, reason: str) -> None:
    if reason == "ResourceInitializationError":
        app.aws.logs.delete_log_group(logGroupName="app")
    app.create(app.definition(image))
    app.rollout()
    stopped = app.ecs.list_tasks(cluster="c", serviceName="web", desiredStatus="STOPPED")["taskArns"]
    task = app.ecs.describe_tasks(cluster="c", tasks=stopped)["tasks"][0]
    assert task["stopCode"] == "TaskFailedToStart" and task["stoppedReason"].startswith(reason)
    assert "exitCode" not in task["containers"][0]


def test_scheduler_never_runs_twice(app: App) -> None:
    one = {"maximumPercent": 100, "minimumHealthyPercent": 0}
    app.create(app.definition(), desiredCount=1, deploymentConfiguration=one)
    app.steady()
    app.ecs.update_service(cluster="c", service="web", taskDefinition=app.definition("app:2"))
    seen = []

    def finished() -> bool:
        shown = app.show()
        seen.append(shown["runningCount"])
        return shown["deployments"][0]["rolloutState"] == "COMPLETED"

    wait_until(finished)
    assert max(seen) == 1 and 0 in seen


@pytest.mark.parametrize("kind,status", [("ROLLBACK", "ROLLBACK_SUCCESSFUL"), ("ABORT", "STOPPED")])
def test_deployment_can_be_stopped(app: App, kind: str, status: str) -> None:
    first = app.definition()
    app.create(first)
    app.steady()
    app.ecs.update_service(cluster="c", service="web", taskDefinition=app.definition("app:2"))
    arn = app.show()["currentServiceDeployment"]
    app.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType=kind)
    assert app.rollout()["status"] == status
    assert app.aws.code(app.ecs.stop_service_deployment, serviceDeploymentArn=arn) == "ConflictException"
    missing = arn[:-4] + "0000"
    assert (
        app.aws.code(app.ecs.stop_service_deployment, serviceDeploymentArn=missing)
        == "ServiceDeploymentNotFoundException"
    )
    if kind == "ROLLBACK":
        assert app.steady()["taskDefinition"] == first


def test_paused_rollout_makes_no_progress_until_resumed(app: App) -> None:
    app.create(app.definition())
    app.steady()
    control(app.aws.url, "POST", "rollouts", {"account": app.aws.account, "paused": True})
    app.ecs.update_service(cluster="c", service="web", taskDefinition=app.definition("app:2"))
    time.sleep(1)
    shown = app.show()["deployments"][0]
    assert (shown["rolloutState"], shown["pendingCount"], shown["runningCount"]) == ("IN_PROGRESS", 0, 0)
    control(app.aws.url, "POST", "rollouts", {"account": app.aws.account, "paused": False})
    app.steady()
