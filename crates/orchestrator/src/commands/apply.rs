//! `apply`: applies a saved plan.

use crate::cli::{Consent, Global};
use crate::commands::plan::goal;
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::refresh;
use crate::run::saved_plan::{PlanBinding, SavedPlan};
use crate::run::stack_run::{Approval, acquire_and_apply};
use crate::workspace::context::{RunOptions, WorkspaceContext, load_workspace};
use pb_engine::{Goal, Observed};
use std::path::Path;
use std::time::Duration;

/// Applies a saved plan, if nothing that it is bound to has changed. Does not ask for confirmation, because the plan
/// has been reviewed.
///
/// # Errors
/// A file that is not a saved plan; a plan that no longer applies; a lease that another run holds.
pub async fn apply(global: &Global, file: &Path, consent: &Consent) -> Result<Exit, Error> {
    let saved = SavedPlan::read(file)?;
    let goal = goal(&saved.operation).ok_or_else(|| {
        let message =
            format!("{} has the operation {:?}, which this version does not know", file.display(), saved.operation);
        Error::other(message, "create a new plan with `pb-deploy plan WORKSPACE --out FILE`")
    })?;
    let reporter = Reporter::new(global.json, global.verbose);
    let bound = &saved.binding;
    // Checked before the first call, because a different region may have no endpoint that answers, or no state.
    let region = load_workspace(global, &bound.workspace)?.region;
    saved.check_location(&PlanBinding { region, ..bound.clone() })?;
    let options = RunOptions { images: saved.images.clone(), ..RunOptions::default() };
    let mut context = WorkspaceContext::open(global, &bound.workspace, goal.unwrap_or(Goal::Deploy), &options).await?;
    saved.check_location(&context.plan_binding(&context.snapshot, &Observed::default()))?;
    context.scope = saved.scope.clone();
    let lock_timeout = Duration::from_secs(consent.lock_timeout);
    let Some(goal) = goal else {
        reporter.message(&crate::output::drift::text(&saved.drift));
        return refresh::record_under_lease(
            &reporter,
            global,
            &context,
            lock_timeout,
            &refresh::Approval::SavedPlan(&saved),
        )
        .await;
    };
    reporter.json("plan", &saved.plan);
    reporter.message(&crate::output::plan::text_with_not_deployed(&saved.plan, &saved.not_deployed, global.verbose));
    acquire_and_apply(&reporter, global, &context, goal, &saved.id, lock_timeout, Approval::SavedPlan(&saved)).await
}
