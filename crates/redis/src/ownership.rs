//! Which names are looked at, and whose they are.

use pb_engine::{Address, Found, ReadScope, Resource};
use std::collections::BTreeMap;

/// Whether a name may be one of ours: it begins with the workspace's name, is wanted, is remembered or is claimed. ElastiCache has no
/// filter by tags, and tags cost a call for each resource.
pub(crate) fn is_candidate<R: Resource>(
    scope: &ReadScope<R>,
    name: &str,
    wanted: impl Fn(&R::Spec) -> &str,
    recorded: impl Fn(&R::Attrs) -> &str,
) -> bool {
    let has_workspace_prefix =
        name.strip_prefix(scope.owner().workspace.as_str()).is_some_and(|rest| rest.starts_with('-'));
    has_workspace_prefix
        || scope.find_desired(|spec| wanted(spec) == name).is_some()
        || scope.find_recorded(|attrs| recorded(attrs) == name).is_some()
        || scope.imports().any(|(_, id)| id == name)
}

/// What stands in `name` with `tags`: ours, in a name that is wanted but not ours, or nothing of interest.
pub(crate) fn classify<R: Resource>(
    scope: &ReadScope<R>,
    tags: &BTreeMap<String, String>,
    name: &str,
    wanted: impl Fn(&R::Spec) -> bool,
    what: String,
    managed: impl FnOnce(Address) -> Found<R>,
) -> Option<Found<R>> {
    match scope.managed_address(tags, &[name]) {
        Some(address) => Some(managed(address)),
        None => scope.find_desired(wanted).map(|address| Found::Unmanaged { address: address.clone(), what }),
    }
}
