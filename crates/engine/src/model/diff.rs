//! Differences between two specs, field by field.

use crate::model::unknown::{has_unknown, is_unknown};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A field that differs between two specs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The path of the field, such as `health.path`, `environment["A.B"]`, `containers[0].image`.
    pub path: String,
    /// The old value, which is the live value in a plan; absent if the field does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The new value, which is the desired value in a plan; absent if the field is to be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Change {
    /// Returns the top-level field that contains the change: `health` for `health.path`.
    #[must_use]
    pub fn field(&self) -> &str {
        let end = self.path.find(['.', '[']).unwrap_or(self.path.len());
        &self.path[..end]
    }

    /// Returns whether the new value depends on a value that AWS has yet to assign.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.after.as_ref().is_some_and(has_unknown)
    }
}

/// Returns every field in which `after` differs from `before`. An absent field counts as null, and an absent object as
/// an object without fields.
#[must_use]
pub fn diff(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    walk(String::new(), before, after, &mut changes);
    changes
}

fn walk(path: String, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    let none = Map::new();
    let fields = |value: &'_ Value| value.is_null() || value.is_object();
    match (before, after) {
        (old, new) if fields(old) && fields(new) => {
            let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let path = join(&path, key);
                walk(path, old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null), changes);
            }
        }
        (Value::Array(old), Value::Array(new))
            if old.len() == new.len() && holds_objects(old) && holds_objects(new) =>
        {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                walk(format!("{path}[{index}]"), old, new, changes);
            }
        }
        _ if before == after => {}
        _ => changes.push(Change { path, before: present(before), after: present(after) }),
    }
}

/// Returns whether `path` equals `outer` or lies below it.
pub(crate) fn is_at_or_below(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Replaces the value of each of the `ignored` fields in `desired` with its value in `live`.
pub(crate) fn keep_ignored(desired: &mut Value, live: &Value, ignored: &[String]) {
    for change in diff(desired, live) {
        for path in ignored {
            if is_at_or_below(&change.path, path) {
                put(desired, live, &change.path);
            } else if is_at_or_below(path, &change.path) {
                put(desired, live, path);
            }
        }
    }
}

/// Returns those of the top-level `fields` that are null or absent in `spec`.
pub(crate) fn unset_fields<'a>(spec: &Value, fields: &[&'a str]) -> Vec<&'a str> {
    fields.iter().copied().filter(|field| spec.get(field).is_none_or(Value::is_null)).collect()
}

/// Replaces each of the top-level `fields` that is null or absent in `desired` with its value in `live`.
pub(crate) fn keep_unset(desired: &mut Value, live: &Value, fields: &[&str]) {
    for field in unset_fields(desired, fields) {
        if let (Some(desired), Some(live)) = (desired.as_object_mut(), live.get(field)) {
            desired.insert(field.to_owned(), live.clone());
        }
    }
}

/// Replaces the value of the field at the path `at` in `desired` with its value in `live`.
fn put(desired: &mut Value, live: &Value, at: &str) {
    fn walk(path: &str, desired: &mut Value, live: &Value, at: &str) {
        if path == at {
            *desired = live.clone();
            return;
        }
        if let (Value::Array(items), Value::Array(now)) = (&mut *desired, live) {
            for (index, (item, now)) in items.iter_mut().zip(now).enumerate() {
                walk(&format!("{path}[{index}]"), item, now, at);
            }
            return;
        }
        let none = Map::new();
        let now = live.as_object().unwrap_or(&none);
        let Some(fields) = desired.as_object_mut() else { return };
        let keys: Vec<String> = fields.keys().chain(now.keys()).cloned().collect();
        for key in keys {
            let path = join(path, &key);
            if !is_at_or_below(at, &path) {
                continue;
            }
            match now.get(&key) {
                None if path == at => drop(fields.remove(&key)),
                value => walk(&path, fields.entry(key).or_insert(Value::Null), value.unwrap_or(&Value::Null), at),
            }
        }
    }
    walk("", desired, live, at);
}

/// Returns whether a field of the final spec differs from the planned field only where the planned value was unknown.
pub(crate) fn differs_only_where_unknown(planned: &Value, change: &Change) -> bool {
    match &change.before {
        Some(before) => has_unknown(before),
        // A planned key that contained an unknown value yields two differences: the unknown key and the final key.
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

fn holds_objects(items: &[Value]) -> bool {
    items.iter().all(Value::is_object)
}

fn present(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}

fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{key:?}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::{diff, is_at_or_below, keep_ignored};
    use serde_json::json;

    #[test]
    fn diff_lists_each_field_that_differs() {
        let before = json!({"count": 1, "tags": {"a.b": "x", "c": "y"}, "list": [1, 2], "same": {"z": 1}});
        let after = json!({"count": 2, "tags": {"a.b": "z"}, "list": [2, 1], "same": {"z": 1}, "new": "n"});
        let paths: Vec<String> = diff(&before, &after).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["count", "list", "new", r#"tags["a.b"]"#, "tags.c"]);
    }

    #[test]
    fn diff_treats_absent_and_null_as_equal() {
        assert!(diff(&json!({"a": null}), &json!({})).is_empty());
    }

    #[test]
    fn diff_of_added_or_removed_object_lists_its_fields() {
        let paths = |before, after| diff(&before, &after).into_iter().map(|change| change.path).collect::<Vec<_>>();
        assert_eq!(paths(json!(null), json!({"a": {"b": 1}, "c": [1]})), ["a.b", "c"]);
        assert_eq!(paths(json!({"a": {"b": 1}}), json!({"a": null})), ["a.b"]);
        assert_eq!(paths(json!({"a": 1}), json!({"a": {"b": 1}})), ["a"]);
    }

    #[test]
    fn change_field_is_the_first_part_of_its_path() {
        let changes = diff(&json!({"health": {"path": "/a"}}), &json!({"health": {"path": "/b"}}));
        assert_eq!(changes[0].field(), "health");
        let changes = diff(&json!({"rules": [{"port": 1}]}), &json!({"rules": [{"port": 2}]}));
        assert_eq!((changes[0].path.as_str(), changes[0].field()), ("rules[0].port", "rules"));
    }

    #[test]
    fn path_is_at_or_below_itself_and_its_parents() {
        assert!(
            is_at_or_below("tags", "tags")
                && is_at_or_below("tags.a", "tags")
                && is_at_or_below("tags[\"a.b\"]", "tags")
        );
        assert!(!is_at_or_below("tagsets", "tags") && !is_at_or_below("tags", "tags.a"));
    }

    #[test]
    fn ignored_fields_keep_their_live_values() {
        let desired = json!({"count": 2, "tags": {"a": "x", "b": "y"}, "list": [{"image": "1", "cpu": 1}], "same": 1});
        let live = json!({"count": 9, "tags": {"a": "z", "c": "w"}, "list": [{"image": "2", "cpu": 2}], "same": 2});
        let kept = |paths: &[&str]| {
            let mut kept = desired.clone();
            keep_ignored(&mut kept, &live, &paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
            kept
        };
        assert_eq!(kept(&["count"])["count"], 9);
        assert_eq!(kept(&["tags"])["tags"], live["tags"]);
        assert_eq!(kept(&["tags.a", "tags.b", "tags.c"])["tags"], live["tags"]);
        assert_eq!(kept(&["tags.c"])["tags"], json!({"a": "x", "b": "y", "c": "w"}));
        assert_eq!(kept(&["list[0].image"])["list"], json!([{"image": "2", "cpu": 1}]));
        assert_eq!(kept(&["nothing"]), desired);
    }
}
