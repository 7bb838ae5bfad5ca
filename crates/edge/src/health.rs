//! Target health for display.

use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthDescription};
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure};
use pb_rules::health_checks::FailedCheck;
use serde::Serialize;

/// Health of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetHealth {
    /// Address and port, such as `10.0.1.17:5050`.
    pub address: String,
    /// State: `initial`, `healthy`, `unhealthy`, `draining` or `unused`.
    pub state: String,
    /// Reason why the target is not healthy, as AWS describes it.
    pub reason: Option<String>,
}

/// Returns the health of each target of a group; none if the group does not exist.
///
/// # Errors
/// The error of `elasticloadbalancing:DescribeTargetHealth`.
pub async fn target_health(config: &SdkConfig, target_group_arn: &str) -> Result<Vec<TargetHealth>, Failure> {
    read_target_health(&aws_sdk_elasticloadbalancingv2::Client::new(config), target_group_arn).await
}

/// Does the same as [`target_health`], but with the given client.
pub(crate) async fn read_target_health(
    client: &aws_sdk_elasticloadbalancingv2::Client,
    target_group_arn: &str,
) -> Result<Vec<TargetHealth>, Failure> {
    let answer = client.describe_target_health().target_group_arn(target_group_arn).send().await;
    match answer.for_operation("elasticloadbalancing:DescribeTargetHealth") {
        Ok(output) => Ok(output.target_health_descriptions().iter().map(health).collect()),
        Err(failure) if failure.class == Class::NotFound => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

fn health(description: &TargetHealthDescription) -> TargetHealth {
    let target = description.target();
    let id = target.and_then(|target| target.id()).unwrap_or_default();
    let port = target.and_then(TargetDescription::port).map(|port| format!(":{port}")).unwrap_or_default();
    let health = description.target_health();
    TargetHealth {
        address: format!("{id}{port}"),
        state: health.and_then(|health| health.state()).map_or("unknown", |state| state.as_str()).to_owned(),
        reason: health.and_then(|health| health.description()).map(|words| words.trim_end_matches('.').to_owned()),
    }
}

/// Returns the cause and the remedy, if the status code of a failed health check shows them.
pub(crate) fn hint(targets: &[TargetHealth]) -> Option<&'static str> {
    let unhealthy = targets.iter().filter(|target| target.state == "unhealthy");
    unhealthy.filter_map(|target| target.reason.as_deref()).find_map(FailedCheck::find).map(FailedCheck::hint)
}

/// Returns one line per target, with its state and the reason.
pub(crate) fn describe(targets: &[TargetHealth]) -> Vec<String> {
    if targets.is_empty() {
        return vec!["no target is registered".to_owned()];
    }
    let target = |target: &TargetHealth| {
        let reason = target.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("target {}: {}{reason}", target.address, target.state)
    };
    targets.iter().map(target).collect()
}
