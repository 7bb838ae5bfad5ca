//! Plans. Every decision is made before a plan is applied.

use crate::model::address::Address;
use crate::model::check::{PlannedCheck, Verdict};
use crate::model::diff::Change;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The action of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    /// Do nothing, because the resource matches the configuration.
    NoOp,
    /// Create the resource.
    Create,
    /// Update the resource in place.
    Update,
    /// Replace the resource with another at the same address.
    Replace {
        /// The order of the delete and the create.
        order: Order,
    },
    /// Delete the resource.
    Delete,
    /// Wait until the resource is ready. It already matches the configuration.
    #[serde(rename = "await")]
    Wait,
    /// Do nothing, whatever the state of the resource, because it is not targeted.
    #[serde(rename = "leave")]
    Untargeted,
    /// Import an existing resource: add the ownership tags and a record, and change nothing else.
    Adopt,
    /// Stop managing the resource: remove the ownership tags and the record, and change nothing else.
    Forget,
    /// Change the address of the resource in its tag and its record, and change nothing else.
    Move,
    /// Wait until a [check](crate::Check) holds. This action occurs in events and outcomes, never in the steps of a
    /// plan.
    Check,
}

impl Action {
    /// Returns whether the action does nothing.
    #[must_use]
    pub fn is_idle(self) -> bool {
        matches!(self, Self::NoOp | Self::Untargeted)
    }
}

/// The order of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The new resource is created, dependents move to it, and the old one is deleted last.
    #[serde(rename = "create_first")]
    CreateBeforeDestroy,
    /// The old resource is deleted first, after the resources that block its deletion. The new one is then created in
    /// its place.
    #[serde(rename = "delete_first")]
    DestroyBeforeCreate,
}

/// The origin of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The configuration has changed.
    Configuration,
    /// The resource has changed in AWS, but the configuration has not.
    Drift,
    /// Both the configuration and the resource in AWS have changed.
    Both,
}

/// The planned action of one resource, and its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The address of the resource.
    pub address: Address,
    /// The kind of the resource.
    pub kind: String,
    /// The action of the step.
    pub action: Action,
    /// The origin of the change; absent if nothing changes, if the resource did not exist, or if a revision other than
    /// the recorded one is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The reason for the action, if it does not follow from the changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The changed fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The changed fields that cannot be updated in place.
    #[serde(rename = "forces", default, skip_serializing_if = "Vec::is_empty")]
    pub replacement_fields: Vec<String>,
    /// Changes since the last run that pb-deploy did not make, each with its recorded and its live value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Change>,
    /// The previous address, if the step changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// The id in AWS, if the resource exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The live spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The desired spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// The attributes that AWS assigned, if the resource exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attrs: Option<Value>,
}

impl Step {
    /// Creates a step that says nothing about changes.
    #[must_use]
    pub fn new(address: Address, kind: impl Into<String>, action: Action) -> Self {
        Self {
            address,
            kind: kind.into(),
            action,
            origin: None,
            reason: None,
            changes: Vec::new(),
            replacement_fields: Vec::new(),
            drift: Vec::new(),
            from: None,
            id: None,
            before: None,
            after: None,
            attrs: None,
        }
    }
}

/// The steps of a run. They contain every decision, and every value except those that AWS has yet to assign.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// One step for each resource of the graph, dependencies first, then one for each other resource that is to be
    /// deleted.
    pub steps: Vec<Step>,
    /// The conditions that must hold after the run. They are not resources and are not counted as such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<PlannedCheck>,
    /// The guards that are checked before the first step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<PlannedGuard>,
}

/// A guard that applies to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedGuard {
    /// The address of the guard.
    pub address: Address,
    /// The words that announce the guard.
    pub notice: String,
}

impl Plan {
    /// Returns the steps that do something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.action.is_idle())
    }

    /// Returns the steps that write to AWS: all changes except waits.
    pub fn writes(&self) -> impl Iterator<Item = &Step> {
        self.changes().filter(|step| step.action != Action::Wait)
    }

    /// Returns the checks that failed when the plan was computed, each with its reason and further facts.
    pub fn failing(&self) -> impl Iterator<Item = (&PlannedCheck, &str, &[String])> {
        self.checks.iter().filter_map(|check| match &check.verdict {
            Verdict::Fails { message, details } => Some((check, message.as_str(), details.as_slice())),
            Verdict::Unknown | Verdict::Holds => None,
        })
    }

    /// Returns whether no step does anything. A check may fail nevertheless: see [`failing`](Self::failing).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    #[test]
    fn plan_without_checks_and_guards_still_loads() {
        let plan: Plan = serde_json::from_str(r#"{"steps": []}"#).unwrap();
        assert_eq!(plan, Plan::default());
        assert_eq!(serde_json::to_string(&plan).unwrap(), r#"{"steps":[]}"#);
    }
}
