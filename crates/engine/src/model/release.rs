//! Outcomes of releases.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The outcome of one release of one service, as far as any run has observed it. It is stored as text, so that
/// snapshots of all versions can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ReleaseOutcome {
    /// A run waited for the rollout, which succeeded.
    Succeeded,
    /// No run has waited for the rollout.
    NotWaited,
    /// The run that waited for the rollout was interrupted, and the rollout continued.
    Interrupted,
    /// The run that waited for the rollout reached its timeout, and the rollout continued. The string is the message of
    /// the timeout.
    GaveUp(String),
    /// The rollout failed. The string is the reason.
    Failed(String),
}

const SUCCEEDED: &str = "succeeded";
const NOT_WAITED: &str = "unknown: not waited for";
const INTERRUPTED: &str = "interrupted";

/// Prefix of the message of a wait that timed out.
const GAVE_UP: &str = "gave up after ";

/// Prefix of the message that older versions, which had no outcome `interrupted`, stored for an interrupted wait.
const STOPPED: &str = "stopped while waiting";

impl ReleaseOutcome {
    /// Returns whether the rollout may have ended without any run having observed it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::NotWaited | Self::Interrupted | Self::GaveUp(_))
    }

    /// Returns the text that is stored and shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Succeeded => SUCCEEDED,
            Self::NotWaited => NOT_WAITED,
            Self::Interrupted => INTERRUPTED,
            Self::GaveUp(why) | Self::Failed(why) => why,
        }
    }
}

impl From<String> for ReleaseOutcome {
    fn from(text: String) -> Self {
        match text.as_str() {
            SUCCEEDED => Self::Succeeded,
            NOT_WAITED | "unknown" => Self::NotWaited,
            INTERRUPTED => Self::Interrupted,
            old if old.starts_with(STOPPED) => Self::Interrupted,
            long if long.starts_with(GAVE_UP) => Self::GaveUp(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<ReleaseOutcome> for String {
    fn from(outcome: ReleaseOutcome) -> Self {
        outcome.as_str().to_owned()
    }
}

impl fmt::Display for ReleaseOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::ReleaseOutcome;

    fn read(text: &str) -> ReleaseOutcome {
        serde_json::from_value(text.into()).unwrap()
    }

    #[test]
    fn release_outcome_of_an_older_version_is_recognized() {
        assert_eq!(read("succeeded"), ReleaseOutcome::Succeeded);
        for text in ["unknown", "unknown: not waited for"] {
            assert_eq!(read(text), ReleaseOutcome::NotWaited);
        }
        assert_eq!(read("stopped while waiting: 0 of 1 running"), ReleaseOutcome::Interrupted);
        let gave_up = "gave up after 3 s: 0 of 1 running";
        assert_eq!(read(gave_up), ReleaseOutcome::GaveUp(gave_up.to_owned()));
        let failed = "ECS deployment circuit breaker: tasks failed to start";
        assert_eq!(read(failed), ReleaseOutcome::Failed(failed.to_owned()));
    }

    #[test]
    fn release_outcome_round_trips_as_text() {
        for outcome in [
            ReleaseOutcome::Succeeded,
            ReleaseOutcome::NotWaited,
            ReleaseOutcome::Interrupted,
            ReleaseOutcome::GaveUp("gave up after 3 s: 0 of 1 running".to_owned()),
            ReleaseOutcome::Failed("interrupted; rolled back".to_owned()),
        ] {
            assert_eq!(read(&String::from(outcome.clone())), outcome);
        }
    }
}
