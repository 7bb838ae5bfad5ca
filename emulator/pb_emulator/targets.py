"""Tasks of web services as targets of load balancers: registration, health checks, draining.

AWS rule: a target is checked while a listener or rule of a load balancer uses its group, and the security groups of
both have to allow it. For ECS, a task is healthy if it is healthy in every group of its service.
"""

from __future__ import annotations

import re
from typing import Any

from moto.elbv2.models import elbv2_backends

from . import ecr_images, reachability, timings
from .ecs_model import Definition, Task
from .patching import Place, attached_state

State = tuple[str, str | None, str | None]
INITIAL: State = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
HEALTHY: State = ("healthy", None, None)
DRAINING: State = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
TIMED_OUT: State = ("unhealthy", "Target.Timeout", "Request timed out")
#: Suffix of an image tag whose tasks answer only at some paths; with `only-a_b`, at /a and /b.
ONLY = re.compile(r"only-(?P<paths>[A-Za-z0-9_]+)$")
#: Suffix of an image tag whose tasks answer with a fixed status at all paths.
STATUS = re.compile(r"status-(?P<status>\d{3})$")


def response_status(place: Place, definition: Definition, path: str) -> int:
    """Returns the status with which tasks of this definition answer at a path.

    It is 200, except for three kinds of image tags: tasks with `:unhealthy` answer with 500, tasks with a tag that ends
    in `status-308` answer with 308, and tasks with a tag that ends in `only-a_b` answer with 404 at all paths but /a
    and /b.
    """
    for container in definition.containers:
        tag = ecr_images.tag_of(place, str(container.get("image") or "")) or ""
        if tag.endswith(":unhealthy"):
            return 500
        if status := STATUS.search(tag):
            return int(status["status"])
        if (only := ONLY.search(tag)) and path.split("?")[0].strip("/") not in only["paths"].split("_"):
            return 404
    return 200


def groups(place: Place, task: Task) -> list[tuple[Any, int]]:
    """Returns the target groups with which a task registers, each with the port."""
    known = elbv2_backends[place.account][place.region].target_groups
    pairs = [(known.get(lb.get("targetGroupArn")), lb["containerPort"]) for lb in task.balancers]
    return [(group, port) for group, port in pairs if group is not None]


def register(place: Place, task: Task) -> list[str]:
    """Registers a running task as a target, and returns the ARNs of its target groups."""
    set_health(place, task, INITIAL)
    return [group.arn for group, _ in groups(place, task)]


def drain(place: Place, task: Task) -> float:
    """Starts draining a task, which gets no new requests. Returns the seconds in which it can finish its current
    requests.
    """
    set_health(place, task, DRAINING)
    delays = [int(group.attributes["deregistration_delay.timeout_seconds"]) for group, _ in groups(place, task)]
    return max(delays, default=0) * timings.seconds("deregistration_share")


def set_health(place: Place, task: Task, state: State) -> None:
    """Registers a task as a target in all its target groups, and sets its health there."""
    address = task.eni.private_ip_address
    for group, port in groups(place, task):
        group.targets[address] = {"Id": address, "Port": port}
        states(group)[address] = state


def deregister(place: Place, task: Task) -> None:
    """Removes a task from its target groups."""
    address = task.eni.private_ip_address
    for group, _ in groups(place, task):
        group.targets.pop(address, None)
        states(group).pop(address, None)
        pending_changes(group).pop(address, None)


def states(group: Any) -> dict[str, State]:
    """Returns the health of a target group's targets by address."""
    return attached_state(group, "health", dict)


def pending_changes(group: Any) -> dict[str, float]:
    """Returns, by address, the time at which a target's health will change because its checks have a new result."""
    return attached_state(group, "changes", dict)


def check(place: Place, task: Task) -> None:
    """Checks the health of a task in all its target groups. The first check decides; later, a change takes several
    checks with the new result.
    """
    address, moment = task.eni.private_ip_address, timings.now()
    for group, port in groups(place, task):
        found, known, due = check_result(place, task, group, port), states(group).get(address), pending_changes(group)
        if known is None or known[0] == "initial":
            states(group)[address] = found
        elif known[0] == found[0]:
            states(group)[address] = found
            due.pop(address, None)
        elif moment >= due.setdefault(address, moment + timings.seconds("target_changing")):
            states(group)[address] = found
            del due[address]
    if failure(place, task) is None:
        task.unhealthy_since = None
    elif task.unhealthy_since is None:
        task.unhealthy_since = moment


def is_detected_unhealthy(place: Place, task: Task) -> bool:
    """Returns whether ECS has noticed that a task is unhealthy, which takes it some time."""
    noticed = (task.unhealthy_since or 0.0) + timings.seconds("task_failing")
    return failure(place, task) is not None and timings.now() >= noticed


def check_result(place: Place, task: Task, group: Any, port: int) -> State:
    """Returns the result that the health checks of a target group have for a task."""
    if not is_reachable(place, task, group, port):
        return TIMED_OUT
    status = response_status(place, task.definition, group.health_check_path or "/")
    if matches((group.matcher or {}).get("HttpCode") or "200", status):
        return HEALTHY
    return "unhealthy", "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status}]"


def is_reachable(place: Place, task: Task, group: Any, port: int) -> bool:
    """Returns whether the security groups allow the load balancer of a target group to reach a task; true if the group
    has no load balancer yet.
    """
    balancers = elbv2_backends[place.account][place.region].load_balancers
    users = [balancers[arn] for arn in group.load_balancer_arns if arn in balancers]
    senders = [list(attached_state(user, "interfaces", dict).values()) for user in users]
    return all(reachability.is_allowed(place, sender, [task.eni], port) for sender in senders)


def matches(matcher: str, status: int) -> bool:
    """Returns whether a status matches a matcher such as `200`, `200,202` or `200-299`."""
    bounds = [part.partition("-") for part in matcher.split(",")]
    return any(int(low) <= status <= int(high or low) for low, _, high in bounds)


def is_healthy(place: Place, task: Task) -> bool:
    """Returns whether a task is healthy in all target groups of its service, and a load balancer uses each of them."""
    address, known = task.eni.private_ip_address, groups(place, task)
    good = [group for group, _ in known if group.load_balancer_arns and states(group).get(address) == HEALTHY]
    return len(good) == len(task.balancers)


def failure(place: Place, task: Task) -> tuple[str, str] | None:
    """Returns the ARN of a target group in which a task is unhealthy, and the reason; None if there is no such group.
    """
    address = task.eni.private_ip_address
    for group, _ in groups(place, task):
        state, _, why = states(group).get(address, INITIAL)
        if state == "unhealthy" and group.load_balancer_arns:
            return group.arn, why or ""
    return None
