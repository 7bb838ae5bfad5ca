//! The JSON content of a lock, which names the holder.

use super::ACQUIRE;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use pb_engine::{Class, Failure, Refusal};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// Holder of a lock, in Terraform's format.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Info {
    #[serde(rename = "ID")]
    pub id: String,
    pub operation: String,
    pub info: String,
    pub who: String,
    pub version: String,
    pub created: String,
    pub path: String,
}

impl Info {
    /// Creates the content of a lock on the state at `path`, which has the form `<bucket>/<key>`.
    pub fn new(who: &str, operation: &str, path: String) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            operation: operation.to_owned(),
            who: who.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created: now(),
            path,
            ..Self::default()
        }
    }
}

/// Checks that a lock with the content `text` was left by an interrupted run of the same `operation`, and otherwise
/// returns a failure that names `place` and the holder.
pub(super) fn check_abandoned(text: &str, place: &str, operation: &str) -> Result<(), Failure> {
    let holder: Info = serde_json::from_str(text).unwrap_or_default();
    if holder.operation == operation {
        return Ok(());
    }
    let Info { id, operation, who, created, .. } = holder;
    let message = match who.is_empty() {
        true => format!("{place} is held by an unknown holder"),
        false => format!("{place} is held by {who} ({operation}, since {created}), id {id}"),
    };
    let hint = format!(
        "wait until Terraform has finished; to remove the lock of a dead process, run `terraform force-unlock {id}`"
    );
    Err(Failure::new(Class::Locked, ACQUIRE, message).reason(Refusal::TerraformState).hint(hint.trim_end()))
}

/// Returns the failure for a lock that other holders keep acquiring and releasing.
pub(super) fn contended(place: &str) -> Failure {
    let message = format!("other holders keep acquiring and releasing {place}");
    Failure::new(Class::Locked, ACQUIRE, message)
        .reason(Refusal::TerraformState)
        .hint("wait until Terraform has finished, then run the same command again")
}

/// Returns the advice for a lock that could not be released.
pub(super) fn unreleased_hint(text: &str) -> String {
    let id = serde_json::from_str::<Info>(text).unwrap_or_default().id;
    format!("Terraform's lock was not released; remove it with `terraform force-unlock {id}`")
}

/// Returns the current time in the format of RFC 3339, with a precision of one second.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.fmt(DateTimeFormat::DateTime).unwrap_or_default()
}
