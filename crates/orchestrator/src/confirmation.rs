//! Confirmation prompts.

use crate::exit::Error;
use crate::output::{BOLD, WARN, paint};
use pb_config::PRODUCTION;
use pb_engine::Goal;
use std::io::{BufRead, IsTerminal};

/// Asks for confirmation of a deploy or a destroy.
///
/// # Errors
/// The errors of [`confirm`].
pub fn confirm_goal(workspace: &str, goal: Goal, yes: bool) -> Result<(), Error> {
    confirm(workspace, if goal == Goal::Destroy { "destroy" } else { "deploy" }, yes)
}

/// Asks for confirmation: the user has to type `yes` or, for production, the workspace's name.
///
/// # Errors
/// `Usage` if stdin is not a terminal; `Other` for any other answer.
pub fn confirm(workspace: &str, verb: &str, yes: bool) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage(
            "confirmation needed, but stdin is not a terminal",
            "review the plan, then pass --yes",
        ));
    }
    let expected = if workspace == PRODUCTION { PRODUCTION } else { "yes" };
    anstream::eprint!("{} Type {} to {verb} {workspace}: ", paint(WARN, "?"), paint(BOLD, expected));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == expected => Ok(()),
        _ => Err(Error::other("cancelled: nothing was changed", format!("type {expected} to confirm, or pass --yes"))),
    }
}
