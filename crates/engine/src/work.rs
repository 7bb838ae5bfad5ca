//! One part of a task: what it works with, and what it comes to.

use crate::context::Context;
use crate::failure::Failure;
use crate::kind::AnyKind;
use crate::ledger::Ledger;
use crate::verbs::Verbs;
use serde_json::Value;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// What one part of a task came to.
pub(crate) enum News {
    /// Created, and to be recorded before anything else is done with it.
    Created { spec: Value, attrs: Value },
    /// It has its name, and dependents that need no more may go on.
    Named { spec: Value, attrs: Value },
    /// It can be used.
    Settled { spec: Value, attrs: Value },
    /// It is gone.
    Gone,
}

/// Runs `part` as long as the ledger may be written to. Whoever lost the lease makes no further call, also where one that was
/// answered meanwhile would be followed by another: somebody else is at work.
pub(crate) async fn guarded<T>(
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
pub(crate) struct Work {
    pub kind: Arc<dyn AnyKind>,
    pub cx: Context,
    pub calls: Arc<tokio::sync::Semaphore>,
}

impl Work {
    pub fn verbs(&self) -> Verbs<'_> {
        Verbs { kind: &self.kind, cx: &self.cx }
    }

    /// Awaits `calls` as one of those that may make calls now.
    pub async fn limited<T>(&self, calls: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let _permit = self.calls.acquire().await;
        calls.await
    }

    pub async fn settle(&self, spec: Value, attrs: Value) -> Result<News, Failure> {
        let attrs = self.kind.settle(&self.cx, attrs).await?;
        Ok(News::Settled { spec, attrs })
    }
}
