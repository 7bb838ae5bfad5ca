//! Reasons why no plan can be computed.

use crate::model::address::Address;

/// A reason why no plan can be computed. Nothing was changed.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlanError {
    /// The address of the resource.
    pub address: Address,
    /// The reason, and the remedy.
    pub why: String,
}
