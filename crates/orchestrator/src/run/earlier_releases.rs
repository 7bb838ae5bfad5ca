//! Outcomes of rollouts that a later run, or `wait`, has followed to their end.

use crate::output::reporter::Reporter;
use crate::output::{DIM, paint};
use crate::run::releases;
use crate::workspace::context::WorkspaceContext;
use pb_engine::{
    Action, Address, Cancel, Class, Entry, Failure, Ledger, Outcome, Plan, Record, ReleaseOutcome, Released, Resource,
    Snapshot, Step, Stop, has_unknown,
};
use pb_fargate::Services;
use pb_state::{AcquireOptions, LeaseTable, Session, Store};
use serde_json::Value;

/// Records the outcomes of earlier releases that a run has observed. If the intents are the run's own, and the run has
/// nothing left to do but to wait for rollouts, also records this. `before` is the snapshot that the run began with.
pub fn record_outcomes(
    plan: &Plan,
    outcome: &Outcome,
    before: &Snapshot,
    ledger: &dyn Ledger,
    waited: bool,
    own_intents: bool,
) {
    for conclusion in conclusions(plan, outcome, before, waited) {
        ledger.record(conclusion.entry());
    }
    if own_intents && only_rollouts_left(plan, outcome, &ledger.snapshot()) {
        ledger.record(Entry::Written);
    }
}

/// Records the outcomes that `wait` has observed, if the lease is free: a run that holds the lease records the outcomes
/// of its own rollouts. A failure to record is printed and does not change the result of `wait`.
pub async fn record_after_wait(
    reporter: &Reporter,
    context: &WorkspaceContext,
    plan: &Plan,
    outcome: &Outcome,
    followed: &Snapshot,
) {
    // A release that no run has waited for is recorded as ready, but its tasks may have yet to log that they are.
    let followed = |address: &Address| {
        let record = followed.resources.get(address)?;
        (context.snapshot.resources.get(address)? != record).then(|| (address.clone(), record.clone()))
    };
    let results = WaitResults {
        conclusions: conclusions(plan, outcome, &context.snapshot, true),
        ready: plan
            .steps
            .iter()
            .filter(|step| is_done(step, plan, outcome))
            .filter_map(|step| followed(&step.address))
            .collect(),
        completes_run: outcome.is_complete()
            && context.snapshot.intents.as_ref().is_some_and(|intents| intents.written),
    };
    if results.conclusions.is_empty() && results.ready.is_empty() && !results.completes_run {
        return;
    }
    match results.write(reporter, context).await {
        Ok(()) => {}
        Err(failure) if matches!(failure.class, Class::Interrupted | Class::Locked) => {
            reporter.message(&paint(DIM, "Not recorded: another run holds the lock, and records the outcome itself."));
        }
        Err(failure) => reporter.message(&paint(DIM, format!("Not recorded: {failure}"))),
    }
}

/// The results that `wait` has observed.
struct WaitResults {
    conclusions: Vec<Conclusion>,
    /// The records of services that have become ready.
    ready: Vec<(Address, Record)>,
    /// Set if the last run had only these rollouts left to wait for, and they have completed.
    completes_run: bool,
}

impl WaitResults {
    /// Acquires the lease if it is free, and then records the results that still apply.
    async fn write(self, reporter: &Reporter, context: &WorkspaceContext) -> Result<(), Failure> {
        let (stop, cancel) = Cancel::new();
        // The receiver is `cancel`, so sending cannot fail. A cancelled attempt still acquires the lease if it is free,
        // but does not wait for it.
        let _ = stop.send(Stop::Gently);
        let claim = AcquireOptions { cancel, ..AcquireOptions::new(crate::identity::user_at_host(), "wait") };
        let leases = LeaseTable::new(&context.aws, &context.location, context.timing);
        let session =
            Session::open(Store::new(&context.aws, &context.location), &leases, &claim, reporter.events()).await?;
        let now = session.snapshot();
        let unchanged = |address: &Address| now.resources.get(address) == context.snapshot.resources.get(address);
        for conclusion in self.conclusions.into_iter().filter(|conclusion| unchanged(&conclusion.address)) {
            session.record(conclusion.entry());
        }
        for (address, record) in self.ready.into_iter().filter(|(address, _)| unchanged(address)) {
            session.record(Entry::Put(address, record));
        }
        let ended = session.end(self.completes_run && now.intents == context.snapshot.intents).await;
        let closed = session.close().await;
        ended.and(closed)
    }
}

/// The outcome of an earlier release to one service.
struct Conclusion {
    run: String,
    address: Address,
    outcome: ReleaseOutcome,
}

impl Conclusion {
    fn entry(self) -> Entry {
        Entry::Concluded { run: self.run, address: self.address, outcome: self.outcome }
    }
}

/// Returns the outcome of each earlier release that the run has observed.
fn conclusions(plan: &Plan, outcome: &Outcome, before: &Snapshot, waited: bool) -> Vec<Conclusion> {
    let services = plan.steps.iter().filter(|step| step.kind == Services::KIND);
    let conclusions = services.filter_map(|step| {
        let (release, released) =
            releases::last_release(before, &step.address).filter(|(_, last)| concerns_release(step, last, before))?;
        let seen = observed_outcome(step, plan, outcome, &released.outcome, waited)
            .filter(|seen| *seen != released.outcome)?;
        Some(Conclusion { run: release.run.clone(), address: step.address.clone(), outcome: seen })
    });
    conclusions.collect()
}

/// Returns whether a step that does not change the revision of a service is about the last release to this service. A
/// release that restarted the same revision can only be identified by the id of its deployment.
fn concerns_release(step: &Step, released: &Released, before: &Snapshot) -> bool {
    let deployment = |attrs: Option<&Value>| attrs.and_then(|attrs| attrs.get("deployment")).cloned();
    let record = before.resources.get(&step.address).map(|record| &record.attrs);
    let is_same = || deployment(step.attrs.as_ref()) == deployment(record);
    releases::task_definition_arn(step.after.as_ref()).as_ref() == Some(&released.to)
        && (released.from.as_ref() != Some(&released.to) || is_same())
}

/// Returns the outcome of a release, if a step has observed it by waiting for the rollout or by finding the rollout
/// completed.
fn observed_outcome(
    step: &Step,
    plan: &Plan,
    outcome: &Outcome,
    known: &ReleaseOutcome,
    waited: bool,
) -> Option<ReleaseOutcome> {
    match step.action {
        Action::Wait if is_done(step, plan, outcome) => waited.then_some(ReleaseOutcome::Succeeded),
        Action::Wait if known.is_open() => {
            let failure = releases::failure_of(step, plan, outcome).filter(|failure| failure.class == Class::Failed)?;
            Some(ReleaseOutcome::Failed(failure.message.clone()))
        }
        Action::NoOp if known.is_open() && outcome.is_complete() => Some(ReleaseOutcome::Succeeded),
        _ => None,
    }
}

/// Returns whether a step was done and no check of its resource failed.
fn is_done(step: &Step, plan: &Plan, outcome: &Outcome) -> bool {
    outcome.done.iter().any(|(address, _)| *address == step.address)
        && releases::failure_of(step, plan, outcome).is_none()
}

/// Returns whether an incomplete run has made all of its changes: it was interrupted, or timed out, while it waited for
/// the rollouts that it had started, and these rollouts continue.
fn only_rollouts_left(plan: &Plan, outcome: &Outcome, now: &Snapshot) -> bool {
    let step = |address: &Address| plan.changes().find(|step| step.address == *address && step.kind == Services::KIND);
    !outcome.is_complete()
        && outcome.skipped.iter().all(|(_, action, _)| matches!(action, Action::Wait | Action::Check))
        && outcome.failed.iter().filter(|failed| failed.action != Action::Check).all(|failed| {
            !failed.failure.is_rolled_back()
                && matches!(failed.failure.class, Class::Interrupted | Class::TimedOut)
                && now.resources.get(&failed.address).is_some_and(|record| {
                    !record.ready && step(&failed.address).is_some_and(|step| matches_record(step, record))
                })
        })
}

/// Returns whether a record has the spec that the step was supposed to apply.
fn matches_record(step: &Step, record: &Record) -> bool {
    let field = |spec: Option<&Value>, field: &str| spec.and_then(|spec| spec.get(field)).cloned();
    let Some(Value::Object(after)) = &step.after else { return false };
    after.iter().all(|(name, wanted)| match has_unknown(wanted) {
        true => field(Some(&record.spec), name) != field(step.before.as_ref(), name),
        false => record.spec.get(name) == Some(wanted),
    })
}

#[cfg(test)]
mod tests;
