//! The `pb-deploy` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    pb_orchestrator::run()
}
