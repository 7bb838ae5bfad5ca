//! Recorded resources that have lost their ownership tags. The first `terraform apply` after `adopt` removes the tags,
//! because they are not in Terraform's configuration.

use crate::exit::Error;
use crate::output::count;
use crate::workspace::stack_context::StackContext;
use pb_engine::{Address, Cancel, Cause, Class, Failure, Observed, PlanError, Refusal, Snapshot, Untagged, observe};
use std::collections::BTreeMap;

/// Returns the hint for a workspace in which resources have lost their tags.
pub fn hint(workspace: &str) -> String {
    format!(
        "if Terraform removed the tags, remove the resources from its state first, or it removes the tags again; then \
         run `pb-deploy adopt {workspace} --restore-tags`. To stop managing a resource instead, run `pb-deploy forget \
         {workspace} ADDRESS`"
    )
}

/// Returns the error for a refused plan.
pub fn plan_error(workspace: &str, observed: &Observed, refused: Vec<PlanError>) -> Error {
    match refused.iter().any(|refused| observed.untagged.contains_key(&refused.address)) {
        true => Error::Untagged { refused, hint: hint(workspace) },
        false => Error::Refused(refused),
    }
}

/// Refuses to continue if resources have lost their tags.
///
/// # Errors
/// `Class::Unmanaged` if there are any.
pub fn refuse(workspace: &str, untagged: &BTreeMap<Address, Untagged>) -> Result<(), Failure> {
    match summary(untagged) {
        None => Ok(()),
        Some(message) => Err(Failure::new(Class::Unmanaged, "find the resources", message)
            .cause(Cause::Refused { reason: Refusal::Untagged })
            .hint(hint(workspace))),
    }
}

/// Returns `2 recorded resources have lost their ownership tags: net/vpc, edge/balancer`; `None` without such
/// resources.
pub fn summary(untagged: &BTreeMap<Address, Untagged>) -> Option<String> {
    let addresses: Vec<&str> = untagged.keys().map(Address::as_str).collect();
    let resources = count(addresses.len(), "recorded resource");
    let verb = if addresses.len() == 1 { "has lost its" } else { "have lost their" };
    (!addresses.is_empty()).then(|| format!("{resources} {verb} ownership tags: {}", addresses.join(", ")))
}

/// Returns the recorded resources without ownership tags, as read from the AWS services themselves. Does not wait for
/// resources that an unfinished run has just created.
///
/// # Errors
/// A failed read.
pub async fn find(context: &StackContext) -> Result<BTreeMap<Address, Untagged>, Failure> {
    let mut seen = Snapshot { intents: None, ..context.base.snapshot.clone() };
    seen.resources.values_mut().for_each(|record| record.ready = true);
    let mut observed = observe(&context.graph, &seen, &context.base.owner, &Cancel::never()).await?;
    observed.ignore_recent(&context.base.snapshot);
    Ok(observed.untagged)
}
