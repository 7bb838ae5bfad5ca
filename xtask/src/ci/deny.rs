//! Licences, banned crates and sources, by deny.toml.

use std::process::Stdio;

use crate::failure::Failure;
use crate::project::Project;
use crate::summary::Outcome;

/// Runs cargo-deny, which a machine may not have.
pub fn check(project: &Project) -> Result<Outcome, Failure> {
    if !installed(project) {
        return Ok(Outcome::Skipped("cargo-deny is not there: `cargo install --locked cargo-deny`".to_owned()));
    }
    let mut command = project.cargo("deny");
    command.args(["check", "bans", "licenses", "sources"]);
    super::succeeds(command)
}

fn installed(project: &Project) -> bool {
    let mut command = project.cargo("deny");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
