//! Atomic writes of files.

use std::fs::OpenOptions;
use std::io::{Error, Result, Write};
use std::path::Path;

/// Writes a file. An existing file is replaced only once the new one is complete.
///
/// # Errors
/// If the file cannot be written; an existing file is then unchanged.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let mut name = path.file_name().ok_or_else(|| Error::other("not a file name"))?.to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // This fails if there is no partial file; only the first error matters.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// Writes a new file.
///
/// # Errors
/// If the file cannot be written, or already exists.
pub fn create(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
