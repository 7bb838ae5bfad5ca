#![doc = include_str!("../README.md")]

mod checks;
mod cluster;
mod container;
mod crash_loop;
mod deployments;
mod failure_report;
mod images;
mod log_group;
mod logs;
mod one_off;
mod poller;
mod release_command;
mod repository;
mod revisions;
mod rollout;
mod service;
mod service_spec;
mod stack;
mod status;
mod tags;
mod task_client;
mod task_definition;
#[cfg(test)]
mod testing;
mod workload;

pub use cluster::{ClusterAttrs, ClusterSpec, Clusters};
pub use container::{ContainerSpec, LogSpec};
pub use deployments::{ROLLED_BACK, ServiceDeployment, service_deployments, stop_rollout};
pub use images::{EcrImage, ImageLookup, look_up_tags, pinned};
pub use log_group::{LogGroupAttrs, LogGroupSpec, LogGroups};
pub use logs::{LogLine, LogQuery, Logs};
pub use one_off::{OneOffState, TaskExit};
pub use release_command::{ReleaseCommandAttrs, ReleaseCommandSpec, ReleaseCommands};
pub use repository::{Repositories, RepositoryAttrs, RepositorySpec, keep_untagged};
pub use revisions::{RevisionInfo, active_revisions, revision};
pub use service::{ServiceAttrs, Services};
pub use service_spec::{BreakerSpec, ServiceSpec, ServiceTargetSpec, ThresholdSpec};
pub use stack::{
    FargateInputs, FargateSpec, FargateStack, Kinds, ReleaseCommand, ServiceTargetInputs, Workload, WorkloadHandles,
    register_kinds, register_services,
};
pub use status::{ServiceStatus, status};
pub use task_client::{ShellSession, StartedTask, TaskClient, TaskStatus};
pub use task_definition::{CONTENT_TAG, TaskDefinitionAttrs, TaskDefinitionSpec, TaskDefinitions};
pub use workload::{Image, WorkloadSpec};

use pb_engine::Ownership;

/// Returns the prefix of the names of all resources of a workspace.
fn name_prefix(owner: &Ownership) -> String {
    format!("{}-", owner.workspace)
}

/// Returns a number with its noun: `1 task`, `2 tasks`.
fn counted<N: std::fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Returns the last part of an ARN: `web:3` for `arn:aws:ecs:us-east-2:1:task-definition/web:3`.
fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
