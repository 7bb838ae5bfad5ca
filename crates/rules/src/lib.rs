//! AWS rules that can be checked without calling AWS, and detection of secrets.
//!
//! All functions are pure: they take a value and return whether AWS would accept it. `pb-config` applies them to every
//! value of the configuration file, so that a user sees all mistakes at once, with line and column. The crates that
//! create resources apply the rules again, for programs that use one of these crates without `pb-config`.
//!
//! Numbers are passed as `i64`: a value that does not fit its final type is refused by its rule rather than
//! by a conversion. Each function names the page of the AWS documentation that it follows.
//!
//! ```
//! let violation = pb_rules::names::load_balancer("internal-api").unwrap_err();
//! assert_eq!(
//!     violation.to_string(),
//!     "`internal-api` starts with `internal-`, which is not allowed for a load balancer name"
//! );
//! ```

pub mod account;
pub mod cache;
pub mod capacity;
pub mod dns;
pub mod fargate;
pub mod health_checks;
pub mod https;
pub mod iam;
pub mod image;
pub mod load_balancer;
pub mod logs;
pub mod names;
pub mod network;
pub mod quotas;
pub mod region;
pub mod secrets;
pub mod tags;
pub mod task_definition;
mod text;

/// Violation of an AWS rule by a value.
///
/// The message names the value and the rule, and is worded to follow a prefix such as `invalid port: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    message: String,
    suggestion: Option<String>,
    remedy: Option<String>,
}

impl Violation {
    /// Creates a violation without a suggestion or remedy.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None, remedy: None }
    }

    pub(crate) fn with_suggestion(mut self, value: impl ToString) -> Self {
        self.suggestion = Some(value.to_string());
        self
    }

    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Returns the remedy, if another value alone does not help.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Returns the nearest valid value, if there is one.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

/// Result of checking a value against a rule.
pub type Verdict = Result<(), Violation>;
