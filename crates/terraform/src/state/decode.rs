//! The text of a state, and the recognition of files that are passed instead of a state by mistake.

use super::refused;
use pb_engine::Failure;
use serde_json::Value;

/// First bytes of a plan that `terraform plan -out` has saved: it is a ZIP archive.
const ZIP: &[u8] = b"PK\x03\x04";

/// Version of the format of a state that can be read.
#[derive(Clone, Copy)]
pub(super) enum FormatVersion {
    /// Format of Terraform 0.7 to 0.11.
    Three,
    /// Format of Terraform 0.12 and later.
    Four,
}

impl FormatVersion {
    /// Returns the version as the state contains it.
    pub fn number(self) -> u64 {
        match self {
            Self::Three => 3,
            Self::Four => 4,
        }
    }
}

/// Returns the JSON value of a state. Accepts UTF-8 and UTF-16 with a byte order mark, because PowerShell redirects the
/// output of `terraform state pull` to a file in UTF-16.
///
/// # Errors
/// `Refused` if the bytes are not JSON.
pub(super) fn json(bytes: &[u8]) -> Result<Value, Failure> {
    if bytes.starts_with(ZIP) {
        return Err(refused("it is a saved plan, not a state"));
    }
    let text = text(bytes);
    if text.trim().is_empty() {
        return Err(refused("it is empty").hint(
            "`terraform state pull` prints nothing if the Terraform workspace has no state; \
             `terraform workspace list` shows the other workspaces",
        ));
    }
    serde_json::from_str(&text).map_err(|error| refused(&format!("it is not JSON: {error}")))
}

fn text(bytes: &[u8]) -> String {
    let utf_16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Returns the format of a state.
///
/// # Errors
/// `Refused`, with the way to get a state, if `value` is something else, or is a state that cannot be read.
pub(super) fn version(value: &Value) -> Result<FormatVersion, Failure> {
    let has = |field: &str| value.get(field).is_some();
    if has("encrypted_data") || has("encryption_version") {
        return Err(refused("it is encrypted by OpenTofu").hint(
            "decrypt it with `tofu state pull > FILE`, and pass FILE; delete the file afterwards, because a state \
             contains secrets in plain text",
        ));
    }
    if has("backend") && !has("modules") && !has("resources") {
        return Err(backend_configuration(value));
    }
    if has("planned_values") || has("resource_changes") {
        return Err(refused("it is a plan in JSON, not a state"));
    }
    if has("format_version") && has("values") {
        return Err(refused("it is the output of `terraform show -json`, not a state"));
    }
    match value.get("version").and_then(Value::as_u64) {
        Some(4) => Ok(FormatVersion::Four),
        Some(3) => Ok(FormatVersion::Three),
        Some(old @ 0..3) => Err(refused(&format!("it has format {old}; pb-deploy reads formats 3 and 4"))
            .hint("convert it with Terraform 0.11, which reads this format: `terraform state pull > FILE`")),
        Some(newer) => Err(refused(&format!("it has format {newer}; this version of pb-deploy reads formats 3 and 4"))
            .hint("update pb-deploy, or import the resources one by one with ADDRESS=ID")),
        None => Err(refused("it is not a Terraform state: it has no `version`")),
    }
}

/// Returns the failure for `.terraform/terraform.tfstate`, in which Terraform stores the location of the state.
fn backend_configuration(value: &Value) -> Failure {
    let failure = refused("it contains the configuration of a backend, not a state");
    let setting = |name: &str| value["backend"]["config"][name].as_str();
    match (value["backend"]["type"].as_str(), setting("bucket"), setting("key")) {
        (Some("s3"), Some(bucket), Some(key)) => {
            let prefix = setting("workspace_key_prefix").unwrap_or("env:");
            failure.hint(format!(
                "pass s3://{bucket}/{key}, or s3://{bucket}/{prefix}/WORKSPACE/{key} for a Terraform workspace other \
                 than `default`"
            ))
        }
        _ => failure,
    }
}
