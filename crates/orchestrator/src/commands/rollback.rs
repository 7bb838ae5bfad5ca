//! `rollback`.

use crate::cli::{Consent, Global, WaitOptions};
use crate::commands::change::{ChangeRequest, DeployedWorkspace, Revision, ServiceChange, change};
use crate::exit::{Error, Exit};
use crate::recorded_names;
use pb_engine::{Address, Release, Snapshot};
use std::collections::BTreeMap;

/// Goes back: to the named revision, or to what each service ran before the deploy that brought what it runs now. Repairs what
/// leads from the load balancer to the services.
///
/// # Errors
/// As [`change`]; a revision that cannot be run; nothing to go back to.
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
            // Where no earlier revision can be run, the way to the one that runs may still have to be repaired.
            Err(error) if !deployed.needs_routing_repair().await? => return Err(error),
            Err(_) => BTreeMap::new(),
        },
    };
    let request = ChangeRequest { operation: "rollback", changes: &changes, repair_routing: true };
    change(global, &deployed, &request, consent, wait).await
}

/// `flask:3` or `staging-flask:3`.
async fn named_revision(deployed: &DeployedWorkspace, text: &str) -> Result<(Address, ServiceChange), Error> {
    let hint = format!("see what there is: pb-deploy history {}", deployed.workspace.name);
    let malformed = || Error::usage(format!("{text:?} is no revision: flask:3 is one, or its full name"), hint.clone());
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

/// A revision that can be run and is ours.
async fn managed_revision(deployed: &DeployedWorkspace, name: &str) -> Result<Revision, Error> {
    let hint = format!("see what there is: pb-deploy history {}", deployed.workspace.name);
    match pb_fargate::revision(&deployed.aws, name).await? {
        None => Err(Error::other(format!("there is no revision {name}"), hint)),
        Some(found) if deployed.location.owner.address_from_tags(&found.tags).is_none() => {
            Err(Error::other(format!("the revision {name} does not carry this workspace's tags: it is not ours"), hint))
        }
        Some(found) if !found.active => {
            Err(Error::other(format!("the revision {name} was deregistered and cannot be run any more"), hint))
        }
        Some(found) => Ok(found.into()),
    }
}

/// For each service of the last deploy that still serves: what it ran before.
async fn previous_revisions(deployed: &DeployedWorkspace) -> Result<BTreeMap<Address, ServiceChange>, Error> {
    let none = |message: &str| {
        let hint = format!("name a revision that `pb-deploy history {}` shows", deployed.workspace.name);
        Error::other(message, hint)
    };
    let release =
        last_deploy(&deployed.snapshot).ok_or_else(|| none("no deploy is remembered that could be undone"))?;
    let mut changes = BTreeMap::new();
    for (address, released) in &release.services {
        if in_use(&deployed.snapshot, address) != Some(released.to.as_str()) {
            continue;
        }
        let Some(from) = released.from.as_ref().filter(|from| **from != released.to) else {
            return Err(none(&format!("{address} has run nothing else before: there is nothing to go back to")));
        };
        changes.insert(address.clone(), ServiceChange::PreviousRevision(managed_revision(deployed, from).await?));
    }
    Ok(changes)
}

/// The latest deploy whose revision some service still has.
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
