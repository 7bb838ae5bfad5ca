//! States of checks, in plans and observations.

use crate::model::address::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The state of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Verdict {
    /// The condition was not read, or a resource that it depends on does not exist yet.
    Unknown,
    /// The condition holds.
    Holds,
    /// The condition does not hold.
    Fails {
        /// The reason, such as `no target of staging-flask is healthy (1 needed)`.
        message: String,
        /// Further facts, one per entry.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        details: Vec<String>,
    },
}

/// A check in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCheck {
    /// The address of the check.
    pub address: Address,
    /// The kind of the check.
    pub kind: String,
    /// The addresses of the resources that the check depends on.
    pub about: Vec<Address>,
    /// The state of the condition when the plan was computed.
    pub verdict: Verdict,
    /// Set if the run must wait for the condition: it did not hold when the plan was computed, or the run changes a
    /// resource that the check depends on.
    pub due: bool,
}

/// The result of reading a check: the condition and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// The spec with which the check was read.
    pub spec: Value,
    /// The state of the condition.
    pub verdict: Verdict,
}
