//! `pb-deploy`: the configuration, the stack, the commands and the output. Only this crate reads the environment,
//! prints, handles signals and exits.
//!
//! The crate is a program. As a library, it provides the stack to tests and other programs that run the stack in their
//! own way.
#![warn(clippy::disallowed_macros)]

mod cli;
mod commands;
mod confirmation;
mod exit;
mod files;
mod identity;
mod init;
mod invocation;
mod local;
mod output;
mod path;
mod run;
mod signals;
pub mod stack;
mod workspace;

pub use workspace::{images, prerequisites};

use clap::Parser;
use output::console;
use pb_engine::ErrorCode;
use std::process::ExitCode;
use std::time::Duration;

/// Environment variable with a text to print after a command that has succeeded, for programs that run this one.
const FINAL_NOTE: &str = "PB_DEPLOY_FINAL_NOTE";

/// Time for threads that are still busy when a command has finished.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs the command that is given on the command line. `--help` documents the exit codes.
pub fn run() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return print_usage(cli::errors::with_advice(message)),
    };
    if cli.global.no_color {
        console::disable_colors();
    }
    let json = cli.global.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let error = exit::Error::other(ErrorCode::Bug, format!("cannot start: {e}"), "run the command again");
            output::error(&error, json);
            return error.code().into();
        }
    };
    let ended = runtime.block_on(commands::dispatch(cli));
    console::end_live();
    let code = match ended {
        Ok(exit) => {
            if matches!(exit, exit::Exit::Done | exit::Exit::Changes | exit::Exit::ImagesMissing) {
                std::env::var(FINAL_NOTE).into_iter().for_each(console::note);
            }
            exit.code().into()
        }
        Err(error) => {
            output::error(&error, json);
            error.code().into()
        }
    };
    // A name server that does not answer keeps a thread busy for up to half a minute.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    code
}

/// Prints help, the version, or an error in the command line.
fn print_usage(message: clap::Error) -> ExitCode {
    if !message.use_stderr() {
        // A failure to print is ignored: if the terminal is gone, nobody can read the message.
        let _ = message.print();
        return ExitCode::SUCCESS;
    }
    if cli::errors::wants_json() {
        output::error(&cli::errors::usage(&message), true);
    } else {
        let _ = message.print();
    }
    exit::USAGE.into()
}
