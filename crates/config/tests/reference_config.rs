//! The configuration at the root of the repository documents the format: it contains every key, and the defaults that
//! it shows are those that apply.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use pb_config::{Config, Image, Workspace};

const TEXT: &str = include_str!("../../../pb_deploy.toml");

/// Path prefixes of the example services in the file.
const EXAMPLES: [&str; 3] = ["services.api.", "services.reports.", "services.beat."];

/// Header of the table that is commented out, because the table itself switches HTTPS on.
const HTTPS: &str = "[https]";

/// Returns the text `key = value` of a comment: `#key = value` shows a default, `# key = value` an example.
fn shown<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(marker)?;
    if rest.trim_start() == HTTPS {
        return Some(HTTPS);
    }
    if rest.starts_with("[services.") {
        return Some(rest);
    }
    let (key, _) = rest.split_once(" = ")?;
    let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    (is_key && !key.is_empty()).then_some(rest)
}

/// Returns the file with the lines that begin with one of `markers` uncommented: its defaults, or its defaults and its
/// examples.
fn uncommented(markers: &[&str]) -> String {
    let line = |line| markers.iter().find_map(|marker| shown(line, marker)).unwrap_or(line);
    TEXT.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the values in a TOML text by the path of their key, without the workspaces.
fn keys(text: &str) -> BTreeMap<String, toml::Value> {
    let mut keys = BTreeMap::new();
    collect("", toml::Value::Table(text.parse().unwrap()), &mut keys);
    keys.retain(|key, _| !key.starts_with("workspace"));
    keys
}

fn collect(path: &str, value: toml::Value, keys: &mut BTreeMap<String, toml::Value>) {
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{dot}{key}"), value, keys);
            }
        }
        value => {
            if let Some(toml::Value::Table(item)) = value.as_array().and_then(|items| items.first()) {
                collect(&format!("{path}[]"), toml::Value::Table(item.clone()), keys);
            }
            keys.insert(path.to_owned(), value);
        }
    }
}

#[test]
fn reference_config_is_valid() {
    let config = Config::parse(TEXT, "pb_deploy.toml").unwrap();
    assert_eq!(config.workspaces().collect::<Vec<_>>(), ["production", "staging", "default"]);
    let production = config.workspace("production").unwrap();
    assert_eq!(production.names.hostname, "ospcapi.org");
    assert_eq!(production.load_balancer.deletion_protection, Some(true));
    let staging = config.workspace("staging").unwrap();
    assert_eq!(staging.names.hostname, "staging.ospcapi.org");
    assert_eq!(staging.load_balancer.deletion_protection, None);
    assert_eq!(staging.services.celery.image, Image::Tag("celery".to_owned()));
}

#[test]
fn production_workspace() {
    let config = Config::parse(TEXT, "pb_deploy.toml").unwrap();
    let production = config.workspace("production").unwrap();
    let json = serde_json::to_string_pretty(&production).unwrap();
    insta::assert_snapshot!(json);
}

#[test]
fn written_defaults_change_nothing() {
    let plain = Config::parse(TEXT, "plain").unwrap();
    let written = Config::parse(&uncommented(&["#"]), "written").unwrap();
    for name in plain.workspaces() {
        let written = written.workspace(name).unwrap();
        assert!(written.https.is_some());
        assert_eq!(plain.workspace(name).unwrap(), Workspace { https: None, ..written });
    }
}

#[test]
fn every_key_is_in_the_file_with_its_default() {
    let everything = uncommented(&["#", "# "]).replace("\ntag = ", "\n#tag = ");
    let config = Config::parse(&everything, "everything").unwrap_or_else(|error| panic!("{error}"));
    let defaults = keys(&uncommented(&["#"]));
    let all = keys(&uncommented(&["#", "# "]));
    for (key, default) in config.keys() {
        let shown_elsewhere = EXAMPLES.iter().any(|service| key.starts_with(service));
        // Keys that all services have are documented under `services.flask` or `services.celery`.
        let key = &EXAMPLES.iter().fold(key.to_owned(), |key, service| match all.contains_key(&key) {
            true => key,
            false => key.replace(service, "services.flask."),
        });
        let of_workers = key.replace("services.flask.", "services.celery.");
        let key = if all.contains_key(key) { key } else { &of_workers };
        let key_or_below = all.keys().any(|known| known == key || known.starts_with(&format!("{key}.")));
        assert!(key_or_below, "`{key}` is not in pb_deploy.toml");
        let Some(default) = default.filter(|_| !key.contains("[]") && key != "tags" && !shown_elsewhere) else {
            continue;
        };
        let expected: toml::Table = format!("value = {default}").parse().unwrap();
        assert_eq!(defaults.get(key), expected.get("value"), "{key}");
    }
}

#[test]
fn every_key_of_the_file_exists() {
    let everything = uncommented(&["#", "# "]).replace("\ntag = ", "\n#tag = ");
    let config = Config::parse(&everything, "everything").unwrap();
    let known: Vec<&str> = config.keys().map(|(key, _)| key).collect();
    // Tags and conditions have arbitrary keys.
    let is_free = |key: &String| key.starts_with("tags.") || key.contains(".Condition.");
    for key in keys(&uncommented(&["#", "# "])).into_keys().filter(|key| !is_free(key)) {
        assert!(known.contains(&key.as_str()), "`{key}` is not a key of the format");
    }
}
