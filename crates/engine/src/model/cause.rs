//! Causes of failures, as data.

use crate::model::error_code::ErrorCode;
use serde::Serialize;

/// The cause of a failure, with its data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// A call that was refused or not answered, or a wait for AWS. The class of the failure says more.
    #[default]
    Api,
    /// A rollout that failed, did not finish in time, or was interrupted and then stopped.
    Rollout(Box<FailedRollout>),
    /// Targets of a service that are not healthy.
    Health(FailedHealth),
    /// A task that failed: a release command, or a command that was run once.
    Task,
    /// Something outside of the stack that the run needs, such as a role, a hosted zone or an image.
    Prerequisite,
    /// The lease was lost during the run.
    LeaseLost,
    /// A refusal by pb-deploy itself.
    Refused {
        /// The reason for the refusal.
        reason: Refusal,
    },
}

/// The facts about a rollout that failed. Each list is empty if nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FailedRollout {
    /// The distinct exits of its tasks, each with the number of tasks.
    pub exits: Vec<String>,
    /// The last events of the service, earliest first.
    pub events: Vec<String>,
    /// The last log lines of a task that failed, earliest first.
    pub log: Vec<String>,
    /// Ids of the tasks that run, but have not logged that they are ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ready: Vec<String>,
    /// Names of the known symptoms in the log and in the exits, such as `queue_unreachable`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symptoms: Vec<&'static str>,
    /// Set if the previous revision serves again.
    pub rolled_back: bool,
    /// The outcome of the rollback, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
    /// The running tasks of the service, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
}

impl FailedRollout {
    /// Returns the facts in lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let exits = self.exits.iter().map(|exit| format!("stopped: {exit}"));
        let events = self.events.iter().map(|event| format!("event: {event}"));
        let log = self.log.iter().map(|line| format!("log: {line}"));
        let not_ready = self.not_ready.iter().map(|task| format!("not ready: task {task}"));
        exits
            .chain(not_ready)
            .chain(events)
            .chain(log)
            .chain(self.rollback.clone())
            .chain(self.running.clone())
            .collect()
    }
}

/// The facts about targets that are not healthy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FailedHealth {
    /// The state of each target, in words.
    pub targets: Vec<String>,
    /// Set if the change that made the targets unhealthy was rolled back.
    pub rolled_back: bool,
}

/// The reason for which pb-deploy refuses something by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// The configuration, or a spec that a program passed, is invalid.
    Configuration,
    /// The account or region is another one than expected.
    WrongAccount,
    /// The snapshot cannot be understood, or belongs to another workspace.
    StateUnreadable,
    /// The lock table is not the one that was used before.
    OtherLockTable,
    /// The store of the snapshot ignores conditional writes.
    NoConditionalWrites,
    /// The snapshot has changed since it was shown.
    StateChanged,
    /// The lease has another holder.
    OtherHolder,
    /// The Terraform state cannot be used.
    TerraformState,
    /// The service is not deployed.
    NotDeployed,
    /// A revision cannot be used.
    Revision,
    /// A quota would be exceeded.
    Quota,
    /// An unmanaged resource has a name that is needed.
    Unmanaged,
    /// Resources have lost their ownership tags.
    Untagged,
    /// A role lacks a permission that the plan needs.
    RolePermission,
    /// The plan cannot be applied.
    Plan,
    /// The queue that the plan deletes contains jobs.
    QueuedJobs,
}

impl Refusal {
    /// Returns the stable code of the reason.
    #[must_use]
    pub fn error_code(self) -> ErrorCode {
        match self {
            Self::Configuration => ErrorCode::ConfigurationInvalid,
            Self::WrongAccount => ErrorCode::WrongAccount,
            Self::StateUnreadable => ErrorCode::StateUnreadable,
            Self::OtherLockTable => ErrorCode::OtherLockTable,
            Self::NoConditionalWrites => ErrorCode::NoConditionalWrites,
            Self::StateChanged => ErrorCode::StateChanged,
            Self::OtherHolder => ErrorCode::OtherHolder,
            Self::TerraformState => ErrorCode::TerraformState,
            Self::NotDeployed => ErrorCode::NotDeployed,
            Self::Revision => ErrorCode::Revision,
            Self::Quota => ErrorCode::Quota,
            Self::Unmanaged => ErrorCode::Unmanaged,
            Self::Untagged => ErrorCode::Untagged,
            Self::RolePermission => ErrorCode::RolePermission,
            Self::Plan => ErrorCode::PlanRefused,
            Self::QueuedJobs => ErrorCode::QueuedJobs,
        }
    }
}
