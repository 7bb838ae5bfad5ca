//! Exit codes and errors of commands.

use crate::output::count;
use pb_config::ConfigError;
use pb_engine::{Class, ErrorCode, Failure, PlanError};
use std::collections::BTreeSet;

/// Result of a command that ended without an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Done,
    /// Failure that has already been printed.
    Failed,
    /// Plan with changes.
    Changes,
    /// Locked by another run; already printed.
    Locked,
    /// Success, except for services whose images are not pushed yet.
    ImagesMissing,
    /// Exit code of a command that ran in a task.
    Task(u8),
    /// Interrupted by a signal.
    Interrupted,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Changes => 2,
            Self::Locked => 3,
            Self::ImagesMissing => 4,
            Self::Task(code) => code,
            Self::Interrupted => 130,
        }
    }
}

/// Exit code for an invalid command line.
pub const USAGE: u8 = 64;

/// Any error of a command; not printed yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Config(ConfigError),
    #[error("{0}")]
    Failure(Failure),
    /// Problems for which a plan was refused.
    #[error("cannot continue: {} (nothing was changed)", count(.0.len(), "problem"))]
    Refused(Vec<PlanError>),
    /// Problems for which a plan was refused, among them recorded resources that have lost their ownership tags.
    #[error("cannot continue: ownership tags are missing (nothing was changed)")]
    Untagged { refused: Vec<PlanError>, hint: String },
    /// Problems for which a plan was refused, among them unmanaged resources that can be imported.
    #[error("cannot continue: {} (nothing was changed)", count(refused.len(), "problem"))]
    Unmanaged { refused: Vec<PlanError>, hint: String },
    /// Failed lookups of several prerequisites.
    #[error("missing prerequisites")]
    MissingPrerequisites(Vec<Failure>),
    /// Missing prerequisites, several of which `bootstrap` creates.
    #[error("account {account} is not prepared for a deploy in {region}")]
    NotPrepared { account: String, region: String, failures: Vec<Failure>, hint: String },
    /// Invalid command line.
    #[error("{message}")]
    Usage { code: ErrorCode, message: String, hint: String },
    /// Any other error that the user can fix.
    #[error("{message}")]
    Other { code: ErrorCode, message: String, hint: String },
}

impl Error {
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { code: ErrorCode::Usage, message: message.into(), hint: hint.into() }
    }

    /// Returns the error for a name on the command line that nothing has.
    pub fn unknown_name(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { code: ErrorCode::UnknownName, message: message.into(), hint: hint.into() }
    }

    pub fn other(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Other { code, message: message.into(), hint: hint.into() }
    }

    /// Returns the stable code of the cause.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Config(ConfigError::Unreadable { .. }) => ErrorCode::ConfigurationUnreadable,
            Self::Config(_) => ErrorCode::ConfigurationInvalid,
            Self::Failure(failure) => failure.error_code(),
            Self::Refused(refused) | Self::Unmanaged { refused, .. } => common_code(refused),
            Self::Untagged { .. } => ErrorCode::Untagged,
            Self::MissingPrerequisites(_) | Self::NotPrepared { .. } => ErrorCode::Prerequisite,
            Self::Usage { code, .. } | Self::Other { code, .. } => *code,
        }
    }

    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage { .. } => USAGE,
            Self::Failure(failure) if failure.class == Class::Locked => Exit::Locked.code(),
            Self::Failure(failure) if failure.class == Class::Interrupted => Exit::Interrupted.code(),
            _ => Exit::Failed.code(),
        }
    }

    /// Returns the failures behind the error, as data: those of calls, the problems of the configuration, and the reasons
    /// for which a plan was refused.
    pub fn causes(&self) -> Vec<serde_json::Value> {
        let refused = |refused: &PlanError| {
            serde_json::json!({
                "address": refused.address, "message": refused.why, "pb_code": refused.reason.error_code(),
            })
        };
        match self {
            Self::Failure(failure) => vec![serde_json::json!(failure)],
            Self::MissingPrerequisites(failures) | Self::NotPrepared { failures, .. } => {
                failures.iter().map(|one| serde_json::json!(one)).collect()
            }
            Self::Refused(all) | Self::Untagged { refused: all, .. } | Self::Unmanaged { refused: all, .. } => {
                all.iter().map(refused).collect()
            }
            Self::Config(error) => error.problems().iter().map(|one| serde_json::json!(one)).collect(),
            Self::Usage { .. } | Self::Other { .. } => Vec::new(),
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Failure(failure) => failure.hint.as_deref(),
            Self::Usage { hint, .. }
            | Self::Other { hint, .. }
            | Self::Untagged { hint, .. }
            | Self::NotPrepared { hint, .. }
            | Self::Unmanaged { hint, .. } => Some(hint),
            Self::Config(_) | Self::Refused(_) | Self::MissingPrerequisites(_) => None,
        }
    }
}

impl Error {
    /// Returns the [`hint`](Self::hint), or the different hints of its causes.
    pub fn combined_hint(&self) -> Option<String> {
        let mut hints: Vec<&str> = match self {
            Self::Config(error) => error.problems().iter().map(|problem| problem.help.as_str()).collect(),
            Self::MissingPrerequisites(failures) => failures.iter().filter_map(|one| one.hint.as_deref()).collect(),
            _ => self.hint().into_iter().collect(),
        };
        let mut seen = BTreeSet::new();
        hints.retain(|hint| seen.insert(*hint));
        (!hints.is_empty()).then(|| hints.join("; "))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::Unreadable { source, .. } => Self::other(
                ErrorCode::ConfigurationUnreadable,
                format!("{error}: {source}"),
                "run from the project folder, pass --config FILE, or create one with `pb-deploy init`",
            ),
            ConfigError::UnknownWorkspace { .. } => {
                let (message, hint) = (error.to_string(), error.hint().unwrap_or_default());
                Self::Usage { code: ErrorCode::UnknownWorkspace, message, hint }
            }
            ConfigError::Invalid { .. } => Self::Config(error),
        }
    }
}

/// Returns the code of the reason that all refusals have in common, or the general one.
fn common_code(refused: &[PlanError]) -> ErrorCode {
    let mut codes = refused.iter().map(|refused| refused.reason.error_code());
    let first = codes.next().unwrap_or(ErrorCode::PlanRefused);
    if codes.all(|code| code == first) { first } else { ErrorCode::PlanRefused }
}
