//! Builds pb-deploy and becomes it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::local;
use crate::project::{Project, scrub};

/// A build that takes longer says so.
const QUIET: Duration = Duration::from_secs(3);

/// Runs pb-deploy in place of this process, so that signals and the exit code are its own.
///
/// # Errors
///
/// It cannot be built or run, or the local endpoint cannot be made ready.
pub fn run(project: &Project, arguments: &[OsString], use_local: bool) -> Result<ExitCode, Failure> {
    build(project)?;
    let mut command = Command::new(project.tool());
    command.args(arguments);
    scrub(&mut command);
    if use_local {
        local::prepare(project, arguments, &mut command)?;
        if !std::io::stdin().is_terminal() && asks(arguments) {
            eprintln!("there is no terminal to ask on, and nothing is at stake on the local endpoint: --yes");
            command.arg("--yes");
        }
    }
    become_it(command).map(|never| match never {})
}

/// Whether the tool would ask before it acts.
fn asks(arguments: &[OsString]) -> bool {
    let has = |words: &[&str]| arguments.iter().any(|argument| words.iter().any(|word| argument == word));
    has(&["deploy", "destroy"]) && !has(&["--yes", "-y", "--auto-approve", "--help", "-h"])
}

/// Builds the tool. Says nothing if there is little to do; shows cargo's own progress if there is no tool yet.
///
/// # Errors
///
/// It does not compile.
pub fn build(project: &Project) -> Result<(), Failure> {
    let mut cargo = project.cargo("build");
    cargo.args(["--release", "--package", "pb-orchestrator", "--bin", "pb-deploy"]);
    // stdout is for the tool's data.
    cargo.stdout(std::io::stderr());
    let is_first = !project.tool().exists();
    if is_first {
        eprintln!("building pb-deploy (the first time this takes minutes)...");
    } else {
        cargo.arg("--quiet");
    }
    finish(cargo, is_first)
}

/// Runs the build to its end.
fn finish(mut cargo: Command, mut said: bool) -> Result<(), Failure> {
    let mut child = cargo.spawn().map_err(|error| Failure::io("run cargo", &error))?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(Failure::new(format!("building pb-deploy failed: {status}"))),
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(Failure::io("wait for cargo", &error)),
        }
        if !said && start.elapsed() > QUIET {
            eprintln!("building pb-deploy...");
            said = true;
        }
    }
}

fn become_it(mut command: Command) -> Result<Infallible, Failure> {
    let error = command.exec();
    Err(Failure::io(format_args!("run {}", command.get_program().to_string_lossy()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_something_asks() {
        let asks = |line: &str| asks(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in ["deploy staging", "--config x.toml destroy staging", "deploy staging --json"] {
            assert!(asks(line), "{line}");
        }
        for line in ["plan staging", "status staging", "deploy staging --yes", "destroy -y staging", "deploy --help"] {
            assert!(!asks(line), "{line}");
        }
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let text = become_it(Command::new("/no/such/pb-deploy")).unwrap_err().to_string();
        assert!(text.starts_with("failed to run /no/such/pb-deploy: "), "{text}");
    }

    #[test]
    fn a_tool_that_does_not_compile_is_an_error() {
        let text = finish(Command::new("false"), true).unwrap_err().to_string();
        assert_eq!(text, "building pb-deploy failed: exit status: 1");
        finish(Command::new("true"), true).unwrap();
    }
}
