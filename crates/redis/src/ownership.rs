//! Selection of resources by name, and their classification as managed or unmanaged.

use pb_engine::{Address, Found, ReadScope, Resource};
use std::collections::BTreeMap;

/// Returns whether a resource with this name may be managed: the name begins with the workspace's name, or is the name
/// of a desired resource, of a recorded resource or of a resource to import. ElastiCache cannot filter by tags, and
/// reading tags takes a call for each resource, so only the tags of these resources are read.
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

/// Classifies the resource `name` with `tags` as managed, as unmanaged with a desired name, or as irrelevant (`None`).
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
        None => scope.find_desired(wanted).map(|address| scope.unmanaged(address, what, tags, name)),
    }
}
