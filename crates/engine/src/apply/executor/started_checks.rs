//! The state of the checks of a run.

use crate::model::failure::Failure;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::HashSet;
use tokio::time::Instant;

/// The checks of a run that have started.
#[derive(Default)]
pub(super) struct Checks<'a> {
    /// The indices of these checks in the graph.
    pub started: HashSet<usize>,
    pub running: FuturesUnordered<BoxFuture<'a, Ended>>,
}

/// The result of waiting for a check.
pub(super) struct Ended {
    pub check: usize,
    pub since: Instant,
    pub result: Result<(), Failure>,
}
