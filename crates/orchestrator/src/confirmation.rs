//! Asking before acting.

use crate::exit::Error;
use crate::render::{BOLD, WARN, paint};
use pb_config::PRODUCTION;
use pb_engine::Goal;
use std::io::{BufRead, IsTerminal};

/// Asks whether to bring `goal` about.
///
/// # Errors
/// As [`confirm`].
pub fn confirm_goal(workspace: &str, goal: Goal, yes: bool) -> Result<(), Error> {
    confirm(workspace, if goal == Goal::Destroy { "destroy" } else { "deploy" }, yes)
}

/// Asks whether to go on: production's name has to be typed, elsewhere `yes` will do.
///
/// # Errors
/// `Usage` without a terminal to ask on; `Other` when the answer is no.
pub fn confirm(workspace: &str, verb: &str, yes: bool) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage(
            "there is no terminal to ask on, and --yes is not given",
            "look at the plan, then add --yes",
        ));
    }
    let expected = if workspace == PRODUCTION { PRODUCTION } else { "yes" };
    anstream::eprint!("{} Type {} to {verb} {workspace}: ", paint(WARN, "?"), paint(BOLD, expected));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == expected => Ok(()),
        _ => Err(Error::other("not confirmed: nothing was changed", format!("type {expected}, or give --yes"))),
    }
}
