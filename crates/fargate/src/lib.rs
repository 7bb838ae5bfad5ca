//! What runs on Fargate: a log group, an image repository, a cluster, and for each workload a task definition and a service.
//!
//! # Flow
//!
//! [`tasks`] adds all of it to a [`Graph`](pb_engine::Graph) and gives typed handles back. A program that wants a single
//! resource makes its kind known ([`LogGroups`], [`Repositories`], [`Clusters`], [`TaskDefinitions`], [`Services`]) and
//! adds it by itself.
//!
//! # Guarantees
//!
//! A service is settled when the deployment that we started has completed with our revision, and never because the counts
//! fit: that is also what a rollback looks like. RegisterTaskDefinition is not repeated blindly. What does not carry the
//! ownership tags is never changed.
//!
//! # Assumptions
//!
//! Names begin with the name of the workspace and a hyphen; what is ours under another name is found as long as it is
//! wanted or remembered.

mod checks;
mod cluster;
mod container;
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
