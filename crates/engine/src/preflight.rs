//! Checks of a plan against what exists in AWS beside the resources of the plan, made before anything is changed.

use crate::address::Address;
use crate::failure::Failure;
use crate::graph::Graph;
use crate::kind::from_json;
use crate::observe::Observed;
use crate::ownership::Ownership;
use crate::plan::{Action, Order, Plan, Step};
use crate::planner::PlanError;
use crate::resource::Resource;
use futures_util::future::{BoxFuture, try_join_all};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// A plan, and what was observed when it was made.
pub struct Planned<'a> {
    plan: &'a Plan,
    observed: &'a Observed,
    owner: &'a Ownership,
    desired: Vec<Value>,
}

impl Planned<'_> {
    /// Returns each resource of kind `R` that the plan deletes, also as a part of its replacement.
    #[must_use]
    pub fn deleted<R: Resource>(&self) -> Vec<(Address, R::Spec, R::Attrs)> {
        let deleted = self.steps::<R>().filter(|step| matches!(step.action, Action::Delete | Action::Replace { .. }));
        let typed = deleted.filter_map(|step| {
            Some((step.address.clone(), typed::<R, _>(step.before.as_ref())?, typed::<R, _>(step.attrs.as_ref())?))
        });
        typed.collect()
    }

    /// Returns each resource of kind `R` that the plan creates while all others of its kind still exist: each new one,
    /// and each replacement that is created before its predecessor is deleted. Texts of the specs may be unknown yet.
    #[must_use]
    pub fn added<R: Resource>(&self) -> Vec<(Address, R::Spec)> {
        let is_added = |step: &&Step| {
            matches!(step.action, Action::Create | Action::Replace { order: Order::CreateBeforeDestroy })
        };
        let added = self.steps::<R>().filter(is_added);
        added.filter_map(|step| Some((step.address.clone(), typed::<R, _>(step.after.as_ref())?))).collect()
    }

    /// Returns each resource of kind `R` that the plan updates: as it is, and as it will be.
    #[must_use]
    pub fn updated<R: Resource>(&self) -> Vec<(R::Spec, R::Spec)> {
        let updated = self.steps::<R>().filter(|step| step.action == Action::Update);
        let typed = updated
            .filter_map(|step| Some((typed::<R, _>(step.before.as_ref())?, typed::<R, _>(step.after.as_ref())?)));
        typed.collect()
    }

    /// Returns each resource of kind `R` that is ours, whether the plan deletes it or not.
    #[must_use]
    pub fn managed<R: Resource>(&self) -> Vec<(Address, R::Spec, R::Attrs)> {
        let all =
            self.observed.managed.iter().flat_map(|(address, found)| found.iter().map(move |live| (address, live)));
        let typed = all.filter(|(_, live)| live.kind == R::KIND).filter_map(|(address, live)| {
            Some((address.clone(), typed::<R, _>(Some(&live.spec))?, typed::<R, _>(Some(&live.attrs))?))
        });
        typed.collect()
    }

    /// Returns whether `tags` say that something is ours. What was made a moment ago may be missing from what was
    /// observed.
    #[must_use]
    pub fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        self.owner.address_from_tags(tags).is_some()
    }

    /// The specs of all that is ours, of whatever kind, and of all that the graph wants: what was deleted a moment ago
    /// has the name that it is desired under.
    pub fn specs(&self) -> impl Iterator<Item = &Value> {
        self.observed.managed.values().flatten().map(|live| &live.spec).chain(&self.desired)
    }

    fn steps<R: Resource>(&self) -> impl Iterator<Item = &Step> {
        self.plan.steps.iter().filter(|step| step.kind == R::KIND)
    }
}

/// A part of a step in the type of its kind; none where an older version wrote it in another shape.
fn typed<R: Resource, T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    from_json(R::KIND, value?).ok()
}

/// Asks AWS for what would make a plan fail midway.
pub trait PreflightCheck: Send + Sync {
    /// Returns a refusal for each obstacle: the resource that it concerns, the obstacle, how to remove it. Makes no
    /// call for a plan that it does not concern.
    ///
    /// # Errors
    /// The error of a read.
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>>;
}

/// Asks the preflight checks of the graph about `plan`. A plan that writes nothing costs no call.
///
/// # Errors
/// The error of a read; `Bug` when a spec cannot be written.
pub async fn preflight(
    graph: &Graph,
    observed: &Observed,
    owner: &Ownership,
    plan: &Plan,
) -> Result<Vec<PlanError>, Failure> {
    if plan.writes().next().is_none() {
        return Ok(Vec::new());
    }
    let desired = graph.specs()?.into_iter().map(|(_, spec)| spec).collect();
    let planned = Planned { plan, observed, owner, desired };
    let found = try_join_all(graph.preflight_checks.iter().map(|check| check.check(&planned))).await?;
    Ok(found.into_iter().flatten().collect())
}
