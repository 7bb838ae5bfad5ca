//! JSON schema of the configuration file, for editors. It is generated from the keys that the reader registers and the
//! comments in the reference configuration.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{Config, ConfigError, REFERENCE_CONFIG, limits};

/// Type of the values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    /// String that is one of these words.
    Choice(Vec<String>),
    /// Number, with its limits as schema keywords, if they are registered.
    Number(Option<Value>),
    Flag,
    /// List of strings.
    Texts,
    /// List of tables, whose keys are registered as `key[].inner`.
    Tables,
    /// Table of strings with arbitrary keys.
    Map,
    /// String, or list of strings.
    TextOrTexts,
    /// String, or table whose keys are registered as `key.inner`.
    TextOrTable,
    /// Table with arbitrary keys and values.
    Table,
}

/// Key of the format.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// Default, in TOML syntax.
    pub(crate) default: Option<String>,
    pub(crate) shape: Shape,
}

/// Configuration that contains every table with keys of its own, so that reading it registers all keys.
const SAMPLE: &str = r#"
region = "us-east-2"
hostname = "example.org"
state = { bucket = "my-bucket", lock_table = "my-table" }
roles = { execution = "my-role", task = { statements = [{ Action = "*", Resource = "*" }] } }
network = { egress = [{ port = 443 }] }
services.a = { kind = "web", paths = ["/a"] }
services.b = { kind = "worker" }
services.c = { kind = "scheduler", command = ["beat"] }
deploy = { before = { command = ["migrate"] } }
workspace.w = {}
"#;
/// Path prefixes of the services in [`SAMPLE`] that represent all services other than Flask and Celery.
const OTHERS: [&str; 3] = ["services.a.", "services.b.", "services.c."];
/// Path prefix that replaces each of [`OTHERS`].
const OTHER: &str = "services.*.";

/// Returns the schema of the configuration file (JSON Schema draft 7). It contains keys, types, choices, defaults,
/// descriptions, and the limits of single values, but not the rules that involve several values, which [`Config::load`]
/// checks.
///
/// # Errors
/// None, as long as the sample from which the schema is generated is valid.
pub fn schema() -> Result<Value, ConfigError> {
    let config = Config::parse_with(SAMPLE, "schema", true)?;
    let texts = descriptions(REFERENCE_CONFIG);
    let mut root = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    for (path, key) in &config.keys {
        let other = OTHERS.iter().find_map(|service| path.strip_prefix(service));
        let path = other.map_or_else(|| path.clone(), |key| format!("{OTHER}{key}"));
        let mut value = leaf(key, other.is_none());
        if let Some(pattern) = limits::pattern(&path) {
            let strings = match &key.shape {
                Shape::Texts => &mut value["items"],
                Shape::Map => &mut value["additionalProperties"],
                _ => &mut value,
            };
            strings["pattern"] = pattern.into();
        }
        if let Some(text) = text(&texts, &path) {
            value["description"] = text.into();
        }
        if path == format!("{OTHER}kind") {
            value["enum"] = json!(["web", "worker", "scheduler"]);
        }
        put(&mut root, &path, value);
    }
    root["properties"]["services"]["additionalProperties"]["required"] = json!(["kind"]);
    let keys = root["properties"].clone();
    let definitions = keys.as_object().cloned().unwrap_or_default();
    let refer = |name: &String| (name.clone(), json!({ "$ref": format!("#/definitions/{name}") }));
    let references: Map<String, Value> = definitions.keys().map(refer).collect();
    let workspace = json!({ "type": "object", "properties": references, "additionalProperties": false });
    let mut properties = references;
    properties.insert(
        "workspace".to_owned(),
        json!({
            "type": "object",
            "description": "Workspaces, each with the keys that it overrides.",
            "additionalProperties": { "$ref": "#/definitions/of_a_workspace" },
            "minProperties": 1,
            "propertyNames": { "pattern": limits::IDENTIFIER },
        }),
    );
    let mut definitions = definitions;
    definitions.insert("of_a_workspace".to_owned(), workspace);
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "pb_deploy.toml",
        "type": "object",
        "required": ["workspace"],
        "additionalProperties": false,
        "properties": properties,
        "definitions": definitions,
    });
    // The keys are sorted because their order otherwise depends on the features of serde_json that other crates enable.
    schema.sort_all_objects();
    Ok(schema)
}

fn leaf(key: &Key, with_default: bool) -> Value {
    let mut value = match &key.shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Choice(words) => json!({ "type": "string", "enum": words }),
        Shape::Number(limits) => {
            let mut number = limits.clone().unwrap_or_else(|| json!({}));
            number["type"] = "integer".into();
            number
        }
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Tables => json!({ "type": "array", "items": table() }),
        Shape::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Shape::TextOrTexts => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
        Shape::TextOrTable => {
            let mut table = table();
            table["type"] = json!(["string", "object"]);
            table
        }
        Shape::Table => json!({ "type": "object" }),
    };
    if let (Some(default), true) = (&key.default, with_default)
        && let Ok(mut table) = format!("value = {default}").parse::<toml::Table>()
        && let Some(default) = table.remove("value").and_then(|default| serde_json::to_value(default).ok())
    {
        value["default"] = default;
    }
    value
}

fn table() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

/// Inserts the schema of a key at its path. In a path, `*` stands for any name, and `[]` for the tables in a list.
fn put(root: &mut Value, path: &str, value: Value) {
    let mut at = root;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        if part == "*" {
            at = &mut at["additionalProperties"];
            if !at.is_object() {
                *at = table();
            }
            continue;
        }
        let name = part.trim_end_matches("[]");
        at = &mut at["properties"][name];
        if parts.peek().is_none() {
            *at = value;
            return;
        }
        if part.ends_with("[]") {
            at = &mut at["items"];
        } else if at.is_null() {
            *at = table();
        }
    }
}

/// Returns the description of a key. Keys that all services have are documented under `services.flask` or
/// `services.celery`.
fn text<'a>(texts: &'a BTreeMap<String, String>, path: &str) -> Option<&'a str> {
    let twins = [path.replace("celery", "flask"), path.replace('*', "flask"), path.replace('*', "celery")];
    let extra = path.strip_prefix(OTHER).and_then(|key| {
        texts.iter().find(|(known, _)| known.starts_with("services.") && known.ends_with(&format!(".{key}")))
    });
    let known = std::iter::once(path).chain(twins.iter().map(String::as_str)).find_map(|path| texts.get(path));
    known.or(extra.map(|(_, text)| text)).map(String::as_str)
}

/// Returns the comment above each key of the reference configuration, by the path of the key.
fn descriptions(documented: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let (mut section, mut text, mut open) = (String::new(), Vec::new(), false);
    for line in documented.lines() {
        let plain = line.trim_start_matches('#').trim_start();
        let key = plain
            .split_once(" = ")
            .map(|(key, _)| key)
            .filter(|key| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        if let Some(header) = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{header}.");
            (text, open) = (Vec::new(), false);
        } else if let Some(key) = key {
            open = false;
            if !text.is_empty() {
                texts.insert(format!("{section}{key}"), text.join(" "));
            }
        } else if let Some(comment) = line.strip_prefix("# ") {
            if !open {
                text = Vec::new();
            }
            open = true;
            text.push(comment.trim());
        } else {
            (text, open) = (Vec::new(), false);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::{descriptions, schema};
    use crate::REFERENCE_CONFIG;

    /// Compares the file with the generated schema. If `PB_TEST_RECORD` is set, writes the file first.
    #[test]
    fn schema_file_in_the_repository_is_current() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/pb_deploy.json");
        let text = format!("{}\n", serde_json::to_string_pretty(&schema().unwrap()).unwrap());
        if std::env::var_os("PB_TEST_RECORD").is_some() {
            std::fs::write(file, &text).unwrap();
        }
        assert!(std::fs::read_to_string(file).unwrap() == text, "pb-deploy schema config > docs/schema/pb_deploy.json");
    }

    #[test]
    fn schema_keys_have_description_type_and_default() {
        let schema = schema().unwrap();
        let at = |path: &str| schema.pointer(&format!("/definitions/{path}")).unwrap();
        assert_eq!(at("redis/properties/engine")["enum"], serde_json::json!(["redis", "valkey"]));
        assert_eq!(at("services/properties/celery/properties/count")["default"], 4);
        assert_eq!(at("services/additionalProperties/properties/kind")["enum"][2], "scheduler");
        assert_eq!(at("network/properties/egress/items/properties/port")["type"], "integer");
        assert!(at("region")["description"].as_str().unwrap().starts_with("Region of"));
        assert!(at("services/additionalProperties/properties/paths")["type"] == "array");
    }

    #[test]
    fn comment_describes_the_keys_below_it() {
        let texts =
            descriptions("# About a\n# and more.\n#a = 1\n#b = 2\n\n# Not of c.\n\n[s]\nc = 1\n# Of d.\n# d = 1\n");
        let texts: Vec<_> = texts.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        assert_eq!(texts, [("a", "About a and more."), ("b", "About a and more."), ("s.d", "Of d.")]);
        assert!(descriptions(REFERENCE_CONFIG).len() > 30);
    }
}
