//! Service deployments: the records that ECS keeps of rollouts for 90 days. (ECS developer guide: View service history)

use crate::resources::service::attrs::{ServiceAttrs, expected};
use crate::rollout::status::ExpectedDeployment;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::primitives::{DateTime, DateTimeFormat};
use aws_sdk_ecs::types::{
    DeploymentLifecycleHookDetail, DeploymentLifecycleHookStatus, ServiceDeploymentBrief,
    ServiceDeploymentStatus as Status, StopServiceDeploymentStopType,
};
use aws_types::SdkConfig;
use pb_aws::{ForOperation, in_region};
use pb_engine::{Class, Failure};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Maximum number of revisions in one DescribeServiceRevisions call. (ECS API: DescribeServiceRevisions)
const REVISIONS_PER_CALL: usize = 20;

/// Polling interval while a requested rollback is in progress.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Time after the start of a rollout during which ECS may not list the rollout yet.
const LISTING_LAG: Duration = Duration::from_secs(15);

/// Outcome of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackOutcome {
    /// Set if the previous revision is serving again.
    pub rolled_back: bool,
    /// Description of the outcome.
    pub text: String,
}

impl RollbackOutcome {
    /// Returns the outcome of a rollback after which the previous revision does not serve, or may not serve yet.
    pub fn not_rolled_back(text: impl Into<String>) -> Self {
        Self { rolled_back: false, text: text.into() }
    }
}

/// Outcome of a failed rollout if no earlier rollout of the service has succeeded.
pub(crate) const NO_PREVIOUS_REVISION: &str =
    "there is nothing to roll back to: no rollout of this service has succeeded";

/// The record that ECS keeps of one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceDeployment {
    /// ARN of the service deployment.
    pub arn: String,
    /// ARN of the revision that is rolled out.
    pub task_definition: String,
    /// Status, such as `SUCCESSFUL`, `ROLLBACK_SUCCESSFUL` or `IN_PROGRESS`.
    pub status: String,
    /// Reason for the status, as ECS gives it.
    pub reason: Option<String>,
    /// Start time: `2026-11-22T19:30:00Z`.
    pub started: Option<String>,
    /// End time; absent until the rollout has ended.
    pub finished: Option<String>,
}

impl ServiceDeployment {
    /// Returns whether the rollout succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == Status::Successful.as_str()
    }

    /// Returns whether the status can still change.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let open = [
            Status::Pending,
            Status::InProgress,
            Status::StopRequested,
            Status::RollbackRequested,
            Status::RollbackInProgress,
        ];
        open.iter().any(|status| status.as_str() == self.status)
    }
}

/// Lists the last service deployments of a service, at most 100, latest first. Returns an empty list for a service that
/// does not exist.
///
/// # Errors
/// Any failure of the ECS calls.
pub async fn service_deployments(
    config: &SdkConfig,
    cluster: &str,
    service: &str,
) -> Result<Vec<ServiceDeployment>, Failure> {
    list(&Client::new(config), cluster, service).await
}

pub(crate) async fn list(client: &Client, cluster: &str, service: &str) -> Result<Vec<ServiceDeployment>, Failure> {
    let call = client.list_service_deployments().cluster(cluster).service(service).max_results(100);
    let mut briefs = match call.send().await.for_operation("ecs:ListServiceDeployments") {
        Ok(answer) => answer.service_deployments.unwrap_or_default(),
        Err(failure) if failure.class == Class::NotFound => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    // The API reference does not specify the order.
    briefs.sort_by_key(|brief| Reverse(brief.created_at().map(|at| (at.secs(), at.subsec_nanos()))));
    let mut revisions: Vec<String> =
        briefs.iter().filter_map(|brief| brief.target_service_revision_arn.clone()).collect();
    revisions.sort_unstable();
    revisions.dedup();
    let mut task_definitions: BTreeMap<String, String> = BTreeMap::new();
    for arns in revisions.chunks(REVISIONS_PER_CALL) {
        let call = client.describe_service_revisions().set_service_revision_arns(Some(arns.to_vec()));
        let answer = call.send().await.for_operation("ecs:DescribeServiceRevisions")?;
        task_definitions.extend(
            answer
                .service_revisions
                .unwrap_or_default()
                .into_iter()
                .filter_map(|revision| Some((revision.service_revision_arn?, revision.task_definition?))),
        );
    }
    Ok(briefs.iter().map(|brief| service_deployment(brief, &task_definitions)).collect())
}

fn service_deployment(
    brief: &ServiceDeploymentBrief,
    task_definitions: &BTreeMap<String, String>,
) -> ServiceDeployment {
    let time =
        |at: Option<&DateTime>| at.and_then(|at| DateTime::from_secs(at.secs()).fmt(DateTimeFormat::DateTime).ok());
    let target = brief.target_service_revision_arn().unwrap_or_default();
    ServiceDeployment {
        arn: brief.service_deployment_arn().unwrap_or_default().to_owned(),
        task_definition: task_definitions.get(target).cloned().unwrap_or_default(),
        status: brief.status().map_or("UNKNOWN", Status::as_str).to_owned(),
        reason: brief.status_reason().filter(|reason| !reason.is_empty()).map(str::to_owned),
        started: time(brief.started_at().or(brief.created_at())),
        finished: time(brief.finished_at()),
    }
}

/// Returns the deployment that this program started: the first in `all`, which is sorted latest first, if it has the
/// expected revision.
pub(crate) fn matching<'a>(
    all: &'a [ServiceDeployment],
    expected: &ExpectedDeployment<'_>,
) -> Option<&'a ServiceDeployment> {
    all.first().filter(|deployment| deployment.task_definition == expected.task_definition)
}

/// Returns the revision that served before the one in `attrs`: the latest other revision whose rollout succeeded.
pub(crate) async fn previous_revision(client: &Client, attrs: &ServiceAttrs) -> Result<Option<String>, Failure> {
    let all = list(client, &attrs.cluster, &attrs.name).await?;
    let served = all.into_iter().filter(ServiceDeployment::succeeded);
    Ok(served.map(|deployment| deployment.task_definition).find(|arn| *arn != attrs.task_definition))
}

/// Describes the outcome of a rollback, according to the status of the service deployment.
pub(crate) fn rollback_outcome(deployment: &ServiceDeployment) -> RollbackOutcome {
    let reason =
        deployment.reason.as_deref().map(|reason| format!(": {}", reason.trim_end_matches('.'))).unwrap_or_default();
    let text = match Status::from(deployment.status.as_str()) {
        Status::RollbackSuccessful => {
            let text = "rolled back: the previous revision is serving again".to_owned();
            return RollbackOutcome { rolled_back: true, text };
        }
        Status::RollbackFailed => format!("the rollback failed too{reason}"),
        Status::Stopped => format!("not rolled back{reason}"),
        Status::Successful => "ECS had already completed the rollout; rolling back requires another rollout".to_owned(),
        _ => format!("the rollback is still in progress ({})", deployment.status),
    };
    RollbackOutcome::not_rolled_back(text)
}

/// Stops the rollout of the service with `attrs` and rolls it back, waits at most `within` for the end of the rollback,
/// and describes the outcome.
///
/// # Errors
/// Any failure of the ECS calls.
pub async fn stop_rollout(
    config: &SdkConfig,
    attrs: &ServiceAttrs,
    within: Duration,
) -> Result<RollbackOutcome, Failure> {
    stop(&Client::new(config), attrs, within).await
}

pub(crate) async fn stop(client: &Client, attrs: &ServiceAttrs, within: Duration) -> Result<RollbackOutcome, Failure> {
    let Some(open) = find_started(client, attrs).await? else {
        return Ok(RollbackOutcome::not_rolled_back(
            "ECS does not list this rollout: another rollout was started, or this one may still be in progress",
        ));
    };
    if !open.is_open() {
        return Ok(rollback_outcome(&open));
    }
    let call = client.stop_service_deployment().service_deployment_arn(&open.arn);
    match call
        .stop_type(StopServiceDeploymentStopType::Rollback)
        .send()
        .await
        .for_operation("ecs:StopServiceDeployment")
    {
        // The rollout has ended in the meantime, or ECS is already rolling it back.
        Err(failure) if failure.is("ConflictException") => {}
        answer => drop(answer?),
    }
    let until = Instant::now() + within;
    loop {
        let now =
            list(client, &attrs.cluster, &attrs.name).await?.into_iter().find(|deployment| deployment.arn == open.arn);
        match now {
            Some(deployment) if deployment.is_open() && Instant::now() < until => sleep(POLL_INTERVAL).await,
            Some(deployment) => return Ok(rollback_outcome(&deployment)),
            None => return Ok(RollbackOutcome::not_rolled_back("ECS does not list this rollout any more")),
        }
    }
}

/// Describes the lifecycle hook at which the rollout of the service with `attrs` is paused, with the command that
/// continues the rollout; `None` if it is not paused, or if that cannot be read.
pub(crate) async fn paused_at(client: &Client, attrs: &ServiceAttrs) -> Option<String> {
    let all = list(client, &attrs.cluster, &attrs.name).await.ok()?;
    let arn = &matching(&all, &expected(attrs))?.arn;
    let described = client.describe_service_deployments().service_deployment_arns(arn).send().await.ok()?;
    let deployment = described.service_deployments().first()?;
    let waits =
        |hook: &&DeploymentLifecycleHookDetail| hook.status() == Some(&DeploymentLifecycleHookStatus::AwaitingAction);
    let hook = deployment.lifecycle_hook_details().iter().find(waits)?.hook_id()?;
    let stage = deployment.lifecycle_stage().map_or("unknown", |stage| stage.as_str());
    let command = format!(
        "aws ecs continue-service-deployment --service-deployment-arn {arn} --hook-id {hook} --action CONTINUE"
    );
    let command = in_region(&command, client.config().region());
    Some(format!("paused by a lifecycle hook at {stage}; continue with `{command}`"))
}

/// Returns the rollout that this program started. Waits at most [`LISTING_LAG`] until ECS lists it.
async fn find_started(client: &Client, attrs: &ServiceAttrs) -> Result<Option<ServiceDeployment>, Failure> {
    let until = Instant::now() + LISTING_LAG;
    loop {
        let all = list(client, &attrs.cluster, &attrs.name).await?;
        match matching(&all, &expected(attrs)) {
            None if Instant::now() < until => sleep(POLL_INTERVAL).await,
            found => return Ok(found.cloned()),
        }
    }
}

#[cfg(test)]
mod tests;
