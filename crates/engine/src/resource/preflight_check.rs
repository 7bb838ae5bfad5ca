//! The contract of preflight checks, and what they can learn about a plan.

use crate::model::address::Address;
use crate::model::failure::Failure;
use crate::model::observed::Observed;
use crate::model::ownership::Ownership;
use crate::model::plan::{Action, Order, Plan, Step};
use crate::model::plan_error::PlanError;
use crate::resource::contract::Resource;
use crate::resource::typed_plan::typed;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;

/// A plan and the observation that it was computed from.
pub struct Planned<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) observed: &'a Observed,
    pub(crate) owner: &'a Ownership,
    pub(crate) desired: Vec<Value>,
}

impl Planned<'_> {
    /// Returns each resource of kind `R` that the plan deletes, including those that it replaces.
    #[must_use]
    pub fn deleted<R: Resource>(&self) -> Vec<(Address, R::Spec, R::Attrs)> {
        self.plan.deleted::<R>()
    }

    /// Returns each resource of kind `R` that the plan adds while all existing resources of the kind still exist: each
    /// new resource, and each successor in a create-before-destroy replacement. Strings in the specs may be unknown.
    #[must_use]
    pub fn added<R: Resource>(&self) -> Vec<(Address, R::Spec)> {
        let is_added = |step: &&Step| {
            matches!(step.action, Action::Create | Action::Replace { order: Order::CreateBeforeDestroy })
        };
        let added = self.plan.steps_of::<R>().filter(is_added);
        added.filter_map(|step| Some((step.address.clone(), typed::<R, _>(step.after.as_ref())?))).collect()
    }

    /// Returns each resource of kind `R` that the plan creates, including the successors in replacements of any order.
    /// Strings in the specs may be unknown.
    #[must_use]
    pub fn created<R: Resource>(&self) -> Vec<(Address, R::Spec)> {
        let created =
            self.plan.steps_of::<R>().filter(|step| matches!(step.action, Action::Create | Action::Replace { .. }));
        created.filter_map(|step| Some((step.address.clone(), typed::<R, _>(step.after.as_ref())?))).collect()
    }

    /// Returns the live and the desired spec of each resource of kind `R` that the plan updates.
    #[must_use]
    pub fn updated<R: Resource>(&self) -> Vec<(R::Spec, R::Spec)> {
        self.modified::<R>().into_iter().map(|(_, before, after)| (before, after)).collect()
    }

    /// Returns each resource of kind `R` that the plan updates, with its live and its desired spec.
    #[must_use]
    pub fn modified<R: Resource>(&self) -> Vec<(Address, R::Spec, R::Spec)> {
        let updated = self.plan.steps_of::<R>().filter(|step| step.action == Action::Update);
        let typed = updated.filter_map(|step| {
            Some((step.address.clone(), typed::<R, _>(step.before.as_ref())?, typed::<R, _>(step.after.as_ref())?))
        });
        typed.collect()
    }

    /// Returns each managed resource of kind `R`, whether the plan deletes it or not.
    #[must_use]
    pub fn managed<R: Resource>(&self) -> Vec<(Address, R::Spec, R::Attrs)> {
        let all =
            self.observed.managed.iter().flat_map(|(address, found)| found.iter().map(move |live| (address, live)));
        let typed = all.filter(|(_, live)| live.kind == R::KIND).filter_map(|(address, live)| {
            Some((address.clone(), typed::<R, _>(Some(&live.spec))?, typed::<R, _>(Some(&live.attrs))?))
        });
        typed.collect()
    }

    /// Returns whether `tags` mark a resource as managed. This is more reliable than a search in the observation, which
    /// may lack resources that were just created.
    #[must_use]
    pub fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        self.owner.address_from_tags(tags).is_some()
    }

    /// Returns the specs of the managed resources of every kind, and all desired specs. A resource that was just
    /// deleted is no longer among the managed resources, but had the name in its desired spec.
    pub fn specs(&self) -> impl Iterator<Item = &Value> {
        self.observed.managed.values().flatten().map(|live| &live.spec).chain(&self.desired)
    }
}

/// A check for conditions in AWS that would make a plan fail midway.
pub trait PreflightCheck: Send + Sync {
    /// Returns an error for each obstacle, with the resource, the obstacle and the remedy. Makes no call if the check
    /// does not apply to the plan.
    ///
    /// # Errors
    /// The error of a failed read.
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>>;
}
