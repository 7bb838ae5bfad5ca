//! Instructions for images that are not pushed yet.

use crate::output::reporter::Reporter;
use crate::output::{BOLD, WARN, paint};
use crate::workspace::images::Images;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Prints the commands that push the missing images.
pub fn print_push_commands(
    reporter: &Reporter,
    images: &Images,
    outputs: &BTreeMap<String, Value>,
    region: &str,
    workspace: &str,
) {
    let uri = outputs.get("repository").and_then(Value::as_str).unwrap_or("REPOSITORY");
    let commands = images.push_commands(uri, region);
    let services: BTreeMap<&str, &str> = images.missing().collect();
    reporter.json("images_missing", &json!({ "repository": uri, "services": services, "commands": commands }));
    let names: Vec<&str> = services.keys().copied().collect();
    let (verb, because, them) = match names.len() {
        1 => ("is", "its image is missing", "it"),
        _ => ("are", "their images are missing", "them"),
    };
    let names = paint(WARN, names.join(" and "));
    let mut text = format!("\n{names} {verb} not running yet because {because}. Push {them} with:\n");
    for command in commands {
        text.push_str(&format!("  {command}\n"));
    }
    text.push_str(&format!("Then run: {}", paint(BOLD, format!("pb-deploy deploy {workspace}"))));
    reporter.message(&text);
}
