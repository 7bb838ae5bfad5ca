//! The way over from Terraform: what its state names, which address of ours that is, and its lock.
//!
//! # Flow
//!
//! 1. [`Source`] says where a state lies; [`Source::read`] gives its bytes, [`State::parse`] what it names.
//! 2. [`map_resources`] finds the address of each resource among those that a graph wants.
//! 3. [`Lock`] keeps Terraform away while resources are taken over.
//! 4. [`Removal`] says how Terraform is made to forget them.
//!
//! # Guarantees
//!
//! Nothing is ever written to Terraform's state. What a state holds besides ids and names (passwords, among others) stays in
//! memory, and goes into no message.

mod lock;
mod mapping;
mod removal;
mod source;
mod state;

pub use lock::Lock;
pub use mapping::{DesiredResource, ImportCandidate, Mapping, NotImported, map_resources};
pub use removal::Removal;
pub use source::Source;
pub use state::{Resource, State};
