//! `rollback`: returns services to earlier revisions.

use crate::cli::{Consent, Global, WaitOptions};
use crate::exit::{Error, Exit};
use crate::run::releases;
use crate::run::service_change::{ChangeRequest, DeployedWorkspace, Revision, ServiceChange, change};
use crate::workspace::recorded_names;
use pb_engine::{Address, Release, Snapshot};
use std::collections::BTreeMap;

/// Returns a service to the given revision, or each service to the revision that it ran before the last deploy. Also
/// repairs the routing from the load balancer to the services.
///
/// # Errors
/// The errors of [`change`]; a revision that cannot be run; no earlier revision.
pub async fn rollback(
    global: &Global,
    name: &str,
    revision: Option<&str>,
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let deployed = DeployedWorkspace::open(global, name).await?;
    let changes = match revision {
        Some(revision) => BTreeMap::from([named_revision(&deployed, revision).await?]),
        None => match previous_revisions(&deployed).await {
            Ok(changes) => changes,
            // Even without an earlier revision, the routing to the current revision may need to be repaired.
            Err(error) if !deployed.needs_routing_repair().await? => return Err(error),
            Err(_) => BTreeMap::new(),
        },
    };
    let request = ChangeRequest { operation: "rollback", changes: &changes, repair_routing: true };
    change(global, &deployed, &request, consent, wait).await
}

/// Parses a revision, such as `flask:3` or `staging-flask:3`, and looks it up.
async fn named_revision(deployed: &DeployedWorkspace, text: &str) -> Result<(Address, ServiceChange), Error> {
    let hint = format!("list the revisions with: pb-deploy history {}", deployed.workspace.name);
    let malformed = || {
        let message = format!("invalid revision {text:?}: expected SERVICE:N, such as flask:3 or staging-flask:3");
        Error::usage(message, hint.clone())
    };
    let (family, number) = text.rsplit('/').next().unwrap_or(text).split_once(':').ok_or_else(malformed)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let family_of = |key: &str| recorded_names::family(&deployed.workspace, &deployed.snapshot, key);
    let mut keys = deployed.workspace.services.all().map(|(key, _)| key);
    let key = keys.find(|key| *key == family || family_of(key) == family).unwrap_or(family);
    let address = deployed.address(key)?;
    let name = format!("{}:{number}", family_of(key));
    Ok((address, ServiceChange::Revision(managed_revision(deployed, &name).await?)))
}

/// Returns a managed revision that can be run.
async fn managed_revision(deployed: &DeployedWorkspace, name: &str) -> Result<Revision, Error> {
    let hint = format!("list the revisions with: pb-deploy history {}", deployed.workspace.name);
    match pb_fargate::revision(&deployed.aws, name).await? {
        None => Err(Error::other(format!("revision {name} does not exist"), hint)),
        Some(found) if deployed.location.owner.address_from_tags(&found.tags).is_none() => {
            let message =
                format!("revision {name} is not managed: it does not have the ownership tags of this workspace");
            Err(Error::other(message, hint))
        }
        Some(found) if !found.active => {
            Err(Error::other(format!("revision {name} is deregistered and can no longer be run"), hint))
        }
        Some(found) => Ok(found.into()),
    }
}

/// Returns the previous revision of each service that the last deploy changed and that still uses the revision of that
/// deploy.
async fn previous_revisions(deployed: &DeployedWorkspace) -> Result<BTreeMap<Address, ServiceChange>, Error> {
    let none = |message: &str| {
        let hint = format!("choose a revision from `pb-deploy history {}`", deployed.workspace.name);
        Error::other(message, hint)
    };
    let release = last_deploy(&deployed.snapshot).ok_or_else(|| none("there is no recorded deploy to undo"))?;
    let mut changes = BTreeMap::new();
    for (address, released) in &release.services {
        if in_use(&deployed.snapshot, address) != Some(released.to.as_str()) {
            continue;
        }
        let Some(from) = released.from.as_ref().filter(|from| **from != released.to) else {
            return Err(none(&format!("{} has no earlier revision to roll back to", releases::key(address))));
        };
        changes.insert(address.clone(), ServiceChange::PreviousRevision(managed_revision(deployed, from).await?));
    }
    Ok(changes)
}

/// Returns the latest deploy of which at least one service still uses the revision.
fn last_deploy(snapshot: &Snapshot) -> Option<&Release> {
    let deploys = snapshot.releases.iter().rev().filter(|release| release.operation == "deploy");
    deploys.into_iter().find(|release| {
        let mut services = release.services.iter();
        services.any(|(address, released)| in_use(snapshot, address) == Some(released.to.as_str()))
    })
}

fn in_use<'a>(snapshot: &'a Snapshot, address: &Address) -> Option<&'a str> {
    snapshot.resources.get(address)?.spec.get("task_definition")?.as_str()
}
