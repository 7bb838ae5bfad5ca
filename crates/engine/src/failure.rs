//! Failures of operations.

use serde::Serialize;
use std::fmt;

/// The meaning of a failure for the decision what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The request was understood and refused. Nothing was done, and repeating it changes nothing.
    Refused,
    /// The caller lacks a permission.
    Denied,
    /// There are no credentials, or they are invalid or have expired.
    Credentials,
    /// There were too many requests. Nothing was done; a later retry can succeed.
    Throttled,
    /// The endpoint cannot be reached. Nothing was done.
    Unreachable,
    /// The response was lost or was an internal error. The request may have been executed.
    Ambiguous,
    /// The named resource does not exist, or is not visible yet.
    NotFound,
    /// A resource with this name already exists.
    Exists,
    /// Another resource still uses it.
    InUse,
    /// The request cannot be executed yet, because of a transient state.
    NotReady,
    /// An unmanaged resource has a name that the configuration needs. It is left alone.
    #[serde(rename = "not_ours")] // lang-ok: serialized name
    Unmanaged,
    /// A wait reached its timeout.
    TimedOut,
    /// The run was asked to stop.
    Interrupted,
    /// The request was executed and failed later: a rollout that was rolled back, a cache that could not be created.
    Failed,
    /// Another process holds the lease, or has taken it over.
    Locked,
    /// A defect of this program.
    Bug,
}

/// The failure of an operation.
///
/// `Display` writes the operation and the response, in one line without a full stop. It contains neither the cause nor
/// the remedy: that is [`hint`](Self::hint).
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The class of the failure.
    pub class: Class,
    /// The operation: `ec2:CreateVpc`, or a description if there is no single call.
    pub operation: String,
    /// The error code of the service, if there was a response.
    pub code: Option<String>,
    /// The message of the service, or of this program.
    pub message: String,
    /// The request id, for AWS Support.
    pub request_id: Option<String>,
    /// The remedy.
    pub hint: Option<String>,
    /// Further facts, one line each: how tasks exited, their last log lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Set if the change of the step was rolled back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl Failure {
    /// Creates a failure of `class` in `operation`.
    pub fn new(class: Class, operation: impl Into<String>, message: impl Into<String>) -> Self {
        let (operation, message) = (operation.into(), message.into());
        Self { class, operation, code: None, message, request_id: None, hint: None, details: Vec::new(), undone: false }
    }

    /// Sets the remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the further facts.
    #[must_use]
    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// Sets the class.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Changes the class to `class` if the error code of the service is one of `codes`.
    #[must_use]
    pub fn when(self, codes: &[&str], class: Class) -> Self {
        match &self.code {
            Some(code) if codes.contains(&code.as_str()) => self.class(class),
            _ => self,
        }
    }

    /// Returns whether the service responded with the error `code`.
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
