//! `plan` and `show`.

use crate::cli::Global;
use crate::commands::refresh;
use crate::exit::{Error, Exit};
use crate::render;
use crate::saved::Saved;
use crate::site::{Asked, Site};
use pb_engine::{Goal, Plan, drift};
use std::path::{Path, PathBuf};

/// How a plan is wanted.
pub struct Wanted {
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
pub async fn plan(global: &Global, workspace: &str, goal: Goal, asked: &Asked, wanted: &Wanted) -> Result<Exit, Error> {
    let site = Site::open(global, workspace, goal, asked).await?;
    let saved = if asked.selection.refresh_only {
        refuse_refresh(goal)?;
        refresh_plan(&site).await?
    } else {
        let looked = site.glance(goal).await?;
        let part = site.part.clone();
        let (images, not_deployed) = (asked.images.clone(), site.not_deployed(goal));
        Saved { images, not_deployed, ..Saved::new(operation(goal), looked.bound, part, looked.plan) }
    };
    show_saved(global, &saved, wanted.markdown, saved.is_empty())?;
    if let Some(out) = &wanted.out {
        saved.write(out)?;
        anstream::eprintln!("saved; apply it with: pb-deploy apply {}", out.display());
    }
    let is_done = saved.is_empty() && saved.not_deployed.is_empty();
    Ok(if wanted.detailed_exitcode && !is_done { Exit::Changes } else { Exit::Done })
}

fn refuse_refresh(goal: Goal) -> Result<(), Error> {
    match goal {
        Goal::Deploy => Ok(()),
        Goal::Destroy => Err(Error::usage("--refresh-only and --destroy exclude each other", "give one of them")),
    }
}

/// What would be recorded, as a plan.
async fn refresh_plan(site: &Site) -> Result<Saved, Error> {
    let observed = site.glimpse(&site.snapshot).await?;
    let bound = site.bound(&site.snapshot, &observed);
    let empty = Plan::default();
    let drift = drift(&site.graph, &observed, &site.snapshot);
    Ok(Saved { drift, ..Saved::new(refresh::OPERATION, bound, site.part.clone(), empty) })
}

/// Shows a saved plan.
///
/// # Errors
/// When the file is no saved plan.
pub fn show(global: &Global, file: &Path, markdown: bool) -> Result<Exit, Error> {
    show_saved(global, &Saved::read(file)?, markdown, false)?;
    Ok(Exit::Done)
}

fn show_saved(global: &Global, saved: &Saved, markdown: bool, untitled: bool) -> Result<(), Error> {
    if global.json {
        return render::document(saved);
    }
    if markdown {
        anstream::print!("{}", render::markdown::text(saved));
        return Ok(());
    }
    let bound = &saved.bound;
    if !untitled {
        let (operation, workspace) = (&saved.operation, &bound.workspace);
        let (account, region, serial) = (&bound.account, &bound.region, bound.serial);
        anstream::println!("To {operation} {workspace} (account {account}, {region}), at serial {serial}:\n");
    }
    if saved.operation == refresh::OPERATION {
        anstream::print!("{}", render::drift::text(&saved.drift));
    } else {
        anstream::print!("{}", render::plan::text_without(&saved.plan, &saved.not_deployed, global.verbose));
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
