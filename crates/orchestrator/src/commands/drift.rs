//! `drift`: changes that were made outside of pb-deploy, for scheduled checks.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::output;
use crate::output::console;
use crate::workspace::stack_context::{RunOptions, StackContext};
use pb_engine::{Drift, Goal, drift as drifted};
use serde::Serialize;

/// The JSON output.
#[derive(Serialize)]
struct Report<'a> {
    workspace: &'a str,
    account: &'a str,
    region: &'a str,
    serial: u64,
    /// Set if the last run did not finish. Its own changes are not drift.
    unfinished: bool,
    drift: &'a [Drift],
}

/// Shows the difference between AWS and the state, independently of the configuration. Changes nothing.
///
/// # Errors
/// Resources or a snapshot that cannot be read; a workspace that was never deployed.
pub async fn drift(global: &Global, workspace: &str) -> Result<Exit, Error> {
    let context = StackContext::open(global, workspace, Goal::Destroy, &RunOptions::default()).await?;
    let snapshot = &context.base.snapshot;
    let observed = context.observe_cached(snapshot).await?;
    let drift = drifted(&context.graph, &observed, snapshot);
    let report = Report {
        workspace,
        account: &context.prerequisites.account,
        region: &context.base.workspace.region,
        serial: snapshot.serial,
        unfinished: snapshot.intents.is_some(),
        drift: &drift,
    };
    if global.json {
        console::document(&report)?;
    } else {
        if !drift.is_empty() {
            console::print(format!("{}, compared with serial {}:\n", context.title(), snapshot.serial));
        }
        console::print_text(output::drift::text(&drift));
        if report.unfinished {
            console::note("The last run did not finish. Its changes are not shown as drift. Run it again to finish.");
        }
    }
    Ok(if drift.is_empty() { Exit::Done } else { Exit::Changes })
}
