//! Confirmation prompts.

use crate::exit::Error;
use crate::output::console;
use crate::output::{BOLD, WARN, paint};
use pb_config::PRODUCTION;
use pb_engine::ErrorCode;
use std::io::{BufRead, IsTerminal};

/// Asks for confirmation: the user has to type `yes` or, for production, the workspace's name.
///
/// # Errors
/// `Usage` if stdin is not a terminal; `Other` for any other answer.
pub fn confirm(workspace: &str, verb: &str, yes: bool) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let message = "confirmation needed, but stdin is not a terminal";
        return Err(Error::Usage {
            code: ErrorCode::ConfirmationNeeded,
            message: message.to_owned(),
            hint: "review the plan, then pass --yes".to_owned(),
        });
    }
    let expected = if workspace == PRODUCTION { PRODUCTION } else { "yes" };
    console::prompt(format!("{} Type {} to {verb} {workspace}: ", paint(WARN, "?"), paint(BOLD, expected)));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == expected => Ok(()),
        _ => Err(Error::other(
            ErrorCode::Cancelled,
            "cancelled: nothing was changed",
            format!("type {expected} to confirm, or pass --yes"),
        )),
    }
}
