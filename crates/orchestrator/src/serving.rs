//! Whether what runs is reached: the targets behind the load balancer.

use aws_config::SdkConfig;
use pb_config::Workspace;
use pb_edge::TargetHealth;
use pb_engine::{Class, Failure};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long targets are waited for once ECS says that a rollout has completed. ECS counts a task with a load balancer only
/// when it is healthy, so that this is about what changed in between.
const WITHIN: Duration = Duration::from_secs(60);

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until each service behind the load balancer has as many healthy targets as tasks.
///
/// # Errors
/// What a read fails with; `Failed` with how the targets are when they do not become healthy.
pub async fn targets_healthy(aws: &SdkConfig, workspace: &Workspace) -> Result<(), Failure> {
    let until = Instant::now() + WITHIN;
    let names: Vec<String> = workspace.names.services().map(str::to_owned).collect();
    let services = pb_fargate::status(aws, &workspace.names.cluster, &names).await?;
    for service in services {
        for group in &service.target_groups {
            loop {
                let targets = pb_edge::target_health(aws, group).await?;
                let healthy = targets.iter().filter(|target| target.state == "healthy").count();
                if i32::try_from(healthy).unwrap_or(i32::MAX) >= service.desired {
                    break;
                }
                if Instant::now() >= until {
                    return Err(unhealthy(&service.name, healthy, service.desired, &targets));
                }
                sleep(LOOK).await;
            }
        }
    }
    Ok(())
}

fn unhealthy(service: &str, healthy: usize, desired: i32, targets: &[TargetHealth]) -> Failure {
    let message = format!("{healthy} of {desired} targets are healthy, though ECS says that the rollout has completed");
    let details = targets.iter().map(|target| {
        let reason = target.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("target {}: {}{reason}", target.address, target.state)
    });
    Failure::new(Class::Failed, format!("reach {service}"), message).details(details.collect())
}
