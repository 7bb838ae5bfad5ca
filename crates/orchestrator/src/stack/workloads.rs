//! Workloads of a workspace: Flask, Celery, and the other services.

use crate::stack::names;
use crate::workspace::prerequisites::Prerequisites;
use pb_config::{Image, OtherService, Service, WebService, Workspace};
use pb_edge::EdgeStack;
use pb_engine::{Address, Class, Failure, Graph, Input};
use pb_fargate::{ContainerSpec, ServiceTargetInputs, TaskDefinitionSpec, Workload, WorkloadSpec};
use pb_net::NetworkStack;
use std::collections::BTreeMap;

/// Returns all services that have an image. A service without an image is created once its image is pushed, and nothing
/// else waits for it. Web services use the security group of Flask; all other services use that of Celery.
pub(super) fn all(
    workspace: &Workspace,
    prerequisites: &Prerequisites,
    network: &NetworkStack,
    edge: &EdgeStack,
) -> Vec<Workload> {
    let services = &workspace.services;
    let (web_group, worker_group) = (network.flask_group.connected(), network.celery_group.connected());
    let front = target(&services.flask, edge.targets.map(|group| group.arn), edge.listener.map(|_| ()));
    let routed = |key: &str, web: &WebService| {
        let route = edge.routes.get(key)?;
        Some(target(web, route.targets.map(|group| group.arn), route.rule.map(|_| ())))
    };
    specs(workspace, |key, service| prerequisites.images.of(key).cloned().unwrap_or_else(|| unresolved(service)))
        .into_iter()
        .filter(|spec| !prerequisites.images.is_missing(&spec.key))
        .map(|spec| {
            let (target, is_web) = match (spec.key.as_str(), services.others.get(&spec.key)) {
                ("flask", _) => (Some(front.clone()), true),
                (key, Some(OtherService::Web(web, _))) => (routed(key, web), true),
                _ => (None, false),
            };
            let group_id = if is_web { web_group.clone() } else { worker_group.clone() };
            Workload { spec, group_id, target }
        })
        .collect()
}

/// Service for a local run.
#[derive(Debug, Clone)]
pub struct LocalTask {
    /// Key of the service.
    pub key: String,
    /// Tag of its image, which selects the stage of a Dockerfile; empty for a full reference.
    pub tag: String,
    /// Desired count.
    pub count: i32,
    /// Container: command, environment, ports.
    pub container: ContainerSpec,
}

/// Returns all services, for a run without a network in AWS.
pub(super) fn local(workspace: &Workspace) -> Vec<Workload> {
    let nothing = || Input::known(String::new());
    let port = |key: &str| match (key, workspace.services.others.get(key)) {
        ("flask", _) => Some(&workspace.services.flask),
        (_, Some(OtherService::Web(web, _))) => Some(web),
        _ => None,
    };
    specs(workspace, |_, service| unresolved(service))
        .into_iter()
        .map(|spec| {
            let target = port(&spec.key).map(|web| target(web, nothing(), Input::known(())));
            Workload { spec, group_id: nothing(), target }
        })
        .collect()
}

/// Returns the containers of the task definitions in a graph.
pub(super) fn containers(workspace: &Workspace, graph: &Graph) -> Result<Vec<LocalTask>, Failure> {
    let bug = |why: String| Failure::new(Class::Bug, "build a task definition", why);
    let specs: BTreeMap<Address, serde_json::Value> = graph.specs()?.into_iter().collect();
    let task = |(key, service): (&str, &Service)| {
        let spec = specs.get(names::task_definition(key).as_str()).cloned().unwrap_or_default();
        let spec: TaskDefinitionSpec = serde_json::from_value(spec).map_err(|why| bug(why.to_string()))?;
        let container = spec.containers.get(key).cloned().ok_or_else(|| bug(format!("{key} has no container")))?;
        let tag = match &service.image {
            Image::Tag(tag) => tag.clone(),
            Image::Reference(_) => String::new(),
        };
        Ok(LocalTask { key: key.to_owned(), tag, count: service.count, container })
    };
    workspace.services.all().map(task).collect()
}

/// Returns the desired spec of each service.
fn specs(workspace: &Workspace, image: impl Fn(&str, &Service) -> pb_fargate::Image) -> Vec<WorkloadSpec> {
    let services = &workspace.services;
    let all = services.all().map(|(key, service)| {
        let name = workspace.names.service(key).unwrap_or_default();
        let kind = match (key, services.others.get(key)) {
            ("flask", _) | (_, Some(OtherService::Web(..))) => WorkloadSpec::new(key, name, image(key, service)),
            (_, Some(OtherService::Scheduler(_))) => WorkloadSpec::scheduler(key, name, image(key, service)),
            _ => WorkloadSpec::workers(key, name, image(key, service)),
        };
        workload(kind, service)
    });
    all.collect()
}

fn target(web: &WebService, group_arn: Input<String>, listener: Input<()>) -> ServiceTargetInputs {
    ServiceTargetInputs {
        group_arn,
        listener,
        port: web.port,
        health_check_grace_seconds: web.health_check_grace_seconds,
    }
}

/// Returns the image as it is configured.
fn unresolved(service: &Service) -> pb_fargate::Image {
    match &service.image {
        Image::Tag(tag) => pb_fargate::Image::Tag(tag.clone()),
        Image::Reference(reference) => pb_fargate::Image::Reference(reference.clone()),
    }
}

fn workload(kind: WorkloadSpec, service: &Service) -> WorkloadSpec {
    WorkloadSpec {
        command: service.command.clone(),
        environment: service.environment.clone(),
        secrets: service.secrets.clone(),
        count: service.count,
        cpu: service.cpu,
        memory: service.memory,
        stop_timeout: service.stop_timeout,
        min_healthy_percent: service.min_healthy_percent,
        max_percent: service.max_percent,
        breaker: service.breaker,
        breaker_threshold: service.breaker_threshold,
        ready_log: service.ready_log.clone(),
        execute_command: service.execute_command,
        ..kind
    }
}
