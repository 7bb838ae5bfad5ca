//! What will be done, decided to the last choice.

use crate::address::Address;
use crate::check::{PlannedCheck, Verdict};
use crate::diff::Change;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    /// Nothing: it is as it should be.
    NoOp,
    /// Make it.
    Create,
    /// Change it in place.
    Update,
    /// Make another in its place.
    Replace {
        /// Which comes first.
        order: Order,
    },
    /// Delete it.
    Delete,
    /// Wait until it can be used; it is as it should be otherwise.
    #[serde(rename = "await")]
    Wait,
    /// Nothing, whatever it is like: the plan is about another part of the stack.
    #[serde(rename = "leave")]
    Untargeted,
    /// Take over what is there: put our tags on it and remember it. Nothing else about it is changed.
    Adopt,
    /// Let go of it: take our tags off and remember it no more. It stays as it is.
    Forget,
    /// Give it another address: its tag, and where it is remembered. Nothing else about it is changed.
    Move,
    /// Wait until a [check](crate::Check) holds. No step has it; events and outcomes of checks do.
    Check,
}

impl Action {
    /// Whether nothing is done.
    #[must_use]
    pub fn is_idle(self) -> bool {
        matches!(self, Self::NoOp | Self::Untargeted)
    }
}

/// Which comes first in a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The new one is made, dependents go over to it, the old one is deleted.
    #[serde(rename = "create_first")]
    CreateBeforeDestroy,
    /// The old one is deleted, after whatever holds it; the new one takes its name.
    #[serde(rename = "delete_first")]
    DestroyBeforeCreate,
}

/// Where a change comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The configuration was changed.
    Configuration,
    /// The world was changed: nobody asked for the difference here.
    Drift,
    /// Both.
    Both,
}

/// What is done to one resource, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Which resource.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// What is done.
    pub action: Action,
    /// Where the change comes from; absent where nothing changes, nothing was there, or another edition than the recorded one
    /// is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Why, where it does not follow from the changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fields that change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The changed fields that cannot change in place.
    #[serde(rename = "forces", default, skip_serializing_if = "Vec::is_empty")]
    pub replacement_fields: Vec<String>,
    /// What somebody else changed since the last run: as it was recorded, and as it is now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Change>,
    /// The address that it had until now, where it gets another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// What AWS calls it, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is like now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// What AWS assigned, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attrs: Option<Value>,
}

/// What will be done, decided to the last choice: everything but what AWS is yet to assign.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// One step for each resource of the graph, parents first, then one for each that has to go besides.
    pub steps: Vec<Step>,
    /// The conditions that the stack must meet afterwards. They are no resources: no count of resources includes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<PlannedCheck>,
}

impl Plan {
    /// The steps that do something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.action.is_idle())
    }

    /// The steps that write to AWS: those that do something besides waiting.
    pub fn writes(&self) -> impl Iterator<Item = &Step> {
        self.changes().filter(|step| step.action != Action::Wait)
    }

    /// The checks that failed when the plan was made, each with its reason and more about it.
    pub fn failing(&self) -> impl Iterator<Item = (&PlannedCheck, &str, &[String])> {
        self.checks.iter().filter_map(|check| match &check.verdict {
            Verdict::Fails { message, details } => Some((check, message.as_str(), details.as_slice())),
            Verdict::Unknown | Verdict::Holds => None,
        })
    }

    /// Returns whether no step has anything to do. A check may fail all the same: see [`failing`](Self::failing).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    #[test]
    fn plan_without_checks_still_loads() {
        let plan: Plan = serde_json::from_str(r#"{"steps": []}"#).unwrap();
        assert_eq!(plan, Plan::default());
        assert_eq!(serde_json::to_string(&plan).unwrap(), r#"{"steps":[]}"#);
    }
}
