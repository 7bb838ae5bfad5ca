//! What is wrong with a configuration, for people and for programs.

use std::fmt;

use serde::Serialize;

/// One mistake in the file.
///
/// `Display` gives the human text over several lines: the place, what is wrong and what is right, the line itself with
/// a caret, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named by the caller.
    pub file: String,
    /// Line, from 1. A mistake that has no place, such as a missing key, stands at 1:1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path of the key, such as `workspace.staging.redis.port`; empty for the file as a whole.
    pub field: String,
    /// What is wrong and what is right.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The line itself, where the mistake has a place.
    pub snippet: Option<String>,
    /// How many characters of the line are meant.
    pub width: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(snippet) = &self.snippet {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            let indent = " ".repeat(self.column - 1);
            let carets = "^".repeat(self.width);
            writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
            writeln!(f, "{margin} |")?;
            writeln!(f, "{number} | {snippet}")?;
            writeln!(f, "{margin} | {indent}{carets}")?;
        } else {
            writeln!(f, "{}: {}", self.file, self.message)?;
        }
        if !self.field.is_empty() {
            writeln!(f, "  field: {}", self.field)?;
        }
        write!(f, "  hint: {}", self.help)
    }
}

/// Why there is no configuration, or no such workspace in it.
///
/// `Display` is the whole human text, without the source of [`ConfigError::Unreadable`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{file}`")]
    Unreadable {
        /// The file, as it was named by the caller.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has mistakes: all of them, in the order of the file.
    #[error("{}", text(.problems))]
    Invalid {
        /// The mistakes; never empty.
        problems: Vec<Problem>,
    },
    /// A workspace was asked for that the file does not have.
    #[error("{}", unknown_workspace(.file, .name, .nearest.as_deref(), .known))]
    UnknownWorkspace {
        /// The file, as it was named by the caller.
        file: String,
        /// What was asked for.
        name: String,
        /// The workspace that was probably meant.
        nearest: Option<String>,
        /// All workspaces of the file, in its order.
        known: Vec<String>,
    },
}

impl ConfigError {
    /// The mistakes in the file; empty where the mistake is not in the file.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems } => problems,
            Self::Unreadable { .. } | Self::UnknownWorkspace { .. } => &[],
        }
    }
}

fn text(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("\n\n")
}

fn unknown_workspace(file: &str, name: &str, nearest: Option<&str>, known: &[String]) -> String {
    let known = known.join(", ");
    let hint = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("write `[workspace.{name}]` into the file to have it"),
    };
    format!("no workspace `{name}` in {file}, which has {known}\n  hint: {hint}")
}
