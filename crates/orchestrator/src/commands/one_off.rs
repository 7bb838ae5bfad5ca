//! `run`: a command in a task of its own.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::signals;
use crate::site::{as_it_stands, configured, place, service_name};
use crate::standing::container;
use pb_engine::{Address, Cancel, Class, Failure};
use pb_fargate::{OneOffState, StartedTask, TaskClient, TaskExit};
use serde_json::json;
use std::time::Duration;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks in a row that may fail before it is given up: five minutes of them.
const FAILED_LOOKS: usize = 300;

/// How often it is looked for last lines after the end: they may come some seconds later.
const LAST_LOOKS: usize = 5;

/// Starts a task with another command, shows its log, and ends as it ends. Ctrl-C stops the task.
///
/// # Errors
/// A workspace or service that is not configured or deployed; a task that could not be started or never ran.
pub async fn run(global: &Global, name: &str, service: &str, command: &[String]) -> Result<Exit, Error> {
    service_name(&configured(global, name)?, service)?;
    let (workspace, aws, snapshot) = as_it_stands(global, name).await?;
    let service_name = service_name(&workspace, service)?;
    let container = container(&snapshot, service);
    let people = TaskClient::new(&aws, &workspace.names.cluster);
    let address = Address::new("fargate/run").map_err(|why| Failure::new(Class::Bug, "run a task", why.to_string()))?;
    let mut tags = workspace.tags.clone();
    tags.insert("Name".to_owned(), format!("{service_name}-run"));
    let tags = place(&workspace).owner.tags(&address, &tags);
    // One that was started and whose answer was lost is given back for the same token.
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
    anstream::eprintln!("task {id} of {revision} is started; Ctrl-C stops it");
    let (end, stopped) =
        Watched { people: &people, started: &started, container: &container, json: global.json, token: None }
            .until_the_end(&cancel)
            .await?;
    if global.json {
        println!("{}", json!({"event": "finished", "task": id, "exit_code": end.exit_code, "reason": end.reason}));
    }
    match end.code() {
        _ if stopped => {
            anstream::eprintln!("the task was stopped: {}", end.reason);
            Ok(Exit::Interrupted)
        }
        Some(code) => Ok(Exit::Passed(code)),
        None => {
            let hint = format!("see its reason again with: pb-deploy tasks {name}");
            Err(Error::other(format!("task {id} did not run: {}", end.reason), hint))
        }
    }
}

fn not_started(failure: Failure, workspace: &str) -> Error {
    match failure.class {
        Class::NotFound => failure.hint(format!("deploy it: pb-deploy deploy {workspace}")).into(),
        Class::NotReady => failure.hint("no task was started; try again in some minutes").into(),
        _ => failure.into(),
    }
}

/// A task that is looked at until it has ended.
struct Watched<'a> {
    people: &'a TaskClient,
    started: &'a StartedTask,
    container: &'a str,
    json: bool,
    /// Where its log goes on.
    token: Option<String>,
}

impl Watched<'_> {
    /// How it ended, and whether it was asked to.
    async fn until_the_end(mut self, cancel: &Cancel) -> Result<(TaskExit, bool), Error> {
        let (mut asked, mut said, mut failed) = (false, String::new(), 0);
        loop {
            let look = self.people.one_off_state(&self.started.arn, self.container).await;
            self.show().await;
            failed = if look.is_err() { failed + 1 } else { 0 };
            match look {
                Ok(Some(OneOffState::Stopped(end))) => {
                    for _ in 0..LAST_LOOKS {
                        if self.show().await > 0 {
                            break;
                        }
                        tokio::time::sleep(LOOK / 4).await;
                    }
                    return Ok((end, asked));
                }
                Ok(Some(OneOffState::Running(words))) if words != said => {
                    anstream::eprintln!("{words}");
                    said = words;
                }
                Err(failure) if failed > FAILED_LOOKS || !passes(failure.class) => return Err(self.left(failure)),
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = cancel.stopped(), if !asked => {
                    asked = true;
                    anstream::eprintln!("stopping the task, and waiting for its end; Ctrl-C again leaves it to stop by itself");
                    self.people.stop(&self.started.arn, "stopped by the person who ran it").await?;
                }
            }
        }
    }

    fn left(&self, failure: Failure) -> Error {
        failure.hint(format!("the task {} may still run", self.started.arn)).into()
    }

    /// Shows what its log says by now, and how many lines that was. A log that cannot be read is no reason to stop.
    async fn show(&mut self) -> usize {
        let Some((group, stream)) = &self.started.log else { return 0 };
        let Ok((lines, token)) = self.people.logs().follow(group, stream, self.token.clone()).await else { return 0 };
        self.token = token;
        for line in &lines {
            match self.json {
                true => println!("{}", json!({"event": "log", "message": line})),
                false => anstream::println!("{line}"),
            }
        }
        lines.len()
    }
}

fn passes(class: Class) -> bool {
    matches!(class, Class::Throttled | Class::Unreachable | Class::Ambiguous | Class::NotFound)
}
