//! The tests that show what docs/reliability.md promises: the stack over a simulated AWS, the binary with faults on the wire,
//! and the lease protocol in a model checker. `cargo test --workspace` leaves them out, since each uses all cores by itself.

use super::{refuse_none, run, without_account};
use crate::emulator;
use crate::failure::Failure;
use crate::project::Project;
use crate::summary::{Outcome, Summary};
use std::path::Path;
use std::process::Command;

/// The steps.
pub fn steps(project: &Project, built: bool, filters: &[String], summary: &mut Summary) {
    summary.step("lease model", || tests(model(project), filters));
    summary.step("simulation", || tests(package(project, "pb-simulation", "simulation"), filters));
    summary.step("faults on the wire", || match built {
        true => {
            emulator::python(project)?;
            tests(package(project, "pb-torture", "wire"), filters)
        }
        false => Err(Failure::new("not run: pb-deploy was not built")),
    });
}

fn tests(mut command: Command, filters: &[String]) -> Result<Outcome, Failure> {
    // What they print is how much they have tried. Each is on all cores by itself.
    command.args(["--", "--nocapture", "--test-threads", "1"]).args(filters);
    Ok(refuse_none(run::counted(command, run::cargo_test, &mut std::io::stdout())?, filters))
}

fn package(project: &Project, package: &str, test: &str) -> Command {
    let mut command = project.cargo("test");
    command.args(["--release", "--package", package, "--test", test]).env("PB_DEPLOY_BIN", project.tool());
    without_account(&mut command);
    command.env_remove("PB_TEST_ENDPOINT");
    command
}

/// A workspace with a target folder of its own; its Cargo.toml says why.
fn model(project: &Project) -> Command {
    let mut command = project.cargo_in("test", Path::new("tests/lease-model/Cargo.toml"));
    command.args(["--release", "--locked"]).env("CARGO_TARGET_DIR", project.target.join("lease-model"));
    command
}
