//! `cargo xtask torture`: injects every fault at every call on the wire.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::emulator;
use crate::failure::{self, Failure};
use crate::project::Project;
use crate::tool;

/// Builds the tool and injects the faults.
///
/// # Errors
///
/// Fails if pb-deploy or the endpoint cannot be built or installed, or if the program cannot be run.
pub fn run(project: &Project, arguments: &[OsString]) -> Result<ExitCode, Failure> {
    tool::build(project)?;
    let status =
        command(project, arguments)?.status().map_err(|error| Failure::io("run the fault injection", &error))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Returns the command that injects the faults into the built tool; the last line of the command's output is `N passed,
/// N failed`.
///
/// # Errors
///
/// Fails if the endpoint cannot be installed, or the tool cannot be copied.
pub fn command(project: &Project, arguments: &[OsString]) -> Result<Command, Failure> {
    emulator::python(project)?;
    let home = project.target.join("torture");
    failure::create_folder(&home)?;
    // The run uses a copy of the tool, because it takes long, and a build in the meantime must not change what is
    // tested.
    let copy = home.join("pb-deploy");
    let copied = std::fs::copy(project.tool(), &copy);
    copied.map_err(|error| Failure::io(format_args!("copy the tool to {}", copy.display()), &error))?;
    let mut command = project.cargo("run");
    command.args(["--release", "--quiet", "--package", "pb-torture", "--", "--report"]).arg(home.join("report.md"));
    command.args(arguments).env("PB_DEPLOY_BIN", copy);
    Ok(command)
}
