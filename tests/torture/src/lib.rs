//! Fault injection for the binary: no matter which process dies, and when, no resource is orphaned or created twice, no
//! state is overwritten, and running the same command again completes the work.
//!
//! Each test has an account of its own in the local endpoint, and runs the real binary through a [`Proxy`] that
//! refuses, throttles, loses or holds chosen calls.

mod calls;
mod check;
mod emulator;
mod fault;
mod http;
mod inventory;
pub mod matrix;
mod process;
mod proxy;
mod random;
mod report;
mod workspace;

pub use calls::is_write;
pub use check::{Baseline, check_converged, check_destroyed};
pub use emulator::Emulator;
pub use fault::{CallMatcher, FaultAction, FaultRule};
pub use http::{Message, exchange};
pub use inventory::InventoryClient;
pub use process::{RunResult, RunningProcess, Signal};
pub use proxy::{HeldCall, Proxy, RecordedCall};
pub use random::Random;
pub use report::write as write_report;
pub use workspace::{TestConfig, TestWorkspace};

/// Description of an error, for people.
pub type Problem = String;
