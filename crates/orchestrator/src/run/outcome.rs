//! The result of a run in words: counts, failures and skipped steps.

use crate::exit::Exit;
use crate::output;
use crate::output::reporter::Reporter;
use crate::output::{BAD, BOLD, DIM, GOOD, WARN, paint};
use crate::run::finished::Finished;
use crate::stack::names;
use pb_engine::{Action, Cause, Class, ErrorCode, Failure, Outcome, Remains, Run, StepFailure};
use std::collections::BTreeSet;

/// Returns the result of a command whose run had this outcome.
pub fn exit(outcome: &Outcome, run: &Run) -> Exit {
    let interrupted = outcome.failed.iter().all(|unfinished| unfinished.failure.class == Class::Interrupted);
    match outcome.is_complete() {
        true => Exit::Done,
        false if run.cancel.is_stopped() && interrupted => Exit::Interrupted,
        false => Exit::Failed,
    }
}

/// Prints the result of a run: what was done, what failed and why, and how many steps were skipped.
pub fn print_summary<P>(finished: &Finished<'_, P>, success: &str) {
    let Finished { reporter, workspace, run, outcome, took, .. } = finished;
    let took = output::duration(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let counts = counts(outcome);
    if outcome.is_complete() {
        let counts = if counts.is_empty() { String::new() } else { format!(": {counts}") };
        return reporter.message(&format!("\n{} {}{counts} in {took}.", paint(GOOD, success), paint(BOLD, workspace)));
    }
    let counts = if counts.is_empty() { String::new() } else { format!(" ({counts})") };
    let ended = paint(BAD, unsuccessful(outcome, run, workspace));
    reporter.message(&format!("\n{ended} after {took}{counts}."));
    print_failures(reporter, outcome, workspace);
    if !outcome.skipped.is_empty() {
        let verb = if outcome.skipped.len() == 1 { "was" } else { "were" };
        let because = match outcome.failed.len() {
            0 => "",
            1 => " because of the error above",
            _ => " because of the errors above",
        };
        let steps = output::count(outcome.skipped.len(), "step");
        reporter.message(&format!("  {steps} {verb} skipped{because}."));
    }
}

/// Returns the counts of an outcome without zeros: `33 created`, or `1 updated, 1 failed`.
fn counts(outcome: &Outcome) -> String {
    let done = |done: Action| outcome.done.iter().filter(|(_, action)| *action == done).count();
    let counts = [
        (done(Action::Create), "created"),
        (done(Action::Update), "updated"),
        (done(Action::Delete), "deleted"),
        (outcome.failed.len(), "failed"),
    ];
    let counts = counts.iter().filter(|(number, _)| *number > 0);
    counts.map(|(number, verb)| format!("{number} {verb}")).collect::<Vec<_>>().join(", ")
}

/// Returns the start of a message about an incomplete run: `Deploy of staging failed`, or `... was interrupted`.
pub fn unsuccessful(outcome: &Outcome, run: &Run, workspace: &str) -> String {
    let ended = if exit(outcome, run) == Exit::Interrupted { "was interrupted" } else { "failed" };
    let operation = run.operation.as_str();
    let (first, rest) = operation.split_at(operation.len().min(1));
    format!("{}{rest} of {workspace} {ended}", first.to_uppercase())
}

/// Prints each failure with its details and a hint.
pub fn print_failures(reporter: &Reporter, outcome: &Outcome, workspace: &str) {
    let (interrupted, failed): (Vec<&StepFailure>, Vec<&StepFailure>) =
        outcome.failed.iter().partition(|unfinished| unfinished.failure.class == Class::Interrupted);
    interrupted.iter().for_each(|unfinished| print_interrupted(reporter, unfinished));
    for unfinished in &failed {
        let failure = &unfinished.failure;
        let (address, code) =
            (paint(BOLD, format!("{}:", unfinished.address)), paint(DIM, format!("[{}]", failure.error_code())));
        reporter.message(&format!("  {address} {failure} {code}"));
        for detail in failure.details() {
            reporter.message(&format!("    {detail}"));
        }
        let key = names::health_check_key(&unfinished.address).unwrap_or(names::service_key(&unfinished.address));
        let more =
            || format!("for details: `pb-deploy logs {workspace} {key} --since 1h` and `pb-deploy tasks {workspace}`");
        let is_of_tasks = is_failed_rollout(failure) || unfinished.action == Action::Check;
        let longer = || "run the same command again to continue, or raise `deploy.wait_timeout`".to_owned();
        let timed_out = || (failure.class == Class::TimedOut && !is_of_tasks).then(longer);
        if let Some(hint) = failure.hint.clone().or_else(|| is_of_tasks.then(more)).or_else(timed_out) {
            reporter.message(&format!("    {} {hint}", paint(WARN, "hint:")));
        }
    }
    print_remains(reporter, outcome);
    let codes: BTreeSet<ErrorCode> = failed.iter().map(|failed| failed.failure.error_code()).collect();
    if let Some(code) = codes.first() {
        reporter.message(&paint(DIM, format!("  For more about an error, run: pb-deploy explain {code}")));
    }
}

/// Prints the state in which an interrupted step was left: its rollback, or the reason for which it was still waiting.
fn print_interrupted(reporter: &Reporter, unfinished: &StepFailure) {
    let (failure, address) = (&unfinished.failure, paint(BOLD, format!("{}:", unfinished.address)));
    let details = failure.details();
    if matches!(failure.cause, Cause::Rollout(_)) {
        return details.iter().for_each(|detail| reporter.message(&format!("  {address} {detail}")));
    }
    reporter.message(&format!("  {address} {}", failure.message));
    details.iter().for_each(|detail| reporter.message(&format!("    {detail}")));
}

/// Prints the resources that may exist although their steps failed.
fn print_remains(reporter: &Reporter, outcome: &Outcome) {
    let unknown = outcome.failed.iter().filter(|failed| failed.remains == Some(Remains::MayExist));
    let unknown: Vec<&str> = unknown.map(|failed| failed.address.as_str()).collect();
    if !unknown.is_empty() {
        let (steps, them) = if unknown.len() == 1 { ("its step", "it") } else { ("their steps", "them") };
        let names = unknown.join(", ");
        reporter.message(&format!("  May exist although {steps} failed: {names}. The next run looks for {them}."));
    }
}

/// Returns whether a rollout failed or did not finish in time. A rollout that the user interrupted has not failed.
pub fn is_failed_rollout(failure: &Failure) -> bool {
    matches!(failure.cause, Cause::Rollout(_)) && failure.class != Class::Interrupted
}
