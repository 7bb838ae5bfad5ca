//! Ownership tags, which identify managed resources.

use crate::model::address::Address;
use std::collections::BTreeMap;

/// The tag that names the stack.
pub const STACK_TAG: &str = "pb-deploy:stack";
/// The tag that names the workspace.
pub const WORKSPACE_TAG: &str = "pb-deploy:workspace";
/// The tag that names the resource inside the stack.
pub const ADDRESS_TAG: &str = "pb-deploy:address";

/// The owner of resources: one stack in one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The name of the stack.
    pub stack: String,
    /// The name of the workspace.
    pub workspace: String,
}

impl Ownership {
    /// The keys of the ownership tags.
    pub const KEYS: [&'static str; 3] = [STACK_TAG, WORKSPACE_TAG, ADDRESS_TAG];

    /// Returns `tags` with the ownership tags of the resource at `address` added.
    #[must_use]
    pub fn tags(&self, address: &Address, tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all = tags.clone();
        all.insert(STACK_TAG.to_owned(), self.stack.clone());
        all.insert(WORKSPACE_TAG.to_owned(), self.workspace.clone());
        all.insert(ADDRESS_TAG.to_owned(), address.as_str().to_owned());
        all
    }

    /// Returns the address in the ownership tags, if the tags name this stack and workspace.
    #[must_use]
    pub fn address_from_tags(&self, tags: &BTreeMap<String, String>) -> Option<Address> {
        let is = |key: &str, value: &str| tags.get(key).is_some_and(|found| found == value);
        if is(STACK_TAG, &self.stack) && is(WORKSPACE_TAG, &self.workspace) {
            Address::new(tags.get(ADDRESS_TAG)?.clone()).ok()
        } else {
            None
        }
    }

    /// Returns whether `tags` name another stack or workspace.
    #[must_use]
    pub fn is_other(&self, tags: &BTreeMap<String, String>) -> bool {
        let names_other = |key: &str, value: &str| tags.get(key).is_some_and(|found| found != value);
        names_other(STACK_TAG, &self.stack) || names_other(WORKSPACE_TAG, &self.workspace)
    }

    /// Returns the tags that a spec contains: `tags` without the ownership tags and without the tags that AWS adds
    /// itself (`aws:...`).
    #[must_use]
    pub fn user_tags(tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        tags.iter()
            .filter(|(key, _)| !key.starts_with("pb-deploy:") && !key.starts_with("aws:"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
