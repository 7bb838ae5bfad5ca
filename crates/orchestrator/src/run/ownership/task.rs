//! Tasks of a run that changes ownership, and their plans.

use crate::cli::AdoptOptions;
use crate::exit::Error;
use pb_engine::{Address, ErrorCode, Plan, PlanError};
use pb_terraform::{Mapping, Reason};

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
    /// Reason why the task is not begun, although it could be.
    pub blocked: Option<Blocked>,
}

impl TaskPlan {
    /// Returns whether services of the Terraform state are not imported because their images are not pushed yet.
    pub fn lacks_images(&self) -> bool {
        self.mapping.unmapped.iter().any(|left| matches!(left.reason, Reason::ImagesMissing(_)))
    }
}

/// Reason why a task is not begun.
pub enum Blocked {
    /// The resources cannot be imported as a whole.
    Whole { code: ErrorCode, message: String, hint: String },
    /// A deploy would be refused because of some of the resources.
    Resources(Vec<PlanError>),
}

impl Blocked {
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Whole { code, message: message.into(), hint: hint.into() }
    }
}

impl From<&Blocked> for Error {
    fn from(blocked: &Blocked) -> Self {
        match blocked {
            Blocked::Whole { code, message, hint } => Self::other(*code, message, hint),
            Blocked::Resources(refused) => Self::Refused(refused.clone()),
        }
    }
}
