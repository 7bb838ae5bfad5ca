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
use crate::project::{Project, remove_cargo_variables};

/// A build that takes longer says so.
const NOTICE_AFTER: Duration = Duration::from_secs(3);

/// Runs pb-deploy in place of this process, so that signals and the exit code are its own.
///
/// # Errors
///
/// It cannot be built or run, or the local endpoint cannot be made ready.
pub fn run(project: &Project, arguments: &[OsString], use_local: bool) -> Result<ExitCode, Failure> {
    build(project)?;
    let mut command = Command::new(project.tool());
    command.args(arguments);
    remove_cargo_variables(&mut command);
    if use_local {
        local::prepare(project, arguments, &mut command)?;
        if !std::io::stdin().is_terminal() && needs_confirmation(arguments) {
            eprintln!("there is no terminal to ask on, and nothing is at stake on the local endpoint: --yes");
            command.arg("--yes");
        }
    }
    exec_into(command).map(|never| match never {})
}

/// Whether the tool would ask before it acts.
fn needs_confirmation(arguments: &[OsString]) -> bool {
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
    wait_for_build(cargo, is_first)
}

/// Runs the build to its end.
fn wait_for_build(mut cargo: Command, mut announced: bool) -> Result<(), Failure> {
    let mut child = cargo.spawn().map_err(|error| Failure::io("run cargo", &error))?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(Failure::new(format!("building pb-deploy failed: {status}"))),
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(Failure::io("wait for cargo", &error)),
        }
        if !announced && start.elapsed() > NOTICE_AFTER {
            eprintln!("building pb-deploy...");
            announced = true;
        }
    }
}

fn exec_into(mut command: Command) -> Result<Infallible, Failure> {
    let error = command.exec();
    Err(Failure::io(format_args!("run {}", command.get_program().to_string_lossy()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changing_commands_need_confirmation() {
        let needs_confirmation =
            |line: &str| needs_confirmation(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in ["deploy staging", "--config x.toml destroy staging", "deploy staging --json"] {
            assert!(needs_confirmation(line), "{line}");
        }
        for line in ["plan staging", "status staging", "deploy staging --yes", "destroy -y staging", "deploy --help"] {
            assert!(!needs_confirmation(line), "{line}");
        }
    }

    #[test]
    fn missing_tool_is_named() {
        let text = exec_into(Command::new("/no/such/pb-deploy")).unwrap_err().to_string();
        assert!(text.starts_with("failed to run /no/such/pb-deploy: "), "{text}");
    }

    #[test]
    fn failed_build_is_an_error() {
        let text = wait_for_build(Command::new("false"), true).unwrap_err().to_string();
        assert_eq!(text, "building pb-deploy failed: exit status: 1");
        wait_for_build(Command::new("true"), true).unwrap();
    }
}
