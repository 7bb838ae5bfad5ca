//! `plan` and `show`: show a new or a saved plan.

use crate::cli::{Global, PlanOutput};
use crate::exit::{Error, Exit};
use crate::output;
use crate::output::console;
use crate::run::pipeline::Reading;
use crate::run::refresh::{PlannedRefresh, Refresh};
use crate::run::saved_plan::SavedPlan;
use crate::workspace::stack_context::{RunOptions, StackContext};
use pb_engine::{Goal, Operation, Plan};
use std::path::Path;
use std::sync::Arc;

/// Shows the plan of a run, and saves it to a file if `options` name one. Changes nothing.
///
/// # Errors
/// An error that prevents a plan; a file that cannot be written.
pub async fn plan(
    global: &Global,
    workspace: &str,
    goal: Goal,
    run_options: &RunOptions,
    options: &PlanOutput,
) -> Result<Exit, Error> {
    let context = StackContext::open(global, workspace, goal, run_options).await?;
    let saved = if run_options.selection.refresh_only {
        refuse_refresh_of_destroy(goal)?;
        refresh_plan(context).await?
    } else {
        let planned = context.preview_plan(goal).await?;
        output::warnings(&planned.warnings).for_each(console::note);
        let part = context.scope.clone();
        let (images, not_deployed) = (run_options.images.clone(), context.not_deployed(goal));
        let RunOptions { delete_images, lose_jobs, .. } = *run_options;
        SavedPlan {
            images,
            not_deployed,
            delete_images,
            lose_jobs,
            ..SavedPlan::new(goal.into(), planned.binding, part, planned.plan)
        }
    };
    show_saved(global, &saved, options.markdown, saved.is_empty())?;
    if let Some(out) = &options.out {
        saved.write(out)?;
        console::note(format!("Plan saved. Apply it with: pb-deploy apply {}", out.display()));
    }
    let is_done = saved.is_empty() && saved.not_deployed.is_empty();
    Ok(if options.detailed_exitcode && !is_done { Exit::Changes } else { Exit::Done })
}

fn refuse_refresh_of_destroy(goal: Goal) -> Result<(), Error> {
    match goal {
        Goal::Deploy => Ok(()),
        Goal::Destroy => Err(Error::usage("--refresh-only and --destroy cannot be used together", "use one of them")),
    }
}

/// Returns the plan of a refresh: the drift that it would record.
async fn refresh_plan(context: StackContext) -> Result<SavedPlan, Error> {
    let scope = context.scope.clone();
    let snapshot = context.base.snapshot.clone();
    let refresh = Refresh { context: Arc::new(context), saved: None, yes: false };
    let PlannedRefresh { drift, binding, .. } = refresh.find(&snapshot, Reading::Preview).await?;
    Ok(SavedPlan { drift, ..SavedPlan::new(Operation::Refresh, binding, scope, Plan::default()) })
}

/// Shows a saved plan.
///
/// # Errors
/// A file that is not a saved plan.
pub fn show(global: &Global, file: &Path, markdown: bool) -> Result<Exit, Error> {
    show_saved(global, &SavedPlan::read(file)?, markdown, false)?;
    Ok(Exit::Done)
}

fn show_saved(global: &Global, saved: &SavedPlan, markdown: bool, untitled: bool) -> Result<(), Error> {
    if global.json {
        return console::document(saved);
    }
    if markdown {
        console::print_text(output::markdown::text(saved));
        return Ok(());
    }
    let bound = &saved.binding;
    if !untitled {
        let (operation, workspace) = (&saved.operation, &bound.workspace);
        let (account, region, serial) = (&bound.account, &bound.region, bound.serial);
        console::print(format!("To {operation} {workspace} (account {account}, {region}), at serial {serial}:\n"));
    }
    if saved.operation == Operation::Refresh {
        console::print_text(output::drift::text(&saved.drift));
    } else {
        console::print_text(output::plan::text_with_not_deployed(&saved.plan, &saved.not_deployed, global.verbose));
    }
    Ok(())
}
