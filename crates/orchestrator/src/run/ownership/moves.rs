//! The resources that `state mv` moves: one, or all resources of a service whose key was changed.

use super::imports::address;
use crate::exit::Error;
use crate::stack::names;
use crate::workspace::stack_context::StackContext;
use pb_engine::{Address, Cancel, MovePlan, Observed, Plan, PlanError, Snapshot, observe, plan_move};
use std::time::Duration;

/// Interval between two reads of the new tags, and the maximum number of reads.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const MAX_POLLS: usize = 20;

/// Returns the plan that moves `from` to `to`.
///
/// # Errors
/// A read that fails; every move that is refused; invalid arguments.
pub async fn plan_state_move(
    context: &StackContext,
    from: &str,
    to: &str,
    snapshot: &Snapshot,
    cancel: &Cancel,
) -> Result<MovePlan, Error> {
    let observed = observe(&context.graph, snapshot, &context.base.owner, cancel).await?;
    let pairs = pairs(snapshot, &observed, from, to)?;
    let moved = plan_move(&context.graph, &observed, snapshot, &pairs)?;
    moved.map_err(|refused| {
        Error::Refused(refused.into_iter().map(|refused| with_image_reason(context, &pairs, refused)).collect())
    })
}

/// Returns the pairs of old and new addresses. An argument without a slash is the key of a service, and means all
/// resources of this service.
fn pairs(snapshot: &Snapshot, observed: &Observed, from: &str, to: &str) -> Result<Vec<(Address, Address)>, Error> {
    match (from.contains('/'), to.contains('/')) {
        (true, true) => Ok(vec![(address(from)?, address(to)?)]),
        (false, false) => {
            let there =
                |address: &Address| snapshot.resources.contains_key(address) || observed.managed.contains_key(address);
            let all = service_addresses(from).into_iter().zip(service_addresses(to));
            let all: Vec<_> =
                all.map(|(from, to)| Ok((address(&from)?, address(&to)?))).collect::<Result<_, Error>>()?;
            let pairs: Vec<_> = all.into_iter().filter(|(from, _)| there(from)).collect();
            if pairs.is_empty() {
                let hint =
                    "use the key with which it was deployed; `pb-deploy state list` shows the recorded addresses";
                return Err(Error::unknown_name(format!("service {from:?} has no resources"), hint));
            }
            Ok(pairs)
        }
        _ => {
            let hint = "pass two addresses (fargate/api fargate/backend), or two service keys (api backend)";
            Err(Error::usage(format!("{from:?} and {to:?} mix an address and a service key"), hint))
        }
    }
}

/// Returns the addresses of all resources that belong to a service, if it is neither Flask nor Celery.
fn service_addresses(key: &str) -> [String; 5] {
    let (rule, rule_https) = (names::route_rule(key), names::route_rule_https(key));
    [names::task_definition(key), names::service(key), names::route_targets(key), rule, rule_https]
}

/// Adds to the reason for a refused move that the service is configured, but its image is not pushed yet.
fn with_image_reason(context: &StackContext, pairs: &[(Address, Address)], refused: PlanError) -> PlanError {
    let to = pairs.iter().find(|(from, _)| *from == refused.address).map(|(_, to)| to);
    match to.and_then(names::workload_key) {
        Some(key) if context.prerequisites.images.is_missing(key) => {
            let why = format!(
                "{}; it is configured, but its image is not pushed yet: configure an image that has been pushed",
                refused.why
            );
            PlanError { why, ..refused }
        }
        _ => refused,
    }
}

/// Waits a few seconds for AWS to show all resources of `plan` at their new addresses, and returns whether it does.
/// Tags are eventually consistent, and a deploy that still reads the old tags would delete the resources.
pub async fn tags_are_visible(context: &StackContext, snapshot: &Snapshot, plan: &Plan, cancel: &Cancel) -> bool {
    for _ in 0..MAX_POLLS {
        let observed = context.observe(snapshot, cancel).await.unwrap_or_default();
        let there = |address: &Address| observed.managed.contains_key(address);
        let moved = |step: &pb_engine::Step| there(&step.address) && !step.from.as_ref().is_some_and(there);
        if plan.writes().all(moved) {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = cancel.stopped() => return false,
        }
    }
    false
}
