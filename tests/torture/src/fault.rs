//! What is done to which call.

use crate::calls::{Call, Format, is_write};
use crate::http::Message;
use std::time::Duration;

/// Which call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallMatcher {
    /// The call of this number, of all that change something; the first is 1.
    NthWrite(usize),
    /// The n-th call of a `service:Action`; the first is 1.
    NthCall(String, usize),
}

impl CallMatcher {
    /// The n-th call of a `service:Action`.
    #[must_use]
    pub fn nth(call: &str, nth: usize) -> Self {
        Self::NthCall(call.to_owned(), nth)
    }

    /// Whether it is this call, the `change`-th that changes something and the `nth` of its action.
    pub(crate) fn matches(&self, name: &str, write: usize, nth: usize) -> bool {
        match self {
            Self::NthWrite(number) => is_write(name) && *number == write,
            Self::NthCall(call, number) => call == name && *number == nth,
        }
    }
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// Answered with a refusal; the endpoint never sees it.
    Refuse,
    /// Answered with 503 and a code of throttling; the endpoint never sees it.
    Throttle,
    /// Done, and the connection is closed without an answer.
    LoseAnswer,
    /// Done, and answered with 500.
    FailAfter,
    /// Done after a while.
    Delay(Duration),
    /// Held before the endpoint sees it, until the test says what becomes of it.
    HoldBefore,
    /// Done, and the answer is held until the test says what becomes of it.
    HoldAfter,
}

/// What is done to one call, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    /// Which call.
    pub at: CallMatcher,
    /// What is done to it.
    pub action: FaultAction,
}

/// A refusal as the service writes it.
pub(crate) fn refusal(call: &Call) -> Message {
    match call.format {
        Format::Json => error(call, 400, "AccessDeniedException"),
        Format::Ec2 => error(call, 403, "UnauthorizedOperation"),
        Format::Query | Format::S3 => error(call, 403, "AccessDenied"),
    }
}

/// An answer of throttling as the service writes it.
pub(crate) fn throttling(call: &Call) -> Message {
    let code = match call.format {
        Format::Json => "ThrottlingException",
        Format::Ec2 => "RequestLimitExceeded",
        Format::Query => "Throttling",
        Format::S3 => "SlowDown",
    };
    error(call, 503, code)
}

/// An internal error as the service writes it.
pub(crate) fn internal(call: &Call) -> Message {
    error(call, 500, if call.format == Format::Json { "InternalServerError" } else { "InternalError" })
}

fn error(call: &Call, status: u16, code: &str) -> Message {
    let message = format!("the test has {} answered so", call.name());
    match call.format {
        Format::Json => {
            let body = serde_json::json!({ "__type": code, "message": message });
            Message::answer(status, "application/x-amz-json-1.1", body.to_string())
        }
        Format::Ec2 => {
            let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            let body = format!("<Response><Errors>{error}</Errors><RequestID>test</RequestID></Response>");
            Message::answer(status, "text/xml", body)
        }
        Format::Query => {
            let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
            let body = format!("<ErrorResponse>{error}<RequestId>test</RequestId></ErrorResponse>");
            Message::answer(status, "text/xml", body)
        }
        Format::S3 => {
            let body =
                format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>test</RequestId></Error>");
            Message::answer(status, "application/xml", body)
        }
    }
}
