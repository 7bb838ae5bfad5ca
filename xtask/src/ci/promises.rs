//! Promises in the documentation, each with references to tests: `path::test` between backticks.

use std::path::Path;

use crate::failure::{self, Failure};

/// Documents with promises.
const DOCUMENTS: [&str; 2] = ["docs/reliability.md", "SECURITY.md"];

/// Returns a problem for each promise without a test, and for each reference to a test that does not exist.
///
/// # Errors
///
/// Fails if a document cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for document in DOCUMENTS {
        let text = failure::read(&root.join(document))?;
        problems.extend(problems_in(&text, |path| std::fs::read_to_string(root.join(path)).ok(), document));
    }
    Ok(problems)
}

fn problems_in(text: &str, source: impl Fn(&str) -> Option<String>, document: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut promises = 0;
    for (index, line) in text.lines().enumerate() {
        let place = format!("{document}:{}", index + 1);
        let tests: Vec<(&str, &str)> = line.split('`').skip(1).step_by(2).filter_map(test_reference).collect();
        let is_promise = line.starts_with("| ") && !line.starts_with("| promise |");
        promises += usize::from(is_promise);
        if is_promise && tests.is_empty() {
            problems.push(format!("{place}: promise without a test"));
        }
        problems.extend(tests.into_iter().filter_map(|(path, name)| match source(path) {
            None => Some(format!("{place}: {path} does not exist")),
            Some(source) if defines_test(&source, name) => None,
            Some(_) => Some(format!("{place}: {path} has no test {name}")),
        }));
    }
    if promises == 0 {
        problems.push(format!("{document}: no promise found"));
    }
    problems
}

/// Parses `path.rs::name` or `path.py::name`.
fn test_reference(quoted: &str) -> Option<(&str, &str)> {
    quoted.split_once("::").filter(|(path, _)| path.ends_with(".rs") || path.ends_with(".py"))
}

fn defines_test(source: &str, name: &str) -> bool {
    let defines = |line: &str, word: &str| {
        let rest = line.trim_start().trim_start_matches("async ").strip_prefix(word);
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    };
    source.lines().any(|line| defines(line, "fn ") || defines(line, "def "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "#[test]\n    async fn all_is_well() {\n";

    fn problems(text: &str) -> Vec<String> {
        problems_in(text, |path| (path == "a.rs").then(|| SOURCE.to_owned()), "x.md")
    }

    #[test]
    fn promise_requires_existing_test() {
        assert_eq!(problems("| promise | held by |\n|---|---|\n| It works. | `a.rs::all_is_well` |"), [""; 0]);
        assert_eq!(problems("| It works. | `a.rs::all_is` |"), ["x.md:1: a.rs has no test all_is"]);
        assert_eq!(problems("| It works. | `b.rs::all_is_well` |"), ["x.md:1: b.rs does not exist"]);
        assert_eq!(problems("| It works. | of course |"), ["x.md:1: promise without a test"]);
        assert_eq!(problems("It works."), ["x.md: no promise found"]);
    }
}
