//! The tool on the wire with faults: what dies whenever, nothing is orphaned, nothing is made twice, no state is overwritten,
//! and running again finishes the job.
//!
//! Each test has an account of its own in the local endpoint, and runs the real binary through a [`Proxy`] that refuses,
//! throttles, loses or holds chosen calls.

mod calls;
mod check;
mod emulator;
mod fault;
mod http;
pub mod matrix;
mod process;
mod proxy;
mod random;
mod report;
mod site;
mod world;

pub use calls::mutating;
pub use check::{Baseline, converged, gone};
pub use emulator::Emulator;
pub use fault::{At, How, Rule};
pub use http::{Message, exchange};
pub use process::{Ended, Running, Signal};
pub use proxy::{Held, Proxy, Seen};
pub use random::Random;
pub use report::write as write_report;
pub use site::{Shape, Site};
pub use world::World;

/// What went wrong, in words for people.
pub type Problem = String;
