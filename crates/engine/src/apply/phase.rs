//! Phases of a task: their context and their results.

use crate::apply::ledger::Ledger;
use crate::apply::operations::Operations;
use crate::model::failure::Failure;
use crate::resource::context::Context;
use crate::resource::kind::AnyKind;
use serde_json::Value;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// The result of a phase.
pub(crate) enum PhaseResult {
    /// The resource was created, and must be recorded before the next call that concerns it.
    Created { spec: Value, attrs: Value },
    /// The resource is created and configured. Dependents that do not need it to be ready may start.
    Identified { spec: Value, attrs: Value },
    /// The resource can be used.
    Ready { spec: Value, attrs: Value },
    /// The resource was deleted.
    Deleted,
}

/// Runs `part` for as long as the ledger can be written. A process that has lost the lease makes no further call, not
/// even the next call of an operation that has begun, because another process may already be changing the workspace.
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

/// The context of a phase.
pub(crate) struct PhaseContext {
    pub kind: Arc<dyn AnyKind>,
    pub cx: Context,
    pub calls: Arc<tokio::sync::Semaphore>,
}

impl PhaseContext {
    pub fn operations(&self) -> Operations<'_> {
        Operations { kind: &self.kind, cx: &self.cx }
    }

    /// Awaits `calls` while holding one of the permits that limit parallel calls.
    pub async fn limited<T>(&self, calls: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let _permit = self.calls.acquire().await;
        calls.await
    }

    pub async fn wait_ready(&self, spec: Value, attrs: Value) -> Result<PhaseResult, Failure> {
        let attrs = self.kind.wait_ready(&self.cx, attrs).await?;
        Ok(PhaseResult::Ready { spec, attrs })
    }
}
