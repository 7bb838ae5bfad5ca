//! The JSON in a lock, which names its holder.

use super::ACQUIRE;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use pb_engine::{Class, Failure};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// The holder of a lock, as Terraform writes and shows it.
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
    /// A lock of ours on the state at `path`, `<bucket>/<key>`.
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

/// Refuses unless the lock `text`, found at `place`, was left by a run of ours with the same `operation`.
pub(super) fn check_abandoned(text: &str, place: &str, operation: &str) -> Result<(), Failure> {
    let holder: Info = serde_json::from_str(text).unwrap_or_default();
    if holder.operation == operation {
        return Ok(());
    }
    let Info { id, operation, who, created, .. } = holder;
    let message = match who.is_empty() {
        true => format!("{place} is held, and does not say by whom"),
        false => format!("{place} is held by {who} ({operation}, since {created}), id {id}"),
    };
    let hint = format!(
        "wait until Terraform has ended; the lock of one that died is removed with `terraform force-unlock {id}`"
    );
    Err(Failure::new(Class::Locked, ACQUIRE, message).hint(hint.trim_end()))
}

/// The failure of a lock that others take and release in turn.
pub(super) fn contended(place: &str) -> Failure {
    let message = format!("{place} is taken and released again and again");
    Failure::new(Class::Locked, ACQUIRE, message).hint("wait until Terraform has ended, and run the same command again")
}

/// The advice for a lock that could not be released.
pub(super) fn unreleased_hint(text: &str) -> String {
    let id = serde_json::from_str::<Info>(text).unwrap_or_default().id;
    format!("Terraform's lock is left over: terraform force-unlock {id}")
}

/// The current time, to the second, in RFC 3339.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.fmt(DateTimeFormat::DateTime).unwrap_or_default()
}
