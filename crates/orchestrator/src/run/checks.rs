//! Checks of runs that change nothing, or that do not wait for rollouts.

use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::output::{BAD, count, paint};
use crate::run::outcome::{exit, print_failures};
use crate::signals;
use crate::workspace::stack_context::StackContext;
use pb_engine::{
    Action, Cause, Class, FailedHealth, Failure, MemoryLedger, Operation, Outcome, Plan, Run, StepFailure, apply_plan,
};

/// Waits for the checks of a plan without changes, for one health period at most. Acquires no lease and writes nothing.
///
/// # Errors
/// An error other than a failed check.
pub async fn wait_for_checks(reporter: &Reporter, context: &StackContext, plan: &Plan) -> Result<Exit, Error> {
    if !plan.checks.iter().any(|check| check.due) {
        return Ok(Exit::Done);
    }
    let run = Run {
        id: String::new(),
        operation: Operation::Wait,
        owner: context.base.owner.clone(),
        events: reporter.events(),
        cancel: signals::listen(),
    };
    let outcome = if waits_for_rollouts(context) {
        let ledger = MemoryLedger::new(context.base.snapshot.clone());
        tokio::select! {
            outcome = apply_plan(&context.graph, plan, &ledger, &run) => outcome?,
            () = reporter.report_long_waits() => Outcome::default(),
        }
    } else {
        planned_outcome(plan)
    };
    if outcome.is_complete() {
        return Ok(Exit::Done);
    }
    let (workspace, number) = (&context.base.workspace.name, outcome.failed.len() + outcome.skipped.len());
    let verb = if number == 1 { "fails" } else { "fail" };
    let checks = count(number, "check");
    reporter.message(&format!("\n{} {workspace} is as configured, but {checks} {verb}:", paint(BAD, "Not healthy:")));
    print_failures(reporter, &outcome, workspace);
    reporter.message(&failure_advice(workspace));
    Ok(exit(&outcome, &run))
}

/// Returns the outcome of a run that does not wait: the checks that failed when the plan was made.
fn planned_outcome(plan: &Plan) -> Outcome {
    let failed = plan.failing().map(|(check, message, details)| StepFailure {
        address: check.address.clone(),
        action: Action::Check,
        failure: Failure::new(Class::Failed, check.address.as_str(), message)
            .cause(Cause::Health(FailedHealth { targets: details.to_vec(), rolled_back: false })),
        remains: None,
    });
    Outcome { failed: failed.collect(), ..Outcome::default() }
}

/// Disables the checks of a run that does not wait for rollouts, because their results are unknown until the rollouts
/// end.
pub fn skip_without_wait(context: &StackContext, plan: &mut Plan) {
    if !waits_for_rollouts(context) {
        plan.checks.iter_mut().for_each(|check| check.due = false);
    }
}

/// Returns whether a run waits for the rollouts that it starts.
pub fn waits_for_rollouts(context: &StackContext) -> bool {
    context.base.workspace.deploy.wait_timeout > 0
}

/// Returns the advice after a run in which only checks failed.
pub fn failure_advice(workspace: &str) -> String {
    format!(
        "Nothing is left to apply. Fix the cause and run `pb-deploy deploy {workspace}` to check again, or return to \
         the previous release with `pb-deploy rollback {workspace}`."
    )
}
