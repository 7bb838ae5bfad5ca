//! `drift`: what somebody else changed, for schedulers.

use crate::cli::Global;
use crate::context::{RunOptions, WorkspaceContext};
use crate::exit::{Error, Exit};
use crate::render;
use pb_engine::{Drift, Goal, drift as drifted};
use serde::Serialize;

/// What is shown as JSON.
#[derive(Serialize)]
struct Report<'a> {
    workspace: &'a str,
    account: &'a str,
    region: &'a str,
    serial: u64,
    /// Whether a run did not end: what it has begun is no drift.
    unfinished: bool,
    drift: &'a [Drift],
}

/// Shows what is not as the last run left it, whatever is configured now. Changes nothing.
///
/// # Errors
/// What keeps the world or the snapshot from being read; a workspace that was never deployed.
pub async fn drift(global: &Global, workspace: &str) -> Result<Exit, Error> {
    let context = WorkspaceContext::open(global, workspace, Goal::Destroy, &RunOptions::default()).await?;
    let snapshot = &context.snapshot;
    let observed = context.observe_cached(snapshot).await?;
    let drift = drifted(&context.graph, &observed, snapshot);
    let report = Report {
        workspace,
        account: &context.prerequisites.account,
        region: &context.workspace.region,
        serial: snapshot.serial,
        unfinished: snapshot.intents.is_some(),
        drift: &drift,
    };
    if global.json {
        render::document(&report)?;
    } else {
        if !drift.is_empty() {
            anstream::println!("{}, against serial {}:\n", context.title(), snapshot.serial);
        }
        anstream::print!("{}", render::drift::text(&drift));
        if report.unfinished {
            anstream::eprintln!("a run did not end: what it has begun is not drift; run it again to finish");
        }
    }
    Ok(if drift.is_empty() { Exit::Done } else { Exit::Changes })
}
