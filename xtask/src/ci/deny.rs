//! Licences, banned crates and sources, as configured in deny.toml.

use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::project::Project;
use crate::summary::Outcome;

/// Runs cargo-deny, if it is installed.
pub fn check(project: &Project) -> Result<Outcome, Failure> {
    if !installed(project, "deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed; run `cargo install --locked cargo-deny`".to_owned()));
    }
    super::run_command(command(project))
}

/// Returns the command that checks a project with cargo-deny.
pub fn command(project: &Project) -> Command {
    let mut command = project.cargo("deny");
    command.args(["check", "bans", "licenses", "sources"]);
    command
}

/// Returns whether cargo has this subcommand.
pub fn installed(project: &Project, subcommand: &str) -> bool {
    let mut command = project.cargo(subcommand);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
