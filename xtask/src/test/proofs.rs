//! The tests that prove the promises of docs/reliability.md: the stack over a simulated AWS, the binary with faults on
//! the wire, and the lease protocol in a model checker. `cargo test --workspace` excludes these tests, because each of
//! them uses all cores.

use super::background::Background;
use super::seeds::Seeds;
use super::{isolate_from_aws, require_tests, run};
use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::project::Project;
use crate::summary::Summary;
use crate::{emulator, torture};
use std::path::Path;
use std::process::Command;

/// Starts the CPU-bound tests, the model checker and the simulation, in the background.
pub fn start(project: &Project, options: &TestOptions, seeds: Seeds) -> Background {
    let mut simulation = test_command(project, "pb-simulation", "simulation");
    seeds.configure(&mut simulation);
    let steps = [("lease model", model_command(project)), ("simulation", simulation)];
    let steps = steps.map(|(name, command)| (name, with_test_threads(command, 1, &options.filters)));
    Background::start(steps.into(), &options.filters)
}

/// Runs the binary with faults on the wire: with a sample of the faults, and with `--long` also with all of them.
pub fn run_wire_faults(project: &Project, built: bool, options: &TestOptions, seeds: Seeds, summary: &mut Summary) {
    let filters = &*options.filters;
    summary.step("faults on the wire", || {
        require_tool(built)?;
        emulator::python(project)?;
        let mut command = test_command(project, "pb-torture", "wire");
        seeds.configure(&mut command);
        // Several tests run at a time, because they mostly wait for leases to expire and not for the processor.
        let command = with_test_threads(command, 3, filters);
        Ok(require_tests(run::run_and_count(command, run::count_cargo_test, &mut std::io::stdout())?, filters))
    });
    if options.long && filters.is_empty() {
        summary.step("all faults on the wire", || {
            require_tool(built)?;
            let command = torture::command(project, &[])?;
            Ok(require_tests(run::run_and_count(command, run::count_closing_line, &mut std::io::stdout())?, filters))
        });
    }
}

fn require_tool(built: bool) -> Result<(), Failure> {
    if built { Ok(()) } else { Err(Failure::new("not run: pb-deploy was not built")) }
}

/// Sets the number of test threads; a CPU-bound test uses all cores by itself. The output is not captured, because it
/// says how many cases were tried.
fn with_test_threads(mut command: Command, threads: u8, filters: &[String]) -> Command {
    command.args(["--", "--nocapture", "--test-threads", &threads.to_string()]).args(filters);
    command
}

fn test_command(project: &Project, package: &str, test: &str) -> Command {
    let mut command = project.cargo("test");
    command.args(["--release", "--package", package, "--test", test]).env("PB_DEPLOY_BIN", project.tool());
    isolate_from_aws(&mut command);
    command.env_remove("PB_TEST_ENDPOINT");
    command
}

/// Returns the command for the model checker's tests. Their workspace is separate, with its own target folder; its
/// Cargo.toml explains why.
fn model_command(project: &Project) -> Command {
    let mut command = project.cargo_in("test", Path::new("tests/lease-model/Cargo.toml"));
    command.args(["--release", "--locked"]).env("CARGO_TARGET_DIR", project.target.join("lease-model"));
    command
}
