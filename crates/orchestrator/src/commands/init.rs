//! `init`: writes a first configuration.

use crate::cli::{Global, InitOptions};
use crate::exit::{Error, Exit};
use crate::files;
use crate::init::{LeftOut, REQUIRED, Setting, Variables, add_subnets, valid_configuration, without_duplicates};
use crate::output::console;
use pb_engine::ErrorCode;
use serde_json::json;

/// Writes a commented configuration, from scratch or with the values of a `terraform.tfvars`. Never overwrites a file.
///
/// # Errors
/// A configuration that already exists; variables that cannot be parsed; values that AWS would refuse.
pub fn init(global: &Global, options: &InitOptions) -> Result<Exit, Error> {
    let mut found = options.from.as_deref().map(Variables::read).transpose()?.unwrap_or_default();
    let mut settings = std::mem::take(&mut found.settings);
    let given = [
        ("", "region", &global.region),
        ("", "hostname", &options.hostname),
        ("state", "bucket", &options.bucket),
        ("state", "lock_table", &options.lock_table),
    ];
    for (section, key, value) in given {
        settings.extend(value.as_ref().map(|value| Setting::text(section, key, value)));
    }
    let mut settings = without_duplicates(settings);
    let subnets = add_subnets(&mut settings);
    let file = global.config.display().to_string();
    let mut invalid = std::mem::take(&mut found.placeholders);
    let text = valid_configuration(&mut settings, &mut invalid, &file)?;
    files::create(&global.config, &text).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::other(ErrorCode::File, format!("{file} already exists"), "choose another file with --config")
        }
        _ => Error::other(ErrorCode::File, format!("cannot write {file}: {e}"), "choose another file with --config"),
    })?;
    let taken: Vec<String> = settings.iter().map(Setting::path).collect();
    let unset: Vec<String> = REQUIRED
        .iter()
        .map(|(section, key, _)| Setting::text(section, key, "").path())
        .filter(|path| !taken.contains(path))
        .collect();
    if global.json {
        let places = |found: &[(String, usize)]| -> Vec<_> {
            found.iter().map(|(name, line)| json!({"name": name, "line": line})).collect()
        };
        let (left_out, secrets) = (places(&found.left_out), places(&found.secrets));
        let found = json!({
            "file": file, "taken": taken, "left_out": left_out, "secrets": secrets, "invalid": invalid, "to_set": unset,
        });
        console::document(&found)?;
        return Ok(Exit::Done);
    }
    console::print(&file);
    if !taken.is_empty() {
        console::note(format!("Set: {}", taken.join(", ")));
    }
    if let Some(note) = subnets {
        console::note(note);
    }
    for LeftOut { origin, reason } in &invalid {
        console::note(format!("Left out: {origin}: {reason}"));
    }
    for (name, line) in &found.left_out {
        console::note(format!("Left out because pb-deploy has no key for it: {name} (line {line})"));
    }
    for (name, line) in &found.secrets {
        console::note(format!(
            "Left out because it looks like a secret: {name} (line {line}); see `secrets` in {file}"
        ));
    }
    if !unset.is_empty() {
        console::note(format!("Set these before the first deploy: {}", unset.join(", ")));
    }
    Ok(Exit::Done)
}
