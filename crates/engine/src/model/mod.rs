//! The values that the rest of the crate is about. They read and change nothing outside of themselves.

pub(crate) mod address;
pub(crate) mod cause;
pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod error_code;
pub(crate) mod event;
pub(crate) mod failure;
pub(crate) mod goal;
pub(crate) mod observed;
pub(crate) mod operation;
pub(crate) mod outcome;
pub(crate) mod ownership;
pub(crate) mod plan;
pub(crate) mod plan_error;
pub(crate) mod release;
pub(crate) mod snapshot;
pub(crate) mod unknown;
pub(crate) mod unmanaged;
