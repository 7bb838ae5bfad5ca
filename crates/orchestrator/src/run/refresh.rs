//! `--refresh-only`: updates the snapshot from AWS; changes nothing in AWS.

use crate::cli::{Consent, Global};
use crate::confirmation;
use crate::exit::{Error, Exit};
use crate::output;
use crate::output::reporter::Reporter;
use crate::run::saved_plan::SavedPlan;
use crate::run::stack_run::open_session;
use crate::workspace::context::WorkspaceContext;
use pb_engine::{Cancel, Drift, DriftKind, Entry, Ledger, Observed, Record, drift, other_revisions};
use pb_state::Session;
use serde_json::json;
use std::time::Duration;

/// The name of the operation in plans and in the lease.
pub const OPERATION: &str = "refresh";

/// Shows the drift, asks for confirmation, and records the drift.
///
/// # Errors
/// A read that fails; a drift that cannot be recorded.
pub async fn run(global: &Global, context: &WorkspaceContext, consent: &Consent) -> Result<Exit, Error> {
    let reporter = Reporter::new(global.json, global.verbose);
    let observed = context.observe_cached(&context.snapshot).await?;
    let found = drift(&context.graph, &observed, &context.snapshot);
    show_drift(&reporter, &found);
    if found.is_empty() {
        reporter.json("finished", &json!({ "complete": true, "outputs": context.snapshot.outputs }));
        return Ok(Exit::Done);
    }
    confirmation::confirm(&context.workspace.name, "record this as the state of", consent.yes)?;
    let shown = Approval::ShownDrift { drift: &found, yes: consent.yes };
    record_under_lease(&reporter, global, context, Duration::from_secs(consent.lock_timeout), &shown).await
}

fn show_drift(reporter: &Reporter, drift: &[Drift]) {
    reporter.json("drift", &json!({ "drift": drift }));
    reporter.message(&output::drift::text(drift));
}

/// The approval of the drift to record.
pub enum Approval<'a> {
    /// The drift that was shown. If it has changed since, it is shown again; with `--yes`, it is then recorded
    /// nevertheless, because recording it changes nothing in AWS.
    ShownDrift { drift: &'a [Drift], yes: bool },
    /// The drift of a saved plan, which can be applied once.
    SavedPlan(&'a SavedPlan),
}

/// Records the drift under the lease. A saved plan must have exactly this drift.
///
/// # Errors
/// A lease that another run holds; a saved plan that no longer applies; a snapshot that cannot be stored.
pub async fn record_under_lease(
    reporter: &Reporter,
    global: &Global,
    context: &WorkspaceContext,
    lock_timeout: Duration,
    approval: &Approval<'_>,
) -> Result<Exit, Error> {
    let (session, cancel) = open_session(reporter, global, context, OPERATION, lock_timeout).await?;
    let recorded = record(reporter, context, &session, &cancel, approval).await;
    let closed = session.close().await;
    let count = recorded?;
    closed?;
    reporter.message(&format!("Recorded: {}. Nothing in AWS was changed.", output::count(count, "resource")));
    reporter.json("finished", &json!({ "complete": true, "outputs": context.snapshot.outputs }));
    Ok(Exit::Done)
}

async fn record(
    reporter: &Reporter,
    context: &WorkspaceContext,
    session: &Session,
    cancel: &Cancel,
    approval: &Approval<'_>,
) -> Result<usize, Error> {
    let snapshot = session.snapshot();
    let observed = context.observe(&snapshot, cancel).await?;
    let found = drift(&context.graph, &observed, &snapshot);
    match approval {
        Approval::ShownDrift { drift, .. } if *drift == found => {}
        Approval::ShownDrift { yes: true, .. } => {
            reporter.message("The resources have changed since they were shown:\n");
            show_drift(reporter, &found);
        }
        Approval::ShownDrift { .. } => {
            let message = "the resources have changed since they were shown; nothing was recorded";
            return Err(Error::other(message, "run the same command again to see the changes"));
        }
        Approval::SavedPlan(saved) => {
            saved.check(&context.plan_binding(&snapshot, &observed), &snapshot.applied, saved.drift == found)?;
            session.record(Entry::Applied(saved.id.clone()));
        }
    }
    let editions = other_revisions(&context.graph, &observed, &snapshot).into_iter();
    let editions = editions.map(|(address, record)| Entry::Put(address, record));
    let entries: Vec<Entry> = found.iter().filter_map(|drift| entry(drift, &observed)).chain(editions).collect();
    let count = entries.len();
    entries.into_iter().for_each(|entry| session.record(entry));
    session.end(false).await?;
    Ok(count)
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
