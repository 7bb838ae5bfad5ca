//! Runs that are interrupted during a rollout: the rollout is left running, or it is stopped and rolled back.

use crate::cli::OnInterrupt;
use crate::output::console;
use crate::output::reporter::Reporter;
use crate::output::{BOLD, WARN, paint};
use crate::signals;
use aws_config::SdkConfig;
use futures_util::future::join_all;
use pb_engine::{Address, Cause, Class, FailedRollout, Operation, Outcome, Plan, Resource, Snapshot};
use pb_fargate::{RollbackOutcome, ServiceAttrs, Services};
use std::io::{BufRead, IsTerminal};
use std::time::Duration;

/// Time to wait for a rollback that the user asked for.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(600);

/// A run that the user has interrupted. It still holds the lease.
pub struct InterruptedRun<'a> {
    pub reporter: &'a Reporter,
    pub aws: &'a SdkConfig,
    pub workspace: &'a str,
    pub operation: Operation,
    /// Action for its rollouts, if it was given in advance.
    pub on_interrupt: Option<OnInterrupt>,
}

impl InterruptedRun<'_> {
    /// Lets the rollouts that the run has started continue in ECS, or rolls them back. The result of a rollback is
    /// added to the failure of its step, which the summary of the run shows.
    pub async fn handle_rollouts(&self, plan: &Plan, outcome: &mut Outcome, now: &Snapshot) {
        let started = running_rollouts(plan, outcome, now);
        if started.is_empty() {
            return;
        }
        let names: Vec<&str> = started.iter().map(|(_, attrs)| attrs.name.as_str()).collect();
        let choice = match self.on_interrupt {
            Some(choice) => choice,
            None => prompt(self.reporter, &names).await,
        };
        match choice {
            OnInterrupt::Leave => self.print_left_running(&names),
            // In parallel, because a rollout could complete while another one is being rolled back.
            OnInterrupt::Rollback => {
                let result = join_all(started.iter().map(|(address, attrs)| self.roll_back(address, attrs))).await;
                for ((address, _), result) in started.iter().zip(result) {
                    let mut failed = outcome.failed.iter_mut();
                    if let Some(failed) = failed.find(|failed| failed.address == *address) {
                        failed.failure.cause = Cause::Rollout(Box::new(FailedRollout {
                            rolled_back: result.rolled_back,
                            rollback: Some(result.text),
                            ..FailedRollout::default()
                        }));
                    }
                }
            }
        }
    }

    fn print_left_running(&self, names: &[&str]) {
        let workspace = self.workspace;
        let undo = match self.operation {
            Operation::Deploy => format!(" To undo: `pb-deploy rollback {workspace}`."),
            _ => String::new(),
        };
        let (continues, it) = match names.len() {
            1 => ("The rollout continues in ECS:", "it"),
            _ => ("The rollouts continue in ECS:", "them"),
        };
        let (continues, names) = (paint(WARN, continues), names.join(", "));
        self.reporter.message(&format!("{continues} {names}. Follow {it} with `pb-deploy wait {workspace}`.{undo}"));
    }

    /// Stops a rollout and rolls back; returns a description of the result.
    async fn roll_back(&self, address: &Address, attrs: &ServiceAttrs) -> RollbackOutcome {
        self.reporter.message(&format!("  {}: stopping the rollout and rolling back", paint(BOLD, address)));
        match pb_fargate::stop_rollout(self.aws, attrs, ROLLBACK_TIMEOUT).await {
            Ok(result) => result,
            Err(failure) => RollbackOutcome::not_rolled_back(format!("the rollout may continue in ECS: {failure}")),
        }
    }
}

/// Returns the services whose rollout was started and not followed to its end.
fn running_rollouts(plan: &Plan, outcome: &Outcome, now: &Snapshot) -> Vec<(Address, ServiceAttrs)> {
    let services = plan.changes().filter(|step| step.kind == Services::KIND);
    let interrupted = |address: &Address| {
        let mut failed = outcome.failed.iter();
        failed.any(|failed| failed.address == *address && failed.failure.class == Class::Interrupted)
    };
    let attrs = |address: &Address| {
        let record = now.resources.get(address).filter(|record| !record.ready)?;
        serde_json::from_value(record.attrs.clone()).ok()
    };
    services
        .filter(|step| interrupted(&step.address))
        .filter_map(|step| Some((step.address.clone(), attrs(&step.address)?)))
        .collect()
}

/// Asks the user for the action. Without a terminal, and after SIGTERM, nobody can answer, and the rollout is left
/// running.
async fn prompt(reporter: &Reporter, names: &[&str]) -> OnInterrupt {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !is_terminal || signals::terminated() {
        return OnInterrupt::Leave;
    }
    let (rollout, is, it) = match names.len() {
        1 => ("rollout", "is", "it"),
        _ => ("rollouts", "are", "them"),
    };
    reporter.message(&format!("The {rollout} of {} {is} in progress in ECS.", paint(BOLD, names.join(", "))));
    loop {
        console::prompt(format!(
            "{} Leave the {rollout} running in ECS, or stop {it} and roll back? Type {} or {}: ",
            paint(WARN, "?"),
            paint(BOLD, "leave"),
            paint(BOLD, "rollback")
        ));
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer).map(|read| (read, answer))
        });
        match answer.await {
            Ok(Ok((read, answer))) if read > 0 => match answer.trim() {
                "rollback" => return OnInterrupt::Rollback,
                "leave" => return OnInterrupt::Leave,
                "" => reporter.message("No answer was given."),
                other => reporter.message(&format!("{other:?} is neither leave nor rollback.")),
            },
            // The input has ended, and nobody can answer.
            _ => {
                reporter.message(&format!("\nNo answer: the {rollout} {is} not stopped."));
                return OnInterrupt::Leave;
            }
        }
    }
}
