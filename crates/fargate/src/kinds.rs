//! Registration of the resource kinds of the concern in a graph.

use crate::resources::cluster::Clusters;
use crate::resources::log_group::LogGroups;
use crate::resources::release_command::ReleaseCommands;
use crate::resources::repository::Repositories;
use crate::resources::service::Services;
use crate::resources::task_definition::TaskDefinitions;
use aws_types::SdkConfig;
use pb_engine::{Graph, Kind};
use std::collections::BTreeMap;
use std::time::Duration;

/// Timeout of a release command if runs do not wait for rollouts.
const RELEASE_COMMAND_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The resource kinds of this crate, registered in a graph.
pub struct Kinds {
    /// `logs.log_group`
    pub log_groups: Kind<LogGroups>,
    /// `ecr.repository`
    pub repositories: Kind<Repositories>,
    /// `ecs.cluster`
    pub clusters: Kind<Clusters>,
    /// `ecs.task_definition`
    pub task_definitions: Kind<TaskDefinitions>,
    /// `ecs.service`
    pub services: Kind<Services>,
    /// `ecs.before`
    pub release_commands: Kind<ReleaseCommands>,
}

/// The way in which rollouts are awaited.
#[derive(Debug, Clone)]
pub struct RolloutOptions {
    /// Timeout of a rollout; if absent, runs do not wait for rollouts.
    pub timeout: Option<Duration>,
    /// Number of revisions of each task definition to keep.
    pub keep_revisions: usize,
    /// `true` if a crash-looping rollout is stopped and rolled back. A caller that only reads passes `false`.
    pub abort_on_crash_loop: bool,
    /// Text that each new task of a service logs when it is ready, by the name of the service.
    pub ready_logs: BTreeMap<String, String>,
}

/// Registers all resource kinds of this crate in a graph, so that managed resources are found even if none are
/// configured.
pub fn register_kinds(
    graph: &mut Graph,
    config: &SdkConfig,
    repositories: Repositories,
    rollouts: RolloutOptions,
) -> Kinds {
    let ecs = aws_sdk_ecs::Client::new(config);
    Kinds {
        log_groups: graph.kind(LogGroups::new(aws_sdk_cloudwatchlogs::Client::new(config))),
        repositories: graph.kind(repositories),
        clusters: graph.kind(Clusters::new(ecs.clone())),
        task_definitions: graph.kind(TaskDefinitions::new(ecs.clone())),
        release_commands: graph.kind(ReleaseCommands::new(
            ecs,
            aws_sdk_cloudwatchlogs::Client::new(config),
            rollouts.timeout.unwrap_or(RELEASE_COMMAND_TIMEOUT),
        )),
        services: register_services(graph, config, rollouts),
    }
}

/// Registers only the resource kind for services in a graph.
pub fn register_services(graph: &mut Graph, config: &SdkConfig, rollouts: RolloutOptions) -> Kind<Services> {
    let services = Services::new(aws_sdk_ecs::Client::new(config)).logs(aws_sdk_cloudwatchlogs::Client::new(config));
    graph.kind(
        services
            .rollout_timeout(rollouts.timeout)
            .keep_revisions(rollouts.keep_revisions)
            .abort_on_crash_loop(rollouts.abort_on_crash_loop)
            .ready_logs(rollouts.ready_logs),
    )
}
