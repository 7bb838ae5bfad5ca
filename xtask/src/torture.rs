//! `cargo xtask torture`: every fault at every call, on the wire.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::emulator;
use crate::failure::{self, Failure};
use crate::project::Project;
use crate::tool;

/// Builds the tool and tries the faults.
///
/// # Errors
///
/// Something cannot be built, installed or run.
pub fn run(project: &Project, arguments: &[OsString]) -> Result<ExitCode, Failure> {
    tool::build(project)?;
    let status = command(project, arguments)?.status().map_err(|error| Failure::io("run the faults", &error))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// The command that tries them on the tool as it was built; the last line that it prints is `N passed, N failed`.
///
/// # Errors
///
/// The endpoint cannot be installed, or the tool not be copied.
pub fn command(project: &Project, arguments: &[OsString]) -> Result<Command, Failure> {
    emulator::python(project)?;
    let home = project.target.join("torture");
    failure::create_folder(&home)?;
    // It runs for long: whoever builds the tool meanwhile does not change what is tested.
    let copy = home.join("pb-deploy");
    let copied = std::fs::copy(project.tool(), &copy);
    copied.map_err(|error| Failure::io(format_args!("copy the tool to {}", copy.display()), &error))?;
    let mut command = project.cargo("run");
    command.args(["--release", "--quiet", "--package", "pb-torture", "--", "--report"]).arg(home.join("report.md"));
    command.args(arguments).env("PB_DEPLOY_BIN", copy);
    Ok(command)
}
