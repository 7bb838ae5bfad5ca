//! The steps of a plan with the types of their resource kinds.

use crate::model::address::Address;
use crate::model::plan::{Action, Plan, Step};
use crate::resource::contract::Resource;
use crate::resource::json::from_json;
use serde::de::DeserializeOwned;
use serde_json::Value;

impl Plan {
    /// Returns each resource of kind `R` that the plan deletes, including those that it replaces.
    #[must_use]
    pub fn deleted<R: Resource>(&self) -> Vec<(Address, R::Spec, R::Attrs)> {
        let is_deleted = |step: &&Step| matches!(step.action, Action::Delete | Action::Replace { .. });
        self.steps_of::<R>().filter(is_deleted).filter_map(live::<R>).collect()
    }

    /// Returns each resource of kind `R` that exists before the plan is applied, as far as the plan covers it.
    #[must_use]
    pub fn existing<R: Resource>(&self) -> Vec<(Address, R::Spec, R::Attrs)> {
        self.steps_of::<R>().filter_map(live::<R>).collect()
    }

    pub(crate) fn steps_of<R: Resource>(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.kind == R::KIND)
    }
}

/// Returns the address, the live spec and the attributes of the resource of a step; `None` if it does not exist.
fn live<R: Resource>(step: &Step) -> Option<(Address, R::Spec, R::Attrs)> {
    Some((step.address.clone(), typed::<R, _>(step.before.as_ref())?, typed::<R, _>(step.attrs.as_ref())?))
}

/// Converts a spec or attributes from JSON to the type of the resource kind. Returns `None` if an older version of
/// pb-deploy wrote the value in another format.
pub(crate) fn typed<R: Resource, T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    from_json(R::KIND, value?).ok()
}
