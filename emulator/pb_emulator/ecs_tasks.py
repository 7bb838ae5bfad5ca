"""ECS tasks: launching and stopping, network interfaces, failures and log lines."""

from __future__ import annotations

import time
from typing import Any

from moto.iam.models import iam_backends
from moto.logs.models import logs_backends

from . import ecr_images, ecs_secrets, interfaces, targets, timings
from .ecs_model import INACTIVE, Cluster, Definition, Deployment, EcsState, Service, Task, ecs_state, hex_id, utc
from .errors import AwsError
from .patching import Place

#: Maximum number of stopped tasks that are kept for each task group.
MAX_STOPPED_TASKS = 30
NO_CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


def invalid(message: str) -> AwsError:
    """Returns an InvalidParameterException, the most common error of ECS."""
    return AwsError("InvalidParameterException", message)


def check_network(place: Place, definition: Definition, network: dict[str, Any] | None) -> None:
    """With awsvpc, requires existing subnets (at most 16) and security groups (at most 5) of one VPC."""
    if definition.fields.get("networkMode") != "awsvpc":
        return
    vpc = (network or {}).get("awsvpcConfiguration")
    if not vpc or not vpc.get("subnets"):
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    if len(vpc["subnets"]) > 16 or len(vpc.get("securityGroups") or []) > interfaces.MAX_GROUPS:
        raise invalid("A network configuration can have at most 16 subnets and 5 security groups.")
    ec2 = interfaces.backend(place)
    known = {subnet.id: subnet for zone in ec2.subnets.values() for subnet in zone.values()}
    for subnet in vpc["subnets"]:
        if subnet not in known:
            raise invalid(
                f"Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' does not exist"
                " (ErrorCode: InvalidSubnetID.NotFound)"
            )
    vpcs = {known[subnet].vpc_id for subnet in vpc["subnets"]}
    for group_id in vpc.get("securityGroups") or []:
        group = ec2.get_security_group_from_id(group_id)
        if group is None:
            raise invalid(
                f"Error retrieving security group information for [{group_id}]: The security group '{group_id}' does"
                " not exist (ErrorCode: InvalidGroup.NotFound)"
            )
        vpcs.add(group.vpc_id)
    if len(vpcs) > 1:
        raise invalid("Subnets and security groups must belong to the same VPC.")


def images(definition: Definition) -> list[str]:
    """Returns the images of a task definition."""
    return [str(container.get("image") or "") for container in definition.containers]


def start_failure(place: Place, definition: Definition) -> tuple[str, str, int | None, str | None] | None:
    """Returns why tasks of this definition cannot run: stop code, reason, exit code, container reason.

    These image tags fail: `:fail` exits at once, `:oom` is killed because it runs out of memory, `:missing` cannot be
    pulled, nor can an image that does not exist in this account's registry. A missing log group and a secret that the
    execution role cannot read fail as on AWS.
    """
    for image in images(definition):
        known = ecr_images.tag_of(place, image)
        if known and known.endswith(":fail"):
            return "EssentialContainerExited", "Essential container in task exited", 1, None
        if known and known.endswith(":oom"):
            why = "OutOfMemoryError: Container killed due to memory usage"
            return "EssentialContainerExited", "Essential container in task exited", 137, why
        if known is None or known.endswith(":missing"):
            reason = (
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
                f"{image}: not found"
            )
            return "TaskFailedToStart", reason, None, reason
    secrets_failure = ecs_secrets.secrets_failure(place, definition)
    if secrets_failure:
        return "TaskFailedToStart", secrets_failure, None, None
    for container in definition.containers:
        options = (container.get("logConfiguration") or {}).get("options") or {}
        group = options.get("awslogs-group")
        region = options.get("awslogs-region") or place.region
        if (
            group
            and options.get("awslogs-create-group") != "true"
            and group not in logs_backends[place.account][region].groups
        ):
            return (
                "TaskFailedToStart",
                (
                    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1"
                    " times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log"
                    f" group does not exist. ({group})"
                ),
                None,
                None,
            )
    return None


def exits_after_start(place: Place, definition: Definition) -> bool:
    """Returns whether tasks of this definition start, but later exit with an error (image tag `:crash`)."""
    return any((ecr_images.tag_of(place, image) or "").endswith(":crash") for image in images(definition))


def launch_error(place: Place, definition: Definition) -> str | None:
    """Returns why no task of this definition can be placed: a role that ECS cannot assume, or `:no-capacity`."""
    for field in ("executionRoleArn", "taskRoleArn"):
        role = definition.fields.get(field)
        if role and not is_assumable(place, role):
            return (
                f"failed to launch a task with (error ECS was unable to assume the role '{role}' that was provided for "
                "this task. Please verify that the role being passed has the proper trust relationship and permissions "
                "and that your IAM user has permissions to pass this role.)."
            )
    if any((ecr_images.tag_of(place, image) or "").endswith(":no-capacity") for image in images(definition)):
        return f"was unable to place a task. Reason: {NO_CAPACITY}."
    return None


def is_assumable(place: Place, arn: str) -> bool:
    """Returns whether a role exists and its trust policy names ECS tasks."""
    role = iam_backends[place.account]["aws"].roles
    found = next((known for known in role.values() if known.arn == arn), None)
    return found is not None and "ecs-tasks.amazonaws.com" in str(found.assume_role_policy_document)


def launch(
    place: Place, cluster: Cluster, definition: Definition, fields: dict[str, Any], *, group: str, started_by: str,
    deployment: Deployment | None = None, number: int = 0, run_after: float = 0.0, healthy_after: float = 0.0,
) -> Task:  # fmt: skip
    """Creates a task in the state PROVISIONING, with its network interface."""
    state, vpc = ecs_state(place), fields["networkConfiguration"]["awsvpcConfiguration"]
    subnet_id = vpc["subnets"][number % len(vpc["subnets"])]
    task_id = hex_id()
    eni = interfaces.attach(
        place,
        subnet_id,
        vpc.get("securityGroups") or [],
        place.arn("ecs", f"attachment/{hex_id()[:8]}-{hex_id()[:4]}-4{hex_id()[:3]}-{hex_id()[:4]}-{hex_id()[:12]}"),
        owner=place.account,
        kind="interface",
        public=vpc.get("assignPublicIp") == "ENABLED",
    )
    moment = timings.now()
    task = Task(
        arn=place.arn("ecs", f"task/{cluster.name}/{task_id}"),
        cluster_arn=cluster.arn,
        definition=definition,
        group=group,
        started_by=started_by,
        network=fields["networkConfiguration"],
        subnet_zone=eni.subnet.availability_zone,
        eni=eni,
        deployment_id=deployment.id if deployment else "",
        run_due=moment + run_after,
        healthy_due=moment + healthy_after,
        fields={key: fields[key] for key in ("launchType", "platformVersion", "enableExecuteCommand") if key in fields},
        balancers=list(fields.get("loadBalancers") or []) if deployment else [],
    )
    state.tasks[task.arn] = task
    return task


def begin_stop(
    task: Task, code: str, reason: str, exit_code: int | None, container_reason: str | None = None, *, draining: float = 0.0
) -> None:
    """Begins to stop a task, which becomes STOPPED some time after it has drained."""
    if task.desired == "STOPPED":
        return
    task.desired, task.last = "STOPPED", "DEPROVISIONING"
    task.code, task.reason, task.exit_code, task.container_reason = code, reason, exit_code, container_reason
    task.stop_due = timings.now() + draining + timings.seconds("task_stopping")


def finish_stop(place: Place, service: Service | None, task: Task) -> None:
    """Marks a task as STOPPED and releases its interface, which lingers."""
    task.last, task.stopped = "STOPPED", utc()
    interfaces.release(task.eni, task.stop_due)
    if service:
        targets.deregister(place, task)
    state = ecs_state(place)
    stopped = [
        t
        for t in state.tasks.values()
        if t.last == "STOPPED" and t.group == task.group and t.cluster_arn == task.cluster_arn
    ]
    for old in stopped[:-MAX_STOPPED_TASKS]:
        del state.tasks[old.arn]


def write_log(place: Place, task: Task, text: str) -> None:
    """Writes a line to the log streams of a task's containers. A container with the variable PB_EMULATOR_LOG writes its
    value instead, with a password in place of `<password>`: pb-deploy accepts no password in a variable.
    """
    for container in task.definition.containers:
        variables = {pair["name"]: pair["value"] for pair in container.get("environment") or []}
        options = (container.get("logConfiguration") or {}).get("options") or {}
        logs = logs_backends[place.account][options.get("awslogs-region") or place.region]
        group = options.get("awslogs-group")
        if not group or group not in logs.groups:
            continue
        stream = f"{options.get('awslogs-stream-prefix', 'ecs')}/{container['name']}/{task.id}"
        if stream not in logs.groups[group].streams:
            logs.create_log_stream(group, stream)
        message = variables.get("PB_EMULATOR_LOG", text).replace("<password>", "hunter2")
        event = {"timestamp": int(time.time() * 1000), "message": message}
        logs.put_log_events(group, stream, [event])


def log_ready(place: Place, task: Task, position: int) -> None:
    """Writes the line that a Celery worker logs at the level INFO when it is ready, some time after it has started. With
    the variable PB_EMULATOR_READY_STEP, the tasks of a deployment do so one after another: each task `position` times as
    many seconds later.
    """
    pairs = [pair for container in task.definition.containers for pair in container.get("environment") or []]
    variables = {pair["name"]: pair["value"] for pair in pairs}
    if variables.get("CELERY_WORKER_LOGLEVEL") != "INFO":
        return
    step = float(variables.get("PB_EMULATOR_READY_STEP", "0"))
    if not task.is_ready and timings.now() >= task.run_due + timings.seconds("log_ingestion") + step * position:
        task.is_ready = True
        write_log(place, task, f"[INFO/MainProcess] celery@ip-{str(task.eni.private_ip_address).replace('.', '-')} ready.")


def task_response(state: EcsState, task: Task, with_tags: bool) -> dict[str, Any]:
    """Returns a task in the form of ECS's responses."""
    eni = task.eni
    details = {
        "subnetId": eni.subnet.id,
        "networkInterfaceId": eni.id,
        "macAddress": eni.mac_address,
        "privateDnsName": f"ip-{str(eni.private_ip_address).replace('.', '-')}.ec2.internal",
        "privateIPv4Address": eni.private_ip_address,
    }
    answer: dict[str, Any] = {
        "taskArn": task.arn,
        "clusterArn": task.cluster_arn,
        "taskDefinitionArn": task.definition.arn,
        "group": task.group,
        "startedBy": task.started_by,
        "desiredStatus": task.desired,
        "lastStatus": task.last,
        "launchType": task.fields.get("launchType", "FARGATE"),
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "connectivity": "CONNECTED",
        "cpu": task.definition.fields.get("cpu"),
        "memory": task.definition.fields.get("memory"),
        "availabilityZone": task.subnet_zone,
        "createdAt": task.created,
        "version": 1,
        "healthStatus": "UNKNOWN",
        "overrides": task.overrides or {"containerOverrides": []},
        "enableExecuteCommand": bool(task.fields.get("enableExecuteCommand")),
        "attachments": [
            {
                "id": eni.description.rsplit("/", 1)[-1],
                "type": "ElasticNetworkInterface",
                "status": (
                    "ATTACHED" if task.last == "RUNNING" else "DELETED" if task.last == "STOPPED" else "ATTACHING"
                ),
                "details": [{"name": name, "value": value} for name, value in details.items()],
            }
        ],
        "containers": [container_response(task, container) for container in task.definition.containers],
        "tags": state.tag_list(task.arn) if with_tags else [],
    }
    optional = {
        "startedAt": task.started,
        "stoppedAt": task.stopped,
        "stopCode": task.code,
        "stoppedReason": task.reason,
    }
    answer.update({name: value for name, value in optional.items() if value is not None})
    return answer


def container_response(task: Task, container: dict[str, Any]) -> dict[str, Any]:
    """Returns a container in the form of DescribeTasks, with its exit code once it has exited."""
    answer: dict[str, Any] = {
        "containerArn": f"{task.arn.replace(':task/', ':container/')}/{container['name']}",
        "taskArn": task.arn,
        "name": container["name"],
        "image": container.get("image"),
        "lastStatus": (
            {"RUNNING": "RUNNING", "STOPPED": "STOPPED", "DEPROVISIONING": "STOPPED"}.get(task.last, "PENDING")
        ),
        "healthStatus": "UNKNOWN",
        "runtimeId": f"{task.id}-{sum(container['name'].encode())}",
        "networkInterfaces": [
            {"attachmentId": task.eni.description.rsplit("/", 1)[-1], "privateIpv4Address": task.eni.private_ip_address}
        ],
    }
    if task.exit_code is not None and task.desired == "STOPPED":
        answer["exitCode"] = task.exit_code
    if task.container_reason:
        answer["reason"] = task.container_reason
    return answer


def describe(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeTasks: accepts at most 100 names, and reports missing tasks in `failures`."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    if len(request["tasks"]) > 100:
        raise invalid("Tasks cannot have more than 100 items.")
    found, failures = [], []
    for name in request["tasks"]:
        arn = place.arn("ecs", f"task/{cluster.name}/{name.rsplit('/', 1)[-1]}")
        task = state.tasks.get(arn)
        if task:
            found.append(task_response(state, task, "TAGS" in (request.get("include") or [])))
        else:
            failures.append({"arn": arn, "reason": "MISSING"})
    return {"tasks": found, "failures": failures}


def list_arns(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListTasks: returns the tasks with desired status RUNNING by default, or STOPPED."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    name = request.get("serviceName")
    if name and (state.service(cluster, name) is None or state.service(cluster, name).status == INACTIVE):
        raise AwsError("ServiceNotFoundException", "Service not found.")
    found = [
        task
        for task in state.tasks.values()
        if task.cluster_arn == cluster.arn
        and task.desired == (request.get("desiredStatus") or "RUNNING")
        and (not name or task.group == f"service:{name.rsplit('/', 1)[-1]}")
        and request.get("family") in (None, task.definition.family)
        and request.get("startedBy") in (None, task.started_by)
    ]
    start, limit = int(request.get("nextToken") or 0), int(request.get("maxResults") or 100)
    answer: dict[str, Any] = {"taskArns": [task.arn for task in found[start : start + limit]]}
    if len(found) > start + limit:
        answer["nextToken"] = str(start + limit)
    return answer


def stop(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """StopTask: begins to stop a task, whose containers exit with status 143."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    task = state.tasks.get(place.arn("ecs", f"task/{cluster.name}/{request['task'].rsplit('/', 1)[-1]}"))
    if task is None:
        raise invalid("The referenced task was not found.")
    begin_stop(task, "UserInitiated", request.get("reason") or "Task stopped by user", 143)
    return {"task": task_response(state, task, False)}
