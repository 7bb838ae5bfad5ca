//! `cargo xtask ci`: runs every check, then every test.

mod cycles;
mod deny;
mod dependencies;
mod features;
mod language;
mod permissions;
mod promises;
mod sizes;

use std::process::{Command, ExitCode};

use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::project::Project;
use crate::summary::{Outcome, Summary};
use crate::test;

type Check = fn(&Project) -> Result<Outcome, Failure>;

/// Names of the checks, the fast ones first.
const CHECKS: [(&str, Check); 11] = [
    ("format", |project| run_command(format(project))),
    ("sizes", |project| problems(&sizes::check(&project.root)?)),
    ("language", |project| problems(&language::check(&project.root)?)),
    ("cycles", |project| problems(&cycles::check(&project.root)?)),
    ("permissions", |project| problems(&permissions::check(&project.root)?)),
    ("promises", |project| problems(&promises::check(&project.root)?)),
    ("dependencies", |project| problems(&dependencies::check(project)?)),
    ("features", |project| problems(&features::check(project)?)),
    ("deny", deny::check),
    ("clippy", |project| run_command(clippy(project))),
    // After clippy, so that the SDK crates' artifacts that both need are compiled only once.
    ("docs", |project| run_command(docs(project))),
];
/// Name of the check that runs the tests.
const TESTS: &str = "tests";

/// Checks that a name is the name of a check.
///
/// # Errors
///
/// Fails if it is not; the error lists the names of all checks.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).chain([TESTS]).collect();
    match names.contains(&name) {
        true => Ok(()),
        false => Err(Failure::usage(format!("unknown check `{name}`; expected one of {}", names.join(", ")))),
    }
}

/// Runs the named checks, or all checks if no name is given, and prints the table of results.
///
/// # Errors
///
/// Never fails: the table shows the failed checks.
pub fn run(project: &Project, names: &[String]) -> Result<ExitCode, Failure> {
    let wanted = |check: &str| names.is_empty() || names.iter().any(|name| name == check);
    let mut summary = Summary::default();
    for (name, check) in CHECKS.iter().filter(|(name, _)| wanted(name)) {
        summary.step(name, || check(project));
    }
    if wanted(TESTS) {
        test::steps(project, &TestOptions::defaults(), &mut summary);
    }
    Ok(summary.finish())
}

fn format(project: &Project) -> Command {
    let mut command = project.cargo("fmt");
    command.args(["--all", "--check"]);
    command
}

fn clippy(project: &Project) -> Command {
    let mut command = project.cargo("clippy");
    command.args(["--release", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
    command
}

fn docs(project: &Project) -> Command {
    let mut command = project.cargo("doc");
    command.args(["--release", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "--deny warnings");
    command
}

/// Runs a command; the check passes if the command succeeds.
fn run_command(mut command: Command) -> Result<Outcome, Failure> {
    let status = command.status().map_err(|error| Failure::io("run cargo", &error))?;
    match status.success() {
        true => Ok(Outcome::Passed(String::new())),
        false => Ok(Outcome::Failed(status.to_string())),
    }
}

/// Returns the outcome of a check: it passes if there is no problem, else each problem is printed.
fn problems(problems: &[String]) -> Result<Outcome, Failure> {
    if problems.is_empty() {
        return Ok(Outcome::Passed(String::new()));
    }
    problems.iter().for_each(|problem| eprintln!("  {problem}"));
    Ok(Outcome::Failed(format!("{} problem{}", problems.len(), if problems.len() == 1 { "" } else { "s" })))
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn check_fails_with_its_command() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run_command(command).unwrap()
        };
        assert_eq!(shell("true"), Outcome::Passed(String::new()));
        assert_eq!(shell("exit 3"), Outcome::Failed("exit status: 3".into()));
    }

    #[test]
    fn check_fails_with_its_problems() {
        assert_eq!(problems(&[]).unwrap(), Outcome::Passed(String::new()));
        assert_eq!(problems(&["a".into(), "b".into()]).unwrap(), Outcome::Failed("2 problems".into()));
    }

    /// Creates a package that consists of one source file.
    fn package(text: &str, licence: &str) -> (tempfile::TempDir, Project) {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).unwrap();
        let head = format!("[package]\nname = \"p\"\nedition = \"2024\"\nlicense = \"{licence}\"\n");
        write("Cargo.toml", &format!("{head}[lib]\npath = \"p.rs\"\n[workspace]\n"));
        write("p.rs", text);
        write("deny.toml", "[licenses]\nallow = [\"MIT\"]\n");
        let project = Project { root: root.path().into(), target: root.path().join("target"), rustc_wrapper: None };
        (root, project)
    }

    /// Returns the outcome of a command on a package that consists of one source file.
    fn checked(command: fn(&Project) -> Command, text: &str, licence: &str) -> Outcome {
        let (_root, project) = package(text, licence);
        let mut command = command(&project);
        command.stdout(Stdio::null()).stderr(Stdio::null()).env_remove("CARGO_TARGET_DIR");
        run_command(command).unwrap()
    }

    /// Returns whether the toolchain lacks a subcommand. Machines that only run the tests need not have all
    /// subcommands; `ci` itself fails without them.
    fn is_missing(subcommand: &str) -> bool {
        let (_root, project) = package("", "MIT");
        let missing = !deny::installed(&project, subcommand);
        if missing {
            eprintln!("not tested: cargo-{subcommand} is not installed");
        }
        missing
    }

    #[test]
    fn unformatted_file_fails() {
        if is_missing("fmt") {
            return;
        }
        assert_eq!(checked(format, "fn a() {}\n", "MIT"), Outcome::Passed(String::new()));
        assert!(matches!(checked(format, "fn  a( ){}\n", "MIT"), Outcome::Failed(_)));
    }

    #[test]
    fn clippy_warning_fails() {
        if is_missing("clippy") {
            return;
        }
        assert_eq!(checked(clippy, "pub fn a() {}\n", "MIT"), Outcome::Passed(String::new()));
        assert!(matches!(checked(clippy, "pub fn a() { return; }\n", "MIT"), Outcome::Failed(_)));
    }

    #[test]
    fn broken_doc_link_fails() {
        assert_eq!(checked(docs, "//! Of [`a`].\npub fn a() {}\n", "MIT"), Outcome::Passed(String::new()));
        assert!(matches!(checked(docs, "//! Of [`b`].\npub fn a() {}\n", "MIT"), Outcome::Failed(_)));
    }

    #[test]
    fn disallowed_licence_fails() {
        if is_missing("deny") {
            return;
        }
        assert_eq!(checked(deny::command, "", "MIT"), Outcome::Passed(String::new()));
        assert!(matches!(checked(deny::command, "", "GPL-3.0-only"), Outcome::Failed(_)));
    }
}
