//! How services are, for people.

use crate::poller::describe;
use crate::revisions;
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
    /// Id of its deployment.
    pub deployment: Option<String>,
    /// Family and revision that it is to run: `staging-flask:3`.
    pub revision: Option<String>,
    /// The image that it is to run.
    pub image: Option<String>,
    /// How many tasks of its deployment have failed.
    pub failed: i32,
    /// For how many seconds its deployment has been there.
    pub age_seconds: Option<i64>,
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
    let images = services.iter().map(|service| async {
        let arn = primary(service).and_then(Deployment::task_definition)?;
        // What cannot be had is left out: the rest is worth being seen.
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
        revision: primary(service).and_then(Deployment::task_definition).map(|arn| crate::last_part(arn).to_owned()),
        target_groups: service
            .load_balancers()
            .iter()
            .filter_map(|balancer| balancer.target_group_arn().map(str::to_owned))
            .collect(),
    };
    Ok(services.iter().zip(images).map(status).collect())
}
