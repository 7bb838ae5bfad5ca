//! Why xtask did not do what was asked.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// Exit code of a command line that is not understood, as sysexits.h has it.
const USAGE: u8 = 64;
/// Exit code where something that is needed is not to be had on this machine, as sysexits.h has it.
const UNAVAILABLE: u8 = 69;

/// A failure, in the words that people read, with the exit code that it ends in.
#[derive(Debug)]
pub struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// Something did not work.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    /// The command line is not understood.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: USAGE }
    }

    /// What this needs is not to be had on this machine.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: UNAVAILABLE }
    }

    /// A call of the operating system failed.
    pub fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(format!("failed to {doing}: {error}"))
    }

    /// The exit code that this ends in.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a file.
pub fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::io(format_args!("read {}", path.display()), &error))
}

/// Writes a file.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::io(format_args!("write {}", path.display()), &error))
}

/// Makes a folder and those above it.
pub fn create_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| Failure::io(format_args!("make {}", path.display()), &error))
}
