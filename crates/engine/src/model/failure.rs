//! Failures of operations.

use serde::Serialize;
use std::fmt;

/// The class of a failure, which determines the reaction to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The request was understood and refused. It had no effect, and a repetition would be refused again.
    Refused,
    /// The caller lacks a permission.
    Denied,
    /// There are no credentials, or they are invalid or have expired.
    Credentials,
    /// There were too many requests. The request had no effect, and a later retry can succeed.
    Throttled,
    /// The endpoint cannot be reached. The request had no effect.
    Unreachable,
    /// The response was lost or was an internal error. The request may have been executed.
    Ambiguous,
    /// The named resource does not exist, or is not visible yet.
    NotFound,
    /// A resource with this name already exists.
    Exists,
    /// Another resource still uses the named resource.
    InUse,
    /// The request cannot be executed yet, because a resource is in a transient state.
    NotReady,
    /// An unmanaged resource has a name that the configuration needs. The resource is not changed.
    #[serde(rename = "not_ours")] // lang-ok: serialized name
    Unmanaged,
    /// A wait reached its timeout.
    TimedOut,
    /// The run was asked to stop.
    Interrupted,
    /// The request was accepted, but the operation that it started failed later: for example, a rollout was rolled
    /// back, or a cache could not be created.
    Failed,
    /// Another process holds the lease, or has taken it over.
    Locked,
    /// A defect of pb-deploy.
    Bug,
}

/// The failure of an operation.
///
/// `Display` writes the operation and the response on one line, without a full stop at the end. The cause and the
/// remedy are in [`hint`](Self::hint).
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The class of the failure.
    pub class: Class,
    /// The operation, such as `ec2:CreateVpc`, or a description if the failure does not come from a single call.
    pub operation: String,
    /// The error code that the service returned, if it responded.
    pub code: Option<String>,
    /// The message of the service or of pb-deploy.
    pub message: String,
    /// The request id, for AWS Support.
    pub request_id: Option<String>,
    /// The remedy, as advice to the user.
    pub hint: Option<String>,
    /// Further facts, one line each, such as how tasks exited and their last log lines.
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

    /// Sets further facts about the failure.
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
