//! `apply`: a saved plan, exactly.

use crate::cli::Global;
use crate::commands::run::{Agreed, locked};
use crate::exit::{Error, Exit};
use crate::render::run::Show;
use crate::saved::Saved;
use crate::site::{Asked, Site};
use pb_engine::Goal;
use std::path::Path;
use std::time::Duration;

/// Does what a saved plan says, when nothing that it is bound to has changed.
///
/// # Errors
/// A file that is no plan; a plan that does not fit any more; a lease that another holds.
pub async fn apply(global: &Global, file: &Path) -> Result<Exit, Error> {
    let saved = Saved::read(file)?;
    let goal = match saved.operation.as_str() {
        "deploy" => Goal::Deploy,
        "destroy" => Goal::Destroy,
        other => {
            let message = format!("{} is a plan to {other:?}, which this version does not know", file.display());
            return Err(Error::other(message, "make a new plan"));
        }
    };
    let show = Show::new(global.json, global.verbose);
    let asked = Asked { images: saved.images.clone(), ..Asked::default() };
    let site = Site::open(global, &saved.bound.workspace, goal, &asked).await?;
    show.say(&crate::render::plan::text(&saved.plan, global.verbose));
    locked(&show, global, &site, goal, &saved.id, Duration::ZERO, Agreed::Saved(&saved)).await
}
