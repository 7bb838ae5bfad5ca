//! Recorded resources that have lost their ownership tags. The first `terraform apply` after `adopt` removes the tags,
//! because they are not in Terraform's configuration.

use crate::exit::Error;
use crate::output::count;
use pb_engine::{Address, Class, Failure, Observed, PlanError, Refusal, Untagged, adopt_hint};
use std::collections::BTreeMap;

/// Returns the hint for a workspace in which resources have lost their tags.
pub fn hint(workspace: &str) -> String {
    format!(
        "if Terraform removed the tags, remove the resources from its state first, or it removes the tags again; then \
         run `pb-deploy adopt {workspace} --restore-tags`. To stop managing a resource instead, run `pb-deploy forget \
         {workspace} ADDRESS`"
    )
}

/// Returns the error for a refused plan, with a hint if resources have lost their tags or can be imported.
pub fn plan_error(workspace: &str, observed: &Observed, refused: Vec<PlanError>) -> Error {
    if refused.iter().any(|refused| observed.untagged.contains_key(&refused.address)) {
        return Error::Untagged { refused, hint: hint(workspace) };
    }
    let importable = refused.iter().filter_map(|refused| Some((&refused.address, refused.import_id.as_deref()?)));
    match adopt_hint(workspace, &importable.collect::<Vec<_>>()) {
        Some(hint) => Error::Unmanaged { refused, hint },
        None => Error::Refused(refused),
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
            .reason(Refusal::Untagged)
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
