//! The pipeline of every run that changes something: plan, show, confirm, open the state, plan again, approve, apply,
//! verify, record, close, report. A command is an [`Input`] to it.

#[cfg(test)]
mod tests;

use crate::cli::Consent;
use crate::confirmation;
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::finished::Finished;
use crate::run::outcome;
use crate::run::session::{OpenRequest, OpenState, State};
use crate::workspace::context::WorkspaceContext;
use pb_engine::{Cancel, Cause, Class, Failure, Ledger, Operation, Outcome, Ownership, Run, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A change that a run makes.
///
/// The pipeline calls the methods in the order in which they are declared, [`plan`](Self::plan) and
/// [`show`](Self::show) before the lease is acquired, and `plan` once more under the lease.
pub trait Input: Sized {
    /// The plan, with all that its approval compares.
    type Planned;

    /// Returns the operation, which is stored in the lease and in the intents.
    fn operation(&self) -> Operation;

    /// Reads AWS and plans the change. Changes nothing.
    ///
    /// # Errors
    /// A failed read; a refused plan.
    async fn plan(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<Self::Planned, Error>;

    /// Shows the plan.
    fn show(&self, reporter: &Reporter, planned: &Self::Planned);

    /// Returns whether there is nothing to apply and nothing to record.
    fn is_done(&self, planned: &Self::Planned, snapshot: &Snapshot) -> bool;

    /// Reports that there is nothing to do.
    ///
    /// # Errors
    /// A failed read.
    async fn finish_unchanged(&self, _reporter: &Reporter, _planned: &Self::Planned) -> Result<Exit, Error> {
        Ok(Exit::Done)
    }

    /// Returns the verb of the question that asks for confirmation; `None` if the plan changes nothing.
    fn question(&self, _planned: &Self::Planned) -> Option<String> {
        Some(self.operation().to_string())
    }

    /// Awaits `pass`: the steps from the second plan to the record. A change that needs another lock besides the lease
    /// acquires it here, and releases it afterwards.
    ///
    /// # Errors
    /// The error of `pass`; a lock that another program holds.
    async fn guard<T>(&self, pass: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        pass.await
    }

    /// Approves the plan that was computed under the lease. `shown` is the plan that was shown before; `None` if none
    /// was. Shows the plan if it differs and is approved nevertheless.
    ///
    /// # Errors
    /// A plan that was not approved.
    fn approve(&self, reporter: &Reporter, shown: Option<&Self::Planned>, pass: &Pass<'_, Self>) -> Result<(), Error>;

    /// Applies the plan. The failure of a step is part of the outcome.
    ///
    /// # Errors
    /// If the intents or the end of the run cannot be stored.
    async fn apply(&self, pass: &Pass<'_, Self>) -> Result<Outcome, Error>;

    /// Handles the rollouts that are in progress when the run is stopped.
    async fn on_interrupt(&self, _reporter: &Reporter, _pass: &Pass<'_, Self>, _outcome: &mut Outcome) {}

    /// Verifies the result and adds what is wrong to the outcome. The checks of a graph are part of
    /// [`apply`](Self::apply).
    async fn verify(&self, _reporter: &Reporter, _pass: &Pass<'_, Self>, _outcome: &mut Outcome) {}

    /// Records what the ledger of the engine does not, such as the release.
    fn record(&self, _pass: &Pass<'_, Self>, _outcome: &Outcome) {}

    /// Returns the input of another pass in the same run, after a complete one.
    ///
    /// # Errors
    /// A failed read.
    async fn follow_up(&self, _reporter: &Reporter) -> Result<Option<Self>, Error> {
        Ok(None)
    }

    /// Prints the result.
    fn summarize(&self, finished: &Finished<'_, Self::Planned>) {
        outcome::print_summary(finished, "Changed");
    }

    /// Ends a run whose result is stored: prints what to do next. Returns the result of the command.
    fn finish(&self, finished: &Finished<'_, Self::Planned>) -> Exit {
        finished.reporter.json("finished", &serde_json::json!({ "complete": finished.outcome.is_complete() }));
        outcome::exit(finished.outcome, finished.run)
    }
}

/// The way in which a plan reads AWS.
#[derive(Clone, Copy)]
pub enum Reading<'a> {
    /// Without the lease, with as few calls as possible.
    Preview,
    /// Under the lease: everything is read, until the run is stopped.
    UnderLease(&'a Cancel),
}

impl Reading<'_> {
    /// Returns the signal that stops the read.
    pub fn cancel(self) -> Cancel {
        match self {
            Self::Preview => Cancel::never(),
            Self::UnderLease(cancel) => cancel.clone(),
        }
    }
}

/// One pass of a run under the lease.
pub struct Pass<'a, I: Input> {
    pub planned: &'a I::Planned,
    /// The snapshot with which the pass began.
    pub before: &'a Snapshot,
    pub ledger: &'a dyn Ledger,
    pub run: &'a Run,
}

/// Everything that a run borrows.
pub struct Pipeline<'a, S: State> {
    pub reporter: &'a Reporter,
    pub state: &'a S,
    pub workspace: &'a str,
    pub owner: &'a Arc<Ownership>,
    /// Set if the plan is applied without a question.
    pub yes: bool,
    /// The time to wait for a lease that another run holds.
    pub lock_timeout: Duration,
}

impl<'a, S: State> Pipeline<'a, S> {
    /// Returns the pipeline of a workspace.
    pub fn new(reporter: &'a Reporter, state: &'a S, context: &'a WorkspaceContext, consent: &Consent) -> Self {
        let lock_timeout = Duration::from_secs(consent.lock_timeout);
        Self { reporter, state, workspace: context.name(), owner: &context.owner, yes: consent.yes, lock_timeout }
    }

    /// Plans, shows the plan, asks for confirmation and applies the plan.
    ///
    /// # Errors
    /// An error before the run begins, or one that prevents its result from being stored. Failures of steps are
    /// printed, and decide the result.
    pub async fn run<I: Input>(&self, input: &I) -> Result<Exit, Error> {
        let id = uuid::Uuid::new_v4().to_string();
        self.reporter.begin(&id, input.operation());
        let snapshot = self.state.snapshot();
        let planned = input.plan(snapshot, Reading::Preview).await?;
        input.show(self.reporter, &planned);
        if input.is_done(&planned, snapshot) {
            return input.finish_unchanged(self.reporter, &planned).await;
        }
        if let Some(verb) = input.question(&planned) {
            confirmation::confirm(self.workspace, &verb, self.yes)?;
        }
        self.apply(input, Some(&planned), id).await
    }

    /// Acquires the lease, plans again and applies the plan. `id` is the id of the run.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run).
    pub async fn apply<I: Input>(&self, input: &I, shown: Option<&I::Planned>, id: String) -> Result<Exit, Error> {
        let cancel = self.state.listen();
        let request = OpenRequest {
            operation: input.operation(),
            lock_timeout: self.lock_timeout,
            cancel: cancel.clone(),
            reporter: self.reporter,
        };
        let open = self.state.open(request).await?;
        let since = Instant::now();
        let run = self.new_run(input, id, cancel);
        let first = input.guard(self.pass(input, shown, &open, run)).await;
        let (ended, next) = self.follow_up(input, first, &open).await;
        let (lost, snapshot) = (open.lost(), open.snapshot());
        let closed = open.close().await;
        let Ended { outcome, planned, run } = ended?;
        let finished = Finished {
            reporter: self.reporter,
            workspace: self.workspace,
            run: &run,
            planned: &planned,
            outcome: &outcome,
            snapshot: &snapshot,
            took: since.elapsed(),
        };
        let input = next.as_ref().unwrap_or(input);
        input.summarize(&finished);
        lost.or_else(|| outcome.unrecorded.clone()).map_or(Ok(()), |failure| Err(unrecorded(failure)))?;
        closed?;
        Ok(input.finish(&finished))
    }

    fn new_run<I: Input>(&self, input: &I, id: String, cancel: Cancel) -> Run {
        let (operation, events) = (input.operation(), self.reporter.events());
        self.reporter.begin(&id, operation);
        Run { id, operation, owner: Arc::clone(self.owner), events, cancel }
    }

    /// Plans under the lease, and approves, applies, verifies and records the plan.
    async fn pass<I: Input>(
        &self,
        input: &I,
        shown: Option<&I::Planned>,
        open: &S::Open,
        run: Run,
    ) -> Result<Ended<I>, Error> {
        let before = open.snapshot();
        let planned = input.plan(&before, Reading::UnderLease(&run.cancel)).await?;
        let pass = Pass { planned: &planned, before: &before, ledger: open, run: &run };
        input.approve(self.reporter, shown, &pass)?;
        let mut outcome = tokio::select! {
            outcome = input.apply(&pass) => outcome?,
            () = self.reporter.report_long_waits() => Outcome::default(),
        };
        if run.cancel.is_stopped() {
            input.on_interrupt(self.reporter, &pass, &mut outcome).await;
        }
        input.verify(self.reporter, &pass, &mut outcome).await;
        input.record(&pass, &outcome);
        Ok(Ended { outcome, planned, run })
    }

    /// Makes the next pass, if the first one is complete and there is one. Also returns its input.
    async fn follow_up<I: Input>(
        &self,
        input: &I,
        first: Result<Ended<I>, Error>,
        open: &S::Open,
    ) -> (Result<Ended<I>, Error>, Option<I>) {
        let mut first = match first {
            Ok(first) if first.outcome.is_complete() && !first.run.cancel.is_stopped() => first,
            first => return (first, None),
        };
        let next = match input.follow_up(self.reporter).await {
            Ok(Some(next)) => next,
            Ok(None) => return (Ok(first), None),
            Err(error) => return (Err(error), None),
        };
        let run = self.new_run(&next, uuid::Uuid::new_v4().to_string(), first.run.cancel.clone());
        let second = self.pass(&next, None, open, run).await.map(|mut second| {
            second.outcome.done.splice(0..0, first.outcome.done.drain(..));
            second
        });
        (second, Some(next))
    }
}

/// Returns the failure to store the end of a run, with what the next run does about it, unless another run has the lease
/// now.
fn unrecorded(failure: Failure) -> Failure {
    if failure.class == Class::Locked || matches!(failure.cause, Cause::LeaseLost) {
        return failure;
    }
    let next = "run the same command again: it finds what this run created by its tags, once the lock has expired";
    let hint = failure.hint.as_ref().map_or_else(|| next.to_owned(), |hint| format!("{hint}; then {next}"));
    Failure { operation: format!("record the result: {}", failure.operation), ..failure }.hint(hint)
}

/// A pass that has ended.
struct Ended<I: Input> {
    outcome: Outcome,
    planned: I::Planned,
    run: Run,
}
