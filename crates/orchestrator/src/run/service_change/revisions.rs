//! The revisions that a rollback returns services to.

use crate::exit::Error;
use crate::stack::names;
use crate::workspace::context::WorkspaceContext;
use crate::workspace::{deployed, recorded_names};
use pb_engine::{Address, ErrorCode, Operation, Release, Snapshot};
use pb_fargate::{RevisionInfo, ServiceChange, Services};
use std::collections::BTreeMap;

/// Parses a revision, such as `flask:3` or `staging-flask:3`, and looks it up. Returns the change of its service.
///
/// # Errors
/// `Usage` for a text that is not a revision; a revision that cannot be run.
pub async fn named(context: &WorkspaceContext, text: &str) -> Result<(Address, ServiceChange), Error> {
    let hint = format!("list the revisions with: pb-deploy history {}", context.workspace.name);
    let malformed = || {
        let message = format!("invalid revision {text:?}: expected SERVICE:N, such as flask:3 or staging-flask:3");
        Error::usage(message, hint.clone())
    };
    let (family, number) = text.rsplit('/').next().unwrap_or(text).split_once(':').ok_or_else(malformed)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let family_of = |key: &str| recorded_names::family(&context.workspace, &context.snapshot, key);
    let mut keys = context.workspace.services.all().map(|(key, _)| key);
    let key = keys.find(|key| *key == family || family_of(key) == family).unwrap_or(family);
    let address = deployed::service_address(context, key)?;
    let name = format!("{}:{number}", family_of(key));
    Ok((address, ServiceChange::Revision(managed_revision(context, &name).await?)))
}

/// Returns a managed revision that can be run.
async fn managed_revision(context: &WorkspaceContext, name: &str) -> Result<RevisionInfo, Error> {
    let hint = format!("list the revisions with: pb-deploy history {}", context.workspace.name);
    match pb_fargate::revision(&context.aws, name).await? {
        None => Err(Error::other(ErrorCode::Revision, format!("revision {name} does not exist"), hint)),
        Some(found) if context.owner.address_from_tags(&found.tags).is_none() => {
            let message =
                format!("revision {name} is not managed: it does not have the ownership tags of this workspace");
            Err(Error::other(ErrorCode::Revision, message, hint))
        }
        Some(found) if !found.active => Err(Error::other(
            ErrorCode::Revision,
            format!("revision {name} is deregistered and can no longer be run"),
            hint,
        )),
        Some(found) => Ok(found),
    }
}

/// Returns the changes to the previous revision of each service that the last deploy changed and that still uses the
/// revision of that deploy.
///
/// # Errors
/// No recorded deploy; a service without an earlier revision; a revision that cannot be run.
pub async fn previous(context: &WorkspaceContext) -> Result<BTreeMap<Address, ServiceChange>, Error> {
    let none = |message: &str| {
        let hint = format!("choose a revision from `pb-deploy history {}`", context.workspace.name);
        Error::other(ErrorCode::Revision, message, hint)
    };
    let release = last_deploy(&context.snapshot).ok_or_else(|| none("there is no recorded deploy to undo"))?;
    let mut changes = BTreeMap::new();
    for (address, released) in &release.services {
        if in_use(&context.snapshot, address).as_ref() != Some(&released.to) {
            continue;
        }
        let Some(from) = released.from.as_ref().filter(|from| **from != released.to) else {
            return Err(none(&format!("{} has no earlier revision to roll back to", names::service_key(address))));
        };
        changes.insert(address.clone(), ServiceChange::Revision(managed_revision(context, from).await?));
    }
    Ok(changes)
}

/// Returns the latest deploy of which at least one service still uses the revision.
fn last_deploy(snapshot: &Snapshot) -> Option<&Release> {
    let deploys = snapshot.releases.iter().rev().filter(|release| release.operation == Operation::Deploy);
    deploys.into_iter().find(|release| {
        let mut services = release.services.iter();
        services.any(|(address, released)| in_use(snapshot, address).as_ref() == Some(&released.to))
    })
}

/// Returns the ARN of the recorded revision of a service.
fn in_use(snapshot: &Snapshot, address: &Address) -> Option<String> {
    let service = snapshot.get::<Services>(address.as_str()).ok()??;
    Some(service.spec.task_definition)
}
