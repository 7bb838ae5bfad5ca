//! Detection of crash loops: tasks of a rollout that start and exit with an error.
//!
//! The circuit breaker of ECS counts tasks that fail to start and tasks whose health checks fail. It does not count
//! tasks that start and exit later. A rollout with such tasks may continue for hours, and ECS completes it as soon as
//! all its tasks run at the same moment. (ECS developer guide: How the deployment circuit breaker detects failures)

use crate::resources::service::spec::primary;
use crate::rollout::status::ExpectedDeployment;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    DeploymentConfiguration, DesiredStatus, Service, Task, TaskStopCode, ThresholdConfiguration, ThresholdType,
};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of tasks in one DescribeTasks call. (ECS API: DescribeTasks)
const TASKS_PER_CALL: i32 = 100;

/// Interval between the checks for stopped tasks while a rollout is in progress.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Time without another crash after which a rollout that ECS has completed counts as succeeded despite earlier crashes.
const QUIET_PERIOD: Duration = Duration::from_secs(30);

/// Default threshold of the circuit breaker, in percent of the tasks. (ECS API: ThresholdConfiguration)
const DEFAULT_PERCENT: i32 = 50;
/// Lower bound of a `BOUNDED_PERCENT` threshold, in tasks. (ECS API: ThresholdConfiguration)
const MIN_FAILURES: i32 = 3;
/// Upper bound of a `BOUNDED_PERCENT` threshold, in tasks. (ECS API: ThresholdConfiguration)
const MAX_FAILURES: i32 = 200;

/// Returns the stopped tasks of the expected deployment, latest first; an empty list if they cannot be read.
pub(crate) async fn stopped_tasks(ecs: &Client, expected: &ExpectedDeployment<'_>) -> Vec<Task> {
    let ExpectedDeployment { cluster, service, deployment, .. } = *expected;
    let call = ecs.list_tasks().cluster(cluster).service_name(service);
    let listed = call.desired_status(DesiredStatus::Stopped).max_results(TASKS_PER_CALL).send().await;
    let arns = listed.map(|listed| listed.task_arns.unwrap_or_default()).unwrap_or_default();
    if arns.is_empty() {
        return Vec::new();
    }
    let described = ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns)).send().await;
    let tasks = described.map(|described| described.tasks.unwrap_or_default()).unwrap_or_default();
    let mut tasks: Vec<Task> = tasks.into_iter().filter(|task| task.started_by() == Some(deployment)).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.stopped_at().map(DateTime::secs)));
    tasks
}

/// Returns whether a task started and then exited with an error, without being stopped by ECS.
fn has_crashed(task: &Task) -> bool {
    task.started_at().is_some()
        && task.stop_code() == Some(&TaskStopCode::EssentialContainerExited)
        && task.containers().iter().any(|container| container.exit_code().is_some_and(|code| code != 0))
}

/// Returns the number of failed tasks at which the circuit breaker of a service ends a rollout, or `None` if the
/// circuit breaker is off.
fn threshold(service: &Service) -> Option<usize> {
    let breaker = service.deployment_configuration().and_then(DeploymentConfiguration::deployment_circuit_breaker)?;
    let given = breaker.threshold_configuration();
    let value = given.map_or(DEFAULT_PERCENT, ThresholdConfiguration::value);
    let share = service.desired_count().saturating_mul(value).saturating_add(99) / 100;
    let tasks = match given.map(ThresholdConfiguration::r#type) {
        Some(ThresholdType::Count) => value,
        Some(ThresholdType::UnboundedPercent) => share,
        _ => share.clamp(MIN_FAILURES, MAX_FAILURES),
    };
    breaker.enable().then(|| usize::try_from(tasks.max(1)).unwrap_or(usize::MAX))
}

/// Result of a check for crashed tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CrashCheck {
    /// No crash within the quiet period.
    None,
    /// Crashes within the quiet period: a rollout that ECS has completed does not count as succeeded yet.
    Recent(String),
    /// A crash loop: the rollout counts as failed, although ECS does not report a failure.
    TooMany(String),
}

/// Watch for crashed tasks during the wait for a rollout.
pub(crate) struct CrashWatch {
    checked_at: Option<Instant>,
    known: usize,
    grew_at: Instant,
    last: CrashCheck,
}

impl CrashWatch {
    pub(crate) fn new() -> Self {
        Self { checked_at: None, known: 0, grew_at: Instant::now(), last: CrashCheck::None }
    }

    /// Returns the result of the last check. Repeats the check first if it is older than [`CHECK_INTERVAL`], or if
    /// `now` is set.
    pub(crate) async fn check(
        &mut self,
        ecs: &Client,
        expected: &ExpectedDeployment<'_>,
        service: &Service,
        now: bool,
    ) -> CrashCheck {
        if now || self.checked_at.is_none_or(|at| at.elapsed() >= CHECK_INTERVAL) {
            let ended = stopped_tasks(ecs, expected).await.iter().filter(|task| has_crashed(task)).count();
            self.checked_at = Some(Instant::now());
            self.last = self.evaluate(ended, service);
        }
        self.last.clone()
    }

    fn evaluate(&mut self, ended: usize, service: &Service) -> CrashCheck {
        if ended > self.known {
            (self.known, self.grew_at) = (ended, Instant::now());
        }
        if ended == 0 {
            return CrashCheck::None;
        }
        let words = format!("{} started and exited with an error", crate::text::counted(ended, "task"));
        let counted = primary(service).map_or(0, |primary| usize::try_from(primary.failed_tasks()).unwrap_or_default());
        match threshold(service) {
            // Failures that ECS counts are left to its circuit breaker.
            Some(most) if ended >= most && counted < ended => CrashCheck::TooMany(words),
            _ if self.grew_at.elapsed() < QUIET_PERIOD => CrashCheck::Recent(words),
            _ => CrashCheck::None,
        }
    }
}

#[cfg(test)]
mod tests;
