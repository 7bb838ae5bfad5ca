//! `restart`: replaces the tasks of services.

use crate::cli::{Consent, Global, WaitOptions};
use crate::exit::{Error, Exit};
use crate::run::service_change::{ChangeRequest, DeployedWorkspace, ServiceChange, change};
use std::collections::BTreeMap;

/// Restarts all services, or the given ones. Their tasks are replaced in a rollout.
///
/// # Errors
/// The errors of [`change`].
pub async fn restart(
    global: &Global,
    name: &str,
    services: &[String],
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let deployed = DeployedWorkspace::open(global, name).await?;
    let mut changes = BTreeMap::new();
    for key in services {
        changes.insert(deployed.address(key)?, ServiceChange::Restart);
    }
    if services.is_empty() {
        changes.extend(deployed.services().map(|address| (address.clone(), ServiceChange::Restart)));
    }
    let request = ChangeRequest { operation: "restart", changes: &changes, repair_routing: false };
    change(global, &deployed, &request, consent, wait).await
}
