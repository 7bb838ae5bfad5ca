//! The lease protocol in a model checker: every order in which a few processes, their requests and time itself can go, with
//! requests that arrive late or never, answers that are lost, processes that die, and processes that stand still for as long
//! as they like. The decisions are those of `crates/state/src/lease/protocol.rs`, the very file that the tool is built from.
//!
//! The table may lose its item, and with it the fence, at any moment. Then nothing in it keeps two holders apart, and what is
//! checked is that the snapshot does: no write goes behind one with a later fence, and a restore gets the two together again.
//!
//! What the model leaves out, and why nothing is lost by it:
//!
//! - An answer is heard at once or never. A process that hears it later is one that stands still after it heard it.
//! - Looks and reads of the snapshot are one step. One that is late is one of a process that stands still.
//! - Who waits looks whenever the clock goes on. Who looks less often waits for longer.
//! - Clocks go at one rate. Their readings are never compared, so that what they say does not matter; how far their rates may
//!   differ is the margin's concern, and arithmetic.

pub mod model;
#[path = "../../../crates/state/src/lease/protocol.rs"]
pub mod protocol;
mod world;

use protocol::Timing;
use std::time::Duration;

/// A lease of two ticks: others wait for two, and the holder trusts it until before the second.
pub const LEASE: Timing = Timing { lease: Duration::from_secs(2), heartbeat: Duration::from_secs(1) };

/// So many ticks.
#[must_use]
pub const fn at(ticks: u64) -> Duration {
    Duration::from_secs(ticks)
}
