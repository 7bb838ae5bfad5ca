//! What is told about a rollout that failed: how its tasks ended, the last events, what they said last, and what runs now.

use crate::container::{LogSpec, log_of_ecs};
use crate::crashes;
use crate::deployments::ROLLED_BACK;
use crate::one_off;
use crate::revisions;
use crate::rollout::{Wanted, brief, events, revision};
use crate::service_spec::primary;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Container, ContainerDefinition, Service, Task, TaskDefinition};
use pb_aws::Answer;
use pb_engine::{Class, Failure};
use pb_rules::secrets::shown_text;
use std::collections::BTreeMap;

/// How many events of the service are told.
const EVENTS: usize = 5;
/// How many different ends of tasks are told.
const ENDS: usize = 3;
/// How many lines of the log are told.
const LINES: i32 = 10;

/// Asks what there is to tell. What cannot be had is left out.
pub(crate) struct Report<'a> {
    pub ecs: &'a Client,
    /// Where logs are read; absent: nowhere.
    pub logs: Option<&'a aws_sdk_cloudwatchlogs::Client>,
    pub wanted: &'a Wanted<'a>,
}

impl Report<'_> {
    /// The failure of a rollout. `seen` is the service as it was when the failure was seen, `now` as it is after that;
    /// `afterwards` says what came of a rollback.
    pub(crate) async fn failed(
        &self,
        (class, reason): (Class, &str),
        seen: Option<&Service>,
        now: Option<&Service>,
        afterwards: Option<String>,
    ) -> Failure {
        // How tasks of other rollouts ended would only mislead.
        let tasks = crashes::stopped(self.ecs, self.wanted).await;
        let ends = ends(&tasks);
        let lacks_secrets = ends.iter().any(|end| one_off::lacks_secrets(end));
        let mut details: Vec<String> = ends.into_iter().map(|end| format!("stopped: {end}")).collect();
        let deployment = seen.and_then(|service| {
            let ours = service.deployments().iter().find(|deployment| deployment.id() == Some(self.wanted.deployment));
            ours.or_else(|| primary(service))
        });
        // What happened after the failure was seen is about the rollback. ECS gives the latest first; people read downwards.
        let told = seen.or(now).into_iter().flat_map(|service| events(service, deployment)).take(EVENTS);
        let told: Vec<String> = told.map(|event| format!("event: {event}")).collect();
        details.extend(told.into_iter().rev());
        if let Some(task) = failing(&tasks) {
            details.extend(self.last_words(task).await);
        }
        let undone = afterwards.as_ref().is_some_and(|afterwards| afterwards.starts_with(ROLLED_BACK));
        details.extend(afterwards);
        details.extend(now.or(seen).map(running));
        let failure = Failure::new(class, format!("roll out {}", self.wanted.service), reason).details(details);
        let failure = Failure { undone, ..failure };
        if lacks_secrets { failure.hint(one_off::LET_READ) } else { failure }
    }

    /// What the task wrote last, the earliest line first; that it wrote nothing is worth knowing, too.
    async fn last_words(&self, task: &Task) -> Vec<String> {
        let Some((logs, (group, stream))) = self.logs.zip(self.log_place(task).await) else { return Vec::new() };
        let call = logs.get_log_events().log_group_name(&group).log_stream_name(&stream);
        let lines: Vec<String> = match call.limit(LINES).start_from_head(false).send().await.answer("logs:GetLogEvents")
        {
            Ok(answer) => answer.events().iter().filter_map(OutputLogEvent::message).map(log_line).collect(),
            Err(failure) if failure.is("ResourceNotFoundException") => Vec::new(),
            Err(_) => return Vec::new(),
        };
        let ran = task.containers().iter().any(|container| container.exit_code().is_some());
        match lines.is_empty() && ran {
            true => vec![format!("log: the container wrote nothing ({group}, stream {stream})")],
            false => lines,
        }
    }

    /// Log group and stream of a task. (ECS developer guide: awslogs-stream-prefix)
    async fn log_place(&self, task: &Task) -> Option<(String, String)> {
        let revision = revisions::describe(self.ecs, self.wanted.task_definition).await.ok()??;
        let (name, log) = first_log(&revision.definition)?;
        let id = crate::last_part(task.task_arn()?);
        Some((log.group, format!("{}/{name}/{id}", log.stream_prefix)))
    }
}

fn log_line(text: &str) -> String {
    format!("log: {}", shown_text(text.trim_end()))
}

/// The task whose log is told: one that exited with an error, else the latest.
fn failing(tasks: &[Task]) -> Option<&Task> {
    let failed =
        |task: &&Task| task.containers().iter().any(|container| container.exit_code().is_some_and(|code| code != 0));
    tasks.iter().find(failed).or_else(|| tasks.first())
}

/// What a service runs now, in words.
fn running(service: &Service) -> String {
    let all = service.deployments().iter().filter(|deployment| deployment.running_count() > 0);
    let all: Vec<String> = all.map(|one| format!("{} in {}", one.running_count(), revision(one))).collect();
    let desired = service.desired_count();
    match all.is_empty() {
        true => format!("running now: nothing, {desired} wanted"),
        false => format!("running now: {} of {desired} wanted tasks: {}", service.running_count(), all.join(", ")),
    }
}

/// The different ends of tasks, each with how many ended so.
fn ends(tasks: &[Task]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for task in tasks {
        let end = end(task);
        if !counts.contains_key(&end) {
            order.push(end.clone());
        }
        *counts.entry(end).or_default() += 1;
    }
    let count = |end: &String| counts.get(end).copied().unwrap_or_default();
    order.iter().take(ENDS).map(|end| format!("{} x {end}", count(end))).collect()
}

/// How one task ended: its reason, and the exit code or reason of each container.
fn end(task: &Task) -> String {
    let reason = brief(task.stopped_reason().unwrap_or("no reason given").trim_end_matches('.'));
    let containers: Vec<String> = task.containers().iter().filter_map(|container| exit(container, &reason)).collect();
    if containers.is_empty() { reason } else { format!("{reason} ({})", containers.join(", ")) }
}

fn exit(container: &Container, known: &str) -> Option<String> {
    let name = container.name().unwrap_or_default();
    let reason = container.reason().filter(|reason| !known.contains(reason.trim_end_matches('.')));
    match (container.exit_code(), reason) {
        (Some(code), Some(reason)) => Some(format!("{name} exited with {code}: {reason}")),
        (Some(code), None) => Some(format!("{name} exited with {code}")),
        (None, Some(reason)) => Some(format!("{name}: {reason}")),
        (None, None) => None,
    }
}

fn first_log(definition: &TaskDefinition) -> Option<(&str, LogSpec)> {
    let log = |container: &ContainerDefinition| container.log_configuration().and_then(log_of_ecs);
    let mut containers = definition.container_definitions().iter();
    containers.find_map(|container| Some((container.name().unwrap_or_default(), log(container)?)))
}

#[cfg(test)]
mod tests;
