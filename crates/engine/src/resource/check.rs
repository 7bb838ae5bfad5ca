//! Conditions that a deployed stack must meet, such as healthy targets.

use crate::model::address::Address;
use crate::model::check::Verdict;
use crate::model::failure::Failure;
use crate::resource::context::Context;
use crate::resource::json::from_json;
use crate::resource::readiness::{Edge, Make};
use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// A condition that the stack must meet once its resources are as configured.
///
/// A check creates nothing. It is never recorded in a snapshot, tagged or deleted, and no resource depends on it.
/// Planning reads the condition once. A run waits until the condition holds, starting when the resources that the check
/// depends on are ready.
pub trait Check: Send + Sync + Sized + 'static {
    /// The kind of the check: `service.condition`, such as `elbv2.healthy_targets`.
    const KIND: &'static str;

    /// The parameters of the condition, computed from attributes of resources.
    type Spec: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// Reads whether the condition holds, without waiting for it.
    fn read(&self, spec: &Self::Spec) -> impl Future<Output = Result<Verdict, Failure>> + Send;

    /// Waits until the condition holds. The wait must have a time limit.
    fn wait(&self, cx: &Context, spec: &Self::Spec) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The type-erased form of [`Check`], with its spec as JSON.
pub(crate) trait AnyCheck: Send + Sync {
    fn name(&self) -> &'static str;
    fn read<'a>(&'a self, spec: &'a Value) -> BoxFuture<'a, Result<Verdict, Failure>>;
    fn wait(&self, cx: Context, spec: Value) -> BoxFuture<'_, Result<(), Failure>>;
}

/// A wrapper that implements [`AnyCheck`] for a [`Check`].
pub(crate) struct ErasedCheck<C>(pub Arc<C>);

impl<C: Check> AnyCheck for ErasedCheck<C> {
    fn name(&self) -> &'static str {
        C::KIND
    }

    fn read<'a>(&'a self, spec: &'a Value) -> BoxFuture<'a, Result<Verdict, Failure>> {
        async move { self.0.read(&from_json(C::KIND, spec)?).await }.boxed()
    }

    fn wait(&self, cx: Context, spec: Value) -> BoxFuture<'_, Result<(), Failure>> {
        async move { self.0.wait(&cx, &from_json(C::KIND, &spec)?).await }.boxed()
    }
}

/// A check in a graph, with its inputs.
pub(crate) struct CheckNode {
    pub address: Address,
    pub kind: Arc<dyn AnyCheck>,
    pub inputs: Vec<Edge>,
    pub make: Make,
}
