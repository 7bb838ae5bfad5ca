//! `apply`: a saved plan, exactly.

use crate::cli::{Consent, Global};
use crate::commands::plan::goal;
use crate::commands::refresh;
use crate::commands::run::{Agreed, locked};
use crate::exit::{Error, Exit};
use crate::render::run::Show;
use crate::saved::{Bound, Saved};
use crate::site::{Asked, Site, configured};
use pb_engine::{Goal, Observed};
use std::path::Path;
use std::time::Duration;

/// Does what a saved plan says, when nothing that it is bound to has changed. The plan was looked at: nobody is asked.
///
/// # Errors
/// A file that is no plan; a plan that does not fit any more; a lease that another holds.
pub async fn apply(global: &Global, file: &Path, consent: &Consent) -> Result<Exit, Error> {
    let saved = Saved::read(file)?;
    let goal = goal(&saved.operation).ok_or_else(|| {
        let message =
            format!("{} is a plan to {:?}, which this version does not know", file.display(), saved.operation);
        Error::other(message, "make a new plan")
    })?;
    let show = Show::new(global.json, global.verbose);
    let bound = &saved.bound;
    // Before the first call: in another region there may be nothing to ask.
    let region = configured(global, &bound.workspace)?.region;
    saved.check_place(&Bound { region, ..bound.clone() })?;
    let asked = Asked { images: saved.images.clone(), ..Asked::default() };
    let mut site = Site::open(global, &bound.workspace, goal.unwrap_or(Goal::Deploy), &asked).await?;
    saved.check_place(&site.bound(&site.snapshot, &Observed::default()))?;
    site.part = saved.part.clone();
    let lock_timeout = Duration::from_secs(consent.lock_timeout);
    let Some(goal) = goal else {
        show.say(&crate::render::drift::text(&saved.drift));
        return refresh::locked(&show, global, &site, lock_timeout, &refresh::Agreed::Saved(&saved)).await;
    };
    show.json("plan", &saved.plan);
    show.say(&crate::render::plan::text_without(&saved.plan, &saved.not_deployed, global.verbose));
    locked(&show, global, &site, goal, &saved.id, lock_timeout, Agreed::Saved(&saved)).await
}
