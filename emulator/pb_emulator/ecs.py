"""ECS: clusters, tags, and the table of all operations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
from moto.ecs.models import EC2ContainerServiceBackend
from moto.ecs.responses import EC2ContainerServiceResponse

from . import ecs_definitions, ecs_deployments, ecs_hooks, ecs_one_off, ecs_services, ecs_tasks, tags
from .ecs_model import ACTIVE, DRAINING, INACTIVE, Cluster, EcsState, checked_tags, ecs_state
from .errors import AwsError
from .patching import Operation, Place, disable, install
from .tagging_api import TaggedResource

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


def cluster_response(state: EcsState, cluster: Cluster, include: list[str]) -> dict[str, Any]:
    """Returns a cluster in the form of ECS's responses."""
    tasks = [task for task in state.tasks.values() if task.cluster_arn == cluster.arn and task.last != "STOPPED"]
    services = [s for s in state.services.values() if s.cluster.arn == cluster.arn and s.status == ACTIVE]
    running = sum(1 for task in tasks if task.last == "RUNNING")
    shown = {
        **{"capacityProviders": [], "defaultCapacityProviderStrategy": []},
        **cluster.fields,
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": running,
        "pendingTasksCount": len(tasks) - running,
        "activeServicesCount": len(services),
        "statistics": [],
    }
    if "SETTINGS" in include:
        shown["settings"] = cluster.settings
    if "TAGS" in include:
        shown["tags"] = state.tag_list(cluster.arn)
    return shown


def create_cluster(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """CreateCluster: returns an existing cluster of this name unchanged."""
    state, name = ecs_state(place), request.get("clusterName") or "default"
    if not NAME.fullmatch(name):
        raise AwsError("InvalidParameterException", "The cluster name is invalid.")
    known = state.clusters.get(name)
    if known is None or known.status != ACTIVE:
        given = checked_tags(request.get("tags"))
        settings = request.get("settings") or [{"name": "containerInsights", "value": "disabled"}]
        names = ("capacityProviders", "defaultCapacityProviderStrategy", "configuration", "serviceConnectDefaults")
        known = Cluster(
            arn=place.arn("ecs", f"cluster/{name}"),
            name=name,
            settings=settings,
            fields={key: request[key] for key in names if request.get(key)},
        )
        state.clusters[name] = known
        state.tags[known.arn] = given
    return {"cluster": cluster_response(state, known, ["TAGS", "SETTINGS"])}


def describe_clusters(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeClusters: reports missing clusters in `failures`, and still returns INACTIVE clusters."""
    state, found, failures = ecs_state(place), [], []
    for name in request.get("clusters") or ["default"]:
        short = name.rsplit("/", 1)[-1]
        if short in state.clusters:
            found.append(cluster_response(state, state.clusters[short], request.get("include") or []))
        else:
            failures.append({"arn": place.arn("ecs", f"cluster/{short}"), "reason": "MISSING"})
    return {"clusters": found, "failures": failures}


def list_clusters(place: Place, _: dict[str, Any]) -> dict[str, Any]:
    """ListClusters: returns only ACTIVE clusters."""
    return {"clusterArns": [c.arn for c in ecs_state(place).clusters.values() if c.status == ACTIVE]}


def update_cluster(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateCluster and UpdateClusterSettings: change the settings of a cluster."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    cluster.settings = request.get("settings") or cluster.settings
    for name in ("configuration", "serviceConnectDefaults"):
        if request.get(name) is not None:
            cluster.fields[name] = request[name]
    return {"cluster": cluster_response(state, cluster, ["SETTINGS", "TAGS"])}


def put_capacity_providers(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """PutClusterCapacityProviders: replaces the providers and the default strategy, which are only stored."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    for name in ("capacityProviders", "defaultCapacityProviderStrategy"):
        cluster.fields[name] = request.get(name) or []
    return {"cluster": cluster_response(state, cluster, ["SETTINGS", "TAGS"])}


def delete_cluster(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteCluster: refused while the cluster has ACTIVE or DRAINING services, or tasks that have not stopped."""
    state = ecs_state(place)
    cluster = state.cluster(request.get("cluster"))
    if any(s.cluster.arn == cluster.arn and s.status in (ACTIVE, DRAINING) for s in state.services.values()):
        raise AwsError("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
    if any(t.cluster_arn == cluster.arn and t.last != "STOPPED" for t in state.tasks.values()):
        raise AwsError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
    cluster.status = INACTIVE
    return {"cluster": cluster_response(state, cluster, ["SETTINGS", "TAGS"])}


def check_resource(state: EcsState, arn: str) -> None:
    """Raises an error unless the resource to which a tag operation refers exists."""
    kind, _, rest = (
        arn.rsplit(":", 1)[-1].partition("/") if ":task-definition/" not in arn else ("task-definition", "", "")
    )
    known = {
        "cluster": lambda: rest in state.clusters,
        "service": lambda: any(s.arn == arn and s.status != INACTIVE for s in state.services.values()),
        "task": lambda: arn in state.tasks,
        "task-definition": lambda: state.definition(arn) is not None,
    }
    if kind not in known or not known[kind]():
        raise AwsError("InvalidParameterException", f"The specified resource is not found or not ACTIVE: {arn}")


def tag_resource(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """TagResource: adds or changes tags, which are checked together with the existing ones."""
    state, arn = ecs_state(place), request["resourceArn"]
    check_resource(state, arn)
    merged = {**state.tags.get(arn, {}), **tags.from_pairs(request.get("tags"))}
    tags.check(merged, "InvalidParameterException")
    state.tags[arn] = merged
    return {}


def untag_resource(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """UntagResource: removes tags; a missing key is no error."""
    state, arn = ecs_state(place), request["resourceArn"]
    check_resource(state, arn)
    for key in request["tagKeys"]:
        state.tags.get(arn, {}).pop(key, None)
    return {}


def list_tags(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListTagsForResource: returns the tags of an existing resource."""
    state, arn = ecs_state(place), request["resourceArn"]
    check_resource(state, arn)
    return {"tags": state.tag_list(arn)}


OPERATIONS: dict[str, Operation] = {
    "CreateCluster": create_cluster,
    "DescribeClusters": describe_clusters,
    "ListClusters": list_clusters,
    "UpdateCluster": update_cluster,
    "UpdateClusterSettings": update_cluster,
    "PutClusterCapacityProviders": put_capacity_providers,
    "DeleteCluster": delete_cluster,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags,
    "RegisterTaskDefinition": ecs_definitions.register,
    "DescribeTaskDefinition": ecs_definitions.describe,
    "ListTaskDefinitions": ecs_definitions.list_arns,
    "ListTaskDefinitionFamilies": ecs_definitions.families,
    "DeregisterTaskDefinition": ecs_definitions.deregister,
    "DeleteTaskDefinitions": ecs_definitions.delete,
    "CreateService": ecs_services.create,
    "UpdateService": ecs_services.update,
    "DeleteService": ecs_services.delete,
    "DescribeServices": ecs_services.describe,
    "ListServices": ecs_services.list_arns,
    "ListDaemons": lambda _place, _request: {"daemonSummariesList": []},
    "ListServiceDeployments": ecs_deployments.list_deployments,
    "DescribeServiceDeployments": ecs_deployments.describe,
    "DescribeServiceRevisions": ecs_deployments.revisions,
    "StopServiceDeployment": ecs_deployments.stop,
    "ContinueServiceDeployment": ecs_hooks.continue_deployment,
    "ListTasks": ecs_tasks.list_arns,
    "DescribeTasks": ecs_tasks.describe,
    "RunTask": ecs_one_off.run,
    "StopTask": ecs_tasks.stop,
    "ExecuteCommand": ecs_one_off.execute,
}


UNSUPPORTED = (
    "StartTask",
    "ListContainerInstances",
    "DescribeContainerInstances",
    "RegisterContainerInstance",
    "DeregisterContainerInstance",
    "UpdateContainerInstancesState",
    "ListAttributes",
    "PutAttributes",
    "DeleteAttributes",
    "CreateTaskSet",
    "DescribeTaskSets",
    "DeleteTaskSet",
    "UpdateTaskSet",
    "UpdateServicePrimaryTaskSet",
)


def install_rules() -> None:
    """Replaces the parts of moto's ECS that a deployer uses with those of this package."""
    disable(EC2ContainerServiceResponse, UNSUPPORTED)
    for action, operation in OPERATIONS.items():
        install(EC2ContainerServiceResponse, action, operation)
    serve_tagging_api()
    serve_autoscaling()


def serve_tagging_api() -> None:
    """Makes the ECS resources of this package visible to the tagging API."""

    def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
        for arn, found in ecs_state(Place(self.account_id, self.region_name)).tags.items():
            kind = "task-definition" if ":task-definition/" in arn else arn.rsplit(":", 1)[-1].split("/")[0]
            yield TaggedResource(arn=arn, tags=dict(found), resource_type=f"ecs:{kind}")

    def tag(self: Any, arn: str, given: dict[str, str]) -> None:
        tag_resource(Place(self.account_id, self.region_name), {"resourceArn": arn, "tags": tags.lower_pairs(given)})

    def untag(self: Any, arn: str, keys: list[str]) -> None:
        untag_resource(Place(self.account_id, self.region_name), {"resourceArn": arn, "tagKeys": keys})

    EC2ContainerServiceBackend.iter_tagged_resources = iter_tagged_resources
    EC2ContainerServiceBackend.tag_resource = tag
    EC2ContainerServiceBackend.untag_resource = untag


def serve_autoscaling() -> None:
    """Requires that the service of a scalable target exists."""

    def service_exists(self: Any, resource_id: str) -> bool:
        _, cluster, service = resource_id.split("/")
        found = ecs_state(Place(self.account_id, self.region_name)).services.get((cluster, service))
        if found is None or found.status != ACTIVE:
            raise AwsError("ValidationException", f"ECS service doesn't exist: {resource_id}")
        return True

    ApplicationAutoscalingBackend._ecs_service_exists_for_target = service_exists
