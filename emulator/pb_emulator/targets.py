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
#: Image tag suffix of tasks that answer only at some paths: `only-a_b` at /a and /b.
ONLY = re.compile(r"only-(?P<paths>[A-Za-z0-9_]+)$")


def response_status(place: Place, definition: Definition, path: str) -> int:
    """Returns the status with which tasks of this definition answer at a path.

    It is 200, except for some image tags: `:unhealthy` answers with 500, and a tag that ends in `only-a_b` with 404 at
    all paths but /a and /b.
    """
    for container in definition.containers:
        tag = ecr_images.tag_of(place, str(container.get("image") or "")) or ""
        if tag.endswith(":unhealthy"):
            return 500
        if (only := ONLY.search(tag)) and path.split("?")[0].strip("/") not in only["paths"].split("_"):
            return 404
    return 200


def groups(place: Place, task: Task) -> list[tuple[Any, int]]:
    """Returns the target groups that a task registers with, and the port."""
    known = elbv2_backends[place.account][place.region].target_groups
    pairs = [(known.get(lb.get("targetGroupArn")), lb["containerPort"]) for lb in task.balancers]
    return [(group, port) for group, port in pairs if group is not None]


def register(place: Place, task: Task) -> list[str]:
    """Registers a running task, and returns the ARNs of its groups."""
    set_health(place, task, INITIAL)
    return [group.arn for group, _ in groups(place, task)]


def drain(place: Place, task: Task) -> float:
    """Drains a target, which gets no new requests. Returns the seconds that it has to finish its requests."""
    set_health(place, task, DRAINING)
    delays = [int(group.attributes["deregistration_delay.timeout_seconds"]) for group, _ in groups(place, task)]
    return max(delays, default=0) * timings.seconds("deregistration_share")


def set_health(place: Place, task: Task, state: State) -> None:
    """Registers a task as a target, and sets its health, in all of its groups."""
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
    """Returns the health of the targets of a group by address."""
    return attached_state(group, "health", dict)


def pending_changes(group: Any) -> dict[str, float]:
    """Returns the time at which the health of a target changes, for targets whose checks have a new result."""
    return attached_state(group, "changes", dict)


def check(place: Place, task: Task) -> None:
    """Checks a task in all of its groups. The first check decides; later, several checks with another result are
    needed.
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
    """Returns whether ECS has noticed that a task is unhealthy."""
    noticed = (task.unhealthy_since or 0.0) + timings.seconds("task_failing")
    return failure(place, task) is not None and timings.now() >= noticed


def check_result(place: Place, task: Task, group: Any, port: int) -> State:
    """Returns the result of the checks of a group."""
    if not is_reachable(place, task, group, port):
        return TIMED_OUT
    status = response_status(place, task.definition, group.health_check_path or "/")
    if matches((group.matcher or {}).get("HttpCode") or "200", status):
        return HEALTHY
    return "unhealthy", "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status}]"


def is_reachable(place: Place, task: Task, group: Any, port: int) -> bool:
    """Returns whether the security groups allow the load balancer of a group to reach a task; true if there is none
    yet.
    """
    balancers = elbv2_backends[place.account][place.region].load_balancers
    users = [balancers[arn] for arn in group.load_balancer_arns if arn in balancers]
    senders = [list(attached_state(user, "interfaces", dict).values()) for user in users]
    return all(reachability.is_allowed(place, sender, [task.eni], port) for sender in senders)


def matches(matcher: str, status: int) -> bool:
    """Returns whether a status matches `200`, `200,202` or `200-299`."""
    bounds = [part.partition("-") for part in matcher.split(",")]
    return any(int(low) <= status <= int(high or low) for low, _, high in bounds)


def is_healthy(place: Place, task: Task) -> bool:
    """Returns whether a task is healthy in all groups of its service, and each of them is in use."""
    address, known = task.eni.private_ip_address, groups(place, task)
    good = [group for group, _ in known if group.load_balancer_arns and states(group).get(address) == HEALTHY]
    return len(good) == len(task.balancers)


def failure(place: Place, task: Task) -> tuple[str, str] | None:
    """Returns the ARN of a group in which a task is unhealthy, and the reason; else None."""
    address = task.eni.private_ip_address
    for group, _ in groups(place, task):
        state, _, why = states(group).get(address, INITIAL)
        if state == "unhealthy" and group.load_balancer_arns:
            return group.arn, why or ""
    return None
