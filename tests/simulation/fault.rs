//! What goes wrong.

use crate::account::Refusal;
use crate::wire::Call;
use std::time::Duration;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused for good.
    Refused,
    /// It is refused because there were too many.
    Throttled,
    /// It is done, and the connection breaks before the answer.
    AnswerLost,
    /// It never arrives, and nobody says so: the client gives up by itself.
    Hangs,
    /// It is done, and the answer never comes.
    HangsDone,
    /// It is answered with an internal error, and was done.
    Internal,
    /// The process dies before it is done.
    DiesBefore,
    /// The process dies when it is done.
    DiesAfter,
}

/// The faults that are tried at each call.
pub const EXHAUSTIVE_FAULTS: [Fault; 6] =
    [Fault::Refused, Fault::Throttled, Fault::AnswerLost, Fault::Hangs, Fault::DiesBefore, Fault::DiesAfter];

/// All faults.
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

/// A request that came in.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// `ec2:CreateVpc`
    pub name: String,
    pub writes: bool,
    pub is_state: bool,
    /// The fields, to know a repetition.
    pub input: String,
    /// When it arrived.
    pub when: Duration,
    /// How it was answered: empty, or the code of the refusal.
    pub code: String,
}

/// The refusal that stands for `fault` in the service of `call`.
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
