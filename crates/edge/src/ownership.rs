//! Whose something is.

use crate::tags::Tags;
use pb_engine::{Address, Resource, STACK_TAG, Scope};

/// The address of what carries `tags` and is called one of `names`, when it is ours. An ARN is never used twice, so one that is remembered is ours as
/// well, unless its tags say that it belongs to somebody else.
pub(crate) fn owner<R: Resource>(
    scope: &Scope<R>,
    tags: &Tags,
    names: &[&str],
    is_remembered: impl Fn(&R::Attrs) -> bool,
) -> Option<Address> {
    let remembered = || {
        let unmarked = !tags.contains_key(STACK_TAG);
        scope.remembers(is_remembered).filter(|_| unmarked).cloned()
    };
    scope.mine(tags, names).or_else(remembered)
}
