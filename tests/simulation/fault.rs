//! Faults of requests.

use crate::account::Refusal;
use crate::wire::Call;
use std::time::Duration;

/// Fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is refused permanently.
    Refused,
    /// The request is throttled.
    Throttled,
    /// The request is executed, and the connection breaks before the response.
    AnswerLost,
    /// The request never arrives, and the client times out.
    Hangs,
    /// The request is executed, and the response never arrives.
    HangsDone,
    /// The request is executed, and the response is an internal error.
    Internal,
    /// The process dies before the request is executed.
    DiesBefore,
    /// The process dies after the request was executed.
    DiesAfter,
}

/// Faults that the exhaustive cases inject at each call.
pub const EXHAUSTIVE_FAULTS: [Fault; 6] =
    [Fault::Refused, Fault::Throttled, Fault::AnswerLost, Fault::Hangs, Fault::DiesBefore, Fault::DiesAfter];

/// All faults, from which the random cases choose.
pub const ALL: [Fault; 8] = [
    Fault::Refused,
    Fault::Throttled,
    Fault::AnswerLost,
    Fault::Hangs,
    Fault::HangsDone,
    Fault::Internal,
    Fault::DiesBefore,
    Fault::DiesAfter,
];

/// A received request.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// Name such as `ec2:CreateVpc`.
    pub name: String,
    pub writes: bool,
    pub is_state: bool,
    /// Fields of the request, by which a repeated call is recognised.
    pub input: String,
    /// Time of arrival.
    pub when: Duration,
    /// Error code of the response; empty for success.
    pub code: String,
}

/// Returns the error response for `fault` in the format of the service of `call`.
pub fn refusal(call: &Call, fault: Fault) -> Refusal {
    let (status, code) = match (fault, call.service) {
        (Fault::Throttled, "ec2") => (503, "RequestLimitExceeded"),
        (Fault::Throttled, "s3") => (503, "SlowDown"),
        (Fault::Throttled, "elasticloadbalancing" | "elasticache" | "iam" | "sts" | "route53") => (400, "Throttling"),
        (Fault::Throttled, _) => (400, "ThrottlingException"),
        (Fault::Internal, "ec2" | "s3") => (500, "InternalError"),
        (Fault::Internal, _) => (500, "InternalFailure"),
        _ => (400, "InjectedRefusal"),
    };
    Refusal { status, code: code.to_owned(), message: "injected".to_owned(), item: None }
}
