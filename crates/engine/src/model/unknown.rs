//! Values that AWS assigns and that a plan cannot know yet.
//!
//! A plan shows every desired field, including fields that are computed from the attributes of a dependency. If the
//! dependency does not exist yet, each string in its attributes that AWS has yet to assign is the placeholder
//! [`UNKNOWN`], which can therefore occur alone or inside a longer string (`redis://(known after apply):6400/0`). The
//! engine never passes a spec with an unknown value to an operation that writes.

use serde_json::Value;

/// The placeholder for a string that is known only after a resource has been created.
pub const UNKNOWN: &str = "(known after apply)";

/// Returns the placeholder for a string that is known only after a resource has been created.
#[must_use]
pub fn unknown() -> String {
    UNKNOWN.to_owned()
}

/// Returns whether `text` is or contains an unknown value.
#[must_use]
pub fn is_unknown(text: &str) -> bool {
    text.contains(UNKNOWN)
}

/// Returns whether `value` contains an unknown value, at any depth.
#[must_use]
pub fn has_unknown(value: &Value) -> bool {
    match value {
        Value::String(text) => is_unknown(text),
        Value::Array(items) => items.iter().any(has_unknown),
        Value::Object(fields) => fields.iter().any(|(key, value)| is_unknown(key) || has_unknown(value)),
        _ => false,
    }
}
