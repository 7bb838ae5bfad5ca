#![doc = include_str!("../README.md")]

mod checks;
mod cluster;
mod container;
mod images;
mod log_group;
mod poller;
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

pub use cluster::{ClusterAttrs, ClusterSpec, Clusters};
pub use container::{ContainerSpec, LogSpec};
pub use images::{EcrImage, Pushed, pinned};
pub use log_group::{LogGroupAttrs, LogGroupSpec, LogGroups};
pub use repository::{Repositories, RepositoryAttrs, RepositorySpec, keep_untagged};
pub use service::{ServiceAttrs, Services};
pub use service_spec::{BreakerSpec, ServiceSpec, TargetSpec, ThresholdSpec};
pub use status::{ServiceStatus, status};
pub use task_definition::{CONTENT_TAG, TaskDefinitionAttrs, TaskDefinitionSpec, TaskDefinitions};
pub use tasks::{
    Fargate, FargateInputs, FargateSpec, Image, Kinds, Running, Target, Workload, WorkloadSpec, kinds, tasks,
};

use pb_engine::Ownership;

/// What every name of the workspace begins with.
fn prefix(owner: &Ownership) -> String {
    format!("{}-", owner.workspace)
}

/// The last part of an ARN: `web:3` of `arn:aws:ecs:us-east-2:1:task-definition/web:3`.
fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
