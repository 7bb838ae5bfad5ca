//! `cargo xtask test`: every test, from unit to wire.

mod run;
pub mod target;

use std::process::{Command, ExitCode};

use crate::cli::TestOptions;
use crate::emulator::{install, process};
use crate::failure::Failure;
use crate::local;
use crate::project::Project;
use crate::summary::{Outcome, Summary, Tally};
use crate::tool;
use target::{Endpoint, Target};

/// Region of the wire tests; no endpoint of theirs cares which it is.
const REGION: &str = "us-east-2";
/// Exit code of pytest when no test fits.
const PYTEST_NONE: &str = "exit status: 5";

/// Runs the tests and prints the table.
///
/// # Errors
///
/// None so far: what fails is in the table.
pub fn run(project: &Project, options: &TestOptions) -> Result<ExitCode, Failure> {
    let mut summary = Summary::default();
    steps(project, options, &mut summary);
    Ok(summary.finish())
}

/// The steps of the tests; all run even when one fails.
pub fn steps(project: &Project, options: &TestOptions, summary: &mut Summary) {
    let mut endpoint = None;
    summary.step("endpoint", || {
        let started = options.target.start(project)?;
        let text = started.url.clone();
        endpoint = Some(started);
        Ok(Outcome::Passed(text))
    });
    if options.target == Target::Emulator {
        summary.step("emulator's tests", || emulator_tests(project, &options.filters));
    }
    summary.step("pb-deploy", || tool::build(project).map(|()| Outcome::Passed(String::new())));
    summary.step("cargo test", || cargo_tests(project, endpoint.as_ref(), &options.filters));
    if !options.filters.is_empty() && summary.tests() == 0 {
        let filters = options.filters.join(", ");
        summary.step("filter", || Err(Failure::new(format!("no test was run: {filters}"))));
    }
    if let Some(endpoint) = endpoint {
        endpoint.finish(summary.failed());
    }
}

/// The emulator's own tests, which start servers of their own.
fn emulator_tests(project: &Project, filters: &[String]) -> Result<Outcome, Failure> {
    let mut command = Command::new(install::python(project)?);
    process::python_environment(&mut command);
    command.args(["-s", "-m", "pytest", "-rs", "-p", "no:cacheprovider", "tests"]);
    command.current_dir(project.emulator());
    if !filters.is_empty() {
        command.args(["-k", &filters.join(" or ")]);
    }
    let outcome = run::counted(command, run::pytest, &mut std::io::stdout())?;
    match &outcome {
        Outcome::Tests(_, Err(status)) if status == PYTEST_NONE && !filters.is_empty() => {
            Ok(Outcome::Skipped("none fits the filter".to_owned()))
        }
        _ => Ok(refuse_none(outcome, filters)),
    }
}

/// The tests of every crate, and among them the wire tests if there is an endpoint.
fn cargo_tests(project: &Project, endpoint: Option<&Endpoint>, filters: &[String]) -> Result<Outcome, Failure> {
    let mut command = project.cargo("test");
    command.args(["--release", "--workspace", "--no-fail-fast"]).env("PB_DEPLOY_BIN", project.tool());
    if let Some(endpoint) = endpoint {
        command.env("PB_TEST_ENDPOINT", &endpoint.url);
        local::point(&mut command, &endpoint.url, Some(REGION));
    }
    if !filters.is_empty() {
        command.arg("--").args(filters);
    }
    let outcome = run::counted(command, run::cargo_test, &mut std::io::stdout())?;
    Ok(refuse_none(outcome, filters))
}

/// Nothing was tested: that is no success.
fn refuse_none(outcome: Outcome, filters: &[String]) -> Outcome {
    match outcome {
        Outcome::Tests(Tally { passed: 0, failed: 0, .. }, Ok(())) if filters.is_empty() => {
            Outcome::Failed("no test was run".to_owned())
        }
        Outcome::Tests(Tally { passed: 0, failed: 0, .. }, Ok(())) => {
            Outcome::Skipped("none fits the filter".to_owned())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_tests_is_no_success() {
        let none = Outcome::Tests(Tally::default(), Ok(()));
        assert_eq!(refuse_none(none.clone(), &[]), Outcome::Failed("no test was run".into()));
        assert!(matches!(refuse_none(none, &["x".into()]), Outcome::Skipped(_)));
        let broken = Outcome::Tests(Tally::default(), Err("exit status: 101".into()));
        assert_eq!(refuse_none(broken.clone(), &[]), broken);
    }
}
