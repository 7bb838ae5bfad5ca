//! Import from Terraform: reader of its state, mapping of its resources to addresses, and its locks.
//!
//! # Flow
//!
//! 1. [`Source`] is the location of a state. [`Source::read`] returns its bytes, and [`State::parse`] extracts its
//!    resources.
//! 2. [`map_resources`] finds the address of each resource among the addresses of a graph, and [`differences`] finds
//!    what the resources have that pb-deploy does not build.
//! 3. [`Lock`] prevents Terraform from changing the resources while they are imported.
//! 4. [`Removal`] lists the resources that must be removed from Terraform's state.
//!
//! # Guarantees
//!
//! Terraform's state is never written. Of the values in a state, only ids and names appear in messages; all others,
//! such as passwords, stay in memory.

mod architecture;
mod https;
mod location;
mod lock;
mod mapping;
mod removal;
mod source;
mod state;

pub use architecture::{Difference, DifferenceKind, differences};
pub use https::HttpsSettings;
pub use location::{Location, locations_elsewhere};
pub use lock::{DigestItem, Lock, StateDigest};
pub use mapping::{
    CertificateReason, DesiredResource, ImportCandidate, Mapping, NotImported, Reason, Stack, map_resources,
};
pub use removal::Removal;
pub use source::Source;
pub use state::{Resource, State};
