//! Errors of xtask.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// Exit code for an invalid command line, as in sysexits.h.
const USAGE: u8 = 64;
/// Exit code for a requirement that this machine lacks, as in sysexits.h.
const UNAVAILABLE: u8 = 69;

/// An error message with the exit code of xtask.
#[derive(Debug)]
pub struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// Creates a general error.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    /// Creates an error for an invalid command line.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: USAGE }
    }

    /// Creates an error for a requirement that this machine lacks.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: UNAVAILABLE }
    }

    /// Creates an error for a failed system call.
    pub fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(format!("failed to {doing}: {error}"))
    }

    /// Returns the exit code.
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

/// Creates a folder and its parents.
pub fn create_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| Failure::io(format_args!("create {}", path.display()), &error))
}
