//! The lease protocol in a model checker: every possible order of a few processes, their requests and the clock, with
//! requests that arrive late or never, lost responses, processes that die, and processes that are suspended for any
//! time. The decisions are those of `crates/state/src/lease/protocol.rs`, the file from which the tool is built.
//!
//! The table may lose its item, and with it the fencing token, at any moment. Then nothing in the table keeps two
//! holders apart. The model checks that the snapshot does: no write follows one with a higher token, and a restore
//! makes table and snapshot consistent again.
//!
//! Simplifications of the model, and why they lose nothing:
//!
//! - A response arrives at once or never. A process that receives it later equals one that is suspended after it has
//!   received it.
//! - Queries of the table and reads of the snapshot are one step. A late one equals one of a suspended process.
//! - A waiter queries whenever the clock advances. One that queries less often waits for longer.
//! - All clocks have the same rate. Their readings are never compared, so they do not matter; the margin covers the
//!   difference of their rates, which is arithmetic.

pub mod model;
#[path = "../../../crates/state/src/lease/protocol.rs"]
pub mod protocol;
mod world;

use protocol::Timing;
use std::time::Duration;

/// A lease of two ticks: others wait for two, and the holder trusts it until shortly before the second.
pub const LEASE: Timing = Timing { lease: Duration::from_secs(2), heartbeat: Duration::from_secs(1) };

/// Returns the time after a number of ticks.
#[must_use]
pub const fn at(ticks: u64) -> Duration {
    Duration::from_secs(ticks)
}
