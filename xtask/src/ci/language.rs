//! Language of sources and documents: retired phrases, doc comments that begin with a question word, and long test names.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::failure::{self, Failure};

/// The list of retired phrases.
const PHRASES: &str = include_str!("phrases.txt");
/// File name extensions of the files that are checked.
const EXTENSIONS: [&str; 5] = ["rs", "py", "md", "toml", "sh"];
/// Names of folders with recorded documents, which keep their original wording.
const RECORDED: [&str; 2] = ["fixtures", "snapshots"];
/// Words with which no doc comment may begin.
const QUESTION_WORDS: [&str; 4] = ["what", "whether", "how", "who"];
/// Last path segments of the attributes that mark test functions.
const TEST_ATTRIBUTES: [&str; 4] = ["test", "rstest", "test_case", "proptest"];
/// Maximum length of a test name, in characters.
const TEST_NAME_MAX: usize = 60;
/// Marker of an exempt line; the reason follows it. It is split, so that this line is not exempt.
const EXEMPTION: &str = concat!("lang", "-ok:");
/// Maximum number of exempt lines in the repository.
const EXEMPTIONS_MAX: usize = 10;

/// A retired phrase, with the suggested replacement.
#[derive(Debug, PartialEq, Eq)]
struct Phrase {
    text: String,
    suggestion: Option<String>,
}

/// A tracked file.
struct Source {
    /// Path relative to the repository's root.
    name: String,
    text: String,
}

/// A violation in one file.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Line number, starting at 1.
    line: usize,
    problem: String,
}

/// Returns a problem for each violation in the tracked files below the root.
///
/// # Errors
///
/// Fails if Git does not list the files, or if one of them cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>, Failure> {
    let names = tracked(root)?.into_iter().filter(|name| is_checked(name));
    let read = |name: String| Ok(Source { text: failure::read(&root.join(&name))?, name });
    let sources = names.filter(|name| root.join(name).is_file()).map(read).collect::<Result<Vec<_>, Failure>>()?;
    Ok(problems(&phrases(PHRASES), &sources))
}

/// Returns the paths of all tracked files.
fn tracked(root: &Path) -> Result<Vec<String>, Failure> {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(["ls-files", "-z"]);
    let output = command.output().map_err(|error| Failure::io("run git ls-files", &error))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        )));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn is_checked(name: &str) -> bool {
    let is_recorded = name.split('/').any(|part| RECORDED.contains(&part));
    extension(name).is_some_and(|extension| EXTENSIONS.contains(&extension)) && !is_recorded
}

fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// Parses the list: each line has a phrase and, after a tab, an optional suggestion; `#` begins a comment line.
fn phrases(text: &str) -> Vec<Phrase> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let phrases = lines.map(|line| match line.split_once('\t') {
        Some((text, suggestion)) => Phrase { text: text.to_owned(), suggestion: Some(suggestion.to_owned()) },
        None => Phrase { text: line.to_owned(), suggestion: None },
    });
    let mut phrases: Vec<Phrase> = phrases.collect();
    // Longer phrases come first, so that a phrase is reported instead of shorter phrases that it contains.
    phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.text.len()));
    phrases
}

fn problems(phrases: &[Phrase], sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut exempt = 0;
    for Source { name, text } in sources {
        let mut exemptions = exemptions(name, text);
        exempt += exemptions.len();
        let mut found = findings(phrases, name, text);
        // The exemptions that remain exempt nothing.
        let mut used = Vec::new();
        found.retain(|finding| match exemptions.contains_key(&finding.line) {
            true => {
                used.push(finding.line);
                false
            }
            false => true,
        });
        for (line, reason) in &exemptions {
            if reason.is_empty() {
                found
                    .push(Finding { line: *line, problem: format!("`{EXEMPTION}` has no reason: write one after it") });
            }
        }
        exemptions.retain(|line, _| !used.contains(line));
        let unused = |line: usize| Finding { line, problem: format!("`{EXEMPTION}` exempts nothing: remove it") };
        found.extend(exemptions.into_keys().map(unused));
        found.sort_by_key(|finding| finding.line);
        problems.extend(found.into_iter().map(|Finding { line, problem }| format!("{name}:{line}: {problem}")));
    }
    if exempt > EXEMPTIONS_MAX {
        problems.push(format!("{exempt} lines carry `{EXEMPTION}`, more than {EXEMPTIONS_MAX}: rewrite some of them"));
    }
    problems
}

fn findings(phrases: &[Phrase], name: &str, text: &str) -> Vec<Finding> {
    let mut found = retired(phrases, text);
    match extension(name) {
        Some("rs") => {
            found.extend(rust_docs(text));
            found.extend(rust_tests(text));
        }
        Some("py") => {
            found.extend(python_docs(text));
            found.extend(python_tests(text));
        }
        _ => {}
    }
    found
}

/// Returns the reasons of all exemptions by line number. The marker counts only in a comment.
fn exemptions(name: &str, text: &str) -> BTreeMap<usize, String> {
    let comment = match extension(name) {
        Some("rs") => "//",
        Some("md") => "<!--",
        _ => "#",
    };
    let lines = text.lines().enumerate().filter_map(|(index, line)| {
        let (before, reason) = line.split_once(EXEMPTION)?;
        let reason = reason.trim().trim_end_matches("-->").trim();
        before.contains(comment).then(|| (index + 1, reason.to_owned()))
    });
    lines.collect()
}

/// A text in lower case, without comment markers and without line breaks inside paragraphs.
struct Flat {
    text: String,
    /// Offset in `text` at which each line of the original starts.
    starts: Vec<usize>,
}

impl Flat {
    fn new(text: &str) -> Self {
        let mut flat = Self { text: String::new(), starts: Vec::new() };
        for line in text.lines() {
            flat.starts.push(flat.text.len());
            let content = line.trim().trim_start_matches(['/', '!', '#', ':', '>']).trim_end_matches('\\').trim();
            flat.text.push_str(&content.replace('_', " ").to_ascii_lowercase());
            flat.text.push(if content.is_empty() { '\n' } else { ' ' });
        }
        flat
    }

    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    fn is_whole(&self, start: usize, end: usize) -> bool {
        let before = self.text[..start].chars().next_back();
        let after = self.text[end..].chars().next();
        [before, after].into_iter().flatten().all(|letter| !letter.is_alphanumeric())
    }
}

/// Returns a finding for each retired phrase in a text. Phrases are found across line breaks, and in names whose words
/// are separated by `_`.
fn retired(phrases: &[Phrase], text: &str) -> Vec<Finding> {
    let flat = Flat::new(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut found = Vec::new();
    for phrase in phrases {
        for (start, _) in flat.text.match_indices(&phrase.text) {
            let end = start + phrase.text.len();
            if !flat.is_whole(start, end) || taken.iter().any(|(from, to)| start < *to && *from < end) {
                continue;
            }
            taken.push((start, end));
            let line = flat.line(start);
            let instead = phrase.suggestion.as_deref().unwrap_or("plain English, with a term of docs/glossary.md");
            let problem = format!("\"{}\" is retired, write {instead}: {}", phrase.text, lines[line - 1].trim());
            found.push(Finding { line, problem });
        }
    }
    found
}

/// Returns a finding if the text of a doc comment begins with a question word.
fn question(line: usize, text: &str) -> Option<Finding> {
    let words = text.trim_start_matches(['*', '"', '`']);
    let first = words.split(|letter: char| !letter.is_alphanumeric()).next()?;
    let is_question = QUESTION_WORDS.contains(&first.to_ascii_lowercase().as_str());
    let hint = "begin with a verb (\"Returns whether...\") or with a noun";
    is_question.then(|| Finding { line, problem: format!("a doc comment begins with \"{first}\": {hint}: {text}") })
}

/// Returns a finding for each Rust doc comment with a paragraph that begins with a question word.
fn rust_docs(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let (mut begins, mut is_code, mut last) = (true, false, "");
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let marker = ["///", "//!"].into_iter().find(|marker| line.starts_with(marker)).unwrap_or_default();
        let content = line[marker.len()..].trim();
        if marker.is_empty() || marker != last {
            (begins, is_code) = (true, false);
        }
        last = marker;
        if marker.is_empty() {
            continue;
        }
        is_code ^= content.starts_with("```");
        if begins && !is_code {
            found.extend(question(index + 1, content));
        }
        begins = content.is_empty();
    }
    found
}

/// Returns a finding for each docstring and `#:` comment that begins with a question word.
fn python_docs(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let (mut is_string, mut is_comment, mut opens) = (false, false, false);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let quotes = line.matches("\"\"\"").count();
        let docstring = line.trim_start_matches('r').strip_prefix("\"\"\"").filter(|_| !is_string);
        let comment = line.strip_prefix("#:").filter(|_| !is_string);
        let first = match (docstring, comment) {
            (Some(text), _) => Some(text),
            (None, Some(text)) if !is_comment => Some(text),
            // The text of a docstring may begin on its second line.
            _ => opens.then_some(line),
        };
        found.extend(first.and_then(|text| question(index + 1, text.trim())));
        opens = docstring.is_some_and(|text| text.trim().is_empty());
        is_comment = comment.is_some();
        is_string ^= quotes % 2 == 1;
    }
    found
}

/// Returns a finding for each Rust test whose name is too long.
fn rust_tests(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut is_test = false;
    for (index, line) in text.lines().enumerate() {
        let mut code = line.trim();
        if let Some(attribute) = code.strip_prefix("#[") {
            let path = attribute.split(['(', ']', ' ', '=']).next().unwrap_or_default();
            is_test |= path.rsplit("::").next().is_some_and(|last| TEST_ATTRIBUTES.contains(&last));
            code = attribute.rsplit_once(']').map_or("", |(_, rest)| rest.trim());
        }
        let code = ["pub ", "async "].iter().fold(code, |code, word| code.strip_prefix(word).unwrap_or(code));
        if let Some(rest) = code.strip_prefix("fn ") {
            found.extend(is_test.then(|| long_name(index + 1, rest)).flatten());
            is_test = false;
        }
    }
    found
}

/// Returns a finding for each Python test whose name is too long.
fn python_tests(text: &str) -> Vec<Finding> {
    let lines = text.lines().enumerate().filter_map(|(index, line)| {
        let code = line.trim();
        let rest = code.strip_prefix("async ").unwrap_or(code).strip_prefix("def ")?;
        rest.starts_with("test_").then(|| long_name(index + 1, rest)).flatten()
    });
    lines.collect()
}

fn long_name(line: usize, rest: &str) -> Option<Finding> {
    let name = rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or(rest);
    let count = name.chars().count();
    let hint = "shorten it to subject_condition_result";
    let problem = || format!("the test name has {count} characters, more than {TEST_NAME_MAX}: {hint}: {name}");
    (count > TEST_NAME_MAX).then(|| Finding { line, problem: problem() })
}

#[cfg(test)]
mod tests;
