//! The release command: a task that runs once before the services roll out, such as a database migration.

use crate::resources::checks;
use crate::resources::container;
use crate::resources::revision_in_use::revision_in_use;
use crate::resources::service::spec as service_spec;
use crate::revisions;
use crate::tags::{Tags, from_ecs};
use crate::tasks::logs::Logs;
use crate::tasks::one_off::{self, OneOffState, OneOffTask, STARTED_BY_RELEASE_COMMAND, TaskExit};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{DesiredStatus, Tag, Task, TaskField};
use pb_aws::ForOperation;
use pb_engine::{
    Address, Backoff, Change, Class, Context, Failure, Found, Progress, ReadScope, Resource, is_unknown, unknown,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Tag that contains the mark of a release command. The task always carries it; a revision carries it if the command
/// has succeeded with that revision.
pub(crate) const MARK_TAG: &str = "pb-deploy:before";

/// Spec of a release command, which runs once for each combination of revision and command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseCommandSpec {
    /// Name of the cluster.
    pub cluster: String,
    /// Family of the task definition.
    pub family: String,
    /// ARN of the revision.
    pub task_definition: String,
    /// Name of the container that runs the command.
    pub container: String,
    /// Command with its arguments.
    pub command: Vec<String>,
    /// Id of the subnet of the task.
    pub subnet: String,
    /// Id of the security group of the task.
    pub security_group: String,
    /// Tags, in addition to the ownership tags.
    pub tags: Tags,
}

/// Attributes of a release command that is running or has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseCommandAttrs {
    /// ARN of the task; empty if only the mark shows that the command ran, because ECS forgets a task an hour after it
    /// stopped.
    pub arn: String,
    /// Name of the cluster.
    pub cluster: String,
    /// ARN of the revision that the command ran with.
    pub task_definition: String,
    /// Name of the container.
    pub container: String,
    /// Command with its arguments.
    pub command: Vec<String>,
    /// Mark of the command: a hash of container and command, followed by subnet and security group.
    pub mark: String,
}

/// Resource kind for release commands (`ecs.before`).
#[derive(Debug, Clone)]
pub struct ReleaseCommands {
    client: Client,
    logs: Logs,
    timeout: Duration,
}

impl ReleaseCommands {
    /// Creates the resource kind, which calls AWS through these clients. `timeout` limits the wait for one task.
    #[must_use]
    pub fn new(client: Client, logs: aws_sdk_cloudwatchlogs::Client, timeout: Duration) -> Self {
        Self { client, logs: Logs::of(logs), timeout }
    }

    /// Lists the release command tasks of a cluster that are running or that stopped within the last hour, at most 100.
    async fn recent_tasks(&self, cluster: &str) -> Result<Vec<Task>, Failure> {
        let mut arns = Vec::new();
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let call =
                self.client.list_tasks().cluster(cluster).started_by(STARTED_BY_RELEASE_COMMAND).desired_status(status);
            match call.send().await.for_operation("ecs:ListTasks") {
                Ok(answer) => arns.extend(answer.task_arns.unwrap_or_default()),
                Err(failure) if failure.is("ClusterNotFoundException") => return Ok(Vec::new()),
                Err(failure) => return Err(failure),
            }
        }
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        arns.truncate(100);
        let call = self.client.describe_tasks().cluster(cluster).set_tasks(Some(arns)).include(TaskField::Tags);
        Ok(call.send().await.for_operation("ecs:DescribeTasks")?.tasks.unwrap_or_default())
    }

    /// Returns the ARN and the mark of the release command task that is running with `revision`, or that succeeded with
    /// it within the last hour.
    async fn running_or_succeeded(
        &self,
        scope: &ReadScope<Self>,
        at: &Address,
        spec: &ReleaseCommandSpec,
        revision: &str,
    ) -> Result<Option<(String, String)>, Failure> {
        let tasks = self.recent_tasks(&spec.cluster).await?;
        let well = |task: &Task| {
            let state = one_off::state(task, &spec.container);
            is_running(task) || matches!(state, OneOffState::Stopped(TaskExit { exit_code: Some(0), .. }))
        };
        Ok(tasks.iter().find_map(|task| {
            let tags = from_ecs(task.tags());
            let ours =
                scope.address_from_tags(&tags).as_ref() == Some(at) && task.task_definition_arn() == Some(revision);
            let arn = task.task_arn().filter(|_| ours && well(task))?;
            Some((arn.to_owned(), tags.get(MARK_TAG)?.clone()))
        }))
    }

    /// Starts the task, unless it is already running, or the revision carries the mark because the command succeeded
    /// with it before a rollback. Only one release command runs at a time: while a task that an earlier deploy started
    /// for another revision or command is running, this fails with `NotReady`.
    async fn start(&self, cx: &Context, spec: &ReleaseCommandSpec) -> Result<ReleaseCommandAttrs, Failure> {
        let (ours, mark) = (cx.tags(&Tags::new()), mark(spec));
        let revision = revisions::describe(&self.client, &spec.task_definition).await?;
        if revision.is_some_and(|revision| revision.tags.get(MARK_TAG) == Some(&mark)) {
            return Ok(attrs(spec, String::new()));
        }
        let tasks = self.recent_tasks(&spec.cluster).await?;
        let earlier = tasks.iter().find(|task| {
            let tags = from_ecs(task.tags());
            is_running(task) && ours.iter().all(|(key, value)| tags.get(key) == Some(value))
        });
        if let Some((task, arn)) = earlier.and_then(|task| Some((task, task.task_arn()?))) {
            let same = from_ecs(task.tags()).get(MARK_TAG) == Some(&mark);
            if same && task.task_definition_arn() == Some(&spec.task_definition) {
                return Ok(attrs(spec, arn.to_owned()));
            }
            let message = format!("task {} of an earlier deploy is still running", crate::names::last_part(arn));
            return Err(Failure::new(Class::NotReady, "ecs:RunTask", message));
        }
        let mut tags = cx.tags(&spec.tags);
        tags.insert(MARK_TAG.to_owned(), mark);
        let one = OneOffTask {
            cluster: spec.cluster.clone(),
            task_definition: spec.task_definition.clone(),
            container: spec.container.clone(),
            command: spec.command.clone(),
            network: service_spec::public_network([spec.subnet.clone()], [spec.security_group.clone()])?,
            started_by: STARTED_BY_RELEASE_COMMAND,
            token: cx.client_token(),
            tags,
        };
        Ok(attrs(spec, one_off::start(&self.client, one).await?))
    }
}

/// Returns the mark of a release command: a hash of container and command, followed by subnet and security group.
fn mark(spec: &ReleaseCommandSpec) -> String {
    let text = serde_json::to_string(&(&spec.container, &spec.command)).unwrap_or_default();
    let hash: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hash} {} {}", spec.subnet, spec.security_group)
}

/// Returns the spec of the release command with the mark `mark`. Its command is the configured or the recorded one if
/// the hash matches the mark, otherwise a placeholder.
fn spec_from_mark(
    wanted: &ReleaseCommandSpec,
    remembered: Option<&ReleaseCommandAttrs>,
    mark: &str,
    revision: &str,
) -> ReleaseCommandSpec {
    let mut words = mark.split(' ').map(str::to_owned);
    let hash = words.next().unwrap_or_default();
    let known = [Some(&wanted.command), remembered.map(|attrs| &attrs.command)];
    let spec = ReleaseCommandSpec {
        task_definition: revision.to_owned(),
        subnet: words.next().unwrap_or_default(),
        security_group: words.next().unwrap_or_default(),
        ..wanted.clone()
    };
    let same = |command: &&Vec<String>| {
        self::mark(&ReleaseCommandSpec { command: (*command).clone(), ..spec.clone() }).starts_with(&hash)
    };
    let mut command = known.into_iter().flatten().find(same).cloned();
    command.iter_mut().for_each(|words| container::redact_words(words));
    ReleaseCommandSpec { command: command.unwrap_or_else(|| vec!["another command".to_owned()]), ..spec }
}

fn attrs(spec: &ReleaseCommandSpec, arn: String) -> ReleaseCommandAttrs {
    ReleaseCommandAttrs {
        arn,
        cluster: spec.cluster.clone(),
        task_definition: spec.task_definition.clone(),
        container: spec.container.clone(),
        command: spec.command.clone(),
        mark: mark(spec),
    }
}

fn is_running(task: &Task) -> bool {
    task.last_status() != Some("STOPPED")
}

impl Resource for ReleaseCommands {
    /// A command that has run carries no tags of its own: its mark is a tag of the revision.
    const TAGGED: bool = false;
    const KIND: &'static str = "ecs.before";
    /// Every RunTask call starts another task, so AWS does not refuse a second one.
    const UNIQUE_NAME: bool = false;
    const BLOCKS_DELETION_OF: &'static [&'static str] =
        &["ecs.cluster", "ec2.security_group", "ec2.subnet", "ec2.internet_gateway"];
    type Spec = ReleaseCommandSpec;
    type Attrs = ReleaseCommandAttrs;

    fn validate(spec: &ReleaseCommandSpec) -> Result<(), String> {
        if spec.command.is_empty() {
            return Err("invalid command: a release command must not be empty".to_owned());
        }
        for word in &spec.command {
            checks::text("command", word, pb_rules::secrets::plain_word)?;
        }
        checks::tags(&spec.tags)
    }

    fn planned_attrs(spec: &ReleaseCommandSpec) -> ReleaseCommandAttrs {
        attrs(spec, unknown())
    }

    /// Returns unknown attributes if the command must run again, so that dependents wait for the task.
    fn attrs_after_update(attrs: &ReleaseCommandAttrs, spec: &ReleaseCommandSpec) -> ReleaseCommandAttrs {
        if attrs.mark == mark(spec) && attrs.task_definition == spec.task_definition {
            attrs.clone()
        } else {
            Self::planned_attrs(spec)
        }
    }

    fn requires_replacement(_field: &str) -> bool {
        false
    }

    fn id(attrs: &ReleaseCommandAttrs) -> Option<String> {
        (!attrs.arn.is_empty()).then(|| crate::names::last_part(&attrs.arn).to_owned())
    }

    /// Returns whether the command ran with another revision: its result with one revision says nothing about another.
    fn is_other_revision(recorded: &ReleaseCommandAttrs, found: &ReleaseCommandAttrs) -> bool {
        recorded.task_definition != found.task_definition
    }

    /// Finds a release command if the revision in use carries the mark, or if the command's task is running or
    /// succeeded within the last hour. Returns a recorded release command whose task failed with the revision `never`, so that the next
    /// deploy runs it again.
    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut found = Vec::new();
        for (address, wanted) in scope.desired.iter().filter(|(_, spec)| !is_unknown(&spec.cluster)) {
            let remembered = scope.recorded.iter().find(|(at, _)| at == address).map(|(_, attrs)| attrs);
            let revision = revision_in_use(&self.client, scope, &wanted.family).await?;
            let arn = revision.as_ref().and_then(|revision| revision.definition.task_definition_arn());
            let done = revision.as_ref().and_then(|revision| revision.tags.get(MARK_TAG));
            let ours = |spec: ReleaseCommandSpec, mark: &str, task: String, ready| {
                let task_definition = arn.unwrap_or_default().to_owned();
                let attrs = ReleaseCommandAttrs { mark: mark.to_owned(), task_definition, ..attrs(&spec, task) };
                Found::Managed { address: address.clone(), spec, attrs, ready }
            };
            if let (Some(arn), Some(mark)) = (arn, done) {
                found.push(ours(spec_from_mark(wanted, remembered, mark, arn), mark, String::new(), true));
            } else if let Some(arn) = arn
                && let Some((task, mark)) = self.running_or_succeeded(scope, address, wanted, arn).await?
            {
                found.push(ours(spec_from_mark(wanted, remembered, &mark, arn), &mark, task, false));
            } else if let Some(remembered) = remembered {
                let spec = spec_from_mark(wanted, Some(remembered), &remembered.mark, "never");
                found.push(ours(spec, "", String::new(), true));
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &ReleaseCommandSpec) -> Result<ReleaseCommandAttrs, Failure> {
        self.start(cx, spec).await
    }

    /// Runs the command again, unless only tags differ.
    async fn update(
        &self,
        cx: &Context,
        attrs: &ReleaseCommandAttrs,
        spec: &ReleaseCommandSpec,
        changes: &[Change],
    ) -> Result<ReleaseCommandAttrs, Failure> {
        if changes.iter().all(|change| change.field() == "tags") {
            return Ok(attrs.clone());
        }
        self.start(cx, spec).await
    }

    /// Waits until the task stops, and marks the revision if the command succeeded.
    async fn wait_ready(&self, cx: &Context, attrs: ReleaseCommandAttrs) -> Result<ReleaseCommandAttrs, Failure> {
        if attrs.arn.is_empty() {
            return Ok(attrs);
        }
        let command = attrs.command.join(" ");
        let limits = Backoff {
            initial: Duration::from_millis(300),
            max_interval: Duration::from_secs(3),
            timeout: self.timeout,
        };
        let end = cx.wait("ecs:DescribeTasks", limits, || async {
            let look = one_off::read_state(&self.client, &attrs.cluster, &attrs.arn, &attrs.container).await;
            Ok(match look {
                Ok(Some(OneOffState::Stopped(end))) => Progress::Ready(end),
                Ok(Some(OneOffState::Running(words))) => Progress::Pending(format!("`{command}`: {words}")),
                Ok(None) => Progress::Pending("waiting for the task to appear".to_owned()),
                Err(failure) if matches!(failure.class, Class::Throttled | Class::Unreachable | Class::Ambiguous) => {
                    Progress::Pending(failure.to_string())
                }
                Err(failure) => return Err(failure),
            })
        });
        let end = end.await?;
        if end.exit_code != Some(0) {
            let what = (attrs.container.as_str(), command.as_str());
            let failure =
                one_off::failure(&self.client, &self.logs, &attrs.arn, &attrs.task_definition, what, &end).await;
            return Err(failure.hint("nothing was rolled out; the next deploy runs the release command again"));
        }
        let tag = Tag::builder().key(MARK_TAG).value(&attrs.mark).build();
        let call = self.client.tag_resource().resource_arn(&attrs.task_definition).tags(tag);
        call.send().await.for_operation("ecs:TagResource")?;
        Ok(attrs)
    }

    /// Stops the task if it is running.
    async fn delete(&self, cx: &Context, attrs: &ReleaseCommandAttrs) -> Result<(), Failure> {
        if attrs.arn.is_empty() || is_unknown(&attrs.arn) {
            return Ok(());
        }
        one_off::stop(&self.client, &attrs.cluster, &attrs.arn, "the workspace is being destroyed").await?;
        let within = Backoff::minutes(Duration::from_secs(5 * 60));
        cx.wait("ecs:StopTask", within, || async {
            let look = one_off::read_state(&self.client, &attrs.cluster, &attrs.arn, &attrs.container).await?;
            Ok(match look {
                Some(OneOffState::Running(words)) => Progress::Pending(words),
                Some(OneOffState::Stopped(_)) | None => Progress::Ready(()),
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests;
