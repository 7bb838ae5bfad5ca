//! How a command ends.

use pb_config::ConfigError;
use pb_engine::{Class, Failure, PlanError};

/// How a command ends well enough to have an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed; everything about it was said.
    Failed,
    /// The plan has changes.
    Changes,
    /// Locked by another; everything about it was said.
    Locked,
    /// All is done but what waits for images that are yet to be pushed.
    ImagesMissing,
    /// A command that was run in a task ended with this exit code.
    TaskExit(u8),
    /// Somebody asked to stop.
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
            Self::TaskExit(code) => code,
            Self::Interrupted => 130,
        }
    }
}

/// The exit code for a command line that makes no sense.
pub const USAGE: u8 = 64;

/// Why a command could not do what it was asked. Nothing was said about it yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Config(ConfigError),
    #[error("{0}")]
    Failure(Failure),
    /// What stands in the way of a plan.
    #[error("nothing was changed: {} in the way", if .0.len() == 1 { "1 thing is" } else { "several things are" })]
    Refused(Vec<PlanError>),
    /// Refusals of a plan, among them recorded resources that have lost their ownership tags.
    #[error("nothing was changed: ownership tags are missing")]
    Untagged { refused: Vec<PlanError>, hint: String },
    /// Several things that a deploy needs are not there.
    #[error("several things that this needs are not there")]
    MissingPrerequisites(Vec<Failure>),
    /// A command line that makes no sense.
    #[error("{message}")]
    Usage { message: String, hint: String },
    /// Anything else that a person can mend.
    #[error("{message}")]
    Other { message: String, hint: String },
}

impl Error {
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    pub fn other(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Other { message: message.into(), hint: hint.into() }
    }

    pub fn code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Config(ConfigError::UnknownWorkspace { .. }) => USAGE,
            Self::Failure(failure) if failure.class == Class::Locked => Exit::Locked.code(),
            Self::Failure(failure) if failure.class == Class::Interrupted => Exit::Interrupted.code(),
            _ => Exit::Failed.code(),
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Failure(failure) => failure.hint.as_deref(),
            Self::Usage { hint, .. } | Self::Other { hint, .. } | Self::Untagged { hint, .. } => Some(hint),
            Self::Config(_) | Self::Refused(_) | Self::MissingPrerequisites(_) => None,
        }
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
            ConfigError::Unreadable { source, .. } => {
                Self::other(format!("{error}: {source}"), "go to the folder that it is in, or name it with --config")
            }
            _ => Self::Config(error),
        }
    }
}
