//! Outcome of a run.

use crate::model::address::Address;
use crate::model::failure::Failure;
use crate::model::plan::Action;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The steps that changed something, in the order in which they finished.
    pub done: Vec<(Address, Action)>,
    /// The steps that failed.
    pub failed: Vec<StepFailure>,
    /// The steps that were not started, each with the reason.
    pub skipped: Vec<(Address, Action, String)>,
    /// The outputs of the stack.
    pub outputs: BTreeMap<String, Value>,
    /// The failure to store the last changes of the snapshot, although the steps had ended.
    pub unrecorded: Option<Failure>,
}

impl Outcome {
    /// Returns whether all steps are done and stored, and every due check holds.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && self.unrecorded.is_none()
    }

    /// Returns whether all steps are done, regardless of the checks, so that nothing is left to do for another run.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        let mut undone =
            self.failed.iter().map(|failed| failed.action).chain(self.skipped.iter().map(|(_, action, _)| *action));
        undone.all(|action| action == Action::Check)
    }
}

/// A step or check that failed.
#[derive(Debug)]
pub struct StepFailure {
    /// The address of the resource or check.
    pub address: Address,
    /// The action of the step.
    pub action: Action,
    /// The reason for the failure.
    pub failure: Failure,
    /// The state of the resource; `None` for a check.
    pub remains: Option<Remains>,
}

/// The state of a resource in AWS after its step has failed, derived from the intent of the step and its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remains {
    /// The step created nothing.
    Nothing,
    /// The resource may exist: the result of a create or delete is unknown. The next run looks for it.
    MayExist,
    /// The resource exists. An update may have been made in part.
    Exists,
}
