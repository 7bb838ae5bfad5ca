//! The planner, with the order and the checks of its plans. Pure, except for the preflight checks.

pub(crate) mod checks;
pub(crate) mod drift;
pub(crate) mod planner;
pub(crate) mod preflight;
pub(crate) mod schedule;
pub(crate) mod single;
pub(crate) mod targets;
