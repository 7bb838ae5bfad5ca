//! The contract of resource kinds and checks, and the graph that a stack builds of them.

pub(crate) mod check;
pub(crate) mod context;
pub(crate) mod contract;
pub(crate) mod found;
pub(crate) mod graph;
pub(crate) mod guard;
pub(crate) mod inputs;
pub(crate) mod interim;
pub(crate) mod json;
pub(crate) mod kind;
pub(crate) mod preflight_check;
pub(crate) mod readiness;
pub(crate) mod shared;
pub(crate) mod typed;
pub(crate) mod typed_plan;
pub(crate) mod wait;
