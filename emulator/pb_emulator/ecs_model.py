"""ECS resources, and their form in responses."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.ecs.models import ecs_backends

from . import tags
from .errors import AwsError
from .interfaces import ManagedInterface
from .patching import Place, attached_state

ACTIVE, DRAINING, INACTIVE = "ACTIVE", "DRAINING", "INACTIVE"
FINAL_STATES = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")
MAX_EVENTS = 100


def utc() -> datetime:
    """Returns the current time, in the form that responses need."""
    return datetime.now(UTC)


def hex_id() -> str:
    """Returns a random id in the form of task ids."""
    return uuid.uuid4().hex


@dataclass
class Cluster:
    """An ECS cluster."""

    arn: str
    name: str
    settings: list[dict[str, str]]
    fields: dict[str, Any]
    status: str = ACTIVE


@dataclass
class Definition:
    """A revision of a task definition."""

    arn: str
    family: str
    revision: int
    fields: dict[str, Any]
    status: str = ACTIVE
    registered: datetime = field(default_factory=utc)
    deregistered: datetime | None = None

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Container definitions of the revision."""
        return self.fields["containerDefinitions"]

    def as_response(self) -> dict[str, Any]:
        """Returns the revision in the form of ECS's responses."""
        return {
            **self.fields,
            "taskDefinitionArn": self.arn,
            "family": self.family,
            "revision": self.revision,
            "status": self.status,
            "registeredAt": self.registered,
            **({"deregisteredAt": self.deregistered} if self.deregistered else {}),
        }


@dataclass
class Task:
    """A task that is pending, running, or stopped for a recorded reason."""

    arn: str
    cluster_arn: str
    definition: Definition
    group: str
    started_by: str
    network: dict[str, Any]
    subnet_zone: str
    eni: ManagedInterface
    deployment_id: str = ""
    desired: str = "RUNNING"
    last: str = "PROVISIONING"
    created: datetime = field(default_factory=utc)
    started: datetime | None = None
    stopped: datetime | None = None
    stop_due: float | None = None
    run_due: float = 0.0
    healthy_due: float = 0.0
    #: True once the task has logged that it is ready.
    is_ready: bool = False
    code: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    container_reason: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    #: Time at which the task became an unhealthy target; None unless it is unhealthy.
    unhealthy_since: float | None = None
    #: Load balancers of its deployment. The task stays registered with these, even if those of the service change.
    balancers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Id of the task: the last part of its ARN."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def live(self) -> bool:
        """True while the task is pending or running; false once it is stopping."""
        return self.desired == "RUNNING"


@dataclass
class Deployment:
    """One rollout of a service: combines the deployment that DescribeServices returns with the service deployment."""

    id: str
    arn: str
    revision_arn: str
    task_definition: str
    created: datetime
    started_at: float
    desired: int
    snapshot: dict[str, Any]
    definition: Definition
    source: str | None = None
    status: str = "PRIMARY"
    rollout: str = "IN_PROGRESS"
    rollout_reason: str = ""
    failed: int = 0
    state: str = "PENDING"
    state_reason: str = ""
    finished: datetime | None = None
    updated: datetime = field(default_factory=utc)
    rollback: dict[str, Any] | None = None
    triggered: bool = False
    next_failure: float | None = None
    hook: dict[str, Any] | None = None

    @property
    def open(self) -> bool:
        """True until the service deployment has finished."""
        return self.state not in FINAL_STATES


@dataclass
class Service:
    """An ECS service."""

    arn: str
    name: str
    cluster: Cluster
    fields: dict[str, Any]
    desired: int
    task_definition: str
    token: str | None = None
    request: dict[str, Any] = field(default_factory=dict)
    status: str = ACTIVE
    created: datetime = field(default_factory=utc)
    deployments: list[Deployment] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    gone_due: float = 0.0
    steady: bool = False

    @property
    def primary(self) -> Deployment:
        """The current deployment, which ECS is rolling out or has completed."""
        return next(d for d in reversed(self.deployments) if d.status == "PRIMARY")

    def find(self, deployment_id: str | None) -> Deployment | None:
        """Returns a deployment by id, or None."""
        return next((d for d in self.deployments if d.id == deployment_id), None)

    def event(self, message: str) -> None:
        """Adds an event; only the newest 100 are kept."""
        self.events.insert(
            0, {"id": str(uuid.uuid4()), "createdAt": utc(), "message": f"(service {self.name}) {message}"}
        )
        del self.events[MAX_EVENTS:]

    def event_once(self, message: str) -> None:
        """Adds an event, unless the newest event has the same message."""
        if not self.events or not self.events[0]["message"].endswith(message):
            self.event(message)


@dataclass
class EcsState:
    """All ECS resources of one account and region."""

    clusters: dict[str, Cluster] = field(default_factory=dict)
    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    services: dict[tuple[str, str], Service] = field(default_factory=dict)
    past_services: list[Service] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Request and task ARNs of each RunTask call by client token.
    runs: dict[str, tuple[dict[str, Any], list[str]]] = field(default_factory=dict)

    def cluster(self, name: str | None, active: bool = True) -> Cluster:
        """Returns a cluster by name or ARN, or raises an error; an INACTIVE cluster counts as missing unless `active`
        is false.
        """
        found = self.clusters.get((name or "default").rsplit("/", 1)[-1])
        if found is None or (active and found.status != ACTIVE):
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return found

    def service(self, cluster: Cluster, name: str) -> Service | None:
        """Returns a service by name or ARN, or None."""
        return self.services.get((cluster.name, name.rsplit("/", 1)[-1]))

    def definition(self, name: str) -> Definition | None:
        """Returns a task definition by ARN or `family:revision`; for a family without revision, its latest ACTIVE
        revision.
        """
        family, _, revision = name.rsplit("/", 1)[-1].partition(":")
        known = self.definitions.get(family, [])
        if revision:
            return next((d for d in known if str(d.revision) == revision), None)
        return next((d for d in reversed(known) if d.status == ACTIVE), None)

    def tasks_of(self, service: Service, deployment: Deployment | None = None) -> list[Task]:
        """Returns the tasks of a service, or only those of one deployment."""
        return [
            task
            for task in self.tasks.values()
            if task.cluster_arn == service.cluster.arn
            and task.group == f"service:{service.name}"
            and (deployment is None or task.deployment_id == deployment.id)
        ]

    def tag_list(self, arn: str) -> list[dict[str, str]]:
        """Returns the tags of a resource in the form of ECS's responses."""
        return tags.lower_pairs(self.tags.get(arn, {}))


def ecs_state(place: Place) -> EcsState:
    """Returns the ECS resources of an account and region. They are stored in moto's backend, so that a reset clears
    them.
    """
    return attached_state(ecs_backends[place.account][place.region], "ecs", EcsState)


def checked_tags(pairs: list[dict[str, str]] | None) -> dict[str, str]:
    """Checks the tags of a request and returns them."""
    found = tags.from_pairs(pairs)
    tags.check(found, "InvalidParameterException")
    return found


def deployment_id() -> str:
    """Returns a random deployment id in the form of DescribeServices."""
    return f"ecs-svc/{random.randrange(10**18, 10**19)}"


def counts(state: EcsState, service: Service, deployment: Deployment | None = None) -> tuple[int, int]:
    """Returns the numbers of running and pending tasks."""
    live = [task for task in state.tasks_of(service, deployment) if task.live]
    running = sum(1 for task in live if task.last == "RUNNING")
    return running, len(live) - running


def deployment_response(state: EcsState, service: Service, deployment: Deployment) -> dict[str, Any]:
    """Returns a deployment in the form of DescribeServices."""
    running, pending = counts(state, service, deployment)
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition,
        "desiredCount": deployment.desired if deployment.status == "PRIMARY" else running + pending,
        "pendingCount": pending,
        "runningCount": running,
        "failedTasks": deployment.failed,
        "createdAt": deployment.created,
        "updatedAt": deployment.updated,
        "launchType": deployment.snapshot.get("launchType", "FARGATE"),
        "platformVersion": deployment.snapshot.get("platformVersion") or "1.4.0",
        "platformFamily": "Linux",
        "networkConfiguration": deployment.snapshot.get("networkConfiguration"),
        "rolloutState": deployment.rollout,
        "rolloutStateReason": deployment.rollout_reason,
    }


def service_response(state: EcsState, service: Service, with_tags: bool) -> dict[str, Any]:
    """Returns a service in the form of ECS's responses; an INACTIVE service has no deployments."""
    running, pending = counts(state, service)
    visible = [d for d in reversed(service.deployments) if d.status in ("PRIMARY", "ACTIVE")]
    visible.sort(key=lambda d: d.status != "PRIMARY")
    shown = {
        **service.fields,
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster.arn,
        "status": service.status,
        "desiredCount": service.desired,
        "runningCount": running,
        "pendingCount": pending,
        "taskDefinition": service.task_definition,
        "deployments": (
            [] if service.status == INACTIVE else [deployment_response(state, service, d) for d in visible]
        ),
        "events": list(service.events),
        "createdAt": service.created,
    }
    if service.status == ACTIVE:
        current = service.primary
        shown["currentServiceDeployment"] = current.arn
        shown["currentServiceRevisions"] = [
            {
                "arn": current.revision_arn,
                "requestedTaskCount": service.desired,
                "runningTaskCount": running,
                "pendingTaskCount": pending,
            }
        ]
    if with_tags:
        shown["tags"] = state.tag_list(service.arn)
    return shown
