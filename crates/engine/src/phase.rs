//! One part of a task: what it works with, and what it comes to.

use crate::context::Context;
use crate::failure::Failure;
use crate::kind::AnyKind;
use crate::ledger::Ledger;
use crate::operations::Operations;
use serde_json::Value;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// What one part of a task came to.
pub(crate) enum PhaseResult {
    /// Created, and to be recorded before anything else is done with it.
    Created { spec: Value, attrs: Value },
    /// It has its name, and dependents that need no more may go on.
    Identified { spec: Value, attrs: Value },
    /// It can be used.
    Ready { spec: Value, attrs: Value },
    /// It is gone.
    Deleted,
}

/// Runs `part` as long as the ledger may be written to. Whoever lost the lease makes no further call, also where one that was
/// answered meanwhile would be followed by another: somebody else is at work.
pub(crate) async fn run_unless_lost<T>(
    ledger: &dyn Ledger,
    part: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut part = pin!(part);
    poll_fn(|cx| match ledger.lost() {
        Some(lost) => Poll::Ready(Err(lost)),
        None => part.as_mut().poll(cx),
    })
    .await
}

/// What one part of a task works with.
pub(crate) struct PhaseContext {
    pub kind: Arc<dyn AnyKind>,
    pub cx: Context,
    pub calls: Arc<tokio::sync::Semaphore>,
}

impl PhaseContext {
    pub fn operations(&self) -> Operations<'_> {
        Operations { kind: &self.kind, cx: &self.cx }
    }

    /// Awaits `calls` as one of those that may make calls now.
    pub async fn limited<T>(&self, calls: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let _permit = self.calls.acquire().await;
        calls.await
    }

    pub async fn wait_ready(&self, spec: Value, attrs: Value) -> Result<PhaseResult, Failure> {
        let attrs = self.kind.wait_ready(&self.cx, attrs).await?;
        Ok(PhaseResult::Ready { spec, attrs })
    }
}
