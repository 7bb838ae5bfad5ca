#![doc = include_str!("../README.md")]

mod images;
mod kinds;
pub mod names;
mod resources;
mod revisions;
mod rollout;
mod stack;
mod tags;
mod tasks;
#[cfg(test)]
mod testing;
mod text;

pub use images::{EcrImage, ImageLookup, look_up_tags, pinned};
pub use kinds::{Kinds, RolloutOptions, register_kinds, register_services};
pub use resources::cluster::{ClusterAttrs, ClusterSpec, Clusters};
pub use resources::container::{ContainerSpec, LogSpec};
pub use resources::log_group::{LogGroupAttrs, LogGroupSpec, LogGroups};
pub use resources::release_command::{ReleaseCommandAttrs, ReleaseCommandSpec, ReleaseCommands};
pub use resources::repository::{Repositories, RepositoryAttrs, RepositorySpec, keep_untagged};
pub use resources::service::Services;
pub use resources::service::attrs::ServiceAttrs;
pub use resources::service::change::ServiceChange;
pub use resources::service::spec::{BreakerSpec, ServiceSpec, ServiceTargetSpec, ThresholdSpec};
pub use resources::service::status::{ServiceStatus, status};
pub use resources::task_definition::{CONTENT_TAG, TaskDefinitionAttrs, TaskDefinitionSpec, TaskDefinitions};
pub use resources::workload::{Image, WorkloadSpec};
pub use revisions::{RevisionInfo, active_revisions, revision};
pub use rollout::deployments::{RollbackOutcome, ServiceDeployment, service_deployments, stop_rollout};
pub use stack::{
    FargateInputs, FargateSpec, FargateStack, ReleaseCommand, ServiceTargetInputs, Workload, WorkloadHandles,
};
pub use tasks::logs::{LogLine, LogQuery, Logs};
pub use tasks::one_off::{OneOffState, TaskExit};
pub use tasks::stopped::{OneOffCommand, StoppedTask};
pub use tasks::task_client::{ShellSession, StartedTask, TaskClient, TaskStatus};
