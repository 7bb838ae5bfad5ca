//! What is said about images that are yet to be pushed.

use crate::images::Images;
use crate::render::reporter::Reporter;
use crate::render::{BOLD, WARN, paint};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Says which images to push, and the very commands.
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
    let mut text = format!(
        "\n{} {} not made yet: the images are not in the repository. Push them:\n",
        paint(WARN, names.join(" and ")),
        if names.len() == 1 { "is" } else { "are" },
    );
    for command in commands {
        text.push_str(&format!("  {command}\n"));
    }
    text.push_str(&format!("Then go on with {}", paint(BOLD, format!("pb-deploy deploy {workspace}"))));
    reporter.message(&text);
}
