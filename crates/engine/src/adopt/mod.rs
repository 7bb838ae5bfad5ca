//! Adopting, forgetting and re-addressing existing resources.

pub(crate) mod adoption;
pub(crate) mod state_move;
