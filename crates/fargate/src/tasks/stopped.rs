//! One-off tasks whose end a run waits for.

use crate::tags::Tags;
use crate::tasks::one_off::{OneOffState, TaskExit};
use crate::tasks::task_client::{StartedTask, TaskClient};
use pb_engine::{Backoff, Class, Context, Failure, Progress};
use std::time::Duration;
use tokio::time::sleep;

/// Number of reads of the log after the task has stopped, because the last lines can arrive a few seconds later.
const LOG_READS: usize = 5;

/// Interval between these reads.
const LOG_INTERVAL: Duration = Duration::from_millis(500);

/// Number of lines that are read.
const LOG_LINES: usize = 20;

/// A command that runs once, in a task with the revision and the network of a service.
#[derive(Debug, Clone)]
pub struct OneOffCommand {
    /// Name of the service.
    pub service: String,
    /// Name of the container that runs the command.
    pub container: String,
    /// Command with its arguments.
    pub command: Vec<String>,
    /// Tags of the task.
    pub tags: Tags,
}

/// A one-off task that has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedTask {
    /// Id of the task.
    pub id: String,
    /// Exit code and stop reason.
    pub exit: TaskExit,
    /// Log group and log stream of the container; absent if the container has no log configuration.
    pub log: Option<(String, String)>,
}

impl TaskClient {
    /// Runs a command in a one-off task and waits until the task has stopped, with whatever exit code. A repeated start
    /// in the same run, for example after a lost response, starts no second task. If the wait ends early, requests that
    /// the task stop.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run); `TimedOut` or `Interrupted` if the wait ends early.
    pub async fn run_until_stopped(
        &self,
        cx: &Context,
        one: &OneOffCommand,
        limits: Backoff,
    ) -> Result<StoppedTask, Failure> {
        let token = cx.client_token();
        let started = cx.wait("ecs:RunTask", limits, || self.try_start(one, &token)).await?;
        let ended = cx.wait("ecs:DescribeTasks", limits, || async {
            Ok(match self.one_off_state(&started.arn, &one.container).await? {
                Some(OneOffState::Stopped(exit)) => Progress::Ready(exit),
                Some(OneOffState::Running(state)) => Progress::Pending(state),
                None => Progress::Pending("task not visible yet".to_owned()),
            })
        });
        match ended.await {
            Ok(exit) => {
                let id = started.arn.rsplit('/').next().unwrap_or_default().to_owned();
                Ok(StoppedTask { id, exit, log: started.log })
            }
            Err(failure) => {
                // The reason for which the wait ended matters more than a failed stop.
                drop(self.stop(&started.arn, "its result is no longer needed").await);
                Err(failure)
            }
        }
    }

    async fn try_start(&self, one: &OneOffCommand, token: &str) -> Result<Progress<StartedTask>, Failure> {
        match self.run(&one.service, &one.container, one.command.clone(), token, one.tags.clone()).await {
            Err(failure) if failure.class == Class::NotReady => Ok(Progress::Pending(failure.to_string())),
            started => Ok(Progress::Ready(started?)),
        }
    }

    /// Returns the last lines of the log of a task that has just stopped, earliest first; none if the log cannot be read.
    pub async fn last_lines(&self, task: &StoppedTask) -> Vec<String> {
        let Some((group, stream)) = &task.log else { return Vec::new() };
        for _ in 0..LOG_READS {
            let lines = self.logs().last(group, stream, LOG_LINES).await.unwrap_or_default();
            if !lines.is_empty() {
                return lines;
            }
            sleep(LOG_INTERVAL).await;
        }
        Vec::new()
    }
}
