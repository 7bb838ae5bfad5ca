//! Building and running pb-deploy.

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

/// Duration after which a quiet build prints a notice.
const NOTICE_AFTER: Duration = Duration::from_secs(3);

/// Runs pb-deploy in place of this process, so that it receives signals and its exit code is returned.
///
/// # Errors
///
/// Fails if pb-deploy cannot be built or run, or if the local endpoint cannot be prepared.
pub fn run(project: &Project, arguments: &[OsString], use_local: bool) -> Result<ExitCode, Failure> {
    build(project)?;
    let mut command = Command::new(project.tool());
    command.args(arguments);
    remove_cargo_variables(&mut command);
    if use_local {
        local::prepare(project, arguments, &mut command)?;
        if !std::io::stdin().is_terminal() && needs_confirmation(arguments) {
            eprintln!("no terminal to ask for confirmation: continuing with --yes on the local endpoint");
            command.arg("--yes");
        }
    }
    exec_into(command).map(|never| match never {})
}

/// Returns whether pb-deploy would ask for confirmation with these arguments.
fn needs_confirmation(arguments: &[OsString]) -> bool {
    let has = |words: &[&str]| arguments.iter().any(|argument| words.iter().any(|word| argument == word));
    has(&["deploy", "destroy"]) && !has(&["--yes", "-y", "--auto-approve", "--help", "-h"])
}

/// Builds pb-deploy. The first build shows cargo's progress; a later build only prints a notice if it takes long.
///
/// # Errors
///
/// Fails if pb-deploy does not compile.
pub fn build(project: &Project) -> Result<(), Failure> {
    let mut cargo = project.cargo("build");
    cargo.args(["--release", "--package", "pb-orchestrator", "--bin", "pb-deploy"]);
    // stdout is reserved for the output of pb-deploy.
    cargo.stdout(std::io::stderr());
    let is_first = !project.tool().exists();
    if is_first {
        eprintln!("building pb-deploy (the first build takes minutes)...");
    } else {
        cargo.arg("--quiet");
    }
    wait_for_build(cargo, is_first)
}

/// Waits for the build to end.
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
