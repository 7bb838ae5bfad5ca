//! Status of services as shown to operators.

use crate::resources::service::spec::primary;
use crate::revisions;
use crate::rollout::poller::describe;
use aws_sdk_ecs::types::Deployment;
use aws_types::SdkConfig;
use pb_engine::Failure;
use serde::Serialize;

/// Status of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// Name of the service.
    pub name: String,
    /// Status: `ACTIVE`, or `DRAINING` while the service is being deleted.
    pub status: String,
    /// Desired count of tasks.
    pub desired: i32,
    /// Number of running tasks.
    pub running: i32,
    /// Number of starting tasks.
    pub pending: i32,
    /// Rollout state: `COMPLETED`, `IN_PROGRESS` or `FAILED`; absent without a deployment.
    pub rollout: Option<String>,
    /// Id of the primary deployment.
    pub deployment: Option<String>,
    /// Family and revision of that deployment: `staging-flask:3`.
    pub revision: Option<String>,
    /// Image of that revision.
    pub image: Option<String>,
    /// Number of failed tasks of that deployment.
    pub failed: i32,
    /// Age of that deployment, in seconds.
    pub age_seconds: Option<i64>,
    /// ARNs of the target groups of its tasks.
    pub target_groups: Vec<String>,
}

/// Returns the status of the services with these names that exist. Returns an empty list for a cluster that does not
/// exist.
///
/// # Errors
/// Any failure of `ecs:DescribeServices`.
pub async fn status(config: &SdkConfig, cluster: &str, names: &[String]) -> Result<Vec<ServiceStatus>, Failure> {
    let client = aws_sdk_ecs::Client::new(config);
    let services = match describe(&client, cluster, names, false).await {
        Err(failure) if failure.is("ClusterNotFoundException") => Vec::new(),
        answer => answer?,
    };
    let images = services.iter().map(|service| async {
        let arn = primary(service).and_then(Deployment::task_definition)?;
        // An image that cannot be read is omitted.
        let revision = revisions::describe(&client, arn).await.ok()??;
        revision.definition.container_definitions().first()?.image().map(str::to_owned)
    });
    let images = futures_util::future::join_all(images).await;
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let status = |(service, image): (&aws_sdk_ecs::types::Service, Option<String>)| ServiceStatus {
        image,
        failed: primary(service).map_or(0, Deployment::failed_tasks),
        age_seconds: primary(service).and_then(Deployment::created_at).map(|at| (now - at.secs()).max(0)),
        name: service.service_name().unwrap_or_default().to_owned(),
        status: service.status().unwrap_or_default().to_owned(),
        desired: service.desired_count(),
        running: service.running_count(),
        pending: service.pending_count(),
        rollout: primary(service).and_then(Deployment::rollout_state).map(|state| state.as_str().to_owned()),
        deployment: primary(service).and_then(Deployment::id).map(str::to_owned),
        revision: primary(service)
            .and_then(Deployment::task_definition)
            .map(|arn| crate::names::last_part(arn).to_owned()),
        target_groups: service
            .load_balancers()
            .iter()
            .filter_map(|balancer| balancer.target_group_arn().map(str::to_owned))
            .collect(),
    };
    Ok(services.iter().zip(images).map(status).collect())
}
