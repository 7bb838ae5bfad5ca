//! The execution of plans, and the ledger that records it.

pub(crate) mod executor;
pub(crate) mod guards;
pub(crate) mod ledger;
pub(crate) mod operations;
pub(crate) mod partial_ledger;
pub(crate) mod phase;
pub(crate) mod run;
pub(crate) mod standalone;
