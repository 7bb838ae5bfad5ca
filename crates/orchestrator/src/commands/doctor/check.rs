//! The result of one check.

use pb_engine::Failure;
use serde::Serialize;

/// The result of one check.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The subject of the check: `account`, `state/bucket`, `room for a VPC`.
    pub name: String,
    pub verdict: Verdict,
    /// The finding, as text.
    pub found: String,
    /// The remedy, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The meaning of a check's result for a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The check passed.
    Good,
    /// A deploy would succeed, but someone should look at the finding.
    Warning,
    /// The check could not be made.
    Unknown,
    /// A deploy would fail.
    Bad,
}

impl Check {
    pub fn new(name: &str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict, found: found.into(), hint: None }
    }

    pub fn good(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Good, found)
    }

    pub fn bad(name: &str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(name, Verdict::Bad, found) }
    }

    pub fn warning(name: &str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(name, Verdict::Warning, found) }
    }

    pub fn failed(name: &str, verdict: Verdict, failure: &Failure) -> Self {
        Self { hint: failure.hint.clone(), ..Self::new(name, verdict, failure.to_string()) }
    }

    /// Returns a passed check with the text that `found` returns for the value, or a failed check with the failure.
    pub fn of<T>(name: &str, answer: Result<T, Failure>, found: impl FnOnce(T) -> String) -> Self {
        match answer {
            Ok(value) => Self::good(name, found(value)),
            Err(failure) => Self::failed(name, Verdict::Bad, &failure),
        }
    }
}
