//! Target health: one check for each service behind the load balancer.

use crate::stack::names;
use aws_config::SdkConfig;
use pb_config::{LoadBalancer, Workspace};
use pb_edge::{HealthyTargets, HealthyTargetsSpec, LoadBalancerClient};
use pb_engine::{Failure, Graph, Handle};
use pb_fargate::{ServiceAttrs, ServiceSpec};
use std::sync::Arc;
use std::time::Duration;

/// Returns the check kind for target health in a workspace. A run waits for one health period, in which a target
/// becomes either healthy or unhealthy, but no longer than for a rollout.
pub fn kind(aws: &SdkConfig, workspace: &Workspace, rollout: Option<Duration>) -> Arc<HealthyTargets> {
    let period = period(&workspace.load_balancer);
    let within = rollout.map_or(period, |rollout| period.min(rollout));
    Arc::new(HealthyTargets::new(LoadBalancerClient::new(aws), within))
}

/// Returns the check kind for the health of targets whose routing has just been repaired: ECS may have to start other
/// tasks first, so `within` is the only limit.
pub fn kind_within(aws: &SdkConfig, within: Option<Duration>) -> Arc<HealthyTargets> {
    Arc::new(HealthyTargets::new(LoadBalancerClient::new(aws), within.unwrap_or_default()))
}

/// Returns the longest time until the state of a target is known: the time of as many health checks as the larger
/// threshold, and the timeout of the last one.
fn period(balancer: &LoadBalancer) -> Duration {
    let checks = balancer.healthy_threshold.max(balancer.unhealthy_threshold);
    let seconds = balancer.health_interval.saturating_mul(checks).saturating_add(balancer.health_timeout);
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Returns the number of healthy targets that a service of `count` tasks must have. If the count may be changed outside
/// of pb-deploy (`ignore_changes`), one is enough: it proves that the load balancer reaches the service.
pub fn at_least(workspace: &Workspace, key: &str, count: i32) -> i32 {
    if workspace.ignore_changes.contains(&names::desired_count(key)) { 1 } else { count }
}

/// Adds the checks of one service, one for each target group in `spec`.
///
/// # Errors
/// `Bug` if an address is already in use.
pub fn add(
    graph: &mut Graph,
    kind: &Arc<HealthyTargets>,
    (key, service): (&str, Handle<ServiceAttrs>),
    spec: &ServiceSpec,
    at_least: i32,
) -> Result<(), Failure> {
    for (index, target) in spec.load_balancers.iter().enumerate() {
        let (arn, first) = (target.target_group_arn.clone(), names::health_check(key));
        let address = if index == 0 { first } else { format!("{first}_{}", index + 1) };
        graph.add_check(&address, kind, service, move |service| HealthyTargetsSpec {
            target_group_arn: arn.clone(),
            service: service.name,
            at_least,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{at_least, period};
    use pb_config::{Config, Workspace};
    use std::time::Duration;

    fn workspace() -> Workspace {
        Config::parse(include_str!("../../../../pb_deploy.toml"), "pb_deploy.toml")
            .unwrap()
            .workspace("staging")
            .unwrap()
    }

    #[test]
    fn health_period_covers_both_thresholds() {
        let mut balancer = workspace().load_balancer;
        (balancer.health_interval, balancer.health_timeout) = (10, 5);
        (balancer.healthy_threshold, balancer.unhealthy_threshold) = (2, 3);
        assert_eq!(period(&balancer), Duration::from_secs(35));
        balancer.healthy_threshold = 6;
        assert_eq!(period(&balancer), Duration::from_secs(65));
    }

    #[test]
    fn ignored_desired_count_requires_one_target() {
        let mut workspace = workspace();
        assert_eq!(at_least(&workspace, "flask", 3), 3);
        workspace.ignore_changes.push("fargate/flask.desired_count".to_owned());
        assert_eq!((at_least(&workspace, "flask", 3), at_least(&workspace, "api", 3)), (1, 3));
    }
}
