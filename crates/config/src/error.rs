//! Problems in a configuration, as text for users and as values for programs.

use std::fmt;

use serde::Serialize;

/// Problem in the configuration file.
///
/// `Display` renders it on several lines: location and message, the line with carets, the field, and the hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Path of the file, as the caller passed it.
    pub file: String,
    /// Line number, starting at 1. A problem without a location, such as a missing top-level key, is reported at 1:1.
    pub line: usize,
    /// Column in characters, starting at 1.
    pub column: usize,
    /// Path of the key, such as `workspace.staging.redis.port`; empty for the file as a whole.
    pub field: String,
    /// Message, which states the problem and the rule that is broken.
    pub message: String,
    /// Suggested correction.
    pub help: String,
    /// Text of the line, with secrets masked; `None` if the problem has no location.
    pub snippet: Option<String>,
    /// Number of characters to mark with carets.
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
/// `Display` prints the complete message, except for the source of [`ConfigError::Unreadable`] and the
/// [`hint`](Self::hint).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{file}`")]
    Unreadable {
        /// Path of the file, as the caller passed it.
        file: String,
        /// Error that the operating system returned.
        source: std::io::Error,
    },
    /// The file has problems.
    #[error("{}", text(.problems))]
    Invalid {
        /// Problems, in the order of the file; never empty.
        problems: Vec<Problem>,
    },
    /// The file does not contain the requested workspace.
    #[error("no workspace `{name}` in {file}; the file has {}", .known.join(", "))]
    UnknownWorkspace {
        /// Path of the file, as the caller passed it.
        file: String,
        /// Requested workspace.
        name: String,
        /// Workspace with the most similar name, if one is similar enough.
        nearest: Option<String>,
        /// Workspaces in the file, in the order of the file.
        known: Vec<String>,
    },
}

impl ConfigError {
    /// Returns the problems in an invalid file; empty for other errors.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems } => problems,
            Self::Unreadable { .. } | Self::UnknownWorkspace { .. } => &[],
        }
    }

    /// Returns the remedy, unless it is part of the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownWorkspace { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::UnknownWorkspace { name, .. } => Some(format!("to create it, add `[workspace.{name}]` to the file")),
            Self::Unreadable { .. } | Self::Invalid { .. } => None,
        }
    }
}

fn text(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("\n\n")
}
