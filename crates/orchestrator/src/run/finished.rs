//! The values with which a run ends.

use crate::output::reporter::Reporter;
use pb_engine::{Outcome, Run, Snapshot};
use std::time::Duration;

/// A run that has ended. Its plans have the type `P`.
pub struct Finished<'a, P> {
    pub reporter: &'a Reporter,
    pub workspace: &'a str,
    pub run: &'a Run,
    /// The plan of the last pass.
    pub planned: &'a P,
    pub outcome: &'a Outcome,
    /// The snapshot at the end.
    pub snapshot: &'a Snapshot,
    /// The duration from the acquisition of the lease.
    pub took: Duration,
}
