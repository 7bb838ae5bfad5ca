//! How services are, for people.

use crate::poller::describe;
use crate::service_spec::primary;
use aws_sdk_ecs::types::Deployment;
use aws_types::SdkConfig;
use pb_engine::Failure;
use serde::Serialize;

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// `ACTIVE`, or `DRAINING` while it is being deleted.
    pub status: String,
    /// How many tasks are wanted.
    pub desired: i32,
    /// How many tasks run.
    pub running: i32,
    /// How many tasks are being started.
    pub pending: i32,
    /// `COMPLETED`, `IN_PROGRESS` or `FAILED`; absent when there is no deployment.
    pub rollout: Option<String>,
    /// Family and revision that it is to run: `staging-flask:3`.
    pub revision: Option<String>,
    /// The target groups of its tasks, by ARN.
    pub target_groups: Vec<String>,
}

/// How the services of these names are; those that are not there are left out.
///
/// # Errors
/// What `ecs:DescribeServices` fails with; a cluster that is not there has no services.
pub async fn status(config: &SdkConfig, cluster: &str, names: &[String]) -> Result<Vec<ServiceStatus>, Failure> {
    let client = aws_sdk_ecs::Client::new(config);
    let services = match describe(&client, cluster, names, false).await {
        Err(failure) if failure.is("ClusterNotFoundException") => Vec::new(),
        answer => answer?,
    };
    let status = |service: &aws_sdk_ecs::types::Service| ServiceStatus {
        name: service.service_name().unwrap_or_default().to_owned(),
        status: service.status().unwrap_or_default().to_owned(),
        desired: service.desired_count(),
        running: service.running_count(),
        pending: service.pending_count(),
        rollout: primary(service).and_then(Deployment::rollout_state).map(|state| state.as_str().to_owned()),
        revision: primary(service).and_then(Deployment::task_definition).map(|arn| crate::last_part(arn).to_owned()),
        target_groups: service
            .load_balancers()
            .iter()
            .filter_map(|balancer| balancer.target_group_arn().map(str::to_owned))
            .collect(),
    };
    Ok(services.iter().map(status).collect())
}
