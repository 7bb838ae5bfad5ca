//! Steps for single resources, for runs that change a few resources without a plan of the whole graph.

use crate::model::address::Address;
use crate::model::diff::diff;
use crate::model::failure::Failure;
use crate::model::observed::Live;
use crate::model::plan::{Action, Order, Step};
use crate::resource::contract::Resource;
use crate::resource::json::{from_json, to_json};
use serde_json::Value;

/// Returns the step that updates `live` to `after`: a no-op if it matches already, and a wait if it only has to become
/// ready. `before` is the live spec, or what the update is to assume instead of it.
///
/// # Errors
/// `Bug` if a spec cannot be serialized.
pub fn plan_update<R: Resource>(
    address: &Address,
    live: &Live,
    before: &R::Spec,
    after: &R::Spec,
) -> Result<Step, Failure> {
    let (before, after) = (to_json(R::KIND, before)?, to_json(R::KIND, after)?);
    let changes = diff(&before, &after);
    let action = match (changes.is_empty(), live.ready) {
        (true, true) => Action::NoOp,
        (true, false) => Action::Wait,
        (false, _) => Action::Update,
    };
    let step = existing::<R>(address, live, action)?;
    Ok(Step { changes, before: Some(before), after: Some(after), ..step })
}

/// Returns the step that creates a resource.
///
/// # Errors
/// `Bug` if the spec cannot be serialized.
pub fn plan_create<R: Resource>(address: &Address, spec: &R::Spec) -> Result<Step, Failure> {
    let after = to_json(R::KIND, spec)?;
    let changes = diff(&Value::Null, &after);
    Ok(Step { changes, after: Some(after), ..Step::new(address.clone(), R::KIND, Action::Create) })
}

/// Returns the step that creates a resource and then deletes `live`, which has the same address.
///
/// # Errors
/// `Bug` if a spec cannot be serialized.
pub fn plan_replacement<R: Resource>(address: &Address, live: &Live, spec: &R::Spec) -> Result<Step, Failure> {
    let after = to_json(R::KIND, spec)?;
    let step = existing::<R>(address, live, Action::Replace { order: Order::CreateBeforeDestroy })?;
    Ok(Step { changes: diff(&live.spec, &after), after: Some(after), ..step })
}

/// Returns the step that deletes `live`.
///
/// # Errors
/// `Bug` if its attributes do not have the form of `R`.
pub fn plan_delete<R: Resource>(address: &Address, live: &Live) -> Result<Step, Failure> {
    existing::<R>(address, live, Action::Delete)
}

fn existing<R: Resource>(address: &Address, live: &Live, action: Action) -> Result<Step, Failure> {
    let attrs: R::Attrs = from_json(R::KIND, &live.attrs)?;
    Ok(Step {
        id: R::id(&attrs),
        before: Some(live.spec.clone()),
        attrs: Some(live.attrs.clone()),
        ..Step::new(address.clone(), R::KIND, action)
    })
}
