"""ECS one-off tasks: RunTask and its command overrides, and ExecuteCommand."""

from __future__ import annotations

import re
from typing import Any

from . import queued_jobs, quotas, timings
from .ecs_definitions import compact
from .ecs_model import INACTIVE, Definition, Task, ecs_state, hex_id
from .ecs_tasks import NO_CAPACITY, check_network, invalid, launch, launch_error, task_response
from .errors import AwsError
from .patching import Place

#: Maximum number of characters of the overrides of a task, as JSON. (ECS API: TaskOverride)
OVERRIDES_MAX = 8192


def run(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """RunTask: starts at most 10 tasks."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    definition = state.definition(request["taskDefinition"])
    if definition is None:
        raise AwsError("ClientException", "TaskDefinition not found.")
    if definition.status == INACTIVE:
        raise AwsError("ClientException", "TaskDefinition is inactive")
    check_network(place, definition, request.get("networkConfiguration"))
    if int(request.get("count") or 1) > 10:
        raise invalid("count cannot be greater than 10.")
    given = {key: value for key, value in request.items() if key != "clientToken"}
    if token := request.get("clientToken"):
        if token in state.runs and state.runs[token][0] != given:
            raise AwsError("ConflictException", "The client token was used with other parameters.")
        if token in state.runs:
            known = [state.tasks[arn] for arn in state.runs[token][1] if arn in state.tasks]
            return {"tasks": [task_response(state, task, True) for task in known], "failures": []}
    check_overrides(definition, request.get("overrides") or {})
    made = []
    if (error := launch_error(place, definition)) and NO_CAPACITY in error:
        return {"tasks": [], "failures": [{"arn": cluster.arn, "reason": NO_CAPACITY}]}
    if quotas.remaining_tasks(place, state, definition) < int(request.get("count") or 1):
        return {"tasks": [], "failures": [{"arn": cluster.arn, "reason": quotas.LIMIT_REACHED}]}
    if error:
        raise AwsError("ClientException", "ECS was unable to assume the role that was provided for this task.")
    for number in range(int(request.get("count") or 1)):
        task = launch(
            place, cluster, definition, request, group=request.get("group") or f"family:{definition.family}",
            started_by=request.get("startedBy") or "", number=number, run_after=timings.seconds("service_steady") * 0.4,
        )  # fmt: skip
        if request.get("tags"):
            state.tags[task.arn] = {pair["key"]: pair.get("value", "") for pair in request["tags"]}
        task.overrides = request.get("overrides") or {}
        made.append(task_response(state, task, True))
    if token:
        state.runs[token] = (given, [task["taskArn"] for task in made])
    return {"tasks": made, "failures": []}


def check_overrides(definition: Definition, overrides: dict[str, Any]) -> None:
    """Limits the size of the overrides, and requires that each container override names a container of the task
    definition. (ECS API: TaskOverride)
    """
    if len(compact(overrides)) > OVERRIDES_MAX:
        raise AwsError("InvalidParameterException", f"Container Overrides length must be at most {OVERRIDES_MAX}")
    known = {container["name"] for container in definition.containers}
    for override in overrides.get("containerOverrides") or []:
        if override.get("name") not in known:
            raise AwsError("InvalidParameterException", "Override for container named does not match any container.")


def command_override(task: Task) -> list[str]:
    """Returns the command that a one-off task was started with; empty if RunTask did not override it."""
    overrides = task.overrides.get("containerOverrides") or []
    return next((override["command"] for override in overrides if override.get("command")), [])


def command_result(place: Place, task: Task) -> tuple[int, list[str]] | None:
    """Returns the exit code and the log lines of a command override. Nothing is executed, so only a few commands are
    supported.

    `echo WORDS`, `false`, `sh -c "exit N"`, `sleep N`, which runs until it is stopped, and the program that counts the
    jobs in the queue; all others succeed.
    """
    command = command_override(task)
    if not command or command[0] == "sleep":
        return None
    if command[0] == "python" and queued_jobs.RESULT in command[-1]:
        return queued_jobs.count(place, task)
    if command[0] == "echo":
        return 0, [" ".join(command[1:])]
    if found := re.search(r"\bexit (\d+)$", command[-1]):
        return int(found[1]), [f"exiting with {found[1]}"]
    return (1 if command[0] == "false" else 0), [f"ran: {' '.join(command)}"]


def execute(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ExecuteCommand: possible only in a running task that was started with ExecuteCommand enabled."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    task = state.tasks.get(place.arn("ecs", f"task/{cluster.name}/{request['task'].rsplit('/', 1)[-1]}"))
    if task is None or task.last != "RUNNING":
        raise invalid("The task provided in the request was not found.")
    if not task.fields.get("enableExecuteCommand"):
        raise invalid(
            "The execute command failed because execute command was not enabled when the task was run or the execute "
            "command agent isn't running. Wait and try again or run a new task with execute command enabled and try again."
        )
    container = request.get("container") or task.definition.containers[0]["name"]
    session = f"ecs-execute-command-{hex_id()[:17]}"
    return {
        "clusterArn": cluster.arn,
        "taskArn": task.arn,
        "containerName": container,
        "interactive": request["interactive"],
        "session": {
            "sessionId": session,
            "streamUrl": f"wss://ssmmessages.{place.region}.amazonaws.com/v1/data-channel/{session}?role=publish_subscribe",
            "tokenValue": f"AAEAA{hex_id()}",
        },
    }
