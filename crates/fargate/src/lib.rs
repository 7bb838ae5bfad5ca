#![doc = include_str!("../README.md")]

mod before;
mod checks;
mod cluster;
mod container;
mod crashes;
mod deployments;
mod images;
mod log_group;
mod logs;
mod one_off;
mod people;
mod poller;
mod report;
mod repository;
mod revisions;
mod rollout;
mod service;
mod service_spec;
mod status;
mod tags;
mod task_definition;
mod tasks;
#[cfg(test)]
mod testing;
mod workload;

pub use before::{Before, BeforeAttrs, BeforeSpec};
pub use cluster::{ClusterAttrs, ClusterSpec, Clusters};
pub use container::{ContainerSpec, LogSpec};
pub use deployments::{ROLLED_BACK, Rolled, rollouts, stop_rollout};
pub use images::{EcrImage, Pushed, look_up_tags, pinned};
pub use log_group::{LogGroupAttrs, LogGroupSpec, LogGroups};
pub use logs::{LogLine, LogQuery, Logs};
pub use one_off::{End, OneOffState};
pub use people::{People, ShellSession, Started, TaskStatus};
pub use repository::{Repositories, RepositoryAttrs, RepositorySpec, keep_untagged};
pub use revisions::{RevisionInfo, known_revisions, revision};
pub use service::{ServiceAttrs, Services};
pub use service_spec::{BreakerSpec, ServiceSpec, TargetSpec, ThresholdSpec};
pub use status::{ServiceStatus, status};
pub use task_definition::{CONTENT_TAG, TaskDefinitionAttrs, TaskDefinitionSpec, TaskDefinitions};
pub use tasks::{
    BeforeRollout, Fargate, FargateInputs, FargateSpec, Kinds, Running, Target, Workload, kinds, services, tasks,
};
pub use workload::{Image, WorkloadSpec};

use pb_engine::Ownership;

/// What every name of the workspace begins with.
fn prefix(owner: &Ownership) -> String {
    format!("{}-", owner.workspace)
}

/// The last part of an ARN: `web:3` of `arn:aws:ecs:us-east-2:1:task-definition/web:3`.
fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
