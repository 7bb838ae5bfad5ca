//! State of a workspace between runs: a snapshot in S3, protected by a lease in DynamoDB.
//!
//! # Flow
//!
//! 1. [`Session::open`] acquires the lease, with a fencing token above that of the snapshot, and then reads the
//!    snapshot.
//! 2. The session is the engine's [`Ledger`](pb_engine::Ledger): it stores the intents before the first write to AWS,
//!    and the outcome of each write soon after it is known. One writer has at most one write in flight.
//! 3. [`Session::close`] stores pending changes and releases the lease.
//!
//! # Guarantees
//!
//! - Every write of the snapshot is conditional on the stored snapshot being the one that this run read or wrote last,
//!   so no write of another run is overwritten.
//! - A run that has lost the lease, or cannot be sure that it holds the lease, writes nothing more, and
//!   [`Ledger::lost`](pb_engine::Ledger::lost) reports that at once.
//! - The lease of a dead process is taken over after one lease time, as measured by the waiter's clock. The clocks of
//!   two machines are never compared.
//! - A snapshot that was modified by another program, is truncated, or belongs to another workspace is refused. If the
//!   [`Store`] has an [`AccountRegion`], a snapshot of another account or region is refused, too.
//! - A store that ignores conditional writes is refused before the first write.
//! - A refused run leaves the lease item and the snapshot unchanged, so repeating it does not bypass the refusal.

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
