//! The lease protocol as a model for a model checker. The checker explores every possible order of the steps of a few
//! processes, of their requests and of the clock, including requests that arrive late or never, lost responses,
//! processes that die, and processes that are suspended for any length of time. The decisions of the protocol are not
//! modeled: they are compiled from `crates/state/src/lease/protocol.rs`, the source file that pb-deploy itself uses.
//!
//! The table may lose its item, and with it the fencing token, at any moment. After such a loss, nothing in the table
//! prevents two processes from holding the lease at the same time. The model checks that the snapshot still protects
//! the state: no write follows a write with a higher token, and a restore makes the table consistent with the snapshot
//! again.
//!
//! The simplifications of the model, and the reasons why they hide no errors:
//!
//! - A response arrives at once or never. A process that receives a response later behaves like a process that is
//!   suspended after it has received the response.
//! - A query of the table or a read of the snapshot is one step. A late query or read is equivalent to that of a
//!   suspended process.
//! - A waiter queries the table whenever the clock advances. A waiter that queries less often only waits longer.
//! - All processes share one clock. The readings of different clocks are never compared, so their offsets do not
//!   matter. The margin of the protocol covers the difference between the rates of real clocks; that is a matter of
//!   arithmetic, not of the order of steps.

pub mod model;
#[path = "../../../crates/state/src/lease/protocol.rs"]
pub mod protocol;
mod world;

use protocol::Timing;
use std::time::Duration;

/// A lease of two ticks: other processes wait for two ticks, and the holder trusts the lease until shortly before the
/// second tick.
pub const LEASE: Timing = Timing { lease: Duration::from_secs(2), heartbeat: Duration::from_secs(1) };

/// Returns the time after a number of ticks.
#[must_use]
pub const fn at(ticks: u64) -> Duration {
    Duration::from_secs(ticks)
}
