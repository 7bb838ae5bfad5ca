//! Constructors of the unmanaged results of a read.

use crate::model::address::Address;
use crate::model::ownership::{Ownership, STACK_TAG, WORKSPACE_TAG};
use crate::model::unmanaged::{Remedy, Unmanaged};
use crate::resource::contract::{Found, ReadScope, Resource};
use std::collections::BTreeMap;

impl<R: Resource> Found<R> {
    /// Creates an unmanaged resource that cannot be imported; `advice` says what to do instead.
    pub fn not_importable(address: Address, what: String, advice: impl Into<String>) -> Self {
        Self::Unmanaged { address, unmanaged: Unmanaged { what, remedy: Remedy::Other(advice.into()) } }
    }
}

impl<R: Resource> ReadScope<R> {
    /// Returns the unmanaged resource with `tags` that has the name of the resource at `address`. It can be imported
    /// with `import_id`, unless its tags name another stack or workspace.
    #[must_use]
    pub fn unmanaged(
        &self,
        address: &Address,
        what: String,
        tags: &BTreeMap<String, String>,
        import_id: &str,
    ) -> Found<R> {
        let remedy = other_owner(self.owner(), tags).unwrap_or_else(|| Remedy::Adopt(import_id.to_owned()));
        Found::Unmanaged { address: address.clone(), unmanaged: Unmanaged { what, remedy } }
    }
}

/// Returns the remedy for a resource whose `tags` name another owner.
fn other_owner(owner: &Ownership, tags: &BTreeMap<String, String>) -> Option<Remedy> {
    let named = |key: &str, own: &str| tags.get(key).map_or(own, String::as_str).to_owned();
    let other = || Remedy::OtherOwner {
        stack: named(STACK_TAG, &owner.stack),
        workspace: named(WORKSPACE_TAG, &owner.workspace),
    };
    owner.is_other(tags).then(other)
}
