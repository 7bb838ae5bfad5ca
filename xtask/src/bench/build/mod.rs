//! `cargo xtask bench --build`: cost of building and testing HEAD, compared with an earlier commit.
//!
//! Both commits are cloned, built and tested on this machine, taking turns at each step. Dependencies are downloaded
//! and test programs are compiled before the measurement starts.

mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::bench::document;
use crate::bench::machine::Machine;
use crate::bench::measure::{self, Invocation, Meter, Usage};
use crate::emulator;
use crate::failure::{self, Failure};
use crate::project::Project;
use report::Report;

/// Commit with which HEAD is compared: the last commit before build costs were first measured.
const BASELINE: &str = "58eea0b";
/// Workspace that is deployed to the local endpoint.
const WORKSPACE: &str = "staging";
/// Test filter that matches no test, so that everything is compiled and installed but nothing is run.
const NO_TEST: &str = "no_test_has_this_name";
/// Seed with which the random test of 58eea0b passes; without it, that commit draws a random seed. Later commits have
/// fixed seeds.
const SEEDS: [(&str, &str); 1] = [("SIMULATION_SEED", "10662704859753958512")];

/// The measured steps, in order; each step runs for one commit and then for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// `cargo xtask deploy staging --local` in a clean clone.
    Deploy,
    /// `pb-deploy plan` without changes.
    Plan,
    /// `cargo xtask test`, once everything is compiled.
    Test,
}

/// The measurements of one commit; `None` for a step that failed or has not run.
#[derive(Debug, Default)]
struct Figures {
    deploy: Option<Usage>,
    plan: Option<Usage>,
    test: Option<Usage>,
}

/// A clone of the project at one commit.
#[derive(Debug)]
struct Checkout {
    commit: String,
    folder: PathBuf,
    figures: Figures,
}

/// Measures both commits, and writes the section on building in `docs/benchmarks.md`, or only this section to the file
/// `report`.
///
/// # Errors
///
/// Fails if a commit cannot be cloned, or if nothing can be measured at all. A failed step is named in the report.
pub fn run(project: &Project, line: &str, report: Option<&Path>) -> Result<ExitCode, Failure> {
    let home = project.target.join("bench").join("build");
    // The clones must be clean, without files of an earlier run.
    let _ = std::fs::remove_dir_all(&home);
    failure::create_folder(&home)?;
    let python = emulator::python(project)?;
    let machine = Machine::detect(project, &project.tool(), &python, None);
    if let Some(warning) = machine.warning() {
        eprintln!("{warning}");
    }
    let meter = Meter { python, script: project.root.join("xtask/src/bench/measure.py") };
    let mut checkouts = [checkout(project, &home, BASELINE)?, checkout(project, &home, "HEAD")?];
    let mut failures = Vec::new();
    for step in [Step::Deploy, Step::Plan, Step::Test] {
        for checkout in &mut checkouts {
            eprintln!("{}: {}...", checkout.commit, step.command());
            match checkout.measure(step, &meter, &home) {
                Ok(usage) => eprintln!("  {:.1} s, {:.1} s of CPU", usage.wall, usage.cpu),
                Err(failure) => failures.push(format!("{}: {}: {failure}", checkout.commit, step.command())),
            }
        }
    }
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    let [baseline, head] = &checkouts;
    let text = Report { line, machine: &machine, baseline, head, failures: &failures }.text();
    match report {
        Some(file) => failure::write(file, &text)?,
        None => document::replace_build(&project.root.join(super::DOCUMENT), &text)?,
    }
    println!("{text}");
    println!("{} steps measured, {} failed", 6 - failures.len(), failures.len());
    Ok(ExitCode::from(u8::from(!failures.is_empty())))
}

/// Clones the project at a commit and downloads its dependencies.
fn checkout(project: &Project, home: &Path, revision: &str) -> Result<Checkout, Failure> {
    let git = |arguments: &[&str]| output_of(Command::new("git").arg("-C").arg(&project.root).args(arguments));
    let hint = format!("to fetch the history back to {BASELINE}, run `git fetch --unshallow`");
    let commit = git(&["rev-parse", "--short", &format!("{revision}^{{commit}}")])
        .map_err(|why| Failure::new(format!("commit {revision} not found: {why}\n  hint: {hint}")))?;
    if revision == "HEAD" && !git(&["status", "--porcelain", "--untracked-files=no"]).is_ok_and(|text| text.is_empty())
    {
        eprintln!("warning: uncommitted changes are not measured");
    }
    let folder = home.join(&commit);
    let failed = |why: String| Failure::new(format!("failed to check out {commit}: {why}"));
    output_of(Command::new("git").args(["clone", "--quiet"]).arg(&project.root).arg(&folder)).map_err(failed)?;
    output_of(Command::new("git").arg("-C").arg(&folder).args(["checkout", "--quiet", &commit])).map_err(failed)?;
    output_of(Command::new("cargo").args(["fetch", "--locked", "--quiet"]).current_dir(&folder)).map_err(failed)?;
    Ok(Checkout { commit, folder, figures: Figures::default() })
}

impl Checkout {
    fn measure(&mut self, step: Step, meter: &Meter, home: &Path) -> Result<Usage, Failure> {
        let log = |part: &str| home.join(format!("{}-{}-{part}.log", self.commit, step.command().replace(' ', "-")));
        let place = match step {
            Step::Deploy => &mut self.figures.deploy,
            Step::Plan => {
                // This deploys again: the endpoint of the first deploy was stopped, because no process may outlive the
                // measured command.
                let deploy = format!("cargo xtask deploy {WORKSPACE} --local --yes");
                measure::prepare(&shell(&self.folder, &deploy, &[]), &log("prepare"))?;
                &mut self.figures.plan
            }
            Step::Test => {
                let prepare = format!(
                    "cargo xtask test --target emulator --target localstack-host {NO_TEST}; \
                     cargo build --release --workspace --examples"
                );
                measure::prepare(&shell(&self.folder, &prepare, &SEEDS), &log("prepare"))?;
                &mut self.figures.test
            }
        };
        let usage = meter.run(&shell(&self.folder, &step.script(), &SEEDS), 0, &log("run"))?;
        *place = Some(usage);
        if step == Step::Plan {
            measure::prepare(&shell(&self.folder, "cargo xtask emulator stop", &[]), &log("end"))?;
        }
        Ok(usage)
    }
}

impl Step {
    /// Returns the command as a user types it.
    fn command(self) -> &'static str {
        match self {
            Self::Deploy => "cargo xtask deploy staging --local",
            Self::Plan => "pb-deploy plan staging",
            Self::Test => "cargo xtask test",
        }
    }

    /// Returns a shell script for the step; when it ends, everything that it started has ended.
    fn script(self) -> String {
        match self {
            Self::Deploy => format!("cargo xtask deploy {WORKSPACE} --local --yes && cargo xtask emulator stop"),
            Self::Plan => format!(
                "AWS_ENDPOINT_URL=$(cat target/emulator/url) AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
                 AWS_EC2_METADATA_DISABLED=true exec target/release/pb-deploy plan {WORKSPACE} --detailed-exitcode"
            ),
            Self::Test => "exec cargo xtask test".to_owned(),
        }
    }
}

/// Returns a shell command in a clone, without the variables of this build or of the user's AWS account.
fn shell(folder: &Path, script: &str, more: &[(&str, &str)]) -> Invocation {
    let excluded = ["AWS_", "CARGO_", "PB_", "RUSTC", "SIMULATION_"];
    let kept = std::env::vars().filter(|(name, _)| {
        name == "CARGO_HOME"
            || name != "CARGO" && name != "OUT_DIR" && !excluded.iter().any(|prefix| name.starts_with(prefix))
    });
    let environment = kept.chain(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect();
    Invocation {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        folder: folder.to_owned(),
        environment,
    }
}

/// Runs a command and returns its output, or its error output if it fails.
fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
