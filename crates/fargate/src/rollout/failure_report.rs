//! Report of a failed rollout: the exits of its tasks, the last events, the last log lines, and the running tasks.

use crate::resources::container::{LogSpec, log_from_ecs};
use crate::resources::service::spec::primary;
use crate::revisions;
use crate::rollout::deployments::RollbackOutcome;
use crate::rollout::status::{ExpectedDeployment, events, revision_name, shorten_ids};
use crate::rollout::{crash_loop, diagnosis};
use crate::tasks::one_off;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Container, ContainerDefinition, Service, Task, TaskDefinition};
use pb_aws::ForOperation;
use pb_engine::{Cause, Class, FailedRollout, Failure};
use pb_rules::secrets::{mask_passwords, redact_text};
use std::collections::BTreeMap;

/// Maximum number of service events in a report.
const MAX_EVENTS: usize = 5;
/// Maximum number of distinct task exits in a report.
const MAX_EXITS: usize = 3;
/// Maximum number of log lines in a report.
const LOG_LINES: i32 = 10;

/// Remedy if running tasks have not logged that they are ready, and their log shows no known symptom.
const NOT_READY_HINT: &str = "the log shows how far the task is; if the program logs another text when it is ready, or \
                              hides the line by its log level, correct `ready_log` or the level";

/// Builder of a failure report. It omits everything that cannot be read.
pub(crate) struct FailureReport<'a> {
    pub ecs: &'a Client,
    /// Client for logs; if absent, the report has no log lines.
    pub logs: Option<&'a aws_sdk_cloudwatchlogs::Client>,
    pub expected: &'a ExpectedDeployment<'a>,
    /// Ids of the running tasks that have not logged that they are ready.
    pub not_ready: &'a [String],
}

impl FailureReport<'_> {
    /// Returns the failure of a rollout. `seen` is the service at the time when the failure was detected, `now` is the
    /// service after the rollback, and `rollback` is the outcome of the rollback.
    pub(crate) async fn failure(
        &self,
        (class, reason): (Class, &str),
        seen: Option<&Service>,
        now: Option<&Service>,
        rollback: Option<RollbackOutcome>,
    ) -> Failure {
        // Only tasks of this rollout are reported: the exits of other tasks would be misleading.
        let tasks = crash_loop::stopped_tasks(self.ecs, self.expected).await;
        let exits = distinct_exits(&tasks);
        let lacks_secrets = exits.iter().any(|exit| one_off::lacks_secrets(exit));
        let deployment = seen.and_then(|service| {
            let ours =
                service.deployments().iter().find(|deployment| deployment.id() == Some(self.expected.deployment));
            ours.or_else(|| primary(service))
        });
        // The events come from `seen` if possible, because later events are about the rollback. ECS returns events
        // latest first; the report lists them earliest first.
        let recent = seen.or(now).into_iter().flat_map(|service| events(service, deployment)).take(MAX_EVENTS);
        let mut events: Vec<String> = recent.collect();
        events.reverse();
        let log = match (self.not_ready.first(), representative(&tasks)) {
            (Some(id), _) => self.last_log_lines(id, true).await,
            (None, Some(task)) => {
                let ran = task.containers().iter().any(|container| container.exit_code().is_some());
                self.last_log_lines(crate::names::last_part(task.task_arn().unwrap_or_default()), ran).await
            }
            (None, None) => Vec::new(),
        };
        let symptoms = diagnosis::symptoms(&tasks, &events, &log);
        let rollout = FailedRollout {
            exits,
            events,
            log,
            not_ready: self.not_ready.to_vec(),
            symptoms: symptoms.iter().map(|symptom| symptom.name()).collect(),
            rolled_back: rollback.as_ref().is_some_and(|rollback| rollback.rolled_back),
            rollback: rollback.map(|rollback| rollback.text),
            running: now.or(seen).map(running_tasks),
        };
        let failure = Failure::new(class, format!("roll out {}", self.expected.service), reason);
        let mut failure = failure.cause(Cause::Rollout(Box::new(rollout)));
        let secrets = lacks_secrets.then(|| one_off::SECRET_ACCESS_HINT.to_owned());
        let not_ready = || (!self.not_ready.is_empty()).then(|| NOT_READY_HINT.to_owned());
        failure.hint = secrets.or_else(|| diagnosis::hint(&symptoms)).or_else(not_ready);
        failure
    }

    /// Returns the last log lines of a task, earliest first, or one line that says that its container, which `ran`, wrote
    /// nothing.
    async fn last_log_lines(&self, id: &str, ran: bool) -> Vec<String> {
        let Some((logs, (group, stream))) = self.logs.zip(self.log_stream(id).await) else { return Vec::new() };
        let call = logs.get_log_events().log_group_name(&group).log_stream_name(&stream);
        let lines: Vec<String> =
            match call.limit(LOG_LINES).start_from_head(false).send().await.for_operation("logs:GetLogEvents") {
                Ok(answer) => answer.events().iter().filter_map(OutputLogEvent::message).map(log_line).collect(),
                Err(failure) if failure.is("ResourceNotFoundException") => Vec::new(),
                Err(_) => return Vec::new(),
            };
        match lines.is_empty() && ran {
            true => vec![format!("the container wrote nothing (log group {group}, stream {stream})")],
            false => lines,
        }
    }

    /// Returns the log group and stream of a task. (ECS developer guide: awslogs-stream-prefix)
    async fn log_stream(&self, id: &str) -> Option<(String, String)> {
        let revision = revisions::describe(self.ecs, self.expected.task_definition).await.ok()??;
        let (name, log) = first_log(&revision.definition)?;
        Some((log.group, format!("{}/{name}/{id}", log.stream_prefix)))
    }
}

/// Returns a log line for display, without secrets.
pub(crate) fn log_line(text: &str) -> String {
    redact_text(&mask_passwords(text.trim_end()))
}

/// Returns the task whose log is reported: the latest task that exited with an error, or the latest task if none did.
fn representative(tasks: &[Task]) -> Option<&Task> {
    let failed =
        |task: &&Task| task.containers().iter().any(|container| container.exit_code().is_some_and(|code| code != 0));
    tasks.iter().find(failed).or_else(|| tasks.first())
}

/// Describes the running tasks of a service.
fn running_tasks(service: &Service) -> String {
    let all = service.deployments().iter().filter(|deployment| deployment.running_count() > 0);
    let all: Vec<String> = all.map(|one| format!("{} on {}", one.running_count(), revision_name(one))).collect();
    let desired = service.desired_count();
    match all.is_empty() {
        true => format!("running now: 0 of {}", crate::text::counted(desired, "task")),
        false => {
            let desired = crate::text::counted(desired, "task");
            format!("running now: {} of {desired} ({})", service.running_count(), all.join(", "))
        }
    }
}

/// Describes the distinct exits of tasks, each with the number of tasks that exited in this way.
fn distinct_exits(tasks: &[Task]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for task in tasks {
        let exit = task_exit(task);
        if !counts.contains_key(&exit) {
            order.push(exit.clone());
        }
        *counts.entry(exit).or_default() += 1;
    }
    let count = |exit: &String| counts.get(exit).copied().unwrap_or_default();
    order.iter().take(MAX_EXITS).map(|exit| format!("{} x {exit}", count(exit))).collect()
}

/// Describes the exit of a task: its stop reason, and the exit code or reason of each container.
fn task_exit(task: &Task) -> String {
    let reason = shorten_ids(task.stopped_reason().unwrap_or("no reason given").trim_end_matches('.'));
    let containers: Vec<String> =
        task.containers().iter().filter_map(|container| container_exit(container, &reason)).collect();
    if containers.is_empty() { reason } else { format!("{reason} ({})", containers.join(", ")) }
}

fn container_exit(container: &Container, known: &str) -> Option<String> {
    let name = container.name().unwrap_or_default();
    let reason = container.reason().filter(|reason| !known.contains(reason.trim_end_matches('.')));
    match (container.exit_code(), reason) {
        (Some(code), Some(reason)) => Some(format!("{name} exited with code {code}: {reason}")),
        (Some(code), None) => Some(format!("{name} exited with code {code}")),
        (None, Some(reason)) => Some(format!("{name}: {reason}")),
        (None, None) => None,
    }
}

/// Returns the name of the first container whose logs are sent to CloudWatch Logs, and their destination.
pub(crate) fn first_log(definition: &TaskDefinition) -> Option<(&str, LogSpec)> {
    let log = |container: &ContainerDefinition| container.log_configuration().and_then(log_from_ecs);
    let mut containers = definition.container_definitions().iter();
    containers.find_map(|container| Some((container.name().unwrap_or_default(), log(container)?)))
}

#[cfg(test)]
mod tests;
