//! Service deployments: what ECS remembers of each rollout, for 90 days. (ECS developer guide: View service history)

use crate::rollout::ExpectedDeployment;
use crate::service::ServiceAttrs;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::primitives::{DateTime, DateTimeFormat};
use aws_sdk_ecs::types::{ServiceDeploymentBrief, ServiceDeploymentStatus as Status, StopServiceDeploymentStopType};
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Revisions that DescribeServiceRevisions takes in one call. (ECS API: DescribeServiceRevisions)
const REVISIONS_PER_CALL: usize = 20;

/// How often a rollback that was asked for is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a rollout that was started may not be listed yet.
const LISTING_LAG: Duration = Duration::from_secs(15);

/// What is told of a rollout after which the revision before serves again begins with this.
pub const ROLLED_BACK: &str = "rolled back";

/// What comes of a rollout that fails before any other has succeeded.
pub(crate) const NO_PREVIOUS_REVISION: &str = "there is nothing to go back to: none of its rollouts has succeeded yet";

/// One rollout, as ECS remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceDeployment {
    /// ARN of the service deployment.
    pub arn: String,
    /// ARN of the task definition that it was to bring.
    pub task_definition: String,
    /// `SUCCESSFUL`, `ROLLBACK_SUCCESSFUL`, `IN_PROGRESS`, ...
    pub status: String,
    /// Why it has that status, in the words of ECS.
    pub reason: Option<String>,
    /// When it was started: `2026-11-22T19:30:00Z`.
    pub started: Option<String>,
    /// When it ended.
    pub finished: Option<String>,
}

impl ServiceDeployment {
    /// Whether it succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == Status::Successful.as_str()
    }

    /// Whether it can still change.
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

/// The latest rollouts of a service, the latest first. A service that is not there has none.
///
/// # Errors
/// What ECS answers.
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
    // The API does not say in which order they come.
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

/// Of the rollouts, latest first, the one that we started: the latest, when it is about our revision.
pub(crate) fn matching<'a>(
    all: &'a [ServiceDeployment],
    expected: &ExpectedDeployment<'_>,
) -> Option<&'a ServiceDeployment> {
    all.first().filter(|deployment| deployment.task_definition == expected.task_definition)
}

/// The revision that served before `in_use` did: the latest other one whose rollout succeeded.
pub(crate) async fn previous_revision(client: &Client, attrs: &ServiceAttrs) -> Result<Option<String>, Failure> {
    let all = list(client, &attrs.cluster, &attrs.name).await?;
    let served = all.into_iter().filter(ServiceDeployment::succeeded);
    Ok(served.map(|deployment| deployment.task_definition).find(|arn| *arn != attrs.task_definition))
}

/// What came of a rollout that was to be given up, in words.
pub(crate) fn rollback_outcome(deployment: &ServiceDeployment) -> String {
    let reason =
        deployment.reason.as_deref().map(|reason| format!(": {}", reason.trim_end_matches('.'))).unwrap_or_default();
    match Status::from(deployment.status.as_str()) {
        Status::RollbackSuccessful => format!("{ROLLED_BACK}: the revision before serves again"),
        Status::RollbackFailed => format!("the rollback failed too{reason}"),
        Status::Stopped => format!("not rolled back{reason}"),
        Status::Successful => {
            "ECS had completed it before it could be given up: going back takes another rollout".to_owned()
        }
        _ => format!("the rollback still goes on ({})", deployment.status),
    }
}

/// Stops the rollout that we started and rolls back; waits until that has ended, for `within`. In words, what came of it.
///
/// # Errors
/// What ECS answers.
pub async fn stop_rollout(config: &SdkConfig, attrs: &ServiceAttrs, within: Duration) -> Result<String, Failure> {
    stop(&Client::new(config), attrs, within).await
}

pub(crate) async fn stop(client: &Client, attrs: &ServiceAttrs, within: Duration) -> Result<String, Failure> {
    let Some(open) = find_started(client, attrs).await? else {
        return Ok("ECS does not know it: another one was started since, or it may still go on".to_owned());
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
        // It ended meanwhile, or is being rolled back by itself.
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
            None => return Ok("ECS does not know it any more".to_owned()),
        }
    }
}

/// The rollout that we started; one that was started a moment ago may be listed late.
async fn find_started(client: &Client, attrs: &ServiceAttrs) -> Result<Option<ServiceDeployment>, Failure> {
    let until = Instant::now() + LISTING_LAG;
    loop {
        let all = list(client, &attrs.cluster, &attrs.name).await?;
        match matching(&all, &crate::service::expected(attrs)) {
            None if Instant::now() < until => sleep(POLL_INTERVAL).await,
            found => return Ok(found.cloned()),
        }
    }
}

#[cfg(test)]
mod tests;
