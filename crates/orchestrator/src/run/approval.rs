//! The approval of a plan, and its comparison with the plan that is computed again once the lease is held.
//!
//! A plan is shown before the lease is acquired, and computed again under the lease. In between, another run may have
//! changed the resources. If the new plan differs, it is shown before it is applied; if it destroys more than the plan
//! that was shown, it needs an approval of its own.

use crate::exit::Error;
use crate::invocation;
use crate::run::saved_plan::SavedPlan;
use pb_engine::{Action, Address, ErrorCode, Plan};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The option that accepts a plan that destroys more than the one that was shown.
const ACCEPT_OPTION: &str = "--accept-changed-plan";

/// The maximum number of addresses that a message lists.
const MAX_NAMED_ADDRESSES: usize = 5;

/// The approval of a plan, and the differences that it allows in the plan that is applied.
pub enum Approval {
    /// The plan that was shown, approved with `--yes`. If the plan under the lease differs, it is shown too, and
    /// refused if it destroys more, unless `accept_changed` is set.
    ShownPlan { accept_changed: bool },
    /// The plan for images that were pushed during the run, which is shown only under the lease. It must not destroy
    /// anything, unless `accept_changed` is set.
    LateImages { accept_changed: bool },
    /// Exactly the plan that was shown, because a user has confirmed it.
    ExactPlan,
    /// A saved plan, which can be applied once.
    SavedPlan(Arc<SavedPlan>),
}

impl Approval {
    /// Returns whether a plan that destroys more than the one that was shown is accepted.
    pub fn accepts_changed(&self) -> bool {
        matches!(self, Self::ShownPlan { accept_changed: true } | Self::LateImages { accept_changed: true })
    }

    /// Returns whether only the saved plan is applied, and nothing after it.
    pub fn is_saved_plan(&self) -> bool {
        matches!(self, Self::SavedPlan(_))
    }

    /// Returns the heading under which `plan` has to be shown before it is applied; `None` if it has been shown
    /// already, as `shown`.
    pub fn heading(&self, shown: Option<&Plan>, plan: &Plan) -> Option<&'static str> {
        match self {
            Self::ShownPlan { .. } if shown.is_some_and(|shown| !same_writes(shown, plan)) => {
                Some("The plan has changed since it was shown:\n")
            }
            Self::LateImages { .. } if !plan.is_empty() => Some(""),
            _ => None,
        }
    }

    /// Refuses a plan that is not approved. Saved plans are checked by [`SavedPlan::check`] instead.
    ///
    /// # Errors
    /// `PlanChanged`, with a hint that names the command to run next.
    pub fn check(&self, shown: Option<&Plan>, plan: &Plan) -> Result<(), Error> {
        let is_other = || shown.is_some_and(|shown| !same_writes(shown, plan));
        let (shown, accept_changed, done) = match self {
            Self::ExactPlan if is_other() => {
                let message = "the plan has changed since it was shown; nothing was changed";
                return Err(Error::other(
                    ErrorCode::PlanChanged,
                    message,
                    "run the same command again to see the new plan",
                ));
            }
            Self::ExactPlan | Self::SavedPlan(_) => return Ok(()),
            Self::ShownPlan { accept_changed } => (shown, *accept_changed, "nothing was changed"),
            Self::LateImages { accept_changed } => (None, *accept_changed, "no service was started"),
        };
        match additional_destruction(shown, plan).filter(|_| !accept_changed) {
            None => Ok(()),
            Some(more) => {
                let message = format!("the plan has changed since it was shown, and now also {more}; {done}");
                let hint =
                    format!("the new plan is above; to apply it, run `{}`", invocation::rerun_command(ACCEPT_OPTION));
                Err(Error::other(ErrorCode::PlanChanged, message, hint))
            }
        }
    }
}

/// Returns whether two plans make the same changes. Waits are not compared, because a resource may have become ready in
/// the meantime.
pub fn same_writes(one: &Plan, other: &Plan) -> bool {
    let essence = |plan: &Plan| -> Vec<_> {
        plan.writes().map(|step| (step.address.clone(), step.action, step.changes.clone())).collect()
    };
    essence(one) == essence(other)
}

/// Describes the resources that `plan` deletes or replaces and `shown` does not; `None` if there are none.
fn additional_destruction(shown: Option<&Plan>, plan: &Plan) -> Option<String> {
    let destroys = |action: Action| matches!(action, Action::Delete | Action::Replace { .. });
    let known: BTreeSet<(&Address, Option<&str>)> = shown
        .iter()
        .flat_map(|shown| shown.writes())
        .filter(|step| destroys(step.action))
        .map(|step| (&step.address, step.id.as_deref()))
        .collect();
    let (mut deleted, mut replaced) = (Vec::new(), Vec::new());
    for step in plan.writes().filter(|step| !known.contains(&(&step.address, step.id.as_deref()))) {
        match step.action {
            Action::Delete => deleted.push(step.address.as_str()),
            Action::Replace { .. } => replaced.push(step.address.as_str()),
            _ => {}
        }
    }
    let parts = [("deletes", deleted), ("replaces", replaced)];
    let parts = parts.iter().filter(|(_, addresses)| !addresses.is_empty());
    let parts: Vec<String> = parts.map(|(verb, addresses)| format!("{verb} {}", list_addresses(addresses))).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

fn list_addresses(addresses: &[&str]) -> String {
    let more = addresses.len().saturating_sub(MAX_NAMED_ADDRESSES);
    let first = addresses[..addresses.len() - more].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::Approval;
    use crate::exit::Error;
    use pb_engine::{Action, Address, Order, Plan, Step};

    fn step(address: &str, action: Action, id: Option<&str>) -> Step {
        let step = Step::new(Address::new(address).unwrap(), "sim.thing", action);
        Step { id: id.map(str::to_owned), ..step }
    }

    fn plan<const N: usize>(steps: [Step; N]) -> Plan {
        Plan { steps: steps.into(), ..Plan::default() }
    }

    fn refusal(shown: &Plan, now: &Plan) -> Option<(String, String)> {
        match (Approval::ShownPlan { accept_changed: false }).check(Some(shown), now) {
            Ok(()) => None,
            Err(Error::Other { message, hint, .. }) => Some((message, hint)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn changed_plan_destroying_no_more_is_shown_and_accepted() {
        let gone = || step("net/old", Action::Delete, Some("sg-1"));
        let shown =
            plan([gone(), step("net/vpc", Action::Replace { order: Order::DestroyBeforeCreate }, Some("vpc-1"))]);
        let now = plan([gone(), step("net/vpc", Action::Update, Some("vpc-1")), step("a/b", Action::Create, None)]);
        assert_eq!(refusal(&shown, &now), None);
        let approval = Approval::ShownPlan { accept_changed: false };
        assert_eq!(approval.heading(Some(&shown), &now), Some("The plan has changed since it was shown:\n"));
        assert_eq!(approval.heading(Some(&shown), &shown), None);
        assert!(Approval::ExactPlan.check(Some(&shown), &now).is_err(), "a user has confirmed the other plan");
    }

    #[test]
    fn changed_plan_destroying_more_is_refused_with_a_command() {
        let shown = plan([step("net/old", Action::Delete, Some("sg-1"))]);
        let replace = Action::Replace { order: Order::CreateBeforeDestroy };
        let now = plan([
            step("net/old", Action::Delete, Some("sg-2")),
            step("edge/targets", replace, Some("arn")),
            step("net/older", Action::Delete, Some("sg-3")),
        ]);
        let (message, hint) = refusal(&shown, &now).unwrap();
        let more = "now also deletes net/old, net/older and replaces edge/targets; nothing was changed";
        assert!(message.contains(more), "{message}");
        assert!(hint.contains("--accept-changed-plan`"), "{hint}");
        assert!((Approval::ShownPlan { accept_changed: true }).check(Some(&shown), &now).is_ok());
    }

    #[test]
    fn late_images_plan_that_destroys_needs_acceptance() {
        let now = plan([step("net/old", Action::Delete, Some("sg-1"))]);
        assert!((Approval::LateImages { accept_changed: false }).check(None, &now).is_err());
        assert!((Approval::LateImages { accept_changed: true }).check(None, &now).is_ok());
        let creates = plan([step("fargate/flask", Action::Create, None)]);
        let next = Approval::LateImages { accept_changed: false };
        assert!(next.check(None, &creates).is_ok());
        assert!(next.heading(None, &creates).is_some() && next.heading(None, &plan([])).is_none());
    }

    #[test]
    fn refusal_of_a_long_plan_names_the_first_addresses() {
        let now = plan([1, 2, 3, 4, 5, 6, 7].map(|n| step(&format!("net/group{n}"), Action::Delete, None)));
        let (message, _) = refusal(&plan([]), &now).unwrap();
        assert!(message.contains("net/group4, net/group5 and 2 more; nothing"), "{message}");
    }
}
