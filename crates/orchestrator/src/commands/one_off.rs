//! `run`: runs a command in a one-off task.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::output::reporter::Reporter;
use crate::signals;
use crate::stack::names;
use crate::workspace::context::{load_with_recorded_names, load_workspace, service_name, state_location};
use crate::workspace::recorded_names::container;
use pb_engine::{Address, Cancel, Class, ErrorCode, Failure};
use pb_fargate::{OneOffState, StartedTask, TaskClient, TaskExit};
use serde_json::json;
use std::time::Duration;

/// Interval between two reads of the task.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Number of consecutive failed reads after which the run gives up; they take at least five minutes.
const MAX_FAILED_POLLS: usize = 300;

/// Number of reads of the log after the task has stopped, because the last lines can arrive a few seconds later.
const FINAL_LOG_READS: usize = 5;

/// Starts a task of a service with the given command, prints the task's log, and exits with the command's exit code.
/// Ctrl-C stops the task.
///
/// # Errors
/// A workspace or service that is not configured or deployed; a task that could not be started or never ran.
pub async fn run(global: &Global, name: &str, service: &str, command: &[String]) -> Result<Exit, Error> {
    service_name(&load_workspace(global, name)?, service)?;
    pb_rules::task_definition::command_override(command.iter().map(String::as_str)).map_err(|why| {
        Error::usage(format!("invalid command: {why}"), why.remedy().unwrap_or("choose a shorter command"))
    })?;
    let reporter = Reporter::new(global.json, global.verbose);
    let (workspace, aws, snapshot) = load_with_recorded_names(global, name).await?;
    let service_name = service_name(&workspace, service)?;
    let container = container(&snapshot, service);
    let people = TaskClient::new(&aws, &workspace.names.cluster);
    let address =
        Address::new(names::ONE_OFF_TASK).map_err(|why| Failure::new(Class::Bug, "run a task", why.to_string()))?;
    let mut tags = workspace.tags.clone();
    tags.insert("Name".to_owned(), format!("{service_name}-run"));
    let tags = state_location(&workspace).owner.tags(&address, &tags);
    // If the response is lost after ECS has started the task, a second call with the same token returns this task.
    let token = uuid::Uuid::new_v4().simple().to_string();
    let cancel = signals::listen();
    let start = || people.run(&service_name, &container, command.to_vec(), &token, tags.clone());
    let started = match start().await {
        Err(failure) if failure.class == Class::Ambiguous => start().await,
        answer => answer,
    };
    let started = started.map_err(|failure| not_started(failure, name))?;
    let id = started.arn.rsplit('/').next().unwrap_or_default().to_owned();
    let revision = started.revision.rsplit('/').next().unwrap_or_default();
    console::note(format!("Running in task {id} ({revision}). Ctrl-C stops it."));
    let (end, stopped) =
        WatchedTask { people: &people, started: &started, container: &container, reporter: &reporter, token: None }
            .wait_until_stopped(&cancel)
            .await?;
    reporter.json("finished", &json!({ "task": id, "exit_code": end.exit_code, "reason": end.reason }));
    match end.code() {
        _ if stopped => {
            console::note(format!("The task was stopped: {}", end.reason));
            Ok(Exit::Interrupted)
        }
        Some(code) => Ok(Exit::Task(code)),
        None => {
            let hint = format!("list the stopped tasks with: pb-deploy tasks {name}");
            Err(Error::other(ErrorCode::Task, format!("task {id} did not run: {}", end.reason), hint))
        }
    }
}

fn not_started(failure: Failure, workspace: &str) -> Error {
    match failure.class {
        Class::NotFound => failure.hint(format!("deploy it: pb-deploy deploy {workspace}")).into(),
        Class::NotReady => failure.hint("no task was started; run the same command again in a few minutes").into(),
        _ => failure.into(),
    }
}

/// A task that is followed until it has stopped.
struct WatchedTask<'a> {
    people: &'a TaskClient,
    started: &'a StartedTask,
    container: &'a str,
    reporter: &'a Reporter,
    /// Token of the next page of the task's log.
    token: Option<String>,
}

impl WatchedTask<'_> {
    /// Follows the task until it has stopped; returns how it exited, and whether the user stopped it.
    async fn wait_until_stopped(mut self, cancel: &Cancel) -> Result<(TaskExit, bool), Error> {
        let (mut stopping, mut shown, mut failed) = (false, String::new(), 0);
        loop {
            let state = self.people.one_off_state(&self.started.arn, self.container).await;
            self.show().await;
            failed = if state.is_err() { failed + 1 } else { 0 };
            match state {
                Ok(Some(OneOffState::Stopped(end))) => {
                    for _ in 0..FINAL_LOG_READS {
                        if self.show().await > 0 {
                            break;
                        }
                        tokio::time::sleep(POLL_INTERVAL / 4).await;
                    }
                    return Ok((end, stopping));
                }
                Ok(Some(OneOffState::Running(words))) if words != shown => {
                    console::note(&words);
                    shown = words;
                }
                Err(failure) if failed > MAX_FAILED_POLLS || !is_transient(failure.class) => {
                    return Err(self.may_still_run(failure));
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = cancel.stopped(), if !stopping => {
                    stopping = true;
                    console::note("Stopping the task. Press Ctrl-C again to exit without waiting for it.");
                    self.people.stop(&self.started.arn, "stopped by the user who started it").await?;
                }
            }
        }
    }

    fn may_still_run(&self, failure: Failure) -> Error {
        failure.hint(format!("the task {} may still be running", self.started.arn)).into()
    }

    /// Prints the new lines of the task's log, and returns their number. A log that cannot be read does not end the
    /// run.
    async fn show(&mut self) -> usize {
        let Some((group, stream)) = &self.started.log else { return 0 };
        let Ok((lines, token)) = self.people.logs().follow(group, stream, self.token.clone()).await else { return 0 };
        self.token = token;
        for line in &lines {
            self.reporter.result_line("log", "message", line);
        }
        lines.len()
    }
}

fn is_transient(class: Class) -> bool {
    matches!(class, Class::Throttled | Class::Unreachable | Class::Ambiguous | Class::NotFound)
}
