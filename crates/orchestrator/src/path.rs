//! Lookup of programs on the PATH.

use std::path::PathBuf;

/// Returns the path of a program on the PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|file| file.is_file())
}
