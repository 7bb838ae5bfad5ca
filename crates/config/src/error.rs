//! Problems of a configuration, for users and for programs.

use std::fmt;

use serde::Serialize;

/// Problem in the file.
///
/// `Display` renders it over several lines: location and message, the line with carets, and the hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// File, as the caller named it.
    pub file: String,
    /// Line, from 1. A problem without a location, such as a missing key, is at 1:1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path of the key, such as `workspace.staging.redis.port`; empty for the file as a whole.
    pub field: String,
    /// Message: the problem and the rule.
    pub message: String,
    /// Hint.
    pub help: String,
    /// Text of the line, if the problem has a location.
    pub snippet: Option<String>,
    /// Number of characters of the line to mark.
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

/// Reason why a configuration or a workspace cannot be used.
///
/// `Display` is the complete message, without the source of [`ConfigError::Unreadable`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{file}`")]
    Unreadable {
        /// File, as the caller named it.
        file: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file has problems.
    #[error("{}", text(.problems))]
    Invalid {
        /// Problems in the order of the file; never empty.
        problems: Vec<Problem>,
    },
    /// The file does not have the requested workspace.
    #[error("{}", unknown_workspace(.file, .name, .nearest.as_deref(), .known))]
    UnknownWorkspace {
        /// File, as the caller named it.
        file: String,
        /// Requested name.
        name: String,
        /// Workspace with the nearest name.
        nearest: Option<String>,
        /// Workspaces of the file, in its order.
        known: Vec<String>,
    },
}

impl ConfigError {
    /// Returns the problems of the file; empty for other errors.
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
        None => format!("to create it, add `[workspace.{name}]` to the file"),
    };
    format!("no workspace `{name}` in {file}; it has {known}\n  hint: {hint}")
}
