"""ECS rollouts: progress of a service's deployments over time.

AWS rule: a rollout succeeds when the deployment that was started reaches SUCCESSFUL. The circuit breaker counts tasks
that failed to start. At its threshold the deployment becomes FAILED, and with rollback the last completed deployment
becomes PRIMARY again, which looks like a steady service with the old task definition.
"""

from __future__ import annotations

import math
from typing import Any

from moto.ecs.models import ecs_backends

from . import ecs_hooks, ecs_one_off, ecs_tasks, quotas, targets, timings
from .ecs_model import (
    ACTIVE, DRAINING, INACTIVE, Deployment, EcsState, Service, Task, deployment_id, ecs_state, hex_id, utc,
)  # fmt: skip
from .patching import Place

RUNNING_AFTER, HEALTHY_AFTER = 0.4, 0.8
BREAKER_MINIMUM, BREAKER_MAXIMUM = 3, 200
#: Accounts whose services and tasks are paused.
_paused: set[str] = set()


def pause(account: str, paused: bool) -> None:
    """Pauses the progress of all services and tasks of an account, or resumes it; overdue changes happen when it
    resumes.
    """
    _paused.add(account) if paused else _paused.discard(account)


def reset() -> None:
    """Resumes all accounts."""
    _paused.clear()


def advance(place: Place) -> None:
    """Advances the services and tasks of an account and region to the current time."""
    backends = ecs_backends[place.account]
    if place.account in _paused or not dict.__contains__(backends, place.region):
        return
    state = ecs_state(place)
    for service in list(state.services.values()):
        for task in state.tasks_of(service):
            advance_task(place, service, task)
        if service.status == ACTIVE:
            advance_rollout(place, state, service)
        elif service.status == DRAINING:
            advance_draining(state, service)
    for task in list(state.tasks.values()):
        if not task.group.startswith("service:"):
            advance_task(place, None, task)


def advance_task(place: Place, service: Service | None, task: Task) -> None:
    """Advances a task from PROVISIONING to RUNNING and healthy, or from DEPROVISIONING to STOPPED."""
    moment = timings.now()
    if task.last == "STOPPED":
        return
    if not task.live:
        if task.stop_due is not None and moment >= task.stop_due:
            ecs_tasks.finish_stop(place, service, task)
        return
    failure = ecs_tasks.start_failure(place, task.definition)
    if service is None and failure and moment >= task.run_due:
        fail_task(place, task, failure)
        return
    if not failure and task.last != "RUNNING" and moment >= task.run_due:
        task.last, task.started = "RUNNING", utc()
        for arn in targets.register(place, task) if service else []:
            service.event(f"registered 1 targets in (target-group {arn})")
    ended = ecs_one_off.command_result(place, task) if service is None and task.last == "RUNNING" else None
    if ended and moment >= task.run_due + timings.seconds("task_failing"):
        for line in ended[1]:
            ecs_tasks.write_log(place, task, line)
        ecs_tasks.begin_stop(task, "EssentialContainerExited", "Essential container in task exited", ended[0])
    crashes = service is not None and task.last == "RUNNING" and ecs_tasks.exits_after_start(place, task.definition)
    if crashes and moment >= task.run_due + timings.seconds("task_failing"):
        # The task was running, so the breaker does not count it.
        ecs_tasks.write_log(place, task, "fatal: the worker ended with status 1")
        ecs_tasks.begin_stop(task, "EssentialContainerExited", "Essential container in task exited", 1)
        return
    if service and task.last == "RUNNING" and not task.balancers:
        own = [one for one in ecs_state(place).tasks_of(service) if one.deployment_id == task.deployment_id]
        ecs_tasks.log_ready(place, task, own.index(task))
    if service and task.last == "RUNNING" and moment >= task.healthy_due:
        targets.check(place, task)


def fail_task(place: Place, task: Task, failure: tuple[str, str, int | None, str | None]) -> None:
    """Stops a task that cannot run, and writes a log line if its container exited."""
    if failure[2] is not None:
        ecs_tasks.write_log(place, task, "fatal: the container's command exited with status 1")
    ecs_tasks.begin_stop(task, *failure)


def advance_draining(state: EcsState, service: Service) -> None:
    """Changes a service from DRAINING to INACTIVE once its draining time is over and all its tasks have stopped."""
    if timings.now() < service.gone_due or any(task.last != "STOPPED" for task in state.tasks_of(service)):
        return
    service.status = INACTIVE


def start(place: Place, service: Service, reason: str) -> Deployment:
    """Starts a new deployment. The previous one becomes ACTIVE, and INACTIVE once the new one has replaced its tasks.
    """
    state, source = ecs_state(place), None
    for known in service.deployments:
        if known.status == "PRIMARY":
            source = known.id if known.rollout == "COMPLETED" else known.source
            known.status = "ACTIVE"
            if known.open:
                finish_deployment(known, "STOPPED", "Service deployment stopped because a new deployment was started.")
    for known in service.deployments:
        # A rollback in progress fails, because the new deployment replaces its deployment.
        if known.state in ("ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"):
            finish_deployment(known, "ROLLBACK_FAILED", "A new deployment was started.")
    definition = state.definition(service.task_definition)
    assert definition
    identity, number = deployment_id(), hex_id()[:21]
    base = f"{service.cluster.name}/{service.name}"
    made = Deployment(
        id=identity,
        arn=place.arn("ecs", f"service-deployment/{base}/{number}"),
        revision_arn=place.arn("ecs", f"service-revision/{base}/{int(identity[8:])}"),
        task_definition=definition.arn,
        created=utc(),
        started_at=timings.now(),
        desired=service.desired,
        snapshot={
            key: service.fields.get(key)
            for key in ("networkConfiguration", "loadBalancers", "launchType", "platformVersion")
        },
        definition=definition,
        source=source,
        rollout_reason=reason.format(id=identity),
        hook=ecs_hooks.awaited(service),
    )
    service.deployments.append(made)
    service.steady = False
    return made


def breaker(service: Service) -> dict[str, Any]:
    """Returns the settings of the circuit breaker."""
    return (service.fields.get("deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}


def threshold(service: Service) -> int:
    """Returns the number of failed tasks that trips the breaker: half of the desired count, at least 3 and at most 200,
    unless configured.
    """
    given = breaker(service).get("thresholdConfiguration") or {}
    kind, value = given.get("type", "BOUNDED_PERCENT"), int(given.get("value", 50))
    if kind == "COUNT":
        return max(1, value)
    share = math.ceil(service.desired * value / 100)
    return share if kind == "UNBOUNDED_PERCENT" else min(BREAKER_MAXIMUM, max(BREAKER_MINIMUM, share))


def ready_tasks(place: Place, tasks: list[Task]) -> int:
    """Returns the number of tasks that are running and healthy."""
    return sum(1 for task in tasks if task.live and task.last == "RUNNING" and targets.is_healthy(place, task))


def advance_rollout(place: Place, state: EcsState, service: Service) -> None:
    """Advances the current deployment by one step."""
    current = service.primary
    paused = ecs_hooks.is_paused(current)
    if current.state == "ROLLBACK_REQUESTED":
        roll_back(place, service, current, "Service deployment rolled back on request.")
        current = service.primary
    elif current.state == "STOP_REQUESTED":
        current.rollout, current.rollout_reason = "FAILED", "ECS deployment stopped on request."
        finish_deployment(current, "STOPPED", "Service deployment stopped on request.")
    elif current.state == "PENDING" and timings.now() >= current.started_at + 0.1 * timings.seconds("service_steady"):
        current.state, current.updated = "IN_PROGRESS", utc()
    if paused:
        return
    if current.rollout != "FAILED":
        reconcile_tasks(place, state, service, current)
    if current.rollout == "IN_PROGRESS":
        check_failures(place, state, service, current)
    if service.primary.rollout == "IN_PROGRESS":
        complete_when_ready(place, state, service, service.primary)
    elif current.rollout == "COMPLETED" and not service.steady:
        if ready_tasks(place, state.tasks_of(service, current)) == current.desired:
            service.steady = True
            service.event("has reached a steady state.")


def reconcile_tasks(place: Place, state: EcsState, service: Service, current: Deployment) -> None:
    """Starts and stops tasks within the limits of maximumPercent and minimumHealthyPercent."""
    settings = service.fields.get("deploymentConfiguration") or {}
    most = math.floor(current.desired * int(settings.get("maximumPercent", 200)) / 100)
    least = math.ceil(current.desired * int(settings.get("minimumHealthyPercent", 100)) / 100)
    own = [t for t in state.tasks_of(service, current) if t.live]
    others = [t for t in state.tasks_of(service) if t.live and t.deployment_id != current.id]
    wanted = replace_unhealthy(place, service, current, own, most)
    own = [task for task in own if task.live]
    for task in own[wanted:]:
        stop_task(place, service, task, f"Scaling activity initiated by (deployment {current.id})")
    ready = ready_tasks(place, own[: current.desired])
    room = max(most, current.desired) - current.desired
    keep = max(0, least - ready) if len(others) > room or ready >= current.desired else len(others)
    if ready >= current.desired:
        keep = 0
    for task in others[keep:]:
        stop_task(place, service, task, f"Scaling activity initiated by (deployment {current.id})")
    missing = min(wanted - len(own), max(most, 1) - len(own) - min(keep, len(others)))
    if missing > 0 and not ecs_tasks.launch_error(place, current.definition):
        start_tasks(place, state, service, current, missing, len(own))


def replace_unhealthy(place: Place, service: Service, current: Deployment, own: list[Task], most: int) -> int:
    """Returns the number of tasks that a deployment should have: after the rollout, one more for each unhealthy task,
    as far as maximumPercent allows. An unhealthy task is stopped once the health checks of its successor have a result.
    """
    is_completed = current.rollout == "COMPLETED"
    unhealthy = [task for task in own if is_completed and targets.is_detected_unhealthy(place, task)]
    if not unhealthy:
        return current.desired
    if all(targets.is_healthy(place, task) or targets.failure(place, task) for task in own):
        for task in unhealthy[: len(own) - current.desired if most > current.desired else 1]:
            stop_unhealthy(place, service, task)
    return min(max(most, current.desired), current.desired + sum(task.live for task in unhealthy))


def start_tasks(
    place: Place, state: EcsState, service: Service, current: Deployment, number: int, offset: int
) -> None:
    """Launches `number` tasks of a deployment, or as many as the vCPU quota allows."""
    steady = timings.seconds("service_steady")
    fields = {**service.fields, **{key: value for key, value in current.snapshot.items() if value is not None}}
    ids = []
    if (room := quotas.remaining_tasks(place, state, current.definition)) < number:
        service.event_once(f"was unable to place a task. Reason: {quotas.LIMIT_REACHED}.")
    for index in range(min(number, room)):
        task = ecs_tasks.launch(
            place, service.cluster, current.definition, fields, group=f"service:{service.name}",
            started_by=current.id, deployment=current, number=offset + index,
            run_after=steady * RUNNING_AFTER, healthy_after=steady * HEALTHY_AFTER,
        )  # fmt: skip
        propagated = service.fields.get("propagateTags")
        origin = {"SERVICE": service.arn, "TASK_DEFINITION": current.task_definition}.get(propagated or "")
        if origin and state.tags.get(origin):
            state.tags[task.arn] = dict(state.tags[origin])
        ids.append(f"(task {task.id})")
    if ids:
        service.event(f"has started {len(ids)} tasks: {' '.join(ids)}.")


def stop_task(place: Place, service: Service, task: Task, reason: str) -> None:
    """Stops a task of a service; a running task drains first."""
    draining = targets.drain(place, task) if task.last == "RUNNING" else 0.0
    service.event(f"has stopped 1 running tasks: (task {task.id}).")
    ecs_tasks.begin_stop(task, "ServiceSchedulerInitiated", reason, 0, draining=draining)


def check_failures(place: Place, state: EcsState, service: Service, current: Deployment) -> None:
    """Fails the tasks that cannot run or are unhealthy, again and again until the breaker trips; without a breaker,
    forever.
    """
    failure = ecs_tasks.start_failure(place, current.definition)
    error = ecs_tasks.launch_error(place, current.definition)
    tried = [task for task in state.tasks_of(service, current) if task.live]
    if not failure and not error:
        unhealthy = [task for task in tried if targets.is_detected_unhealthy(place, task)]
        for task in unhealthy:
            stop_unhealthy(place, service, task)
        return record_failures(place, service, current, len(unhealthy), "tasks failed ELB health checks")
    # Running tasks continue; only tasks that have not started fail.
    tried = [task for task in tried if task.last != "RUNNING"]
    if error and sum(task.live for task in state.tasks_of(service, current)) >= current.desired:
        return None
    interval, moment = timings.seconds("task_failing"), timings.now()
    if current.next_failure is None:
        current.next_failure = current.started_at + interval
    if moment < current.next_failure:
        return None
    current.next_failure = moment + interval
    if error:
        # No task was placed, so no stopped task shows the reason; the event is its only trace.
        service.event(error)
        return record_failures(place, service, current, current.desired, "tasks failed to start")
    for task in tried:
        assert failure
        fail_task(place, task, failure)
    return record_failures(place, service, current, len(tried), "tasks failed to start")


def stop_unhealthy(place: Place, service: Service, task: Task) -> None:
    """Stops an unhealthy task, and names the target group and the reason in an event."""
    arn, why = targets.failure(place, task) or ("", "")
    service.event(f"(task {task.id}) is unhealthy in (target-group {arn}) due to (reason {why}).")
    stop_task(place, service, task, f"Task failed ELB health checks in (target-group {arn})")


def record_failures(place: Place, service: Service, current: Deployment, failed: int, why: str) -> None:
    """Adds failed tasks to the deployment's count, and trips the breaker at its threshold."""
    if not failed:
        return
    current.failed += failed
    current.updated = utc()
    if breaker(service).get("enable") and current.failed >= threshold(service):
        trip_breaker(place, service, current, why)
    elif current.failed % 10 < failed:
        service.event(
            "is unable to consistently start tasks successfully. For more information, see the Troubleshooting section"
            " of the Amazon ECS Developer Guide."
        )


def trip_breaker(place: Place, service: Service, current: Deployment, why: str) -> None:
    """Trips the circuit breaker: the deployment becomes FAILED, and is rolled back if that is enabled and possible."""
    current.triggered = True
    current.rollout, current.updated = "FAILED", utc()
    current.rollout_reason = f"ECS deployment circuit breaker: {why}."
    service.event(f"(deployment {current.id}) deployment failed: {why}.")
    if breaker(service).get("rollback"):
        roll_back(place, service, current, f"ECS deployment circuit breaker: {why}.")
    else:
        finish_deployment(current, "STOPPED", current.rollout_reason)
        stop_failed(place, service, current)


def stop_failed(place: Place, service: Service, current: Deployment) -> None:
    """Stops all tasks of a failed deployment, which does not start new ones."""
    for task in ecs_state(place).tasks_of(service, current):
        if task.live:
            stop_task(place, service, task, f"Scaling activity initiated by (deployment {current.id})")


def roll_back(place: Place, service: Service, failed: Deployment, reason: str) -> None:
    """Rolls back to the last completed deployment, if it exists and its task definition is still ACTIVE."""
    source = service.find(failed.source)
    failed.rollout = "FAILED"
    stop_failed(place, service, failed)
    if source is None or source.definition.status != ACTIVE:
        why = "there is no completed deployment" if source is None else "its task definition is INACTIVE"
        service.event(f"(deployment {failed.id}) cannot be rolled back: {why}.")
        finish_deployment(failed, "ROLLBACK_FAILED", f"{reason} Rollback failed: {why}.")
        return
    failed.status, failed.state, failed.updated = "ACTIVE", "ROLLBACK_IN_PROGRESS", utc()
    failed.state_reason = reason
    failed.rollback = {"reason": reason, "startedAt": utc(), "serviceRevisionArn": source.revision_arn}
    source.status, source.rollout, source.started_at = "PRIMARY", "IN_PROGRESS", timings.now()
    source.rollout_reason = f"ECS deployment circuit breaker: rolling back to deploymentId {source.id}."
    source.desired, source.updated = service.desired, utc()
    service.task_definition = source.task_definition
    service.fields.update({key: value for key, value in source.snapshot.items() if value is not None})
    service.steady = False
    service.event(f"rolling back to (deployment {source.id}).")


def complete_when_ready(place: Place, state: EcsState, service: Service, current: Deployment) -> None:
    """Completes a deployment once its minimum time is over, all its tasks are healthy, and no tasks of older
    deployments remain.
    """
    if timings.now() < current.started_at + timings.seconds("service_steady"):
        return
    others = [t for t in state.tasks_of(service) if t.live and t.deployment_id != current.id]
    if others or ready_tasks(place, state.tasks_of(service, current)) < current.desired:
        return
    current.rollout, current.updated = "COMPLETED", utc()
    if current.open:
        current.rollout_reason = f"ECS deployment {current.id} completed."
        finish_deployment(current, "SUCCESSFUL", "")
    for known in service.deployments:
        if known is not current:
            known.status = "INACTIVE"
            if known.state == "ROLLBACK_IN_PROGRESS":
                finish_deployment(known, "ROLLBACK_SUCCESSFUL", known.state_reason)
    service.steady = True
    service.event(f"(deployment {current.id}) deployment completed.")
    service.event("has reached a steady state.")


def finish_deployment(deployment: Deployment, status: str, reason: str) -> None:
    """Records the final status of a service deployment."""
    deployment.state, deployment.state_reason = status, reason
    deployment.finished = deployment.updated = utc()
