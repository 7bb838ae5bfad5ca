//! The lease: the right of one run at a time to change a workspace.

mod acquire;
mod hold;
pub mod protocol;
mod table;

pub use acquire::AcquireOptions;
pub use hold::Lease;
pub(crate) use table::Fencing;
pub use table::{Holder, LeaseTable, timestamp};

#[cfg(test)]
mod tests;
