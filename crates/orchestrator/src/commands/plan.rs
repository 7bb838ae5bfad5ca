//! `plan` and `show`.

use crate::cli::Global;
use crate::commands::refresh;
use crate::context::{RunOptions, WorkspaceContext};
use crate::exit::{Error, Exit};
use crate::render;
use crate::saved::SavedPlan;
use pb_engine::{Goal, Plan, drift};
use std::path::{Path, PathBuf};

/// How a plan is wanted.
pub struct PlanOptions {
    /// Where it is saved.
    pub out: Option<PathBuf>,
    /// Set when changes, and services that are not deployed, give an exit code of their own.
    pub detailed_exitcode: bool,
    /// Whether it is shown as Markdown.
    pub markdown: bool,
}

/// Shows what a run would do, and saves it when asked to. Changes nothing.
///
/// # Errors
/// What keeps a plan from being made or saved.
pub async fn plan(
    global: &Global,
    workspace: &str,
    goal: Goal,
    run_options: &RunOptions,
    options: &PlanOptions,
) -> Result<Exit, Error> {
    let context = WorkspaceContext::open(global, workspace, goal, run_options).await?;
    let saved = if run_options.selection.refresh_only {
        refuse_refresh_of_destroy(goal)?;
        refresh_plan(&context).await?
    } else {
        let looked = context.preview_plan(goal).await?;
        let part = context.scope.clone();
        let (images, not_deployed) = (run_options.images.clone(), context.not_deployed(goal));
        SavedPlan { images, not_deployed, ..SavedPlan::new(operation(goal), looked.binding, part, looked.plan) }
    };
    show_saved(global, &saved, options.markdown, saved.is_empty())?;
    if let Some(out) = &options.out {
        saved.write(out)?;
        anstream::eprintln!("saved; apply it with: pb-deploy apply {}", out.display());
    }
    let is_done = saved.is_empty() && saved.not_deployed.is_empty();
    Ok(if options.detailed_exitcode && !is_done { Exit::Changes } else { Exit::Done })
}

fn refuse_refresh_of_destroy(goal: Goal) -> Result<(), Error> {
    match goal {
        Goal::Deploy => Ok(()),
        Goal::Destroy => Err(Error::usage("--refresh-only and --destroy exclude each other", "give one of them")),
    }
}

/// What would be recorded, as a plan.
async fn refresh_plan(context: &WorkspaceContext) -> Result<SavedPlan, Error> {
    let observed = context.observe_cached(&context.snapshot).await?;
    let bound = context.plan_binding(&context.snapshot, &observed);
    let empty = Plan::default();
    let drift = drift(&context.graph, &observed, &context.snapshot);
    Ok(SavedPlan { drift, ..SavedPlan::new(refresh::OPERATION, bound, context.scope.clone(), empty) })
}

/// Shows a saved plan.
///
/// # Errors
/// When the file is no saved plan.
pub fn show(global: &Global, file: &Path, markdown: bool) -> Result<Exit, Error> {
    show_saved(global, &SavedPlan::read(file)?, markdown, false)?;
    Ok(Exit::Done)
}

fn show_saved(global: &Global, saved: &SavedPlan, markdown: bool, untitled: bool) -> Result<(), Error> {
    if global.json {
        return render::document(saved);
    }
    if markdown {
        anstream::print!("{}", render::markdown::text(saved));
        return Ok(());
    }
    let bound = &saved.binding;
    if !untitled {
        let (operation, workspace) = (&saved.operation, &bound.workspace);
        let (account, region, serial) = (&bound.account, &bound.region, bound.serial);
        anstream::println!("To {operation} {workspace} (account {account}, {region}), at serial {serial}:\n");
    }
    if saved.operation == refresh::OPERATION {
        anstream::print!("{}", render::drift::text(&saved.drift));
    } else {
        anstream::print!("{}", render::plan::text_with_not_deployed(&saved.plan, &saved.not_deployed, global.verbose));
    }
    Ok(())
}

/// The word for a goal.
pub fn operation(goal: Goal) -> &'static str {
    match goal {
        Goal::Deploy => "deploy",
        Goal::Destroy => "destroy",
    }
}

/// What the word of a saved plan stands for: a goal, or a refresh, which has none; `None` when it is not known.
pub fn goal(operation: &str) -> Option<Option<Goal>> {
    match operation {
        "deploy" => Some(Some(Goal::Deploy)),
        "destroy" => Some(Some(Goal::Destroy)),
        refresh::OPERATION => Some(None),
        _ => None,
    }
}
