//! One task on its own: started, waited for, and judged by the exit code of its container.

use crate::logs::Logs;
use crate::revisions;
use crate::tags::{Tags, to_ecs};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    Container, ContainerOverride, LaunchType, NetworkConfiguration, Task, TaskDefinition, TaskOverride,
};
use pb_aws::ForOperation;
use pb_engine::{Class, Failure};
use pb_rules::secrets::redact_text;

/// How many lines of its log are told when it fails.
const LOG_LINES: usize = 10;

/// A task that is started once.
pub(crate) struct OneOffTask {
    pub cluster: String,
    /// ARN of the revision that it is made from.
    pub task_definition: String,
    /// The container whose command is another one, and whose exit code counts.
    pub container: String,
    pub command: Vec<String>,
    pub network: NetworkConfiguration,
    /// Who started it, for ListTasks; 128 characters at most. (ECS API: RunTask)
    pub started_by: &'static str,
    /// The same for each try of one start. (ECS API: RunTask, `clientToken`)
    pub token: String,
    pub tags: Tags,
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OneOffState {
    /// It is on its way or runs, in words.
    Running(String),
    /// It has stopped.
    Stopped(TaskExit),
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskExit {
    /// The exit code of its container; absent when that never ran.
    pub exit_code: Option<i32>,
    /// Why it stopped.
    pub reason: String,
}

/// Starts the task, and gives its ARN.
///
/// # Errors
/// What RunTask fails with. It answers a lack of capacity with a list of failures, not with an error.
pub(crate) async fn start(client: &Client, one: OneOffTask) -> Result<String, Failure> {
    let own = ContainerOverride::builder().name(one.container).set_command(Some(one.command)).build();
    let call = client
        .run_task()
        .cluster(one.cluster)
        .task_definition(one.task_definition)
        .launch_type(LaunchType::Fargate)
        .count(1)
        .client_token(one.token)
        .started_by(one.started_by)
        .network_configuration(one.network)
        .overrides(TaskOverride::builder().container_overrides(own).build())
        .enable_ecs_managed_tags(true)
        .set_tags(Some(to_ecs(one.tags)));
    let answer = call.send().await.for_operation("ecs:RunTask")?;
    if let Some(arn) = answer.tasks().first().and_then(Task::task_arn) {
        return Ok(arn.to_owned());
    }
    let reason = answer.failures().first().and_then(|failure| failure.reason()).unwrap_or("no task was started");
    let transient = ["apacity is unavailable", "limit on the number of vCPUs", "RESOURCE:"];
    let is_transient = transient.iter().any(|part| reason.contains(part));
    let class = if is_transient { Class::NotReady } else { Class::Refused };
    Err(Failure::new(class, "ecs:RunTask", reason.trim_end_matches('.')))
}

/// How far the task is; none when it is not visible yet, or no longer.
///
/// # Errors
/// What DescribeTasks fails with.
pub(crate) async fn read_state(
    client: &Client,
    cluster: &str,
    arn: &str,
    container: &str,
) -> Result<Option<OneOffState>, Failure> {
    let answer = client.describe_tasks().cluster(cluster).tasks(arn).send().await.for_operation("ecs:DescribeTasks")?;
    Ok(answer.tasks().first().map(|task| state(task, container)))
}

/// How far a task is.
pub(crate) fn state(task: &Task, container: &str) -> OneOffState {
    let status = task.last_status().unwrap_or("not begun");
    if status != "STOPPED" {
        return OneOffState::Running(format!("task {status}"));
    }
    let own = task.containers().iter().find(|known| known.name() == Some(container));
    let why = own.and_then(Container::reason).map(|reason| reason.trim_end_matches('.'));
    let reason = task.stopped_reason().unwrap_or("no reason given").trim_end_matches('.');
    let reason = match why.filter(|why| !reason.contains(why)) {
        Some(why) => format!("{reason}: {why}"),
        None => reason.to_owned(),
    };
    OneOffState::Stopped(TaskExit { exit_code: own.and_then(Container::exit_code), reason })
}

/// Asks the task to stop: SIGTERM, then SIGKILL after the stop timeout. One that has stopped already is fine.
///
/// # Errors
/// What StopTask fails with.
pub(crate) async fn stop(client: &Client, cluster: &str, arn: &str, reason: &str) -> Result<(), Failure> {
    let call = client.stop_task().cluster(cluster).task(arn).reason(reason);
    match call.send().await.for_operation("ecs:StopTask") {
        Err(failure) if failure.message.contains("was not found") => Ok(()),
        answer => answer.map(drop),
    }
}

/// The failure of a task that did not end well: the exit code, the reason, and the last lines of its log.
pub(crate) async fn failure(
    client: &Client,
    logs: &Logs,
    arn: &str,
    definition: &str,
    what: (&str, &str),
    end: &TaskExit,
) -> Failure {
    let (container, command) = what;
    let ended = match end.exit_code {
        Some(code) => format!("`{command}` exited with {code}: {}", end.reason),
        None => format!("`{command}` did not run: {}", end.reason),
    };
    let mut text = ended;
    // What cannot be had is left out.
    if let Ok(Some(revision)) = revisions::describe(client, definition).await
        && let Some((group, stream)) = log_stream(&revision.definition, container, arn)
        && let Ok(lines) = logs.last(&group, &stream, LOG_LINES).await
        && !lines.is_empty()
    {
        let lines: Vec<String> = lines.iter().map(|line| redact_text(line)).collect();
        text = format!("{text}; its last lines: {}", lines.join(" | "));
    }
    let failure = Failure::new(Class::Failed, "run a task", text);
    if lacks_secrets(&end.reason) { failure.hint(SECRET_ACCESS_HINT) } else { failure }
}

/// What to do when the secrets of a task could not be read.
pub(crate) const SECRET_ACCESS_HINT: &str =
    "see that the secrets are there, and that the execution role may read them: `pb-deploy bootstrap` lets it";

/// Whether a task ended so because its secrets could not be read; what it begins with (`unable to pull secrets or registry
/// auth`) is said for images, too. (ECS developer guide: Stopped tasks error messages)
pub(crate) fn lacks_secrets(reason: &str) -> bool {
    reason.contains("unable to retrieve secret")
}

/// Log group and stream of a container of a task. (ECS developer guide: awslogs-stream-prefix)
pub(crate) fn log_stream(definition: &TaskDefinition, container: &str, task_arn: &str) -> Option<(String, String)> {
    let own = definition.container_definitions().iter().find(|known| known.name() == Some(container))?;
    let log = own.log_configuration().and_then(crate::container::log_from_ecs)?;
    Some((log.group, format!("{}/{container}/{}", log.stream_prefix, crate::last_part(task_arn))))
}
