//! Sizes of source files, and of Python functions. Clippy checks the sizes of Rust functions (clippy.toml).

use std::path::{Path, PathBuf};

use crate::failure::{self, Failure};

/// Maximum number of lines of a source file.
const FILE_MAX: usize = 400;
/// Maximum number of lines of a function.
const FUNCTION_MAX: usize = 70;
/// Names of folders that contain no sources of this project.
const SKIPPED: [&str; 3] = ["target", "__pycache__", "node_modules"];

/// Returns a problem for each file or function below the folder that is too long.
///
/// # Errors
///
/// Fails if a file or folder cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>, Failure> {
    let mut files = Vec::new();
    source_files(root, &mut files)?;
    files.sort();
    let mut problems = Vec::new();
    for file in files {
        let text = failure::read(&file)?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let lines = text.lines().count();
        if lines > FILE_MAX {
            problems.push(format!("{name}: {lines} lines, {FILE_MAX} at most"));
        }
        if name.ends_with(".py") {
            let long = functions(&text).into_iter().filter(|function| function.lines > FUNCTION_MAX);
            problems.extend(long.map(|Function { name: function, line, lines }| {
                format!("{name}:{line}: `{function}` has {lines} lines, {FUNCTION_MAX} at most")
            }));
        }
    }
    Ok(problems)
}

/// Collects the Rust and Python files below a folder, except in hidden folders and links.
///
/// # Errors
///
/// Fails if a folder cannot be read.
pub fn source_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io(format_args!("list {}", folder.display()), &error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
            source_files(&entry.path(), found)?;
        } else if kind.is_file() && (name.ends_with(".rs") || name.ends_with(".py")) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Returns the names of the folders in a folder, sorted.
///
/// # Errors
///
/// Fails if the folder cannot be read.
pub fn subfolders(folder: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: std::io::Error| Failure::io(format_args!("list {}", folder.display()), &error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

struct Function {
    name: String,
    /// Line number of its `def`, starting at 1.
    line: usize,
    lines: usize,
}

/// Returns the functions of a Python file, delimited by indentation; trailing blank lines do not count.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(index, line)| {
        let code = line.trim_start();
        let rest = code.strip_prefix("async ").unwrap_or(code).strip_prefix("def ")?;
        Some((index, line.len() - code.len(), rest.split('(').next().unwrap_or(rest)))
    });
    let found = starts.map(|(index, indent, name)| {
        let inside = |line: &&&str| {
            let code = line.trim_start();
            // A line that starts with `)` ends a signature that spans several lines.
            code.is_empty() || code.starts_with(')') || line.len() - code.len() > indent
        };
        let body: Vec<&&str> = lines[index + 1..].iter().take_while(inside).collect();
        let last = body.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
        Function { name: name.to_owned(), line: index + 1, lines: last + 1 }
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(files: &[(&str, String)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        check(root.path()).unwrap()
    }

    #[test]
    fn file_of_401_lines_is_refused() {
        assert_eq!(checked(&[("src/a.rs", "x\n".repeat(400))]), Vec::<String>::new());
        let found = checked(&[("src/a.rs", "x\n".repeat(401)), ("b.py", "x\n".repeat(402))]);
        assert_eq!(found, ["b.py: 402 lines, 400 at most", "src/a.rs: 401 lines, 400 at most"]);
    }

    #[test]
    fn generated_folders_are_skipped() {
        let long = || "x\n".repeat(500);
        let files = [("target/a.rs", long()), (".venv/b.py", long()), ("x/target/c.rs", long()), ("d.txt", long())];
        assert_eq!(checked(&files), Vec::<String>::new());
    }

    #[test]
    fn python_function_of_71_lines_is_refused() {
        let file = |body: usize| {
            let body = "        x = 1\n\n".repeat(body / 2);
            format!("class A:\n    def long(\n        self,\n    ) -> None:\n{body}\n\n    def short(self): ...\n")
        };
        assert_eq!(checked(&[("a.py", file(68))]), Vec::<String>::new());
        assert_eq!(checked(&[("a.py", file(70))]), ["a.py:2: `long` has 72 lines, 70 at most"]);
    }
}
