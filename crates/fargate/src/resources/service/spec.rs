//! Spec of a service: checks, and conversion to and from ECS.

use crate::resources::checks;
use crate::tags::{self, Tags};
use aws_sdk_ecs::types::{
    AssignPublicIp, AvailabilityZoneRebalancing, AwsVpcConfiguration, DeploymentCircuitBreaker,
    DeploymentConfiguration, DeploymentRolloutState, LoadBalancer, NetworkConfiguration, Service,
    ThresholdConfiguration, ThresholdType,
};
use pb_engine::{Class, Failure, Ownership};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Status of a service that is not being deleted.
pub(crate) const ACTIVE: &str = "ACTIVE";

/// Default threshold of the circuit breaker: half of the tasks. (ECS API: ThresholdConfiguration)
const DEFAULT_THRESHOLD: (ThresholdType, i32) = (ThresholdType::BoundedPercent, 50);

/// Spec of a service on Fargate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Name of the service.
    pub name: String,
    /// Name of the cluster.
    pub cluster: String,
    /// ARN of the revision that its tasks run.
    pub task_definition: String,
    /// Desired count of tasks.
    pub desired_count: i32,
    /// Launch type; `FARGATE` in a configured spec.
    pub launch_type: String,
    /// Ids of the subnets of its tasks.
    pub subnets: BTreeSet<String>,
    /// Ids of the security groups of its tasks.
    pub security_groups: BTreeSet<String>,
    /// `true` if its tasks get public addresses. Without a public address or a NAT gateway, they cannot pull images.
    pub assign_public_ip: bool,
    /// Target groups in which its tasks are registered.
    pub load_balancers: BTreeSet<ServiceTargetSpec>,
    /// Health check grace period: time during which ECS ignores failing health checks of a new task, in seconds; 0
    /// without a load balancer.
    pub health_check_grace_seconds: i32,
    /// Minimum percentage of the desired count that must keep running during a rollout.
    pub min_healthy_percent: i32,
    /// Maximum percentage of the desired count that may run during a rollout, old and new tasks together.
    pub max_percent: i32,
    /// Settings of the circuit breaker.
    pub circuit_breaker: BreakerSpec,
    /// Source of the tags of its tasks: `SERVICE`, `TASK_DEFINITION` or `NONE`.
    pub propagate_tags: String,
    /// `true` if ECS tags its tasks with the names of the cluster and the service.
    pub managed_tags: bool,
    /// `true` if ECS Exec can open a shell in its tasks.
    pub execute_command: bool,
    /// Status; `ACTIVE` in a configured spec. A service that is being deleted is `DRAINING`; another service with the
    /// same name can be created only when it is gone.
    pub status: String,
    /// `true` if its last rollout failed without a rollback, so that ECS starts no more tasks; `false` in a configured
    /// spec.
    pub failed: bool,
    /// Tags, in addition to the ownership tags; ECS adds them to its tasks, too.
    pub tags: Tags,
}

/// A target group with the container that receives its requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceTargetSpec {
    /// ARN of the target group.
    pub target_group_arn: String,
    /// Name of the container.
    pub container: String,
    /// Port of the container.
    pub port: u16,
}

/// Circuit breaker of a service, which ends a rollout after too many failed tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerSpec {
    /// `true` if the circuit breaker is on.
    pub enable: bool,
    /// `true` if ECS rolls back to the last completed deployment when the circuit breaker ends a rollout.
    pub rollback: bool,
    /// Number of failed tasks that ends a rollout; if absent, the ECS default: half of the desired count, from 3 to
    /// 200.
    pub threshold: Option<ThresholdSpec>,
}

/// Threshold of a circuit breaker: the number of failed tasks that ends a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdSpec {
    /// `COUNT`, `BOUNDED_PERCENT` or `UNBOUNDED_PERCENT`.
    pub kind: String,
    /// Number of tasks, or percentage of the desired count.
    pub value: i32,
}

impl ThresholdSpec {
    /// Creates a threshold of an absolute number of tasks.
    #[must_use]
    pub fn count(tasks: i32) -> Self {
        Self { kind: ThresholdType::Count.as_str().to_owned(), value: tasks }
    }
}

pub(crate) fn check(spec: &ServiceSpec) -> Result<(), String> {
    use pb_rules::fargate as rules;
    checks::text("name", &spec.name, pb_rules::names::service)?;
    checks::text("cluster", &spec.cluster, pb_rules::names::cluster)?;
    let (count, min, max) = (spec.desired_count.into(), spec.min_healthy_percent.into(), spec.max_percent.into());
    checks::verdict("desired_count", rules::desired_count(count))?;
    checks::verdict("min_healthy_percent", rules::min_healthy_percent(min))?;
    checks::verdict("max_percent", rules::max_percent(max))?;
    checks::verdict("max_percent", rules::rollout_can_progress(count, min, max))?;
    checks::verdict("health_check_grace_seconds", rules::health_check_grace(spec.health_check_grace_seconds.into()))?;
    if spec.health_check_grace_seconds != 0 && spec.load_balancers.is_empty() {
        return Err("invalid health_check_grace_seconds: only a service with a load balancer can have a grace period"
            .to_owned());
    }
    if let Some(threshold) = spec.circuit_breaker.threshold.as_ref().filter(|threshold| threshold.kind == "COUNT") {
        checks::verdict("circuit_breaker", rules::breaker_threshold(threshold.value.into()))?;
    }
    if spec.circuit_breaker.rollback && !spec.circuit_breaker.enable {
        return Err("invalid circuit_breaker: rollback requires an enabled circuit breaker".to_owned());
    }
    let one_of = |what: &str, value: &str, right: &[&str]| match right.contains(&value) {
        true => Ok(()),
        false => Err(format!("invalid {what}: expected {}, got `{value}`", right.join(" or "))),
    };
    one_of("launch_type", &spec.launch_type, &["FARGATE"])?;
    one_of("propagate_tags", &spec.propagate_tags, &["SERVICE", "TASK_DEFINITION", "NONE"])?;
    one_of("status", &spec.status, &[ACTIVE])?;
    // The limits of a network configuration. (ECS API: AwsVpcConfiguration)
    if spec.subnets.is_empty() || spec.subnets.len() > 16 {
        return Err(format!("invalid subnets: expected 1 to 16, got {}", spec.subnets.len()));
    }
    if spec.security_groups.len() > 5 {
        return Err(format!("invalid security_groups: expected at most 5, got {}", spec.security_groups.len()));
    }
    checks::tags(&spec.tags)
}

pub(crate) fn network(spec: &ServiceSpec) -> Result<NetworkConfiguration, Failure> {
    let public = if spec.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    network_configuration(spec.subnets.iter().cloned(), spec.security_groups.iter().cloned(), public)
}

/// Returns a network configuration with public addresses for tasks.
pub(crate) fn public_network(
    subnets: impl IntoIterator<Item = String>,
    security_groups: impl IntoIterator<Item = String>,
) -> Result<NetworkConfiguration, Failure> {
    network_configuration(subnets, security_groups, AssignPublicIp::Enabled)
}

fn network_configuration(
    subnets: impl IntoIterator<Item = String>,
    security_groups: impl IntoIterator<Item = String>,
    public: AssignPublicIp,
) -> Result<NetworkConfiguration, Failure> {
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(subnets.into_iter().collect()))
        .set_security_groups(Some(security_groups.into_iter().collect()))
        .assign_public_ip(public)
        .build()
        .map_err(|e| Failure::new(Class::Bug, "build a network configuration", e.to_string()))?;
    Ok(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
}

pub(crate) fn load_balancers(spec: &ServiceSpec) -> Vec<LoadBalancer> {
    let balancer = |target: &ServiceTargetSpec| {
        LoadBalancer::builder()
            .target_group_arn(&target.target_group_arn)
            .container_name(&target.container)
            .container_port(target.port.into())
            .build()
    };
    spec.load_balancers.iter().map(balancer).collect()
}

/// Returns the deployment configuration. It contains the settings of `live` that a spec cannot express, such as alarms,
/// lifecycle hooks and early success criteria, because an update sends the whole configuration. If `explicit` is set, it
/// contains even the default threshold, which an update must send to return to the default.
pub(crate) fn deployment(
    spec: &ServiceSpec,
    live: Option<&DeploymentConfiguration>,
    explicit: bool,
) -> Result<DeploymentConfiguration, Failure> {
    let bug = |e: aws_sdk_ecs::error::BuildError| Failure::new(Class::Bug, "build a circuit breaker", e.to_string());
    let threshold = match &spec.circuit_breaker.threshold {
        Some(threshold) => Some((ThresholdType::from(threshold.kind.as_str()), threshold.value)),
        None => explicit.then_some(DEFAULT_THRESHOLD),
    };
    let threshold = threshold.map(|(kind, value)| ThresholdConfiguration::builder().r#type(kind).value(value).build());
    let live_breaker = live.and_then(DeploymentConfiguration::deployment_circuit_breaker);
    let breaker = DeploymentCircuitBreaker::builder()
        .enable(spec.circuit_breaker.enable)
        .rollback(spec.circuit_breaker.rollback)
        .set_reset_on_healthy_task(live_breaker.and_then(DeploymentCircuitBreaker::reset_on_healthy_task))
        .set_threshold_configuration(threshold.transpose().map_err(bug)?)
        .build();
    let mut configuration = live.cloned().unwrap_or_else(|| DeploymentConfiguration::builder().build());
    configuration.minimum_healthy_percent = Some(spec.min_healthy_percent);
    configuration.maximum_percent = Some(spec.max_percent);
    configuration.deployment_circuit_breaker = Some(breaker);
    Ok(configuration)
}

/// Returns the setting of Availability Zone rebalancing for a new service: `Disabled` if `max_percent` leaves no room for
/// it, otherwise `Enabled`, the ECS default. Rebalancing starts a task before it stops another, so ECS refuses it without
/// that room. (ECS developer guide: Balancing a service across Availability Zones)
pub(crate) fn rebalancing(spec: &ServiceSpec) -> AvailabilityZoneRebalancing {
    match has_room_to_rebalance(spec) {
        true => AvailabilityZoneRebalancing::Enabled,
        false => AvailabilityZoneRebalancing::Disabled,
    }
}

/// Returns whether `max_percent` allows a task more than the desired count.
pub(crate) fn has_room_to_rebalance(spec: &ServiceSpec) -> bool {
    spec.max_percent > 100
}

/// Converts a service of ECS to a spec, without the defaults that ECS fills in.
pub(crate) fn from_ecs(service: &Service) -> ServiceSpec {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let vpc = service.network_configuration().and_then(NetworkConfiguration::awsvpc_configuration);
    let ids = |ids: Option<&[String]>| ids.unwrap_or_default().iter().cloned().collect();
    let deployment = service.deployment_configuration();
    let load_balancers: BTreeSet<ServiceTargetSpec> = service.load_balancers().iter().map(target).collect();
    let grace = service.health_check_grace_period_seconds().unwrap_or_default();
    ServiceSpec {
        name: text(service.service_name()),
        cluster: crate::names::last_part(service.cluster_arn().unwrap_or_default()).to_owned(),
        task_definition: text(service.task_definition()),
        desired_count: service.desired_count(),
        launch_type: service.launch_type().map_or("capacity providers", |kind| kind.as_str()).to_owned(),
        subnets: ids(vpc.map(AwsVpcConfiguration::subnets)),
        security_groups: ids(vpc.map(AwsVpcConfiguration::security_groups)),
        assign_public_ip: vpc.and_then(AwsVpcConfiguration::assign_public_ip) == Some(&AssignPublicIp::Enabled),
        health_check_grace_seconds: if load_balancers.is_empty() { 0 } else { grace },
        load_balancers,
        min_healthy_percent: deployment.and_then(DeploymentConfiguration::minimum_healthy_percent).unwrap_or(100),
        max_percent: deployment.and_then(DeploymentConfiguration::maximum_percent).unwrap_or(200),
        circuit_breaker: breaker(deployment.and_then(DeploymentConfiguration::deployment_circuit_breaker)),
        propagate_tags: service.propagate_tags().map_or("NONE", |tags| tags.as_str()).to_owned(),
        managed_tags: service.enable_ecs_managed_tags(),
        execute_command: service.enable_execute_command(),
        status: service.status().unwrap_or(ACTIVE).to_owned(),
        failed: primary(service)
            .is_some_and(|primary| primary.rollout_state() == Some(&DeploymentRolloutState::Failed)),
        tags: Ownership::user_tags(&tags::from_ecs(service.tags())),
    }
}

/// Returns the primary deployment: the one that ECS is rolling out or has rolled out.
pub(crate) fn primary(service: &Service) -> Option<&aws_sdk_ecs::types::Deployment> {
    service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"))
}

fn target(balancer: &LoadBalancer) -> ServiceTargetSpec {
    ServiceTargetSpec {
        target_group_arn: balancer.target_group_arn().unwrap_or_default().to_owned(),
        container: balancer.container_name().unwrap_or_default().to_owned(),
        port: balancer.container_port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
    }
}

fn breaker(breaker: Option<&DeploymentCircuitBreaker>) -> BreakerSpec {
    let threshold = breaker.and_then(DeploymentCircuitBreaker::threshold_configuration);
    let explicit = threshold.filter(|threshold| (threshold.r#type().clone(), threshold.value()) != DEFAULT_THRESHOLD);
    BreakerSpec {
        enable: breaker.is_some_and(DeploymentCircuitBreaker::enable),
        rollback: breaker.is_some_and(DeploymentCircuitBreaker::rollback),
        threshold: explicit
            .map(|threshold| ThresholdSpec { kind: threshold.r#type().as_str().to_owned(), value: threshold.value() }),
    }
}
