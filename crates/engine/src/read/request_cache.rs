//! Responses that several resource kinds share during one read.

use crate::model::failure::Failure;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Responses that several resource kinds share during one read, one response per type. For example, two kinds that need
/// the security groups of the workspace request them only once.
#[derive(Default)]
pub(crate) struct RequestCache(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl RequestCache {
    /// Returns the shared `T`, which the first caller requests. A failure is returned to that caller, but not stored.
    pub(crate) async fn get<T, F>(&self, ask: F) -> Result<Arc<T>, Failure>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, Failure>>,
    {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(OnceCell::<Arc<T>>::new())))
        };
        let Ok(cell) = slot.downcast::<OnceCell<Arc<T>>>() else {
            return ask.await.map(Arc::new);
        };
        cell.get_or_try_init(|| async { ask.await.map(Arc::new) }).await.map(Arc::clone)
    }
}
