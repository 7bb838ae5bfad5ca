//! The deployed services of a workspace, for commands that need nothing else of the stack.

use crate::cli::{Global, WaitOptions};
use crate::exit::Error;
use crate::stack::names;
use crate::workspace::context::WorkspaceContext;
use pb_config::Service;
use pb_engine::{Address, ErrorCode, Resource};
use pb_fargate::{RolloutOptions, Services};
use std::time::Duration;

/// Opens a workspace with deployed services.
///
/// # Errors
/// The errors of [`WorkspaceContext::open`]; a workspace without services.
pub async fn open(global: &Global, name: &str) -> Result<WorkspaceContext, Error> {
    let context = WorkspaceContext::open(global, name).await?;
    if services(&context).next().is_none() {
        let hint = format!("deploy the workspace: pb-deploy deploy {name}");
        return Err(Error::other(ErrorCode::NotDeployed, format!("no services are deployed in {name}"), hint));
    }
    Ok(context)
}

/// Returns the addresses of the recorded services.
pub fn services(context: &WorkspaceContext) -> impl Iterator<Item = &Address> {
    let services = context.snapshot.resources.iter().filter(|(_, record)| record.kind == Services::KIND);
    services.map(|(address, _)| address)
}

/// Returns the address of a configured service.
///
/// # Errors
/// `Usage` if the service is not configured.
pub fn service_address(context: &WorkspaceContext, key: &str) -> Result<Address, Error> {
    let known: Vec<&str> = context.workspace.services.all().map(|(key, _)| key).collect();
    let unknown = || {
        Error::unknown_name(
            format!("{} has no service {key:?}", context.name()),
            format!("there are: {}", known.join(", ")),
        )
    };
    let key = known.iter().find(|known| **known == key).ok_or_else(unknown)?;
    Address::new(names::service(key)).map_err(|_| unknown())
}

/// Returns the time to wait for a rollout; `None` if the run does not wait.
pub fn rollout_timeout(context: &WorkspaceContext, wait: &WaitOptions) -> Option<Duration> {
    let seconds = wait.wait_timeout.unwrap_or(context.workspace.deploy.wait_timeout);
    (!wait.no_wait).then(|| Duration::from_secs(seconds.into()))
}

/// Returns the options for a graph that only observes the rollouts of the configured services. `timeout` is the time to
/// wait for a rollout.
pub fn observed_rollouts(context: &WorkspaceContext, timeout: Option<Duration>) -> RolloutOptions {
    let named = |(key, service): (&str, &Service)| {
        Some((context.workspace.names.service(key)?.to_owned(), service.ready_log.clone()?))
    };
    RolloutOptions {
        timeout,
        keep_revisions: usize::MAX,
        abort_on_crash_loop: false,
        ready_logs: context.workspace.services.all().filter_map(named).collect(),
    }
}
