//! All resources of the services concern in one graph.

use crate::kinds::{Kinds, RolloutOptions, register_kinds};
use crate::names;
use crate::resources::cluster::{ClusterAttrs, ClusterSpec};
use crate::resources::container::{ContainerSpec, LogSpec};
use crate::resources::foreign_services::ForeignServices;
use crate::resources::log_group::{LogGroupAttrs, LogGroupSpec};
use crate::resources::release_command::{ReleaseCommandAttrs, ReleaseCommandSpec};
use crate::resources::repository::{Repositories, RepositoryAttrs, RepositorySpec, keep_untagged};
use crate::resources::service::attrs::ServiceAttrs;
use crate::resources::service::spec::{BreakerSpec, ServiceSpec, ServiceTargetSpec, ThresholdSpec};
use crate::resources::task_definition::{TaskDefinitionAttrs, TaskDefinitionSpec};
use crate::resources::workload::{Image, WorkloadSpec};
use crate::tags::Tags;
use aws_types::SdkConfig;
use pb_engine::{Failure, Graph, Handle, Input};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Environment variables that contain the address of the queue and are set in every container.
const QUEUE_VARIABLES: [&str; 2] = ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"];

/// The settings that all workloads share.
#[derive(Debug, Clone)]
pub struct FargateSpec {
    /// Region of the log group.
    pub region: String,
    /// Name of the log group.
    pub log_group: String,
    /// Retention of log events, in days; if absent, they never expire.
    pub log_retention_days: Option<i32>,
    /// Delivery of log lines while CloudWatch Logs does not accept them: `non-blocking` or `blocking`.
    pub log_mode: String,
    /// Name of the image repository.
    pub repository: String,
    /// `true` if each pushed image is scanned for known vulnerabilities.
    pub scan_on_push: bool,
    /// Number of untagged images to keep; if absent, all are kept.
    pub untagged_images: Option<u32>,
    /// `true` if a delete of the repository also deletes its images; otherwise the delete is refused while the
    /// repository contains images.
    pub delete_images: bool,
    /// `true` if the repository contains images; absent if that is not known yet.
    pub has_images: Option<bool>,
    /// Name of the cluster.
    pub cluster: String,
    /// Container Insights: `disabled`, `enabled` or `enhanced`.
    pub container_insights: Option<String>,
    /// ARN of the execution role, with which ECS pulls images, writes logs and reads secrets.
    pub execution_role_arn: String,
    /// ARN of the task role: the role of the application itself.
    pub task_role_arn: Option<String>,
    /// Port of the queue.
    pub redis_port: u16,
    /// Tags of all resources, in addition to `Name` and the ownership tags.
    pub tags: Tags,
    /// Release command, which runs once with the new image before the services roll out.
    pub release_command: Option<ReleaseCommand>,
    /// Number of revisions of each task definition to keep.
    pub keep_revisions: usize,
    /// Timeout of a rollout; if absent, runs do not wait for rollouts.
    pub rollout_timeout: Option<Duration>,
}

/// A command that runs once before the services roll out, with the image, network and environment of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseCommand {
    /// Key of the workload.
    pub workload: String,
    /// Command with its arguments.
    pub command: Vec<String>,
}

/// The workloads, and the inputs from other concerns.
#[derive(Clone)]
pub struct FargateInputs {
    /// Id of the subnet of all tasks.
    pub subnet_id: Input<String>,
    /// Input that is known once the subnet has a default route, without which tasks cannot pull images.
    pub routes: Input<()>,
    /// Host name of the queue.
    pub redis_address: Input<String>,
    /// Workloads with their inputs from other concerns.
    pub workloads: Vec<Workload>,
}

/// One workload with its inputs from other concerns.
#[derive(Clone)]
pub struct Workload {
    /// Settings of the workload.
    pub spec: WorkloadSpec,
    /// Id of the security group of the tasks.
    pub group_id: Input<String>,
    /// Target group that sends requests to the workload; absent for a workload that serves no requests.
    pub target: Option<ServiceTargetInputs>,
}

/// The target group that sends requests to a workload.
#[derive(Clone)]
pub struct ServiceTargetInputs {
    /// ARN of the target group.
    pub group_arn: Input<String>,
    /// Input that is known once a listener sends requests to the target group; ECS refuses the service before that.
    pub listener: Input<()>,
    /// Port of the container.
    pub port: u16,
    /// Health check grace period: time during which ECS ignores failing health checks of a new task, in seconds.
    pub health_check_grace_seconds: i32,
}

/// Handles of the resources of the concern, except the release command.
pub struct FargateStack {
    /// Handle of the log group.
    pub log_group: Handle<LogGroupAttrs>,
    /// Handle of the image repository.
    pub repository: Handle<RepositoryAttrs>,
    /// Handle of the cluster.
    pub cluster: Handle<ClusterAttrs>,
    /// Handles of the workloads, by key.
    pub workloads: BTreeMap<String, WorkloadHandles>,
}

/// Handles of the resources of one workload.
#[derive(Clone, Copy)]
pub struct WorkloadHandles {
    /// Handle of the task definition.
    pub task: Handle<TaskDefinitionAttrs>,
    /// Handle of the service.
    pub service: Handle<ServiceAttrs>,
}

impl FargateStack {
    /// Adds all resources to `graph`: log group, repository and cluster, a task definition and a service for each
    /// workload, and the release command, if there is one. [`names`] has their addresses.
    ///
    /// # Errors
    /// `Bug` if two workloads have the same key, or if a key is not a valid part of an address.
    pub fn add(
        graph: &mut Graph,
        config: &SdkConfig,
        spec: &FargateSpec,
        inputs: FargateInputs,
    ) -> Result<FargateStack, Failure> {
        let repositories = Repositories::new(aws_sdk_ecr::Client::new(config), spec.delete_images);
        let repositories = repositories.has_images(spec.has_images);
        let named = |workload: &Workload| Some((workload.spec.name.clone(), workload.spec.ready_log.clone()?));
        let rollouts = RolloutOptions {
            timeout: spec.rollout_timeout,
            keep_revisions: spec.keep_revisions,
            abort_on_crash_loop: true,
            ready_logs: inputs.workloads.iter().filter_map(named).collect(),
        };
        let kinds = register_kinds(graph, config, repositories, rollouts);
        graph.add_preflight_check(ForeignServices(aws_sdk_ecs::Client::new(config)));
        add_resources(graph, &kinds, spec, inputs)
    }
}

fn add_resources(
    graph: &mut Graph,
    kinds: &Kinds,
    spec: &FargateSpec,
    inputs: FargateInputs,
) -> Result<FargateStack, Failure> {
    let logs = LogGroupSpec {
        name: spec.log_group.clone(),
        retention_days: spec.log_retention_days,
        tags: tags_with_name(spec, &spec.log_group),
    };
    let repository = RepositorySpec {
        name: spec.repository.clone(),
        scan_on_push: spec.scan_on_push,
        tag_mutability: None,
        lifecycle: spec.untagged_images.map(keep_untagged),
        tags: tags_with_name(spec, &spec.repository),
    };
    let cluster = ClusterSpec {
        name: spec.cluster.clone(),
        container_insights: spec.container_insights.clone(),
        tags: tags_with_name(spec, &spec.cluster),
    };
    let mut fargate = FargateStack {
        log_group: graph.add(names::LOG_GROUP, &kinds.log_groups, (), move |()| logs.clone())?,
        repository: graph.add(names::REPOSITORY, &kinds.repositories, (), move |()| repository.clone())?,
        cluster: graph.add(names::CLUSTER, &kinds.clusters, (), move |()| cluster.clone())?,
        workloads: BTreeMap::new(),
    };
    let mut tasks = Vec::new();
    for workload in &inputs.workloads {
        tasks.push(add_task(graph, kinds, spec, &inputs, workload, &fargate)?);
    }
    let all = || inputs.workloads.iter().zip(tasks.iter().copied());
    let before = match &spec.release_command {
        Some(wanted) => match all().find(|(workload, _)| workload.spec.key == wanted.workload) {
            Some((workload, task)) => {
                Some(add_release_command(graph, kinds, (spec, wanted), &inputs, workload, &fargate, task)?)
            }
            None => None,
        },
        None => None,
    };
    for (workload, task) in all() {
        let service = add_service(graph, kinds, spec, &inputs, workload, (fargate.cluster, task, before))?;
        fargate.workloads.insert(workload.spec.key.clone(), WorkloadHandles { task, service });
    }
    Ok(fargate)
}

/// Adds the release command. All services depend on it, so no service is changed if it fails.
fn add_release_command(
    graph: &mut Graph,
    kinds: &Kinds,
    (spec, wanted): (&FargateSpec, &ReleaseCommand),
    inputs: &FargateInputs,
    workload: &Workload,
    fargate: &FargateStack,
    task: Handle<TaskDefinitionAttrs>,
) -> Result<Handle<ReleaseCommandAttrs>, Failure> {
    let needs = (fargate.cluster, task, inputs.subnet_id.clone(), inputs.routes.clone(), workload.group_id.clone());
    let (of, command, tags) =
        (workload.spec.key.clone(), wanted.command.clone(), tags_with_name(spec, &workload.spec.name));
    graph.add(names::RELEASE_COMMAND, &kinds.release_commands, needs, move |(cluster, task, subnet, (), group)| {
        ReleaseCommandSpec {
            cluster: cluster.name,
            family: task.family,
            task_definition: task.arn,
            container: of.clone(),
            command: command.clone(),
            subnet,
            security_group: group,
            tags: tags.clone(),
        }
    })
}

fn tags_with_name(spec: &FargateSpec, name: &str) -> Tags {
    let mut tags = spec.tags.clone();
    tags.insert("Name".to_owned(), name.to_owned());
    tags
}

fn add_task(
    graph: &mut Graph,
    kinds: &Kinds,
    spec: &FargateSpec,
    inputs: &FargateInputs,
    workload: &Workload,
    fargate: &FargateStack,
) -> Result<Handle<TaskDefinitionAttrs>, Failure> {
    let needs = (fargate.log_group.created(), fargate.repository.created(), inputs.redis_address.clone());
    let (spec, of) = (spec.clone(), workload.spec.clone());
    let ports: BTreeSet<u16> = workload.target.iter().map(|target| target.port).collect();
    let address = names::task_definition(&of.key);
    graph.add(&address, &kinds.task_definitions, needs, move |(logs, repository, redis)| {
        let mut environment = of.environment.clone();
        let queue = format!("redis://{redis}:{}/0", spec.redis_port);
        environment.extend(QUEUE_VARIABLES.map(|name| (name.to_owned(), queue.clone())));
        let container = ContainerSpec {
            image: match &of.image {
                Image::Tag(tag) => format!("{}:{tag}", repository.uri),
                Image::Digest(digest) => format!("{}@{digest}", repository.uri),
                Image::Reference(reference) => reference.clone(),
            },
            command: of.command.clone(),
            environment,
            secrets: of.secrets.clone(),
            ports: ports.clone(),
            log: Some(LogSpec::new(&logs.name, &spec.region, &of.name, &spec.log_mode)),
            stop_timeout: Some(of.stop_timeout),
            init_process: of.init_process,
            essential: true,
        };
        TaskDefinitionSpec {
            family: of.name.clone(),
            cpu: of.cpu,
            memory: of.memory,
            execution_role_arn: spec.execution_role_arn.clone(),
            task_role_arn: spec.task_role_arn.clone(),
            containers: BTreeMap::from([(of.key.clone(), container)]),
            other: BTreeSet::new(),
            tags: tags_with_name(&spec, &of.name),
        }
    })
}

fn add_service(
    graph: &mut Graph,
    kinds: &Kinds,
    spec: &FargateSpec,
    inputs: &FargateInputs,
    workload: &Workload,
    (cluster, task, before): (Handle<ClusterAttrs>, Handle<TaskDefinitionAttrs>, Option<Handle<ReleaseCommandAttrs>>),
) -> Result<Handle<ServiceAttrs>, Failure> {
    let target = workload.target.clone();
    let balanced = target.as_ref().map(|target| (target.group_arn.clone(), target.listener.clone()));
    let (subnet, routes, group) = (inputs.subnet_id.clone(), inputs.routes.clone(), workload.group_id.clone());
    let port = target.as_ref().map_or(0, |target| target.port);
    let grace = target.as_ref().map_or(0, |target| target.health_check_grace_seconds);
    let (tags, of) = (tags_with_name(spec, &workload.spec.name), workload.spec.clone());
    let needs = (cluster, task, subnet, routes, group, balanced, before);
    graph.add(
        &names::service(&workload.spec.key),
        &kinds.services,
        needs,
        move |(cluster, task, subnet, (), group, balanced, _)| ServiceSpec {
            name: of.name.clone(),
            cluster: cluster.name,
            task_definition: task.arn,
            desired_count: of.count,
            launch_type: "FARGATE".to_owned(),
            subnets: BTreeSet::from([subnet]),
            security_groups: BTreeSet::from([group]),
            assign_public_ip: true,
            load_balancers: balanced
                .into_iter()
                .map(|(arn, ())| ServiceTargetSpec { target_group_arn: arn, container: of.key.clone(), port })
                .collect(),
            health_check_grace_seconds: grace,
            min_healthy_percent: of.min_healthy_percent,
            max_percent: of.max_percent,
            circuit_breaker: BreakerSpec {
                enable: of.breaker,
                rollback: of.breaker,
                threshold: of.breaker_threshold.map(ThresholdSpec::count),
            },
            propagate_tags: "SERVICE".to_owned(),
            managed_tags: true,
            execute_command: of.execute_command,
            status: "ACTIVE".to_owned(),
            failed: false,
            tags: tags.clone(),
        },
    )
}

#[cfg(test)]
mod tests;
