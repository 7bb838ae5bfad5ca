//! Recorded resources that have lost their ownership tags. Terraform's refresh takes them off, since its configuration does not
//! have them: the first `terraform apply` after `adopt` does.

use crate::context::WorkspaceContext;
use crate::exit::Error;
use crate::render::count;
use pb_engine::{Address, Cancel, Class, Failure, Observed, PlanError, Snapshot, Untagged, observe};
use std::collections::BTreeMap;

/// The advice for a workspace in which resources have lost their tags.
pub fn hint(workspace: &str) -> String {
    format!(
        "if Terraform removed the tags, take the resources out of its state first, or it removes them again; then put them \
         back: pb-deploy adopt {workspace} --restore-tags. To let go of a resource instead: pb-deploy forget {workspace} ADDRESS"
    )
}

/// The error for what stands in the way of a plan.
pub fn plan_error(workspace: &str, observed: &Observed, refused: Vec<PlanError>) -> Error {
    match refused.iter().any(|refused| observed.untagged.contains_key(&refused.address)) {
        true => Error::Untagged { refused, hint: hint(workspace) },
        false => Error::Refused(refused),
    }
}

/// Refuses to go on with resources of which some have lost their tags.
///
/// # Errors
/// `NotOurs`, when there are any.
pub fn refuse(workspace: &str, untagged: &BTreeMap<Address, Untagged>) -> Result<(), Failure> {
    match summary(untagged) {
        None => Ok(()),
        Some(message) => Err(Failure::new(Class::Unmanaged, "find the resources", message).hint(hint(workspace))),
    }
}

/// `2 recorded resources have lost their ownership tags: net/vpc, edge/balancer`; none when there are none.
pub fn summary(untagged: &BTreeMap<Address, Untagged>) -> Option<String> {
    let addresses: Vec<&str> = untagged.keys().map(Address::as_str).collect();
    let (resources, have) =
        (count(addresses.len(), "recorded resource"), if addresses.len() == 1 { "has" } else { "have" });
    (!addresses.is_empty()).then(|| format!("{resources} {have} lost the ownership tags: {}", addresses.join(", ")))
}

/// The recorded resources that have lost their tags now, as the services themselves say. What a run that has not ended has just
/// made is not waited for.
///
/// # Errors
/// A read that fails.
pub async fn find(context: &WorkspaceContext) -> Result<BTreeMap<Address, Untagged>, Failure> {
    let mut seen = Snapshot { intents: None, ..context.snapshot.clone() };
    seen.resources.values_mut().for_each(|record| record.ready = true);
    let mut observed = observe(&context.graph, &seen, &context.owner, &Cancel::never()).await?;
    observed.ignore_recent(&context.snapshot);
    Ok(observed.untagged)
}
