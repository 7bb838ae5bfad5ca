//! Guards: conditions that must hold before a plan is applied.

use crate::model::address::Address;
use crate::model::failure::Failure;
use crate::model::plan::Plan;
use crate::resource::context::Context;
use futures_util::future::BoxFuture;

/// A condition that must hold before certain plans are applied, and whose check takes more than a read: for example, a
/// queue must be empty before it is deleted.
///
/// A guard is part of the plans that it applies to. A run checks it after the plan was approved, under the lease, before
/// the first step: if it does not hold, nothing has been changed.
pub trait Guard: Send + Sync {
    /// Returns the words with which a plan announces the guard; `None` if the guard does not apply to the plan. Must be
    /// pure.
    fn notice(&self, plan: &Plan) -> Option<String>;

    /// Checks the condition, and returns the result in words. The check must have a time limit.
    ///
    /// # Errors
    /// `Refused` if the condition does not hold; any other failure of the check.
    fn check<'a>(&'a self, cx: &'a Context, plan: &'a Plan) -> BoxFuture<'a, Result<String, Failure>>;
}

/// A guard in a graph.
pub(crate) struct GuardNode {
    pub address: Address,
    pub guard: Box<dyn Guard>,
}
