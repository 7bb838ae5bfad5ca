//! `apply`: applies a saved plan.

use crate::cli::{Consent, Global};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::approval::Approval;
use crate::run::pipeline::Pipeline;
use crate::run::refresh::Refresh;
use crate::run::saved_plan::{PlanBinding, SavedPlan};
use crate::run::session::StoredState;
use crate::run::stack_run::StackRun;
use crate::workspace::context::load_workspace;
use crate::workspace::stack_context::{RunOptions, StackContext};
use pb_engine::{Goal, Observed};
use std::path::Path;
use std::sync::Arc;

/// Applies a saved plan, if nothing that it is bound to has changed. Does not ask for confirmation, because the plan
/// has been reviewed.
///
/// # Errors
/// A file that is not a saved plan; a plan that no longer applies; a lease that another run holds.
pub async fn apply(global: &Global, file: &Path, consent: &Consent) -> Result<Exit, Error> {
    let saved = Arc::new(SavedPlan::read(file)?);
    let goal = saved.goal(file)?;
    let reporter = Reporter::new(global.json, global.verbose);
    reporter.begin(&saved.id, saved.operation);
    let bound = &saved.binding;
    // Checked before the first call, because a different region may have no endpoint that answers, or no state.
    let region = load_workspace(global, &bound.workspace)?.region;
    saved.check_location(&PlanBinding { region, ..bound.clone() })?;
    let options = RunOptions {
        images: saved.images.clone(),
        delete_images: saved.delete_images,
        lose_jobs: saved.lose_jobs,
        ..RunOptions::default()
    };
    let mut context = StackContext::open(global, &bound.workspace, goal.unwrap_or(Goal::Deploy), &options).await?;
    saved.check_location(&context.plan_binding(&context.base.snapshot, &Observed::default()))?;
    context.scope = saved.scope.clone();
    let context = Arc::new(context);
    let state = StoredState::new(&context.base);
    let pipeline = Pipeline::new(&reporter, &state, &context.base, consent);
    let (id, context) = (saved.id.clone(), Arc::clone(&context));
    let Some(goal) = goal else {
        reporter.message(&crate::output::drift::text(&saved.drift));
        return pipeline.apply(&Refresh { context, saved: Some(saved), yes: true }, None, id).await;
    };
    reporter.json("plan", &saved.plan);
    reporter.message(&crate::output::plan::text_with_not_deployed(&saved.plan, &saved.not_deployed, global.verbose));
    let approval = Approval::SavedPlan(saved);
    pipeline.apply(&StackRun { context, goal, approval, on_interrupt: None }, None, id).await
}
