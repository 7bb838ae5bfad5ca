//! Failures of operations.

use crate::model::cause::{Cause, Refusal};
use crate::model::error_code::ErrorCode;
use serde::{Serialize, Serializer};
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

impl Class {
    /// Returns the stable code of a failure of this class whose cause is a call.
    fn error_code(self) -> ErrorCode {
        match self {
            Self::Refused => ErrorCode::Refused,
            Self::Denied => ErrorCode::Denied,
            Self::Credentials => ErrorCode::Credentials,
            Self::Throttled => ErrorCode::Throttled,
            Self::Unreachable => ErrorCode::Unreachable,
            Self::Ambiguous => ErrorCode::NoResponse,
            Self::NotFound => ErrorCode::NotFound,
            Self::Exists => ErrorCode::Exists,
            Self::InUse => ErrorCode::InUse,
            Self::NotReady => ErrorCode::NotReady,
            Self::Unmanaged => ErrorCode::Unmanaged,
            Self::TimedOut => ErrorCode::Timeout,
            Self::Interrupted => ErrorCode::Interrupted,
            Self::Failed => ErrorCode::Asynchronous,
            Self::Locked => ErrorCode::Locked,
            Self::Bug => ErrorCode::Bug,
        }
    }
}

/// The failure of an operation.
///
/// `Display` writes the operation and the response on one line, without a full stop at the end. The remedy is in
/// [`hint`](Self::hint), further facts are in the [`cause`](Self::cause).
#[derive(Debug, Clone)]
pub struct Failure {
    /// The class of the failure.
    pub class: Class,
    /// The call that failed, such as `ec2:CreateVpc`, or a description if the failure does not come from a single call.
    pub operation: String,
    /// The error code that the service returned, if it responded.
    pub code: Option<String>,
    /// The message of the service or of pb-deploy.
    pub message: String,
    /// The request id, for AWS Support.
    pub request_id: Option<String>,
    /// The remedy, as advice to the user.
    pub hint: Option<String>,
    /// The cause, with its data.
    pub cause: Cause,
}

impl Failure {
    /// Creates a failure of `class` in `operation`.
    pub fn new(class: Class, operation: impl Into<String>, message: impl Into<String>) -> Self {
        let (operation, message) = (operation.into(), message.into());
        Self { class, operation, code: None, message, request_id: None, hint: None, cause: Cause::default() }
    }

    /// Creates a failure for something that pb-deploy itself refuses to do.
    pub fn refused(reason: Refusal, operation: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Class::Refused, operation, message).reason(reason)
    }

    /// Sets the reason for which pb-deploy itself refuses something as the cause.
    #[must_use]
    pub fn reason(self, reason: Refusal) -> Self {
        self.cause(Cause::Refused { reason })
    }

    /// Sets the remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
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

    /// Returns the stable code of the cause.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match (&self.cause, self.class) {
            (_, Class::Bug) => ErrorCode::Bug,
            (_, Class::Interrupted) => ErrorCode::Interrupted,
            (Cause::Rollout(rollout), _) if !rollout.not_ready.is_empty() => ErrorCode::TasksNotReady,
            (Cause::Rollout(_), Class::TimedOut) => ErrorCode::RolloutTimeout,
            (Cause::Rollout(_), _) => ErrorCode::Rollout,
            (Cause::Health(_), _) => ErrorCode::Health,
            (Cause::Task, _) => ErrorCode::Task,
            (Cause::Prerequisite, _) => ErrorCode::Prerequisite,
            (Cause::LeaseLost, _) => ErrorCode::LockLost,
            (Cause::Refused { reason }, _) => reason.error_code(),
            (Cause::Api, class) => class.error_code(),
        }
    }

    /// Returns the further facts of the cause, one line each, such as how tasks exited and their last log lines.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        match &self.cause {
            Cause::Rollout(rollout) => rollout.lines(),
            Cause::Health(health) => health.targets.clone(),
            _ => Vec::new(),
        }
    }

    /// Returns whether the change of the step was rolled back.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        match &self.cause {
            Cause::Rollout(rollout) => rollout.rolled_back,
            Cause::Health(health) => health.rolled_back,
            _ => false,
        }
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The serialized form: the fields, and what follows from the cause.
        #[derive(Serialize)]
        struct Fields<'a> {
            class: Class,
            operation: &'a str,
            code: Option<&'a str>,
            message: &'a str,
            request_id: Option<&'a str>,
            hint: Option<&'a str>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            details: Vec<String>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            undone: bool,
            pb_code: ErrorCode,
            cause: &'a Cause,
        }
        let Self { class, operation, code, message, request_id, hint, cause } = self;
        let fields = Fields {
            class: *class,
            operation,
            code: code.as_deref(),
            message,
            request_id: request_id.as_deref(),
            hint: hint.as_deref(),
            details: self.details(),
            undone: self.is_rolled_back(),
            pb_code: self.error_code(),
            cause,
        };
        fields.serialize(serializer)
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

#[cfg(test)]
mod tests {
    use super::{Class, Failure};
    use crate::model::cause::{Cause, FailedRollout, Refusal};
    use serde_json::json;

    #[test]
    fn failure_serializes_its_cause_and_the_lines_of_it() {
        let rollout = FailedRollout {
            exits: vec!["2 x exit 1".to_owned()],
            events: vec!["it started".to_owned()],
            log: vec!["cannot import app".to_owned()],
            not_ready: Vec::new(),
            symptoms: vec!["queue_unreachable"],
            rolled_back: true,
            rollback: Some("rolled back: the previous revision is serving again".to_owned()),
            running: None,
        };
        let failure =
            Failure::new(Class::Failed, "roll out flask", "it failed").cause(Cause::Rollout(Box::new(rollout)));
        let expected = json!({
            "class": "failed", "operation": "roll out flask", "code": null, "message": "it failed", "request_id": null,
            "hint": null, "undone": true, "pb_code": "PB0501",
            "details": [
                "stopped: 2 x exit 1", "event: it started", "log: cannot import app",
                "rolled back: the previous revision is serving again",
            ],
            "cause": {
                "kind": "rollout", "exits": ["2 x exit 1"], "events": ["it started"], "log": ["cannot import app"],
                "symptoms": ["queue_unreachable"], "rolled_back": true, "rollback": "rolled back: the previous revision is serving again",
            },
        });
        assert_eq!(serde_json::to_value(failure).unwrap(), expected);
    }

    #[test]
    fn code_follows_from_cause_and_class() {
        let call = |class| Failure::new(class, "test:Create", "no");
        let rollout = || Cause::Rollout(Box::default());
        let not_ready =
            || Cause::Rollout(Box::new(FailedRollout { not_ready: vec!["a".to_owned()], ..FailedRollout::default() }));
        let cases = [
            (call(Class::Denied), "PB0202"),
            (call(Class::NotFound).cause(Cause::Prerequisite), "PB0403"),
            (call(Class::Failed).cause(rollout()), "PB0501"),
            (call(Class::TimedOut).cause(rollout()), "PB0502"),
            (call(Class::TimedOut).cause(not_ready()), "PB0508"),
            (call(Class::Failed).cause(not_ready()), "PB0508"),
            (call(Class::Interrupted).cause(rollout()), "PB0506"),
            (call(Class::Locked), "PB0301"),
            (call(Class::Locked).cause(Cause::LeaseLost), "PB0302"),
            (Failure::refused(Refusal::WrongAccount, "check", "no"), "PB0203"),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.error_code().as_str(), code, "{failure:?}");
        }
    }
}
