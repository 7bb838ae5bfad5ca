//! Reasons why no plan can be computed.

use crate::model::address::Address;
use crate::model::cause::Refusal;

/// A reason why no plan can be computed. Nothing was changed.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlanError {
    /// The address of the resource.
    pub address: Address,
    /// The reason, and the remedy.
    pub why: String,
    /// The kind of the reason.
    #[serde(skip)]
    pub reason: Refusal,
    /// The id with which the unmanaged resource that is the reason can be imported.
    #[serde(skip)]
    pub import_id: Option<String>,
}

impl PlanError {
    /// Creates an error without a more specific reason than [`Refusal::Plan`].
    pub fn new(address: Address, why: impl Into<String>) -> Self {
        Self { address, why: why.into(), reason: Refusal::Plan, import_id: None }
    }

    /// Sets the kind of the reason.
    #[must_use]
    pub fn reason(self, reason: Refusal) -> Self {
        Self { reason, ..self }
    }
}
