//! `cargo xtask`: builds and runs the tool, runs the local AWS endpoint, and runs every check of the project.
//!
//! xtask has few dependencies, so that it compiles in seconds. It never calls AWS itself.

mod bench;
mod ci;
mod cli;
mod emulator;
mod failure;
mod help;
mod http;
mod local;
mod project;
mod rustc_wrapper;
mod summary;
mod test;
mod tool;
mod torture;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::Command;
use crate::failure::Failure;
use crate::project::Project;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let result = match rustc_wrapper::is_named(&program) {
        true => rustc_wrapper::run(Path::new(&program), &arguments).map(|never| match never {}),
        false => run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let command = cli::parse(arguments)?;
    if let Command::Help(topic) = command {
        println!("{}", help::text(topic));
        return Ok(ExitCode::SUCCESS);
    }
    let project = Project::find()?.with_rustc_wrapper()?;
    match command {
        Command::Help(_) => Ok(ExitCode::SUCCESS),
        Command::Tool { arguments, local } => tool::run(&project, &arguments, local),
        Command::Emulator(command) => emulator::command::run(&project, &command),
        Command::Test(options) => test::run(&project, &options),
        Command::Bench(options) => bench::run(&project, &options),
        Command::Torture(arguments) => torture::run(&project, &arguments),
        Command::Ci(names) => ci::run(&project, &names),
    }
}
