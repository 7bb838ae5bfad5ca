//! `cargo xtask emulator`: manages the local endpoint.

use std::process::ExitCode;

use crate::cli::{EmulatorCommand, EmulatorOptions};
use crate::emulator::{PersistentEmulator, StartOutcome};
use crate::failure::Failure;
use crate::project::Project;

/// Runs a command that manages the local endpoint.
///
/// # Errors
///
/// Fails if the endpoint cannot be started or stopped.
pub fn run(project: &Project, command: &EmulatorCommand) -> Result<ExitCode, Failure> {
    let emulator = PersistentEmulator::lock(project.emulator_home())?;
    match command {
        EmulatorCommand::Start(options) => start(project, &emulator, options),
        EmulatorCommand::Restart(options) => {
            stop(&emulator)?;
            start(project, &emulator, options)
        }
        EmulatorCommand::Stop => stop(&emulator),
        EmulatorCommand::Status => status(&emulator),
    }
}

fn start(project: &Project, emulator: &PersistentEmulator, options: &EmulatorOptions) -> Result<ExitCode, Failure> {
    let (process, start) = emulator.start(project, options)?;
    match start {
        StartOutcome::AlreadyRunning => eprintln!("the local endpoint is already running (process {})", process.pid),
        StartOutcome::Started => {
            eprintln!("started the local endpoint (process {}, log {})", process.pid, emulator.log().display());
        }
    }
    println!("{}", process.url);
    Ok(ExitCode::SUCCESS)
}

fn stop(emulator: &PersistentEmulator) -> Result<ExitCode, Failure> {
    match emulator.stop()? {
        Some(process) => eprintln!("stopped the local endpoint (process {})", process.pid),
        None => eprintln!("the local endpoint is not running"),
    }
    Ok(ExitCode::SUCCESS)
}

fn status(emulator: &PersistentEmulator) -> Result<ExitCode, Failure> {
    let Some(process) = emulator.find()? else {
        eprintln!("the local endpoint is not running");
        return Ok(ExitCode::FAILURE);
    };
    eprintln!("the local endpoint is running (process {}, log {})", process.pid, emulator.log().display());
    println!("{}", process.url);
    Ok(ExitCode::SUCCESS)
}
