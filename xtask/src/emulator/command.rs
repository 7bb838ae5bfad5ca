//! `cargo xtask emulator`.

use std::process::ExitCode;

use crate::cli::{EmulatorCommand, EmulatorOptions};
use crate::emulator::{Kept, Start};
use crate::failure::Failure;
use crate::project::Project;

/// Does what is asked of the local endpoint.
///
/// # Errors
///
/// It cannot be started or stopped.
pub fn run(project: &Project, command: &EmulatorCommand) -> Result<ExitCode, Failure> {
    let kept = Kept::hold(project.emulator_home())?;
    match command {
        EmulatorCommand::Start(options) => start(project, &kept, options),
        EmulatorCommand::Restart(options) => {
            stop(&kept)?;
            start(project, &kept, options)
        }
        EmulatorCommand::Stop => stop(&kept),
        EmulatorCommand::Status => status(&kept),
    }
}

fn start(project: &Project, kept: &Kept, options: &EmulatorOptions) -> Result<ExitCode, Failure> {
    let (process, start) = kept.start(project, options)?;
    match start {
        Start::Running => eprintln!("the local endpoint is running already (process {})", process.pid),
        Start::Started => {
            eprintln!("started the local endpoint (process {}, log {})", process.pid, kept.log().display());
        }
    }
    println!("{}", process.url);
    Ok(ExitCode::SUCCESS)
}

fn stop(kept: &Kept) -> Result<ExitCode, Failure> {
    match kept.stop()? {
        Some(process) => eprintln!("stopped the local endpoint (process {})", process.pid),
        None => eprintln!("the local endpoint is not running"),
    }
    Ok(ExitCode::SUCCESS)
}

fn status(kept: &Kept) -> Result<ExitCode, Failure> {
    let Some(process) = kept.find()? else {
        eprintln!("the local endpoint is not running");
        return Ok(ExitCode::FAILURE);
    };
    eprintln!("the local endpoint is running (process {}, log {})", process.pid, kept.log().display());
    println!("{}", process.url);
    Ok(ExitCode::SUCCESS)
}
