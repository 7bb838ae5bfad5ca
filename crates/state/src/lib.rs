//! What is remembered of a workspace between runs, and who may change it: a snapshot in S3 under a lease in DynamoDB.
//!
//! # Flow
//!
//! 1. [`Session::open`] takes the lease, with a fencing token above that of the snapshot, then reads the snapshot.
//! 2. The session is the engine's [`Ledger`](pb_engine::Ledger): the intents are stored before the first write to AWS, and
//!    each outcome soon after it happened, by one writer that has one write in flight at most.
//! 3. [`Session::close`] stores what is left and releases the lease.
//!
//! # Guarantees
//!
//! - Each write has a condition: that the snapshot is the one which was read, or written last. Nothing is overwritten.
//! - Whoever lost the lease, or cannot be sure to have it, writes nothing more, and [`Ledger::lost`](pb_engine::Ledger::lost)
//!   says so at once.
//! - The lease of a process that died is taken over after one lease time by the clock of the one that waits. No clocks of two
//!   machines are compared.
//! - A snapshot that was changed by another hand, cut short, or is another workspace's is refused; so is one that was deployed
//!   to another account or region, when the [`Store`] has a [`Home`].
//! - A store that ignores the conditions of writes is refused before the first write.
//! - A run that is refused leaves the lease's item and the snapshot as they are: trying again does not get it through.

mod account_region;
mod clock;
#[cfg(test)]
mod fake;
mod format;
mod lease;
mod location;
mod probe;
mod restore;
mod rewrite;
mod session;
mod store;

pub use account_region::AccountRegion;
pub use format::{decode, decode_edited, encode};
pub use lease::protocol;
pub use lease::{AcquireOptions, Holder, Lease, LeaseTable, timestamp};
pub use location::StateLocation;
pub use probe::ConditionalWrites;
pub use protocol::Timing;
pub use restore::restore;
pub use rewrite::rewrite;
pub use session::Session;
pub use store::{Loaded, Store, Version};
