//! One case and its text form.

use crate::fault::FaultAction;
use crate::{CallMatcher, FaultRule, Problem, TestConfig};
use std::fmt;
use std::str::FromStr;

/// Command during which the fault occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A deploy from nothing.
    Deploy,
    /// A deploy of a change that replaces a resource.
    Update,
    /// A destroy of the workspace.
    Destroy,
}

/// Fault of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The call is refused.
    Refused,
    /// The response to the call is 503, once.
    Throttled,
    /// The call is executed, and its response is lost.
    AnswerLost,
    /// The call is executed, and the response is 500.
    FailedAfter,
    /// The process is killed before the call is executed.
    KilledBefore,
    /// The process is killed after the call was executed, before it receives the response.
    KilledAfter,
}

/// A fault at one call of one phase.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// Command during which the fault occurs.
    pub phase: Phase,
    /// `service:Action` of the call.
    pub call: String,
    /// Number of the call among the calls of this action, counted from 1.
    pub nth: usize,
    /// Fault at the call.
    pub fault: Fault,
}

impl Phase {
    /// All phases, in the order of a round.
    pub const ALL: [Self; 3] = [Self::Deploy, Self::Update, Self::Destroy];

    /// Returns the command of the tool that the phase runs.
    #[must_use]
    pub fn command(self) -> &'static str {
        if self == Self::Destroy { "destroy" } else { "deploy" }
    }

    /// Returns the configuration of the phase.
    #[must_use]
    pub fn config(self) -> TestConfig {
        if self == Self::Deploy { TestConfig::initial() } else { TestConfig::changed() }
    }
}

impl Fault {
    /// All faults, in the order of the report.
    pub const ALL: [Self; 6] =
        [Self::Refused, Self::Throttled, Self::AnswerLost, Self::FailedAfter, Self::KilledBefore, Self::KilledAfter];

    /// Returns whether the fault kills the process.
    #[must_use]
    pub fn kills_the_process(self) -> bool {
        matches!(self, Self::KilledBefore | Self::KilledAfter)
    }

    fn action(self) -> FaultAction {
        match self {
            Self::Refused => FaultAction::Refuse,
            Self::Throttled => FaultAction::Throttle,
            Self::AnswerLost => FaultAction::LoseAnswer,
            Self::FailedAfter => FaultAction::FailAfter,
            Self::KilledBefore => FaultAction::HoldBefore,
            Self::KilledAfter => FaultAction::HoldAfter,
        }
    }
}

impl Case {
    /// Returns the rule with which the proxy injects the fault.
    #[must_use]
    pub fn rule(&self) -> FaultRule {
        FaultRule { at: CallMatcher::nth(&self.call, self.nth), action: self.fault.action() }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deploy => "deploy",
            Self::Update => "update",
            Self::Destroy => "destroy",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::AnswerLost => "answer-lost",
            Self::FailedAfter => "failed-after",
            Self::KilledBefore => "killed-before",
            Self::KilledAfter => "killed-after",
        })
    }
}

/// Formats a case as `update elasticloadbalancing:CreateTargetGroup 1 killed-after`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, call, nth, fault } = self;
        write!(f, "{phase} {call} {nth} {fault}")
    }
}

impl FromStr for Case {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [phase, call, nth, fault] = words.as_slice() else {
            return Err(format!("`{text}` is not a case; expected PHASE SERVICE:ACTION N FAULT"));
        };
        let phases: Vec<Phase> = Phase::ALL.into_iter().filter(|known| known.to_string() == *phase).collect();
        let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|known| known.to_string() == *fault).collect();
        match (phases.as_slice(), nth.parse(), faults.as_slice()) {
            ([phase], Ok(nth), [fault]) => Ok(Self { phase: *phase, call: (*call).to_owned(), nth, fault: *fault }),
            _ => Err(format!(
                "`{text}` is not a case; expected deploy|update|destroy SERVICE:ACTION N FAULT; FAULT is one of {:?}",
                Fault::ALL.map(|fault| fault.to_string())
            )),
        }
    }
}
