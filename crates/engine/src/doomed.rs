//! Deletes that AWS would refuse because of something that is not ours, found before anything is deleted.

use crate::address::Address;
use crate::decide::Refused;
use crate::failure::Failure;
use crate::graph::Graph;
use crate::kind::from_json;
use crate::observe::Observed;
use crate::ownership::Ownership;
use crate::plan::{Action, Plan, Step};
use crate::resource::Resource;
use futures_util::future::{BoxFuture, try_join_all};
use serde_json::Value;
use std::collections::BTreeMap;

/// The resources that a plan deletes, and all others of ours.
pub struct Doomed<'a> {
    plan: &'a Plan,
    observed: &'a Observed,
    owner: &'a Ownership,
    wanted: Vec<Value>,
}

impl Doomed<'_> {
    /// Each resource of kind `R` that the plan deletes, also as a part of its replacement.
    #[must_use]
    pub fn of<R: Resource>(&self) -> Vec<(Address, R::Spec, R::Attrs)> {
        let steps = self.plan.steps.iter().filter(|step| step.kind == R::KIND && is_doomed(step));
        let typed = steps.filter_map(|step| {
            let (spec, attrs) = (step.before.as_ref()?, step.attrs.as_ref()?);
            Some((step.address.clone(), from_json(R::KIND, spec).ok()?, from_json(R::KIND, attrs).ok()?))
        });
        typed.collect()
    }

    /// The attributes of each resource of kind `R` that is ours, whether the plan deletes it or not.
    #[must_use]
    pub fn ours<R: Resource>(&self) -> Vec<R::Attrs> {
        let live = self.observed.ours.values().flatten().filter(|live| live.kind == R::KIND);
        live.filter_map(|live| from_json(R::KIND, &live.attrs).ok()).collect()
    }

    /// Returns whether `tags` say that something is ours. What was made a moment ago may be missing from what was observed.
    #[must_use]
    pub fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        self.owner.owned(tags).is_some()
    }

    /// The specs of all that is ours, of whatever kind, and of all that the graph wants: what was deleted a moment ago has
    /// the name that it is wanted under.
    pub fn specs(&self) -> impl Iterator<Item = &Value> {
        self.observed.ours.values().flatten().map(|live| &live.spec).chain(&self.wanted)
    }
}

/// Asks AWS for what would keep it from deleting what a plan deletes.
pub trait DeleteCheck: Send + Sync {
    /// Returns a refusal for each thing that is not ours and in the way: what it is, what of ours it blocks, how to remove it.
    /// Makes no call when nothing of its kinds is deleted.
    ///
    /// # Errors
    /// The error of a read.
    fn check<'a>(&'a self, doomed: &'a Doomed<'_>) -> BoxFuture<'a, Result<Vec<Refused>, Failure>>;
}

/// Asks the checks of the graph what AWS would refuse to delete of what `plan` deletes. A plan that deletes nothing costs no
/// call.
///
/// # Errors
/// The error of a read; `Bug` when a spec cannot be written.
pub async fn check_deletes(
    graph: &Graph,
    observed: &Observed,
    owner: &Ownership,
    plan: &Plan,
) -> Result<Vec<Refused>, Failure> {
    if !plan.steps.iter().any(is_doomed) {
        return Ok(Vec::new());
    }
    let wanted = graph.specs()?.into_iter().map(|(_, spec)| spec).collect();
    let doomed = Doomed { plan, observed, owner, wanted };
    let found = try_join_all(graph.delete_checks.iter().map(|check| check.check(&doomed))).await?;
    Ok(found.into_iter().flatten().collect())
}

fn is_doomed(step: &Step) -> bool {
    matches!(step.action, Action::Delete | Action::Replace { .. })
}
