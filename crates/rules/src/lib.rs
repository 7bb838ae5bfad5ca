//! What AWS refuses, known before the first call.
//!
//! Every function here is pure: it takes a value and answers whether AWS would take it. The configuration calls them
//! for every value in the file, so that a person sees all mistakes at once, with line and column; the crates that
//! make resources call the same functions again, so that nobody who uses them alone can get around a rule.
//!
//! Numbers are taken as `i64`: a value that does not fit its final type is refused by its rule rather than
//! by a conversion. Each function names the page of the AWS documentation that it follows.
//!
//! ```
//! let violation = pb_rules::names::load_balancer("internal-api").unwrap_err();
//! assert_eq!(
//!     violation.to_string(),
//!     "`internal-api` begins with `internal-`, which a load balancer name may not"
//! );
//! ```

pub mod account;
pub mod cache;
pub mod dns;
pub mod fargate;
pub mod load_balancer;
pub mod logs;
pub mod names;
pub mod network;
pub mod quotas;
pub mod secrets;
pub mod tags;
mod text;

/// A rule of AWS that a value breaks.
///
/// The text says the rule and the offending value, and reads well after `invalid port: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    message: String,
    suggestion: Option<String>,
    remedy: Option<String>,
}

impl Violation {
    /// A violation of this rule, without a suggestion.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None, remedy: None }
    }

    pub(crate) fn with_suggestion(mut self, value: impl ToString) -> Self {
        self.suggestion = Some(value.to_string());
        self
    }

    pub(crate) fn with_remedy(mut self, what_to_do: impl Into<String>) -> Self {
        self.remedy = Some(what_to_do.into());
        self
    }

    /// What to do, where that is more than to write another value.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// The nearest value that keeps the rule, where one can be told.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

/// What every rule answers.
pub type Verdict = Result<(), Violation>;
