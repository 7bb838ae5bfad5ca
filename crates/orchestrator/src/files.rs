//! Writing files.

use std::fs::OpenOptions;
use std::io::{Error, Result, Write};
use std::path::Path;

/// Writes a file; an older one is replaced only when the new one is complete.
///
/// # Errors
/// When it cannot be written; then nothing has changed.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let mut name = path.file_name().ok_or_else(|| Error::other("this is no name of a file"))?.to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // What could not be written may not be there; the failure to tell is the first.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// Writes a file that is not there yet.
///
/// # Errors
/// When it cannot be written, or is there.
pub fn create(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
