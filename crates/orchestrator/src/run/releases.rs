//! Releases: the revisions that runs gave to services, recorded for `history` and `rollback`.

use crate::stack::names;
use crate::workspace::images::Images;
use pb_engine::{
    Action, Address, Cause, Class, Failure, Operation, Outcome, Plan, Release, ReleaseOutcome, Released, Resource, Run,
    Snapshot, Step,
};
use pb_fargate::Services;
use std::collections::BTreeMap;

/// Returns family and number of a revision, such as `staging-flask:3`.
pub fn revision(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Returns the latest release of a service, and the part of the release that is about this service.
pub fn last_release<'a>(snapshot: &'a Snapshot, address: &Address) -> Option<(&'a Release, &'a Released)> {
    snapshot.releases.iter().rev().find_map(|release| Some((release, release.services.get(address)?)))
}

/// Returns the release of a run; `None` if it changed neither revision nor count of any service.
pub fn release_of_run(
    plan: &Plan,
    outcome: &Outcome,
    now: &Snapshot,
    images: Option<&Images>,
    run: &Run,
    waited: bool,
) -> Option<Release> {
    let steps = plan.writes().filter(|step| step.kind == Services::KIND && starts_rollout(step, run.operation));
    let services: BTreeMap<Address, Released> = steps
        .filter_map(|step| {
            let to = now.get::<Services>(step.address.as_str()).ok()??.spec.task_definition;
            let released = Released {
                from: task_definition_arn(step.before.as_ref()),
                to,
                image: images.and_then(|images| images.requested(names::service_key(&step.address))).map(str::to_owned),
                outcome: release_outcome(step, plan, outcome, waited)?,
            };
            Some((step.address.clone(), released))
        })
        .collect();
    (!services.is_empty()).then(|| Release {
        run: run.id.clone(),
        at: pb_state::timestamp(),
        who: crate::identity::user_at_host(),
        operation: run.operation,
        services,
    })
}

/// Returns whether a step is part of a release. In a deploy, an update is part of it if the service gets another
/// revision or recovers from a failed rollout; in other operations, every update is.
fn starts_rollout(step: &Step, operation: Operation) -> bool {
    let starts = |field: &str| ["task_definition", "failed"].contains(&field);
    match step.action {
        Action::Create | Action::Replace { .. } => true,
        Action::Update => operation != Operation::Deploy || step.changes.iter().any(|change| starts(change.field())),
        _ => false,
    }
}

/// Returns the failure of a step, or of a check of its resource.
pub fn failure_of<'a>(step: &Step, plan: &Plan, outcome: &'a Outcome) -> Option<&'a Failure> {
    let checks = || plan.checks.iter().filter(|check| check.about.contains(&step.address));
    let is_about = |address: &Address| *address == step.address || checks().any(|check| check.address == *address);
    outcome.failed.iter().find(|failed| is_about(&failed.address)).map(|failed| &failed.failure)
}

/// Returns the outcome of a step; `None` if it was not started. A service whose check failed has failed.
fn release_outcome(step: &Step, plan: &Plan, outcome: &Outcome, waited: bool) -> Option<ReleaseOutcome> {
    if let Some(failure) = failure_of(step, plan, outcome) {
        return Some(match (failure.class, rollback(failure)) {
            (Class::Interrupted, None) => ReleaseOutcome::Interrupted,
            (Class::Interrupted, Some(back)) => ReleaseOutcome::Failed(format!("interrupted; {back}")),
            // Only the wait has ended; the rollout continues.
            (Class::TimedOut, _) => ReleaseOutcome::GaveUp(failure.message.clone()),
            _ => ReleaseOutcome::Failed(failure.message.clone()),
        });
    }
    let done = outcome.done.iter().any(|(address, action)| *address == step.address && *action != Action::Delete);
    done.then_some(if waited { ReleaseOutcome::Succeeded } else { ReleaseOutcome::NotWaited })
}

/// Returns the outcome of the rollback after a failed rollout, if the previous revision serves again.
fn rollback(failure: &Failure) -> Option<&str> {
    match &failure.cause {
        Cause::Rollout(rollout) if rollout.rolled_back => rollout.rollback.as_deref(),
        _ => None,
    }
}

/// Returns the ARN of the task definition in the spec of a service; `None` while it is unknown.
pub fn task_definition_arn(spec: Option<&serde_json::Value>) -> Option<String> {
    spec?.get("task_definition")?.as_str().filter(|arn| arn.starts_with("arn:")).map(str::to_owned)
}
