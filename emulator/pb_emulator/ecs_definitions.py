"""ECS task definitions, and Fargate's requirements for them."""

from __future__ import annotations

import json
import re
from typing import Any

from . import ecs_secrets
from .ecs_model import ACTIVE, INACTIVE, Definition, EcsState, checked_tags, ecs_state, utc
from .errors import AwsError
from .patching import Place

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
#: Memory sizes in MiB by CPU units.
FARGATE_SIZES: dict[int, list[int]] = {
    256: [512, 1024, 2048],
    512: list(range(1024, 4097, 1024)),
    1024: list(range(2048, 8193, 1024)),
    2048: list(range(4096, 16385, 1024)),
    4096: list(range(8192, 30721, 1024)),
    8192: list(range(16384, 61441, 4096)),
    16384: list(range(32768, 122881, 8192)),
}
CONTAINER_DEFAULTS: dict[str, Any] = {
    "cpu": 0,
    "portMappings": [],
    "essential": True,
    "environment": [],
    "mountPoints": [],
    "volumesFrom": [],
    "systemControls": [],
}


#: Maximum size of a task definition in bytes. AWS does not document what it counts: here, the compact JSON of the
#: request, without its tags. (ECS developer guide: service quotas, "Task definition size")
SIZE_MAX = 65_536


def compact(value: Any) -> str:
    """Returns a value as JSON without white space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def check_size(request: dict[str, Any]) -> None:
    """Limits the size of a task definition."""
    counted = {key: value for key, value in request.items() if key != "tags"}
    length = len(compact(counted).encode())
    if length > SIZE_MAX:
        raise client_error(f"Actual length: '{length}'. Max allowed length is '{SIZE_MAX}' bytes.")


def client_error(message: str) -> AwsError:
    """Returns a ClientException, the error for an invalid task definition."""
    return AwsError("ClientException", message)


def size(value: Any, unit: str) -> int:
    """Returns a size in CPU units or MiB; also accepts sizes with a unit, such as `1 vCPU` and `2 GB`."""
    text = str(value).strip().lower()
    try:
        if text.endswith(unit):
            return int(float(text[: -len(unit)]) * 1024)
        return int(text)
    except ValueError:
        raise client_error(
            f"Invalid setting for container. At least one of 'memory' or 'cpu' is invalid: {value}"
        ) from None


def check_fargate(request: dict[str, Any]) -> None:
    """Checks Fargate's requirements: awsvpc, a supported size, and an execution role for awslogs."""
    if request.get("networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode 'awsvpc'.")
    if not request.get("cpu") or not request.get("memory"):
        raise client_error("Fargate requires that 'cpu' and 'memory' be defined at the task level.")
    cpu, memory = size(request["cpu"], "vcpu"), size(request["memory"], "gb")
    if memory not in FARGATE_SIZES.get(cpu, []):
        raise client_error("No Fargate configuration exists for given values: cpu and memory.")
    for container in request["containerDefinitions"]:
        logging = container.get("logConfiguration") or {}
        if logging.get("logDriver") == "awslogs":
            check_awslogs(container["name"], logging.get("options") or {})
            if not request.get("executionRoleArn"):
                raise client_error(
                    "Fargate requires task definition to have execution role ARN to support log driver awslogs."
                )
        if (container.get("stopTimeout") or 0) > 120:
            raise client_error(
                "Invalid 'stopTimeout' setting for container. The maximum value on Fargate is 120 seconds."
            )
    if sum(container.get("memory") or 0 for container in request["containerDefinitions"]) > memory:
        raise client_error("Total container memory exceeds the task's memory.")


def check_awslogs(container: str, options: dict[str, str]) -> None:
    """Requires the options group, region and stream prefix, as Fargate does for the awslogs driver."""
    for option in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
        if not options.get(option):
            raise client_error(f"Log driver awslogs requires options: {option} (container {container})")


def check_containers(request: dict[str, Any]) -> None:
    """Requires unique names, an essential container and, with awsvpc, host ports that equal the container ports."""
    containers = request.get("containerDefinitions") or []
    if not containers:
        raise client_error("Container list cannot be empty.")
    names = [container.get("name") for container in containers]
    for container in containers:
        ecs_secrets.check(container, request.get("executionRoleArn"))
        if not NAME.fullmatch(container.get("name") or ""):
            raise client_error("Container.name should not be null or empty.")
        if not container.get("image"):
            raise client_error("Container.image should not be null or empty.")
        for mapping in container.get("portMappings") or []:
            host = mapping.get("hostPort")
            if request.get("networkMode") == "awsvpc" and host and host != mapping.get("containerPort"):
                raise client_error(
                    "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
                )
    if len(set(names)) < len(names):
        raise client_error("Duplicate container name in the task definition.")
    if not any(container.get("essential", True) for container in containers):
        raise client_error("Task definition must have at least one essential container.")


def with_defaults(container: dict[str, Any], network_mode: str | None) -> dict[str, Any]:
    """Returns a container definition, completed with AWS's defaults."""
    full = {
        **{key: list(value) if isinstance(value, list) else value for key, value in CONTAINER_DEFAULTS.items()},
        **container,
    }
    mappings = []
    for mapping in full["portMappings"]:
        mapping = {"protocol": "tcp", **mapping}
        if network_mode == "awsvpc":
            mapping["hostPort"] = mapping.get("containerPort")
        mappings.append(mapping)
    full["portMappings"] = mappings
    return full


def register(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """RegisterTaskDefinition: every call creates another revision."""
    state = ecs_state(place)
    family = request.get("family") or ""
    if not NAME.fullmatch(family):
        raise client_error("Family contains invalid characters.")
    check_size(request)
    check_containers(request)
    if "FARGATE" in (request.get("requiresCompatibilities") or []):
        check_fargate(request)
    given = checked_tags(request.get("tags"))
    revisions = state.definitions.setdefault(family, [])
    revision = 1 + max((known.revision for known in revisions), default=0)
    arn = place.arn("ecs", f"task-definition/{family}:{revision}")
    fields = {key: value for key, value in request.items() if key not in ("family", "tags")}
    fields["containerDefinitions"] = [
        with_defaults(container, request.get("networkMode")) for container in request["containerDefinitions"]
    ]
    for name in ("volumes", "placementConstraints"):
        fields.setdefault(name, [])
    fields["compatibilities"] = ["EC2"] + (["FARGATE"] if request.get("networkMode") == "awsvpc" else [])
    for name, unit in (("cpu", "vcpu"), ("memory", "gb")):
        if fields.get(name):
            fields[name] = str(size(fields[name], unit))
    made = Definition(arn, family, revision, fields)
    revisions.append(made)
    if given:
        state.tags[arn] = given
    return {"taskDefinition": made.as_response(), "tags": state.tag_list(arn)}


def require_definition(state: EcsState, name: str) -> Definition:
    """Returns a task definition, or raises an error if it does not exist."""
    found = state.definition(name)
    if found is None:
        raise client_error("Unable to describe task definition.")
    return found


def describe(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeTaskDefinition: returns a revision, with its tags on request."""
    state = ecs_state(place)
    found = require_definition(state, request["taskDefinition"])
    answer: dict[str, Any] = {"taskDefinition": found.as_response()}
    if "TAGS" in (request.get("include") or []):
        answer["tags"] = state.tag_list(found.arn)
    return answer


def list_arns(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListTaskDefinitions: returns the ARNs of ACTIVE revisions by default, 100 per page."""
    status, prefix = request.get("status") or ACTIVE, request.get("familyPrefix")
    found = [
        known
        for family in ecs_state(place).definitions.values()
        for known in family
        if known.status == status and prefix in (None, known.family)
    ]
    found.sort(key=lambda known: (known.family, known.revision), reverse=request.get("sort") == "DESC")
    start, limit = int(request.get("nextToken") or 0), int(request.get("maxResults") or 100)
    answer: dict[str, Any] = {"taskDefinitionArns": [known.arn for known in found[start : start + limit]]}
    if len(found) > start + limit:
        answer["nextToken"] = str(start + limit)
    return answer


def families(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListTaskDefinitionFamilies: returns the families with an ACTIVE revision by default."""
    status, prefix = request.get("status") or ACTIVE, request.get("familyPrefix") or ""
    found = [
        family
        for family, known in ecs_state(place).definitions.items()
        if family.startswith(prefix)
        and (status == "ALL" or any(d.status == ACTIVE for d in known) == (status == ACTIVE))
    ]
    return {"families": sorted(found)}


def deregister(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DeregisterTaskDefinition: the revision becomes INACTIVE. It can still be described, but not deployed by a rollout
    or rollback.
    """
    if ":" not in request["taskDefinition"].rsplit("/", 1)[-1]:
        raise client_error("The specified task definition does not have a revision.")
    found = require_definition(ecs_state(place), request["taskDefinition"])
    found.status, found.deregistered = INACTIVE, utc()
    return {"taskDefinition": found.as_response()}


def delete(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteTaskDefinitions: deletes only INACTIVE revisions."""
    state = ecs_state(place)
    deleted, failures = [], []
    for name in request["taskDefinitions"]:
        found = state.definition(name)
        if found is None:
            failures.append({"arn": name, "reason": "The specified task definition does not exist."})
        elif found.status == ACTIVE:
            failures.append(
                {
                    "arn": name,
                    "reason": (
                        "The specified task definition is still in ACTIVE status. Please deregister the target and try"
                        " again."
                    ),
                }
            )
        else:
            deleted.append({**found.as_response(), "status": "DELETE_IN_PROGRESS"})
            state.definitions[found.family].remove(found)
    return {"taskDefinitions": deleted, "failures": failures}
