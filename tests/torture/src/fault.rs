//! Fault rules: the call to match, and the action on this call.

use crate::calls::{Call, Format, is_write};
use crate::http::Message;
use std::time::Duration;

/// Selection of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallMatcher {
    /// The n-th write of all writes, counted from 1.
    NthWrite(usize),
    /// The n-th call of one `service:Action`, counted from 1.
    NthCall(String, usize),
}

impl CallMatcher {
    /// Creates a matcher for the `nth` call of the `service:Action` in `call`.
    #[must_use]
    pub fn nth(call: &str, nth: usize) -> Self {
        Self::NthCall(call.to_owned(), nth)
    }

    /// Returns whether this matches the call `name`, which is number `write` of all writes and number `nth` of the
    /// calls of its action.
    pub(crate) fn matches(&self, name: &str, write: usize, nth: usize) -> bool {
        match self {
            Self::NthWrite(number) => is_write(name) && *number == write,
            Self::NthCall(call, number) => call == name && *number == nth,
        }
    }
}

/// Action on a matched call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// Responds with a refusal; the endpoint never receives the call.
    Refuse,
    /// Responds with 503 and a throttling code; the endpoint never receives the call.
    Throttle,
    /// Executes the call and closes the connection without a response.
    LoseAnswer,
    /// Executes the call and responds with 500.
    FailAfter,
    /// Executes the call after a delay.
    Delay(Duration),
    /// Holds the call before the endpoint receives it, until the test releases or drops it.
    HoldBefore,
    /// Executes the call and holds the response until the test releases or drops it.
    HoldAfter,
}

/// An action on one call, applied once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    /// Call to match.
    pub at: CallMatcher,
    /// Action on the call.
    pub action: FaultAction,
}

/// Returns a refusal in the format of the service.
pub(crate) fn refusal(call: &Call) -> Message {
    match call.format {
        Format::Json => error(call, 400, "AccessDeniedException"),
        Format::Ec2 => error(call, 403, "UnauthorizedOperation"),
        Format::Query | Format::S3 => error(call, 403, "AccessDenied"),
    }
}

/// Returns a throttling error in the format of the service.
pub(crate) fn throttling(call: &Call) -> Message {
    let code = match call.format {
        Format::Json => "ThrottlingException",
        Format::Ec2 => "RequestLimitExceeded",
        Format::Query => "Throttling",
        Format::S3 => "SlowDown",
    };
    error(call, 503, code)
}

/// Returns an internal error in the format of the service.
pub(crate) fn internal(call: &Call) -> Message {
    error(call, 500, if call.format == Format::Json { "InternalServerError" } else { "InternalError" })
}

fn error(call: &Call, status: u16, code: &str) -> Message {
    let message = format!("injected by the test for {}", call.name());
    match call.format {
        Format::Json => {
            let body = serde_json::json!({ "__type": code, "message": message });
            Message::response(status, "application/x-amz-json-1.1", body.to_string())
        }
        Format::Ec2 => {
            let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            let body = format!("<Response><Errors>{error}</Errors><RequestID>test</RequestID></Response>");
            Message::response(status, "text/xml", body)
        }
        Format::Query => {
            let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
            let body = format!("<ErrorResponse>{error}<RequestId>test</RequestId></ErrorResponse>");
            Message::response(status, "text/xml", body)
        }
        Format::S3 => {
            let body =
                format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>test</RequestId></Error>");
            Message::response(status, "application/xml", body)
        }
    }
}
