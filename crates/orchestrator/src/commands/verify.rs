//! Runs that change nothing and still have to tell whether the stack works.

use super::run::{exit, failures};
use crate::exit::{Error, Exit};
use crate::render::run::Show;
use crate::render::{BAD, count, paint};
use crate::signals;
use crate::site::Site;
use pb_engine::{Action, Class, Failure, MemoryLedger, Outcome, Plan, Run, StepFailure, apply_plan};

/// Waits for the checks of a plan without changes, one health period at most. Takes no lease and writes nothing.
///
/// # Errors
/// A failure that is not about a check.
pub async fn unchanged(show: &Show, site: &Site, plan: &Plan) -> Result<Exit, Error> {
    if !plan.checks.iter().any(|check| check.due) {
        return Ok(Exit::Done);
    }
    let run = Run {
        id: String::new(),
        operation: "wait".to_owned(),
        owner: site.owner.clone(),
        events: show.events(),
        cancel: signals::listen(),
    };
    let outcome = if is_waited_for(site) {
        let ledger = MemoryLedger::new(site.snapshot.clone());
        tokio::select! {
            outcome = apply_plan(&site.graph, plan, &ledger, &run) => outcome?,
            () = show.still_waiting() => Outcome::default(),
        }
    } else {
        as_planned(plan)
    };
    if outcome.is_complete() {
        return Ok(Exit::Done);
    }
    let (workspace, number) = (&site.workspace.name, outcome.failed.len() + outcome.skipped.len());
    let verb = if number == 1 { "fails" } else { "fail" };
    let checks = count(number, "check");
    show.say(&format!("\n{} {workspace} is as configured, but {checks} {verb}:", paint(BAD, "Not healthy:")));
    failures(show, &outcome, workspace);
    show.say(&applied(workspace));
    Ok(exit(&outcome, &run))
}

/// The outcome of a run that does not wait: what failed when the plan was made has failed.
fn as_planned(plan: &Plan) -> Outcome {
    let failed = plan.failing().map(|(check, message, details)| StepFailure {
        address: check.address.clone(),
        action: Action::Check,
        failure: Failure::new(Class::Failed, check.address.as_str(), message).details(details.to_vec()),
    });
    Outcome { failed: failed.collect(), ..Outcome::default() }
}

/// Takes the checks out of a run that does not wait for rollouts: their outcome is not known before.
pub fn skip_unless_waited_for(site: &Site, plan: &mut Plan) {
    if !is_waited_for(site) {
        plan.checks.iter_mut().for_each(|check| check.due = false);
    }
}

fn is_waited_for(site: &Site) -> bool {
    site.workspace.deploy.wait_timeout > 0
}

/// The advice after a run in which nothing but checks failed.
pub fn applied(workspace: &str) -> String {
    format!(
        "Nothing is left to apply. Fix the cause and run `pb-deploy deploy {workspace}` to check again, or return to the \
         previous release with `pb-deploy rollback {workspace}`."
    )
}
