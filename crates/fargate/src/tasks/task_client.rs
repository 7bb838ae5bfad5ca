//! Operations on tasks for operators: list, exec, run.

use crate::revisions;
use crate::rollout::poller::describe;
use crate::tags::Tags;
use crate::tasks::logs::Logs;
use crate::tasks::one_off::{self, OneOffState, OneOffTask, STARTED_BY_RUN, TaskExit};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::primitives::{DateTime, DateTimeFormat};
use aws_sdk_ecs::types::{Container, DesiredStatus, Task};
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure, Refusal};
use serde::Serialize;

/// Maximum number of tasks in one DescribeTasks call. (ECS API: DescribeTasks)
const TASKS_PER_CALL: usize = 100;

/// A task as shown to operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// Id of the task.
    pub id: String,
    /// ARN of the task.
    pub arn: String,
    /// Name of the service of the task; absent for a one-off task.
    pub service: Option<String>,
    /// Value of `startedBy`; absent for a task of a service.
    pub started_by: Option<String>,
    /// Status, such as `RUNNING`, `PENDING` or `STOPPED`.
    pub status: String,
    /// Family and revision of its task definition.
    pub revision: String,
    /// Creation time: `2026-11-22T20:17:03Z`.
    pub created: Option<String>,
    /// Reason why the task stopped.
    pub reason: Option<String>,
    /// Exit codes of the containers that have exited.
    pub exit_codes: Vec<i32>,
    /// `true` if ECS Exec can open a shell in the task.
    pub execute_command: bool,
    /// Private IPv4 address of the task.
    pub address: Option<String>,
}

/// A session with which the Session Manager plugin opens a shell.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShellSession {
    /// Id of the session.
    pub session_id: String,
    /// URL of the data channel of the session.
    pub stream_url: String,
    /// Token that opens the data channel: a secret until the session is open.
    pub token_value: String,
    /// Target of the session: `ecs:CLUSTER_TASK_RUNTIME`.
    #[serde(skip)]
    pub target: String,
}

/// A one-off task that has been started.
#[derive(Debug, Clone)]
pub struct StartedTask {
    /// ARN of the task.
    pub arn: String,
    /// ARN of the revision that the task runs.
    pub revision: String,
    /// Log group and log stream of the container; absent if the container has no log configuration.
    pub log: Option<(String, String)>,
}

/// A client for the tasks of a cluster.
#[derive(Debug, Clone)]
pub struct TaskClient {
    client: Client,
    logs: Logs,
    cluster: String,
}

impl TaskClient {
    /// Creates a client for the tasks of `cluster`.
    #[must_use]
    pub fn new(config: &SdkConfig, cluster: &str) -> Self {
        Self { client: Client::new(config), logs: Logs::new(config), cluster: cluster.to_owned() }
    }

    /// Returns a reader for the logs of the same account and region.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Lists the tasks of the cluster that are running or that stopped within the last hour: first the running and then
    /// the stopped tasks, both grouped by service, latest first. Returns an empty list for a cluster that does not
    /// exist.
    ///
    /// # Errors
    /// Any failure of ListTasks or DescribeTasks.
    pub async fn tasks(&self) -> Result<Vec<TaskStatus>, Failure> {
        let mut tasks = self.with_status(DesiredStatus::Running).await?;
        tasks.extend(self.with_status(DesiredStatus::Stopped).await?);
        let mut tasks: Vec<TaskStatus> = tasks.iter().map(status).collect();
        tasks.sort_by(|a, b| {
            (a.status == "STOPPED", &a.service, &b.created).cmp(&(b.status == "STOPPED", &b.service, &a.created))
        });
        Ok(tasks)
    }

    async fn with_status(&self, status: DesiredStatus) -> Result<Vec<Task>, Failure> {
        let pages = self.client.list_tasks().cluster(&self.cluster).desired_status(status).into_paginator();
        let arns: Result<Vec<String>, _> = pages.items().send().collect().await;
        let arns = match arns.for_operation("ecs:ListTasks") {
            Err(failure) if failure.is("ClusterNotFoundException") => return Ok(Vec::new()),
            answer => answer?,
        };
        let mut tasks = Vec::new();
        for some in arns.chunks(TASKS_PER_CALL) {
            let call = self.client.describe_tasks().cluster(&self.cluster).set_tasks(Some(some.to_vec()));
            tasks.extend(call.send().await.for_operation("ecs:DescribeTasks")?.tasks.unwrap_or_default());
        }
        Ok(tasks)
    }

    /// Starts a one-off task with the revision, subnets and security groups of a service, but another command. Repeated
    /// calls with the same `token` start only one task.
    ///
    /// # Errors
    /// `NotFound` if the service does not exist; any failure of DescribeServices, RunTask or DescribeTaskDefinition.
    pub async fn run(
        &self,
        service: &str,
        container: &str,
        command: Vec<String>,
        token: &str,
        tags: Tags,
    ) -> Result<StartedTask, Failure> {
        let found = describe(&self.client, &self.cluster, &[service.to_owned()], false).await;
        let found = match found {
            Err(failure) if failure.is("ClusterNotFoundException") => Vec::new(),
            answer => answer?,
        };
        let missing = || {
            Failure::new(Class::NotFound, "ecs:RunTask", format!("the service {service} is not deployed"))
                .reason(Refusal::NotDeployed)
        };
        let live = found.first().ok_or_else(missing)?;
        let network = live.network_configuration().cloned().ok_or_else(missing)?;
        let revision = live.task_definition().unwrap_or_default().to_owned();
        let one = OneOffTask {
            cluster: self.cluster.clone(),
            task_definition: revision.clone(),
            container: container.to_owned(),
            command,
            network,
            started_by: STARTED_BY_RUN,
            token: token.to_owned(),
            tags,
        };
        let arn = one_off::start(&self.client, one).await?;
        let definition = revisions::describe(&self.client, &revision).await?;
        let log = definition.and_then(|definition| one_off::log_stream(&definition.definition, container, &arn));
        Ok(StartedTask { arn, revision, log })
    }

    /// Returns the state of a one-off task, or `None` if ECS does not return the task.
    ///
    /// # Errors
    /// Any failure of DescribeTasks.
    pub async fn one_off_state(&self, arn: &str, container: &str) -> Result<Option<OneOffState>, Failure> {
        one_off::read_state(&self.client, &self.cluster, arn, container).await
    }

    /// Requests that a task stop.
    ///
    /// # Errors
    /// Any failure of StopTask.
    pub async fn stop(&self, arn: &str, reason: &str) -> Result<(), Failure> {
        one_off::stop(&self.client, &self.cluster, arn, reason).await
    }

    /// Opens a session in a container for the Session Manager plugin.
    ///
    /// # Errors
    /// Any failure of ExecuteCommand or DescribeTasks: for example, the agent is not connected yet or the task role
    /// lacks a permission.
    pub async fn open(&self, task: &str, container: &str, command: &str) -> Result<ShellSession, Failure> {
        let call = self.client.execute_command().cluster(&self.cluster).task(task).container(container);
        let answer = call.command(command).interactive(true).send().await.for_operation("ecs:ExecuteCommand")?;
        let session = answer.session().cloned();
        let session = session.ok_or_else(|| Failure::new(Class::Bug, "ecs:ExecuteCommand", "no session was opened"))?;
        let described = self.client.describe_tasks().cluster(&self.cluster).tasks(task).send().await;
        let described = described.for_operation("ecs:DescribeTasks")?;
        let containers = described.tasks().first().map(Task::containers).unwrap_or_default();
        let own = containers.iter().find(|known| known.name() == Some(container));
        let runtime = own.and_then(Container::runtime_id).unwrap_or_default();
        Ok(ShellSession {
            session_id: session.session_id.unwrap_or_default(),
            stream_url: session.stream_url.unwrap_or_default(),
            token_value: session.token_value.unwrap_or_default(),
            target: format!("ecs:{}_{}_{runtime}", self.cluster, crate::names::last_part(task)),
        })
    }
}

impl TaskExit {
    /// Returns the exit code, or 1 if it is not between 0 and 255. Returns `None` if the container never ran.
    #[must_use]
    pub fn code(&self) -> Option<u8> {
        self.exit_code.map(|code| u8::try_from(code).unwrap_or(1))
    }
}

fn status(task: &Task) -> TaskStatus {
    let arn = task.task_arn().unwrap_or_default();
    let service = task.group().and_then(|group| group.strip_prefix("service:")).map(str::to_owned);
    let containers = task.containers();
    let interfaces = containers.iter().flat_map(Container::network_interfaces);
    TaskStatus {
        id: crate::names::last_part(arn).to_owned(),
        arn: arn.to_owned(),
        started_by: task.started_by().filter(|_| service.is_none()).map(str::to_owned),
        service,
        status: task.last_status().unwrap_or_default().to_owned(),
        revision: crate::names::last_part(task.task_definition_arn().unwrap_or_default()).to_owned(),
        created: task.created_at().and_then(|at| DateTime::from_secs(at.secs()).fmt(DateTimeFormat::DateTime).ok()),
        reason: task.stopped_reason().map(str::to_owned),
        exit_codes: containers.iter().filter_map(Container::exit_code).collect(),
        execute_command: task.enable_execute_command(),
        address: interfaces.filter_map(|interface| interface.private_ipv4_address()).next().map(str::to_owned),
    }
}
