//! Tasks of a run that changes ownership, and their plans.

use crate::cli::AdoptOptions;
use pb_engine::{Address, Plan};
use pb_terraform::Mapping;

/// A change of which existing resources are managed, or at which addresses.
pub enum Task<'a> {
    Adopt(&'a AdoptOptions),
    Forget(&'a [Address]),
    Move { from: &'a str, to: &'a str },
}

/// A planned task, with its output.
pub struct TaskPlan {
    pub plan: Plan,
    pub text: String,
    pub json: serde_json::Value,
    /// Lineage and serial of the Terraform state that the plan is based on.
    pub state: Option<(String, u64)>,
    /// Resources of the Terraform state, mapped to addresses.
    pub mapping: Mapping,
}
