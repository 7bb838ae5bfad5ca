//! What `state mv` moves: one resource, or all that belongs to a service whose key was changed.

use super::imports::address;
use crate::context::WorkspaceContext;
use crate::exit::Error;
use crate::releases;
use pb_engine::{Address, Cancel, MovePlan, Observed, Plan, PlanError, Snapshot, observe, plan_move};
use std::time::Duration;

/// How often it is looked whether AWS shows the new tags, and how many times.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const MAX_POLLS: usize = 20;

/// What it takes to move `from` to `to`.
///
/// # Errors
/// A read that fails; every move that cannot be had; a command line that makes no sense.
pub async fn plan_state_move(
    context: &WorkspaceContext,
    from: &str,
    to: &str,
    snapshot: &Snapshot,
    cancel: &Cancel,
) -> Result<MovePlan, Error> {
    let observed = observe(&context.graph, snapshot, &context.owner, cancel).await?;
    let pairs = pairs(snapshot, &observed, from, to)?;
    let moved = plan_move(&context.graph, &observed, snapshot, &pairs)?;
    moved.map_err(|refused| {
        Error::Refused(refused.into_iter().map(|refused| with_image_reason(context, &pairs, refused)).collect())
    })
}

/// The addresses from and to. A word without a slash is the key of a service, and stands for all that is its.
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
                let hint = "name the key that it had when it was deployed; `state list` shows what is there";
                return Err(Error::usage(format!("nothing of a service {from:?} is there"), hint));
            }
            Ok(pairs)
        }
        _ => {
            let hint = "write two addresses (fargate/api fargate/backend), or two keys of services (api backend)";
            Err(Error::usage(format!("{from:?} and {to:?} are not of the same sort"), hint))
        }
    }
}

/// The addresses of all that a service beside Flask and Celery has of its own.
fn service_addresses(key: &str) -> [String; 4] {
    let service = releases::address(key);
    [format!("{service}_task"), service, format!("edge/{key}_targets"), format!("edge/{key}_rule")]
}

/// A refusal, with the reason why something that is configured is not wanted yet.
fn with_image_reason(context: &WorkspaceContext, pairs: &[(Address, Address)], refused: PlanError) -> PlanError {
    let to = pairs.iter().find(|(from, _)| *from == refused.address).map(|(_, to)| releases::key(to));
    let waits =
        |key: &str| context.prerequisites.images.missing().any(|(missing, _)| key.trim_end_matches("_task") == missing);
    match to {
        Some(key) if waits(key) => {
            let why =
                format!("{}; it is configured, and its image is not in the repository: name one that is", refused.why);
            PlanError { why, ..refused }
        }
        _ => refused,
    }
}

/// Whether AWS shows all that was moved at its new address; looked at for some seconds. Tags are eventually consistent, and
/// a deploy that still sees the old ones would delete what stands there.
pub async fn tags_are_visible(context: &WorkspaceContext, snapshot: &Snapshot, plan: &Plan, cancel: &Cancel) -> bool {
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
