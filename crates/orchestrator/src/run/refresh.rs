//! `--refresh-only` as an input of the pipeline: updates the snapshot from AWS, and changes nothing in AWS.

use crate::exit::{Error, Exit};
use crate::output;
use crate::output::reporter::Reporter;
use crate::run::finished::Finished;
use crate::run::pipeline::{Input, Pass, Reading};
use crate::run::saved_plan::{PlanBinding, SavedPlan};
use crate::workspace::stack_context::StackContext;
use pb_engine::{
    Action, Drift, DriftKind, Entry, ErrorCode, Observed, Operation, Outcome, Record, Snapshot, drift, other_revisions,
};
use serde_json::json;
use std::sync::Arc;

/// A run that records the drift.
pub struct Refresh {
    pub context: Arc<StackContext>,
    /// A saved plan, which must have exactly the drift that is found.
    pub saved: Option<Arc<SavedPlan>>,
    /// Set if a drift that has changed since it was shown is recorded nevertheless. That is safe, because it changes
    /// nothing in AWS.
    pub yes: bool,
}

/// The drift, with the entries that record it.
pub struct PlannedRefresh {
    pub drift: Vec<Drift>,
    pub binding: PlanBinding,
    entries: Vec<Entry>,
}

impl Refresh {
    /// Returns the drift.
    ///
    /// # Errors
    /// A failed read.
    pub async fn find(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<PlannedRefresh, Error> {
        let context = &self.context;
        let observed = match reading {
            Reading::Preview => context.observe_cached(snapshot).await?,
            Reading::UnderLease(cancel) => context.observe(snapshot, cancel).await?,
        };
        let drift = drift(&context.graph, &observed, snapshot);
        let editions = other_revisions(&context.graph, &observed, snapshot).into_iter();
        let editions = editions.map(|(address, record)| Entry::Put(address, record));
        let entries = drift.iter().filter_map(|drift| entry(drift, &observed)).chain(editions).collect();
        Ok(PlannedRefresh { binding: context.plan_binding(snapshot, &observed), drift, entries })
    }
}

impl Input for Refresh {
    type Planned = PlannedRefresh;

    fn operation(&self) -> Operation {
        Operation::Refresh
    }

    async fn plan(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<PlannedRefresh, Error> {
        self.find(snapshot, reading).await
    }

    fn show(&self, reporter: &Reporter, planned: &PlannedRefresh) {
        reporter.json("drift", &json!({ "drift": planned.drift }));
        reporter.message(&output::drift::text(&planned.drift));
    }

    fn is_done(&self, planned: &PlannedRefresh, _snapshot: &Snapshot) -> bool {
        planned.drift.is_empty()
    }

    async fn finish_unchanged(&self, reporter: &Reporter, _planned: &PlannedRefresh) -> Result<Exit, Error> {
        self.print_end(reporter);
        Ok(Exit::Done)
    }

    fn question(&self, _planned: &PlannedRefresh) -> Option<String> {
        Some("record this as the state of".to_owned())
    }

    fn approve(&self, reporter: &Reporter, shown: Option<&PlannedRefresh>, pass: &Pass<'_, Self>) -> Result<(), Error> {
        let planned = pass.planned;
        if let Some(saved) = &self.saved {
            saved.check(&planned.binding, &pass.before.applied, saved.drift == planned.drift)?;
            pass.ledger.record(Entry::Applied(saved.id.clone()));
            return Ok(());
        }
        if shown.is_some_and(|shown| shown.drift == planned.drift) {
            return Ok(());
        }
        if !self.yes {
            let message = "the resources have changed since they were shown; nothing was recorded";
            return Err(Error::other(ErrorCode::PlanChanged, message, "run the same command again to see the changes"));
        }
        reporter.message("The resources have changed since they were shown:\n");
        self.show(reporter, planned);
        Ok(())
    }

    async fn apply(&self, pass: &Pass<'_, Self>) -> Result<Outcome, Error> {
        pass.planned.entries.iter().cloned().for_each(|entry| pass.ledger.record(entry));
        pass.ledger.end(false).await?;
        let recorded = pass.planned.entries.iter().filter_map(|entry| match entry {
            Entry::Put(address, _) | Entry::Remove(address) => Some((address.clone(), Action::NoOp)),
            _ => None,
        });
        Ok(Outcome { done: recorded.collect(), ..Outcome::default() })
    }

    /// The result is printed once it is stored.
    fn summarize(&self, _finished: &Finished<'_, Self::Planned>) {}

    fn finish(&self, finished: &Finished<'_, Self::Planned>) -> Exit {
        let recorded = output::count(finished.outcome.done.len(), "resource");
        finished.reporter.message(&format!("Recorded: {recorded}. Nothing in AWS was changed."));
        self.print_end(finished.reporter);
        Exit::Done
    }
}

impl Refresh {
    fn print_end(&self, reporter: &Reporter) {
        reporter.json("finished", &json!({ "complete": true, "outputs": self.context.base.snapshot.outputs }));
    }
}

/// Returns the ledger entry for a resource that has drifted. An untagged resource has none: its record is kept, because
/// `adopt --restore-tags` needs it.
fn entry(drift: &Drift, observed: &Observed) -> Option<Entry> {
    if drift.what == DriftKind::Untagged {
        return None;
    }
    let found = observed.managed.get(&drift.address).into_iter().flatten();
    let live = found.filter(|live| live.kind == drift.kind).find(|_| drift.what != DriftKind::Deleted);
    Some(match live {
        None => Entry::Remove(drift.address.clone()),
        Some(live) => {
            let (spec, attrs) = (live.spec.clone(), live.attrs.clone());
            let record = Record { kind: live.kind.clone(), spec, attrs, ready: live.ready };
            Entry::Put(drift.address.clone(), record)
        }
    })
}
