//! One-off tasks: their start, stop and state, and the failure that reports a nonzero exit code.

use crate::revisions;
use crate::tags::{Tags, to_ecs};
use crate::tasks::logs::Logs;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    Container, ContainerOverride, LaunchType, NetworkConfiguration, Task, TaskDefinition, TaskOverride,
};
use pb_aws::ForOperation;
use pb_engine::{Cause, Class, Failure};
use pb_rules::secrets::redact_text;

/// Value of `startedBy` of the tasks that operators run, by which ListTasks finds them.
pub(crate) const STARTED_BY_RUN: &str = "pb-deploy/run";

/// Value of `startedBy` of release commands, by which ListTasks finds them.
pub(crate) const STARTED_BY_RELEASE_COMMAND: &str = "pb-deploy/before";

/// Maximum number of log lines in the failure of a task.
const LOG_LINES: usize = 10;

/// Settings of a one-off task.
pub(crate) struct OneOffTask {
    pub cluster: String,
    /// ARN of the revision that the task runs.
    pub task_definition: String,
    /// Name of the container that runs `command`, and whose exit code is the result of the task.
    pub container: String,
    pub command: Vec<String>,
    pub network: NetworkConfiguration,
    /// Value of `startedBy`, by which ListTasks finds the task; at most 128 characters. (ECS API: RunTask)
    pub started_by: &'static str,
    /// Client token, which is the same in all attempts to start this task. (ECS API: RunTask, `clientToken`)
    pub token: String,
    pub tags: Tags,
}

/// State of a one-off task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OneOffState {
    /// Starting, running or stopping; the text contains the status.
    Running(String),
    /// Stopped, with the exit code and the reason.
    Stopped(TaskExit),
}

/// Exit code and stop reason of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskExit {
    /// Exit code of the container; absent if the container never ran.
    pub exit_code: Option<i32>,
    /// Reason why the task stopped.
    pub reason: String,
}

/// Starts the task and returns its ARN.
///
/// # Errors
/// Any failure of RunTask; `NotReady` if capacity is lacking, which RunTask reports in a list of failures instead of as
/// an error.
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
    Err(Failure::new(class, "ecs:RunTask", reason.trim_end_matches('.')).cause(Cause::Task))
}

/// Returns the state of a task, or `None` if ECS does not return the task yet or has already forgotten it.
///
/// # Errors
/// Any failure of DescribeTasks.
pub(crate) async fn read_state(
    client: &Client,
    cluster: &str,
    arn: &str,
    container: &str,
) -> Result<Option<OneOffState>, Failure> {
    let answer = client.describe_tasks().cluster(cluster).tasks(arn).send().await.for_operation("ecs:DescribeTasks")?;
    Ok(answer.tasks().first().map(|task| state(task, container)))
}

/// Returns the state of a task.
pub(crate) fn state(task: &Task, container: &str) -> OneOffState {
    let status = task.last_status().unwrap_or("not started");
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

/// Requests that a task stop: its containers get SIGTERM, and SIGKILL after the stop timeout. Succeeds if the task has
/// already stopped.
///
/// # Errors
/// Any failure of StopTask.
pub(crate) async fn stop(client: &Client, cluster: &str, arn: &str, reason: &str) -> Result<(), Failure> {
    let call = client.stop_task().cluster(cluster).task(arn).reason(reason);
    match call.send().await.for_operation("ecs:StopTask") {
        Err(failure) if failure.message.contains("was not found") => Ok(()),
        answer => answer.map(drop),
    }
}

/// Returns the failure of a task that did not succeed, with the exit code, the reason and the last lines of its log.
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
        Some(code) => format!("`{command}` exited with code {code}: {}", end.reason),
        None => format!("`{command}` did not run: {}", end.reason),
    };
    let mut text = ended;
    // A log that cannot be read is omitted.
    if let Ok(Some(revision)) = revisions::describe(client, definition).await
        && let Some((group, stream)) = log_stream(&revision.definition, container, arn)
        && let Ok(lines) = logs.last(&group, &stream, LOG_LINES).await
        && !lines.is_empty()
    {
        let lines: Vec<String> = lines.iter().map(|line| redact_text(line)).collect();
        text = format!("{text}; last log lines: {}", lines.join(" | "));
    }
    let failure = Failure::new(Class::Failed, "run a task", text).cause(Cause::Task);
    if lacks_secrets(&end.reason) { failure.hint(SECRET_ACCESS_HINT) } else { failure }
}

/// Hint for a task whose secrets could not be read.
pub(crate) const SECRET_ACCESS_HINT: &str =
    "check that the secrets exist and that the execution role may read them; `pb-deploy bootstrap` grants that access";

/// Returns whether a task stopped because its secrets could not be read. The beginning of such a reason, `unable to
/// pull secrets or registry auth`, is not enough: reasons that concern images begin with it, too. (ECS developer guide:
/// Stopped tasks error messages)
pub(crate) fn lacks_secrets(reason: &str) -> bool {
    reason.contains("unable to retrieve secret")
}

/// Returns the log group and stream of a container of a task. (ECS developer guide: awslogs-stream-prefix)
pub(crate) fn log_stream(definition: &TaskDefinition, container: &str, task_arn: &str) -> Option<(String, String)> {
    let own = definition.container_definitions().iter().find(|known| known.name() == Some(container))?;
    let log = own.log_configuration().and_then(crate::resources::container::log_from_ecs)?;
    Some((log.group, format!("{}/{container}/{}", log.stream_prefix, crate::names::last_part(task_arn))))
}
