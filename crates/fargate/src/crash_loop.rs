//! Tasks of a rollout that ran and then ended by themselves.
//!
//! The breaker of ECS counts tasks that do not come to run and tasks whose health checks fail. One that runs and exits is
//! neither: such a rollout may go on for hours, and is even completed for the moment in which all its tasks run. (ECS
//! developer guide: How the deployment circuit breaker detects failures)

use crate::rollout::ExpectedDeployment;
use crate::service_spec::primary;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    DeploymentConfiguration, DesiredStatus, Service, Task, TaskStopCode, ThresholdConfiguration, ThresholdType,
};
use std::time::Duration;
use tokio::time::Instant;

/// Names that DescribeTasks takes in one call. (ECS API: DescribeTasks)
const TASKS_PER_CALL: i32 = 100;

/// How often tasks that ended are looked for while a rollout goes on.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long no task may end by itself, where some did, until a completed rollout is believed.
const QUIET_PERIOD: Duration = Duration::from_secs(30);

/// The threshold that the breaker has by itself, in percent of the tasks, and its bounds. (ECS API: ThresholdConfiguration)
const DEFAULT_PERCENT: i32 = 50;
const MIN_FAILURES: i32 = 3;
const MAX_FAILURES: i32 = 200;

/// The stopped tasks of our deployment, the latest first; what cannot be had is none.
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

/// Whether a task ran, and ended by itself with an error.
fn has_crashed(task: &Task) -> bool {
    task.started_at().is_some()
        && task.stop_code() == Some(&TaskStopCode::EssentialContainerExited)
        && task.containers().iter().any(|container| container.exit_code().is_some_and(|code| code != 0))
}

/// At how many failed tasks the breaker of a service gives up; none without a breaker.
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

/// What the tasks that ended mean for a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CrashCheck {
    /// Nothing that would be worth telling.
    None,
    /// So many ended lately: a rollout that is completed is not believed yet.
    Recent(String),
    /// So many that the rollout has failed, though ECS does not say so.
    TooMany(String),
}

/// Looks for tasks that ended while a rollout is waited for.
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

    /// What is known; `now` looks again though it was looked a moment ago.
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
        let words = format!("{ended} {} ran and ended with an error", if ended == 1 { "task" } else { "tasks" });
        let counted = primary(service).map_or(0, |primary| usize::try_from(primary.failed_tasks()).unwrap_or_default());
        match threshold(service) {
            // What ECS counts itself is left to its breaker.
            Some(most) if ended >= most && counted < ended => CrashCheck::TooMany(words),
            _ if self.grew_at.elapsed() < QUIET_PERIOD => CrashCheck::Recent(words),
            _ => CrashCheck::None,
        }
    }
}

#[cfg(test)]
mod tests;
