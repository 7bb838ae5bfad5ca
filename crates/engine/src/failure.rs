//! Why a verb did not do what it was asked.

use serde::Serialize;
use std::fmt;

/// What a failure means for whoever has to decide what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Understood and refused; nothing was done and repeating it changes nothing.
    Refused,
    /// The caller may not do this.
    Denied,
    /// There are no credentials, or they are not accepted or have expired.
    Credentials,
    /// Too many requests; nothing was done, later it will be.
    Throttled,
    /// The endpoint cannot be reached; nothing was done.
    Unreachable,
    /// The answer was lost or was an internal error: it may have been done.
    Ambiguous,
    /// What was named is not there, or is not visible yet.
    NotFound,
    /// Something of that name is there already.
    Exists,
    /// Something else still uses it.
    InUse,
    /// It cannot be done yet: a state that passes by itself.
    NotReady,
    /// Something stands in our name that is not ours. It is left alone.
    #[serde(rename = "not_ours")]
    Unmanaged,
    /// It was waited for as long as was agreed.
    TimedOut,
    /// Somebody asked to stop.
    Interrupted,
    /// What was asked for came to be, and then failed: a rollout that was rolled back, a cache that could not be made.
    Failed,
    /// Another process holds the lease, or took it over.
    Locked,
    /// An error in this program.
    Bug,
}

/// Why a verb did not do what it was asked.
///
/// Display names the operation and what was answered, in one line without an end stop, and never what led to it or what
/// to do: that is [`hint`](Self::hint).
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What it means.
    pub class: Class,
    /// What was tried: `ec2:CreateVpc`, or words where there is no single call.
    pub operation: String,
    /// The service's error code, when there was an answer.
    pub code: Option<String>,
    /// The service's message, or ours.
    pub message: String,
    /// The service's request id, for its support.
    pub request_id: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What else is known about it, a line each: how tasks ended, what they said last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Set when what the step changed is again as it was before the step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl Failure {
    /// A failure of `class` in `operation`.
    pub fn new(class: Class, operation: impl Into<String>, message: impl Into<String>) -> Self {
        let (operation, message) = (operation.into(), message.into());
        Self { class, operation, code: None, message, request_id: None, hint: None, details: Vec::new(), undone: false }
    }

    /// The same failure, with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, with what else is known about it.
    #[must_use]
    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// The same failure under another class.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// The same failure, its class changed to `class` when the service's error code is one of `codes`.
    #[must_use]
    pub fn when(self, codes: &[&str], class: Class) -> Self {
        match &self.code {
            Some(code) if codes.contains(&code.as_str()) => self.class(class),
            _ => self,
        }
    }

    /// Whether the service answered with `code`.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation)?;
        match &self.code {
            Some(code) if !self.message.is_empty() => write!(f, "{code}: {}", self.message),
            Some(code) => f.write_str(code),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Failure {}
