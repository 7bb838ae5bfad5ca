//! `cargo xtask test`: all tests, from unit tests to wire tests.

mod background;
mod docker;
mod examples;
mod live;
mod proofs;
mod run;
mod scenarios;
mod seeds;
pub mod target;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::cli::TestOptions;
use crate::emulator::{self, process};
use crate::failure::Failure;
use crate::local;
use crate::project::{self, Project};
use crate::summary::{Outcome, Summary, Tally};
use crate::tool;
use scenarios::Scenarios;
use seeds::Seeds;
use target::{Endpoint, Target};

/// Region for the crates' tests, which work in any region.
const REGION: &str = "us-east-2";
/// URL at which nothing listens.
const UNREACHABLE_ENDPOINT: &str = "http://127.0.0.1:9";
/// Exit status of pytest if no test was selected.
const PYTEST_NO_TESTS: &str = "exit status: 5";

/// Runs the tests and prints the table of results.
///
/// # Errors
///
/// Fails if this machine lacks a requirement of a target. The table shows failed tests; they are no error.
pub fn run(project: &Project, options: &TestOptions) -> Result<ExitCode, Failure> {
    if !options.is_default {
        options.targets.iter().try_for_each(Target::check)?;
    }
    let mut summary = Summary::default();
    steps(project, options, &mut summary);
    Ok(summary.finish())
}

/// Runs the steps of a test run. A failed step does not prevent other steps, except those that need its result.
pub fn steps(project: &Project, options: &TestOptions, summary: &mut Summary) {
    let filters = &*options.filters;
    let seeds = seeds(options);
    let mut built = false;
    if options.targets.contains(&Target::Emulator) {
        summary.step("emulator's tests", || pytest(project, &project.emulator(), filters, &[]));
    }
    summary.step("pb-deploy", || {
        tool::build(project)?;
        built = true;
        Ok(Outcome::Passed(String::new()))
    });
    if let Some(target) = options.targets.iter().find(|target| target.runs_crate_tests()) {
        summary.step("cargo test", || cargo_tests(project, target, filters, seeds));
    }
    let mut proofs = None;
    if options.targets.contains(&Target::Emulator) {
        proofs = Some(proofs::start(project, options, seeds));
        proofs::run_wire_faults(project, built, options, seeds, summary);
    }
    let mut all = Vec::new();
    for (place, target) in options.targets.iter().enumerate() {
        let sample = options.is_default && place > 0;
        all.extend(run_on_target(
            project,
            WireRun { target, built, filters, sample, all_tests: options.long },
            summary,
        ));
    }
    if let Some(proofs) = proofs {
        proofs.finish(summary);
    }
    if !filters.is_empty() && summary.tests() == 0 {
        summary.step("filter", || Err(Failure::new(format!("no test was run: {}", filters.join(", ")))));
    }
    let table = scenarios::table(&all);
    if !table.is_empty() {
        println!("\n{table}");
    }
}

/// Returns the seeds of this run. The seed of a long run is printed first, so that the run can be repeated.
fn seeds(options: &TestOptions) -> Seeds {
    if !options.long {
        return Seeds::Fixed;
    }
    let seeds = Seeds::random(options.seed);
    if let Seeds::Random(seed) = seeds {
        eprintln!("random tests use the seed {seed}; to repeat them, run `cargo xtask test --long --seed {seed}`");
    }
    seeds
}

/// A run of the wire tests against one target.
#[derive(Clone, Copy)]
struct WireRun<'a> {
    target: &'a Target,
    built: bool,
    filters: &'a [String],
    /// `true` to skip the target if this machine lacks its requirements, and to run only the tests that belong to the
    /// sample.
    sample: bool,
    /// `true` to run all tests even in a sample run.
    all_tests: bool,
}

/// Runs examples and wire tests against one target, and returns the results of the wire tests by scenario.
fn run_on_target(project: &Project, wire: WireRun<'_>, summary: &mut Summary) -> Option<Scenarios> {
    let WireRun { target, built, filters, sample, all_tests } = wire;
    if let Some(skipped) = skip_outcome(target.check(), sample) {
        summary.step(&format!("endpoint {target}"), || Ok(skipped));
        return None;
    }
    let mut endpoint = None;
    summary.step(&format!("endpoint {target}"), || {
        let started = target.start(project)?;
        let text = started.urls();
        endpoint = Some(started);
        Ok(Outcome::Passed(text))
    });
    let no_endpoint = || Err(Failure::new("not run: the endpoint was not started"));
    if target.runs_crate_tests() {
        summary.step("examples", || match &endpoint {
            Some(endpoint) => examples::run(project, endpoint, filters),
            None => no_endpoint(),
        });
    }
    let report = project.emulator_home().join(format!("report-{}.json", std::process::id()));
    let which = if sample && !all_tests { "sample of wire tests" } else { "wire tests" };
    summary.step(&format!("{which} on {target}"), || match &endpoint {
        Some(endpoint) if built => wire_tests(project, wire, endpoint, &report),
        Some(_) => Err(Failure::new("not run: pb-deploy was not built")),
        None => no_endpoint(),
    });
    let scenarios = Scenarios::read(&target.to_string(), &report);
    // The report does not exist if no test was run; if it cannot be removed, it only takes up some kilobytes.
    let _ = std::fs::remove_file(&report);
    if let Some(endpoint) = endpoint {
        endpoint.finish(summary.failed());
    }
    scenarios
}

/// Returns the outcome of a target that is skipped because this machine lacks its requirements; only targets of sample
/// runs are skipped.
fn skip_outcome(check: Result<(), Failure>, sample: bool) -> Option<Outcome> {
    let why = check.err().filter(|_| sample)?.to_string();
    Some(Outcome::Skipped(why.lines().map(str::trim).collect::<Vec<_>>().join("; ")))
}

/// Runs the tests of all crates. Tests that need an endpoint use the target's URL, if it has one; else each starts an
/// emulator with suitable timings.
fn cargo_tests(project: &Project, target: &Target, filters: &[String], seeds: Seeds) -> Result<Outcome, Failure> {
    let mut command = project.cargo("test");
    command.args(["--release", "--workspace", "--no-fail-fast"]).env("PB_DEPLOY_BIN", project.tool());
    isolate_from_aws(&mut command);
    seeds.configure(&mut command);
    match target {
        Target::Url(url) => command.env("PB_TEST_ENDPOINT", url),
        _ => command.env_remove("PB_TEST_ENDPOINT"),
    };
    if !filters.is_empty() {
        command.arg("--").args(filters);
    }
    let outcome = run::run_and_count(command, run::count_cargo_test, &mut std::io::stdout())?;
    Ok(require_tests(outcome, filters))
}

/// Removes the user's AWS account from the environment: a test that calls AWS reaches an address at which nothing
/// listens.
fn isolate_from_aws(command: &mut Command) {
    project::remove_variables(command, |name| name.starts_with("AWS_"));
    local::use_endpoint(command, UNREACHABLE_ENDPOINT, None);
    command.env("AWS_REGION", REGION);
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

/// Runs the wire tests, which run the tool against the endpoint. On AWS they use the user's credentials.
fn wire_tests(project: &Project, wire: WireRun<'_>, endpoint: &Endpoint, report: &Path) -> Result<Outcome, Failure> {
    let WireRun { target, filters, sample, all_tests, .. } = wire;
    let tool = project.tool();
    let mut variables = vec![("PB_TEST_BINARY", tool.as_os_str()), ("PB_TEST_REPORT", report.as_os_str())];
    if sample && !all_tests {
        variables.push(("PB_TEST_SAMPLE", OsStr::new("1")));
    }
    let folder = project.root.join("tests/integration");
    if *target == Target::Aws {
        eprintln!("{}", live::COST);
        return live::run(project, &folder, filters, &variables);
    }
    let urls = endpoint.urls();
    variables.push(("PB_TEST_ENDPOINT", OsStr::new(&urls)));
    pytest(project, &folder, filters, &variables)
}

/// Runs the tests of a folder with the emulator's Python, without the user's AWS account.
fn pytest(
    project: &Project,
    folder: &Path,
    filters: &[String],
    variables: &[(&str, &OsStr)],
) -> Result<Outcome, Failure> {
    let mut command = Command::new(emulator::python(project)?);
    project::remove_cargo_variables(&mut command);
    process::isolate_python(&mut command);
    run_pytest(command, folder, filters, variables)
}

/// Runs the tests of a folder with the Python interpreter of `command`.
fn run_pytest(
    mut command: Command,
    folder: &Path,
    filters: &[String],
    variables: &[(&str, &OsStr)],
) -> Result<Outcome, Failure> {
    command.args(["-s", "-m", "pytest", "-rfE", "-p", "no:cacheprovider"]);
    command.envs(variables.iter().copied()).current_dir(folder);
    if !filters.is_empty() {
        command.args(["-k", &filters.join(" or ")]);
    }
    let outcome = run::run_and_count(command, run::count_pytest, &mut std::io::stdout())?;
    match &outcome {
        Outcome::Tests(_, Err(status)) if status == PYTEST_NO_TESTS && !filters.is_empty() => {
            Ok(Outcome::Skipped("no test matches the filter".to_owned()))
        }
        _ => Ok(require_tests(outcome, filters)),
    }
}

/// Turns a successful run in which no test was run into a failure, or into a skipped step if a filter was given.
fn require_tests(outcome: Outcome, filters: &[String]) -> Outcome {
    match outcome {
        Outcome::Tests(Tally { passed: 0, failed: 0, .. }, Ok(())) if filters.is_empty() => {
            Outcome::Failed("no test was run".to_owned())
        }
        Outcome::Tests(Tally { passed: 0, failed: 0, .. }, Ok(())) => {
            Outcome::Skipped("no test matches the filter".to_owned())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_never_reach_aws() {
        let mut command = Command::new("true");
        isolate_from_aws(&mut command);
        let value = |name: &str| {
            let found = command.get_envs().find(|(known, _)| *known == OsStr::new(name));
            found.and_then(|(_, value)| value?.to_str())
        };
        assert_eq!(value("AWS_ENDPOINT_URL"), Some(UNREACHABLE_ENDPOINT));
        assert_eq!(value("AWS_ACCESS_KEY_ID"), Some("test"));
        assert_eq!(value("AWS_PROFILE"), None);
        assert_eq!(value("AWS_CONFIG_FILE"), Some("/dev/null"));
    }

    #[test]
    fn requested_target_is_never_skipped() {
        let lacking = || Err(Failure::unavailable("LocalStack needs another Python\n  hint: install one"));
        let expected = Outcome::Skipped("LocalStack needs another Python; hint: install one".into());
        assert_eq!(skip_outcome(lacking(), true), Some(expected));
        assert_eq!(skip_outcome(lacking(), false), None);
        assert_eq!(skip_outcome(Ok(()), true), None);
    }

    #[test]
    fn run_without_tests_fails() {
        let none = Outcome::Tests(Tally::default(), Ok(()));
        assert_eq!(require_tests(none.clone(), &[]), Outcome::Failed("no test was run".into()));
        assert!(matches!(require_tests(none, &["x".into()]), Outcome::Skipped(_)));
        let broken = Outcome::Tests(Tally::default(), Err("exit status: 101".into()));
        assert_eq!(require_tests(broken.clone(), &[]), broken);
    }
}
