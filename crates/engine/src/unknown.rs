//! Values that AWS assigns and that a plan cannot know yet.
//!
//! A plan shows each wanted field, also those made from what a parent will be given. So a parent that is yet to be made
//! gives its dependents attributes in which each such text is [`UNKNOWN`], alone or inside a longer text
//! (`redis://(known after apply):6400/0`). The engine never hands a spec with an unknown in it to a verb that writes.

use crate::diff::Change;
use serde_json::Value;

/// What stands for a text that is known only after the parent was made.
pub const UNKNOWN: &str = "(known after apply)";

/// A text that is known only after the parent was made.
#[must_use]
pub fn unknown() -> String {
    UNKNOWN.to_owned()
}

/// Whether `text` is, or contains, something that is not known yet.
#[must_use]
pub fn is_unknown(text: &str) -> bool {
    text.contains(UNKNOWN)
}

/// Whether `value` contains something that is not known yet, at any depth.
#[must_use]
pub fn has_unknown(value: &Value) -> bool {
    match value {
        Value::String(text) => is_unknown(text),
        Value::Array(items) => items.iter().any(has_unknown),
        Value::Object(fields) => fields.iter().any(|(key, value)| is_unknown(key) || has_unknown(value)),
        _ => false,
    }
}

/// Whether a field of the final spec differs from the planned one only where that was not known.
pub(crate) fn differs_only_where_unknown(planned: &Value, change: &Change) -> bool {
    match &change.before {
        Some(before) => has_unknown(before),
        // A key that was made of something unknown gives two differences: the unknown key, and the real one.
        None => is_unknown_key(planned),
    }
}

fn is_unknown_key(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| is_unknown(key) || is_unknown_key(value)),
        Value::Array(items) => items.iter().any(is_unknown_key),
        _ => false,
    }
}
