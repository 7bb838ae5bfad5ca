//! `docs/benchmarks.md`: the output of `cargo xtask bench`, followed by that of `cargo xtask bench --build`.

use std::path::Path;

use crate::failure::{self, Failure};

/// Heading of the section that `--build` writes, the last section of the document.
pub const BUILD: &str = "## Building and testing";

/// Replaces everything except the section on building.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub fn replace_benchmarks(file: &Path, text: &str) -> Result<(), Failure> {
    let old = std::fs::read_to_string(file).unwrap_or_default();
    let build = section(&old).map(|at| format!("\n{}", &old[at..])).unwrap_or_default();
    failure::write(file, &format!("{text}{build}"))
}

/// Replaces the section on building, and keeps everything before it.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub fn replace_build(file: &Path, text: &str) -> Result<(), Failure> {
    let old = std::fs::read_to_string(file).unwrap_or_default();
    let before = section(&old).map_or(&*old, |at| &old[..at]).trim_end();
    failure::write(file, &format!("{before}\n\n{text}"))
}

/// Returns the offset at which the section on building begins.
fn section(text: &str) -> Option<usize> {
    text.match_indices(BUILD).map(|(at, _)| at).find(|at| text[..*at].ends_with('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_preserves_the_other_section() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("benchmarks.md");
        let text = || std::fs::read_to_string(&file).unwrap();
        replace_benchmarks(&file, "# Benchmarks\n\none\n").unwrap();
        assert_eq!(text(), "# Benchmarks\n\none\n");
        replace_build(&file, "## Building and testing\n\nfirst\n").unwrap();
        assert_eq!(text(), "# Benchmarks\n\none\n\n## Building and testing\n\nfirst\n");
        replace_benchmarks(&file, "# Benchmarks\n\ntwo\n").unwrap();
        assert_eq!(text(), "# Benchmarks\n\ntwo\n\n## Building and testing\n\nfirst\n");
        replace_build(&file, "## Building and testing\n\nsecond\n").unwrap();
        assert_eq!(text(), "# Benchmarks\n\ntwo\n\n## Building and testing\n\nsecond\n");
    }
}
