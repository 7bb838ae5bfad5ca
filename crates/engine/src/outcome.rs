//! What came of a run.

use crate::address::Address;
use crate::failure::Failure;
use crate::plan::Action;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The steps that did something, in the order in which they ended.
    pub done: Vec<(Address, Action)>,
    /// The steps that failed.
    pub failed: Vec<StepFailure>,
    /// The steps that were not started, and why.
    pub skipped: Vec<(Address, Action, String)>,
    /// What people ask the stack for.
    pub outputs: BTreeMap<String, Value>,
}

impl Outcome {
    /// Returns whether everything was done and every check that was due holds.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty()
    }

    /// Returns whether all steps were done, whatever the checks say: nothing is left for another run to do.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        let mut undone =
            self.failed.iter().map(|failed| failed.action).chain(self.skipped.iter().map(|(_, action, _)| *action));
        undone.all(|action| action == Action::Check)
    }
}

/// A step that failed.
#[derive(Debug)]
pub struct StepFailure {
    /// Which resource.
    pub address: Address,
    /// What was tried.
    pub action: Action,
    /// Why it failed.
    pub failure: Failure,
}
