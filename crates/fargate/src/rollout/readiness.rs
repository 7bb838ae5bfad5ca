//! Readiness of the tasks of a rollout: a text that each of them logs when it is ready.
//!
//! For ECS, a task that serves no requests is as good as RUNNING. A worker that cannot use its queue can keep this status
//! while it retries for most of an hour. (docs/celery.md: the measurements)

use crate::resources::container::LogSpec;
use crate::revisions;
use crate::rollout::diagnosis::{self, Symptom};
use crate::rollout::failure_report::{first_log, log_line};
use crate::rollout::status::ExpectedDeployment;
use crate::tasks::logs::{LogQuery, Logs};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Deployment, DesiredStatus, Service};
use pb_aws::ForOperation;
use pb_engine::Failure;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Shortest and longest interval between two reads of the log. CloudWatch Logs allows few FilterLogEvents calls a second
/// for an account. (CloudWatch Logs quotas: FilterLogEvents)
const INTERVALS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// Divisor that gives the interval from the time that the watch has waited so far.
const INTERVAL_SHARE: u32 = 20;

/// Interval between two reads of the last log lines of a task that is not ready.
const DIAGNOSIS_INTERVAL: Duration = Duration::from_secs(10);
/// Number of last log lines in which a symptom is searched.
const DIAGNOSIS_LINES: usize = 10;

/// Time by which the clocks of the tasks may be behind that of ECS.
const CLOCK_SKEW_MILLIS: i64 = 60_000;

/// Age up to which the log of a deployment is certainly complete: the shortest retention. (CloudWatch Logs API:
/// PutRetentionPolicy)
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// Result of a check of the tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadyCheck {
    /// Each task has logged the text.
    Ready,
    /// Some tasks have not logged the text yet; the text describes the progress.
    Pending(String),
    /// Some tasks will not log the text, for the reason in the text.
    Failed(String),
}

/// Log streams of the tasks of a revision: the log group, and the prefix before the id of a task. (ECS developer guide:
/// awslogs-stream-prefix)
struct Streams {
    group: String,
    prefix: String,
}

/// Watch for the text in the logs of the tasks of a rollout that ECS has completed.
pub(crate) struct ReadyWatch {
    text: String,
    began: Instant,
    checked_at: Option<Instant>,
    diagnosed_at: Instant,
    streams: Option<Streams>,
    /// Ids of the tasks that have logged the text.
    ready: BTreeSet<String>,
    /// Ids of the running tasks that have not, as of the last check.
    waiting: Vec<String>,
    /// Symptom of a task that is not ready, its log line, and the time since which no check has found another symptom or
    /// another ready task.
    symptom: Option<(Symptom, String, Instant)>,
    last: ReadyCheck,
}

impl ReadyWatch {
    /// Creates a watch for a text.
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            began: Instant::now(),
            checked_at: None,
            diagnosed_at: Instant::now(),
            streams: None,
            ready: BTreeSet::new(),
            waiting: Vec::new(),
            symptom: None,
            last: ReadyCheck::Pending(String::new()),
        }
    }

    /// Returns the ids of the running tasks that have not logged the text, as of the last check.
    pub(crate) fn waiting(&self) -> &[String] {
        &self.waiting
    }

    /// Returns the result of the last check. Repeats the check first if it is old enough.
    ///
    /// # Errors
    /// Any failure of ListTasks, DescribeTaskDefinition or FilterLogEvents.
    pub(crate) async fn check(
        &mut self,
        ecs: &Client,
        logs: &Logs,
        expected: &ExpectedDeployment<'_>,
        service: &Service,
    ) -> Result<ReadyCheck, Failure> {
        let now = Instant::now();
        if self.checked_at.is_none() {
            (self.began, self.diagnosed_at) = (now, now);
        }
        let interval = (self.began.elapsed() / INTERVAL_SHARE).clamp(INTERVALS.0, INTERVALS.1);
        if self.checked_at.is_none_or(|at| at.elapsed() >= interval) {
            self.last = self.evaluate(ecs, logs, expected, service).await?;
            self.checked_at = Some(now);
        }
        Ok(self.last.clone())
    }

    async fn evaluate(
        &mut self,
        ecs: &Client,
        logs: &Logs,
        expected: &ExpectedDeployment<'_>,
        service: &Service,
    ) -> Result<ReadyCheck, Failure> {
        let desired = usize::try_from(service.desired_count()).unwrap_or_default();
        if desired == 0 {
            return Ok(ReadyCheck::Ready);
        }
        let tasks = running_tasks(ecs, expected).await?;
        if tasks.len() < desired {
            return Ok(ReadyCheck::Pending("waiting for ECS to list all tasks".to_owned()));
        }
        if self.streams.is_none() {
            // There is nothing to read for a revision whose logs are sent elsewhere.
            let Some(streams) = streams(ecs, expected).await? else { return Ok(ReadyCheck::Ready) };
            self.streams = Some(streams);
        }
        let before = self.ready.len();
        self.waiting = tasks.iter().filter(|task| !self.ready.contains(*task)).cloned().collect();
        if !self.waiting.is_empty() {
            self.read(logs, &tasks, since(service, expected)).await?;
        }
        if self.waiting.is_empty() {
            return Ok(ReadyCheck::Ready);
        }
        if self.ready.len() > before {
            self.symptom = None;
        }
        if self.diagnosed_at.elapsed() >= DIAGNOSIS_INTERVAL {
            self.diagnose(logs).await;
        }
        Ok(self.verdict(tasks.len()))
    }

    /// Reads the lines with the text, until each task has one.
    async fn read(&mut self, logs: &Logs, tasks: &[String], since: i64) -> Result<(), Failure> {
        let Some(Streams { group, prefix }) = &self.streams else { return Ok(()) };
        let query =
            LogQuery { group: group.clone(), prefix: Some(prefix.clone()), since, filter: Some(phrase(&self.text)) };
        let (text, ready) = (&self.text, &mut self.ready);
        logs.read(&query, |lines| {
            ready.extend(lines.into_iter().filter(|line| line.message.contains(text)).map(|line| line.task));
            !tasks.iter().all(|task| ready.contains(task))
        })
        .await?;
        self.waiting.retain(|task| !self.ready.contains(task));
        Ok(())
    }

    /// Searches a symptom in the last log lines of a task that is not ready. A log that cannot be read shows none.
    async fn diagnose(&mut self, logs: &Logs) {
        self.diagnosed_at = Instant::now();
        let Some((Streams { group, prefix }, task)) = self.streams.as_ref().zip(self.waiting.first()) else { return };
        let lines = logs.last(group, &format!("{prefix}{task}"), DIAGNOSIS_LINES).await.unwrap_or_default();
        let lines: Vec<String> = lines.iter().map(|line| log_line(line)).collect();
        let found = diagnosis::first_line(&lines);
        self.symptom = found.map(|(symptom, line)| match &self.symptom {
            Some((known, _, since)) if *known == symptom => (symptom, line.to_owned(), *since),
            _ => (symptom, line.to_owned(), Instant::now()),
        });
    }

    fn verdict(&self, tasks: usize) -> ReadyCheck {
        let ready = tasks - self.waiting.len();
        let tasks = crate::text::counted(i32::try_from(tasks).unwrap_or(i32::MAX), "task");
        let mut words = format!("{ready} of {tasks} logged `{}`", self.text);
        let Some((symptom, line, since)) = &self.symptom else { return ReadyCheck::Pending(words) };
        words = format!("{words}; another logs: {line}");
        match symptom.is_permanent_after().is_some_and(|enough| since.elapsed() >= enough) {
            true => ReadyCheck::Failed(words),
            false => ReadyCheck::Pending(words),
        }
    }
}

/// Returns whether the current deployment of a service was started recently, so that its whole log still exists.
pub(crate) fn is_recent(service: &Service) -> bool {
    let created = crate::resources::service::spec::primary(service).and_then(Deployment::created_at);
    let age = created.and_then(|at| SystemTime::try_from(*at).ok()).and_then(|at| at.elapsed().ok());
    age.is_none_or(|age| age < RECENT)
}

/// Returns the time from which on the log may contain lines of the deployment, in milliseconds since 1970.
fn since(service: &Service, expected: &ExpectedDeployment<'_>) -> i64 {
    let mut deployments = service.deployments().iter();
    let own = deployments.find(|deployment| deployment.id() == Some(expected.deployment));
    let created = own.and_then(Deployment::created_at).and_then(|at| at.to_millis().ok());
    created.map_or(0, |at| (at - CLOCK_SKEW_MILLIS).max(0))
}

/// Returns the filter pattern for lines that contain a text: a quoted phrase. (CloudWatch Logs user guide: Filter pattern
/// syntax)
fn phrase(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Returns the ids of the tasks of the service that are to run. Once ECS has completed a rollout, all are of the expected
/// deployment.
async fn running_tasks(ecs: &Client, expected: &ExpectedDeployment<'_>) -> Result<Vec<String>, Failure> {
    let call = ecs.list_tasks().cluster(expected.cluster).service_name(expected.service);
    let pages = call.desired_status(DesiredStatus::Running).into_paginator();
    let arns: Result<Vec<String>, _> = pages.items().send().collect().await;
    Ok(arns.for_operation("ecs:ListTasks")?.iter().map(|arn| crate::names::last_part(arn).to_owned()).collect())
}

/// Returns the log streams of the tasks; `None` if the revision does not send its logs to CloudWatch Logs.
async fn streams(ecs: &Client, expected: &ExpectedDeployment<'_>) -> Result<Option<Streams>, Failure> {
    let revision = revisions::describe(ecs, expected.task_definition).await?;
    let log = revision.as_ref().and_then(|revision| first_log(&revision.definition));
    let streams =
        |(name, log): (&str, LogSpec)| Streams { prefix: format!("{}/{name}/", log.stream_prefix), group: log.group };
    Ok(log.map(streams))
}

#[cfg(test)]
mod tests;
