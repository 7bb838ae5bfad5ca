//! Import from Terraform: its state, the mapping of its resources to addresses, and its locks.
//!
//! # Flow
//!
//! 1. [`Source`] is the location of a state. [`Source::read`] returns its bytes, and [`State::parse`] its resources.
//! 2. [`map_resources`] finds the address of each resource among those of a graph.
//! 3. [`Lock`] locks Terraform out while resources are imported.
//! 4. [`Removal`] lists the resources that Terraform has to forget.
//!
//! # Guarantees
//!
//! Terraform's state is never written. Values of a state other than ids and names, such as passwords, stay in memory
//! and appear in no message.

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
