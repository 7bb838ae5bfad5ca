//! The goal of a run and the scope of its plan.

use crate::model::address::Address;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The goal of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Make the managed resources match the graph.
    Deploy,
    /// Delete all managed resources.
    Destroy,
}

/// The scope of a plan: its targets, and the resources that it replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanScope {
    /// The targets; an empty set means all resources. The plan also covers the dependencies of the targets (in a
    /// deploy) or their dependents (in a destroy).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub targets: BTreeSet<Address>,
    /// Resources to replace even if they match the configuration.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub replace: BTreeSet<Address>,
}

impl PlanScope {
    /// Returns whether the plan covers all resources.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.targets.is_empty()
    }
}
