"""Routing of an application load balancer: rules, weights, health, redirects and fixed responses.

AWS rule: the rules of a listener are tried by priority, the default rule last. One of the target groups of a forward
action is drawn by weight, even if it has no healthy target. Within the group, requests go to healthy targets, or to
unhealthy ones if none is healthy.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from moto.elbv2.models import elbv2_backends

from . import targets
from .ecs_model import Task, ecs_state
from .patching import Place


@dataclass(frozen=True)
class Request:
    """The parts of a request that listener rules examine."""

    method: str
    host: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """A response that the load balancer gives itself, without a target."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Forward:
    """Task and port to which a request is forwarded."""

    task: Task
    port: int


def route(place: Place, listener: Any, request: Request) -> Response | Forward:
    """Routes a request that a listener has accepted: returns a response or the task to forward it to."""
    rules = in_order(listener.rules.values())
    rule = next(rule for rule in rules if all(matches_condition(c, request) for c in rule.conditions))
    action = rule.actions[-1].data
    if action["Type"] == "redirect":
        return redirect(action["RedirectConfig"], listener, request)
    if action["Type"] == "fixed-response":
        fixed = action["FixedResponseConfig"]
        kind = {"Content-Type": fixed.get("ContentType") or "text/plain"}
        return Response(int(fixed["StatusCode"]), fixed.get("MessageBody") or "", kind)
    return forward(place, action)


def in_order(rules: Iterable[Any]) -> list[Any]:
    """Returns the rules of a listener in the order in which they are tried."""
    last = 10**6
    return sorted(rules, key=lambda rule: last if rule.priority == "default" else int(rule.priority))


def matches_condition(condition: dict[str, Any], request: Request) -> bool:
    """Returns whether a request meets a condition of a rule: one of its values must match."""
    name = condition["Field"]
    settings = condition.get("".join(part.capitalize() for part in name.split("-")) + "Config") or {}
    values = list(settings.get("Values") or condition.get("Values") or [])
    if name == "host-header":
        return any(matches_pattern(value.lower(), request.host.lower()) for value in values)
    if name == "path-pattern":
        return any(matches_pattern(value, request.path) for value in values)
    if name == "http-request-method":
        return request.method in values
    if name == "http-header":
        header = request.headers.get(str(settings["HttpHeaderName"]).lower(), "")
        return any(matches_pattern(value.lower(), header.lower()) for value in values)
    raise NotImplementedError(f"conditions of {name} are not emulated")


def matches_pattern(pattern: str, text: str) -> bool:
    """Returns whether a text matches a pattern with `*` and `?`."""
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(letter) or re.escape(letter) for letter in pattern), text, re.DOTALL) is not None


def redirect(config: dict[str, Any], listener: Any, request: Request) -> Response:
    """Returns a redirect; parts of the URL that its settings omit are taken from the request."""
    given = {
        "protocol": listener.protocol.lower(), "host": request.host, "port": str(listener.port),
        "path": request.path.removeprefix("/"), "query": request.query,
    }  # fmt: skip

    def filled(name: str, otherwise: str) -> str:
        text = str(config.get(name) or otherwise)
        for key, value in given.items():
            text = text.replace(f"#{{{key}}}", value)
        return text

    protocol = filled("Protocol", "#{protocol}").lower()
    port, path = filled("Port", "#{port}"), filled("Path", "/#{path}")
    query = filled("Query", "#{query}")
    place = f"{protocol}://{filled('Host', '#{host}')}:{port}{path}" + (f"?{query}" if query else "")
    return Response(int(str(config["StatusCode"]).removeprefix("HTTP_")), headers={"Location": place})


def forward(place: Place, action: dict[str, Any]) -> Response | Forward:
    """Selects a target from the target groups of a forward action."""
    pairs = (action.get("ForwardConfig") or {}).get("TargetGroups") or [{"TargetGroupArn": action["TargetGroupArn"]}]
    weights = [int(pair.get("Weight", 1)) for pair in pairs]
    if not any(weights):
        return Response(503, "all target groups have weight 0")
    (chosen,) = random.choices(pairs, weights)
    group = elbv2_backends[place.account][place.region].target_groups.get(chosen["TargetGroupArn"])
    return to_target(place, group) if group else Response(503, "the target group was deleted")


def to_target(place: Place, group: Any) -> Response | Forward:
    """Selects a healthy target of a group, or an unhealthy one if none is healthy."""
    known = {address: targets.states(group).get(address, targets.INITIAL)[0] for address in group.targets}
    for wanted in ("healthy", "unhealthy"):
        if good := [address for address, state in known.items() if state == wanted]:
            return to_address(place, group, random.choice(good))
    return Response(503, f"{group.name} has no target that can answer: {known}")


def to_address(place: Place, group: Any, address: str) -> Response | Forward:
    """Returns the task at an address, or a 504 if the security groups do not allow the load balancer to reach it."""
    tasks = {task.eni.private_ip_address: task for task in ecs_state(place).tasks.values() if task.last != "STOPPED"}
    task, port = tasks.get(address), int(group.targets[address]["Port"])
    if task is None or not targets.is_reachable(place, task, group, port):
        return Response(504, f"{address}:{port} does not answer")
    return Forward(task, port)
