//! Conditions that a deployed stack must meet, such as healthy targets.

use crate::model::address::Address;
use crate::model::check::{Checked, PlannedCheck, Verdict};
use crate::model::failure::Failure;
use crate::model::observed::Observed;
use crate::model::plan::Step;
use crate::model::snapshot::Snapshot;
use crate::model::unknown::has_unknown;
use crate::resource::context::Context;
use crate::resource::graph::Graph;
use crate::resource::json::from_json;
use crate::resource::readiness::{Edge, Make, Values};
use futures_util::future::{BoxFuture, FutureExt, join, try_join_all};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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

impl CheckNode {
    fn planned(&self, graph: &Graph, verdict: Verdict, due: bool) -> PlannedCheck {
        let about: BTreeSet<&Address> = self.inputs.iter().map(|edge| &graph.nodes[edge.node].address).collect();
        PlannedCheck {
            address: self.address.clone(),
            kind: self.kind.name().to_owned(),
            about: about.into_iter().cloned().collect(),
            verdict,
            due,
        }
    }
}

impl Graph {
    /// Returns the address of each check with the addresses of the resources that it depends on.
    pub fn check_edges(&self) -> impl Iterator<Item = (&Address, Vec<&Address>)> {
        self.checks.iter().map(|check| {
            let needed = check.inputs.iter().map(|edge| &self.nodes[edge.node].address);
            (&check.address, needed.collect())
        })
    }

    /// Returns all checks of the graph, marked as due, for plans that [`compute_plan()`](crate::compute_plan()) did not
    /// compute.
    #[must_use]
    pub fn due_checks(&self) -> Vec<PlannedCheck> {
        self.checks.iter().map(|check| check.planned(self, Verdict::Unknown, true)).collect()
    }
}

/// Awaits `observed` and adds the states of the graph's checks to the observation. The checks are read in parallel with
/// `observed`, with specs that are computed from recorded attributes. If the observed attributes yield another spec for
/// a check, it is read again.
///
/// # Errors
/// The error of `observed`, or of a failed read of a check.
pub async fn with_checks(
    graph: &Graph,
    snapshot: &Snapshot,
    observed: impl Future<Output = Result<Observed, Failure>>,
) -> Result<Observed, Failure> {
    let recorded = graph.nodes.iter().map(|node| Some(snapshot.resources.get(&node.address)?.attrs.clone())).collect();
    let (observed, early) = join(observed, read(graph, &recorded, BTreeMap::new())).await;
    let mut observed = observed?;
    let live = graph.nodes.iter().zip(&recorded).map(|(node, recorded)| {
        let found = observed.managed.get(&node.address)?.iter().filter(|live| live.kind == node.kind.name());
        found.min_by_key(|live| Some(&live.attrs) != recorded.as_ref()).map(|live| live.attrs.clone())
    });
    let live = live.collect();
    // An early read may have failed because it used attributes of a deleted resource, so checks without a result are
    // read again.
    observed.checks = read(graph, &live, early.unwrap_or_default()).await?;
    Ok(observed)
}

/// Reads the checks whose inputs are known. A result in `known` is reused if its spec is the same.
async fn read(
    graph: &Graph,
    values: &Values,
    mut known: BTreeMap<Address, Checked>,
) -> Result<BTreeMap<Address, Checked>, Failure> {
    let reads = graph.checks.iter().filter_map(|check| {
        let spec = (check.make)(values).ok().filter(|spec| !has_unknown(spec))?;
        let known = known.remove(&check.address).filter(|known| known.spec == spec);
        Some(async move {
            let checked = match known {
                Some(known) => known,
                None => Checked { verdict: check.kind.read(&spec).await?, spec },
            };
            Ok::<_, Failure>((check.address.clone(), checked))
        })
    });
    Ok(try_join_all(reads.collect::<Vec<_>>()).await?.into_iter().collect())
}

/// Returns the checks of a plan: those whose inputs are all part of the plan.
///
/// # Errors
/// `Bug` if a spec cannot be serialized.
pub(crate) fn plan_checks(
    graph: &Graph,
    observed: &Observed,
    steps: &[Step],
    values: &Values,
) -> Result<Vec<PlannedCheck>, Failure> {
    let mut changed: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for (node, step) in graph.nodes.iter().zip(steps) {
        changed.push(!step.action.is_idle() || node.inputs.iter().any(|edge| changed[edge.node]));
    }
    let is_known = |edge: &Edge| values.get(edge.node).is_some_and(Option::is_some);
    let planned = graph.checks.iter().filter(|check| check.inputs.iter().all(is_known)).map(|check| {
        let spec = (check.make)(values)?;
        let read = observed.checks.get(&check.address).filter(|checked| checked.spec == spec);
        let verdict = read.map_or(Verdict::Unknown, |checked| checked.verdict.clone());
        let due = verdict != Verdict::Holds || check.inputs.iter().any(|edge| changed[edge.node]);
        Ok(check.planned(graph, verdict, due))
    });
    planned.collect()
}
