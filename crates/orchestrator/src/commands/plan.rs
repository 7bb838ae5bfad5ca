//! `plan` and `show`.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::images::Given;
use crate::render;
use crate::saved::Saved;
use crate::site::{Asked, Site};
use pb_engine::Goal;
use std::path::Path;

/// Shows what a run would do, and saves it when asked to. Changes nothing.
///
/// # Errors
/// What keeps a plan from being made or saved.
pub async fn plan(
    global: &Global,
    workspace: &str,
    goal: Goal,
    out: Option<&Path>,
    detailed_exitcode: bool,
    images: Given,
) -> Result<Exit, Error> {
    let asked = Asked { images, ..Asked::default() };
    let site = Site::open(global, workspace, goal, &asked).await?;
    let looked = site.glance(goal).await?;
    let operation = operation(goal);
    let saved = Saved::new(uuid::Uuid::new_v4().to_string(), operation, asked.images, looked.bound, looked.plan);
    if global.json {
        render::document(&saved)?;
    } else {
        let title = if saved.plan.is_empty() { String::new() } else { format!("To {operation} {}:\n\n", site.title()) };
        anstream::print!("{title}{}", render::plan::text(&saved.plan, global.verbose));
        if goal == Goal::Deploy
            && let Some(text) = crate::commands::missing::announced(&site.facts.images)
        {
            anstream::print!("{text}");
        }
    }
    if let Some(out) = out {
        saved.write(out)?;
        anstream::eprintln!("saved; apply it with: pb-deploy apply {}", out.display());
    }
    let changed = detailed_exitcode && !saved.plan.is_empty();
    Ok(if changed { Exit::Changes } else { Exit::Done })
}

/// Shows a saved plan.
///
/// # Errors
/// When the file is no saved plan.
pub fn show(global: &Global, file: &Path) -> Result<Exit, Error> {
    let saved = Saved::read(file)?;
    if global.json {
        render::document(&saved)?;
    } else {
        let bound = &saved.bound;
        anstream::println!(
            "To {} {} (account {}, {}), at serial {}:\n",
            saved.operation,
            bound.workspace,
            bound.account,
            bound.region,
            bound.serial
        );
        anstream::print!("{}", render::plan::text(&saved.plan, global.verbose));
    }
    Ok(Exit::Done)
}

/// The word for a goal.
pub fn operation(goal: Goal) -> &'static str {
    match goal {
        Goal::Deploy => "deploy",
        Goal::Destroy => "destroy",
    }
}
