//! Stable codes of the causes of failures.

use serde::{Serialize, Serializer};
use std::fmt;

/// Defines the codes from one table: variant, number, title.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal;)+) => {
        /// A stable code of the cause of a failure, such as `PB0501`. A code is never given to another cause.
        ///
        /// The codes cover all crates of the workspace, so that each code occurs once. `docs/errors` has a page for each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $title] $name,)+
        }

        impl ErrorCode {
            /// All codes, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the code as users see it: `PB0501`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// Returns the title of the page about the code.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }
        }
    };
}

error_codes! {
    // The command line and the configuration.
    Usage = "PB0101", "The command line is invalid";
    ConfigurationUnreadable = "PB0102", "The configuration file cannot be read";
    ConfigurationInvalid = "PB0103", "The configuration is invalid";
    UnknownWorkspace = "PB0104", "The workspace is not configured";
    ConfirmationNeeded = "PB0105", "Confirmation is needed, but there is no terminal";
    Cancelled = "PB0106", "The plan was not confirmed";
    UnknownName = "PB0107", "A service, resource or output does not exist";
    File = "PB0108", "A local file cannot be read or written";
    Program = "PB0109", "A local program is missing or failed";
    // Access to AWS, and responses of AWS.
    Credentials = "PB0201", "The AWS credentials are missing, invalid or expired";
    Denied = "PB0202", "A permission is missing";
    WrongAccount = "PB0203", "The account or region differs from the expected one";
    Unreachable = "PB0204", "The endpoint cannot be reached";
    Throttled = "PB0205", "AWS throttled the calls";
    NoResponse = "PB0206", "The response was lost or was an internal error";
    Refused = "PB0207", "AWS refused the request";
    NotFound = "PB0208", "A resource does not exist";
    Exists = "PB0209", "A resource with this name already exists";
    InUse = "PB0210", "Another resource still uses the resource";
    NotReady = "PB0211", "A resource is in a transient state";
    // The state and its lock.
    Locked = "PB0301", "Another run holds the lock";
    LockLost = "PB0302", "The lock was lost during the run";
    StateUnreadable = "PB0303", "The state cannot be read";
    OtherLockTable = "PB0304", "The lock table is not the one that was used before";
    NoConditionalWrites = "PB0305", "The state bucket ignores conditional writes";
    StateChanged = "PB0306", "The state has changed since it was shown";
    NotDeployed = "PB0307", "The workspace or service is not deployed";
    OtherHolder = "PB0308", "The lock has another holder";
    TerraformState = "PB0309", "The Terraform state cannot be used";
    // The plan.
    PlanRefused = "PB0401", "The plan cannot be applied";
    Untagged = "PB0402", "Ownership tags are missing";
    Prerequisite = "PB0403", "A prerequisite is missing";
    PlanChanged = "PB0404", "The plan has changed since it was shown";
    SavedPlan = "PB0405", "The saved plan cannot be applied";
    Quota = "PB0406", "A quota would be exceeded";
    Unfinished = "PB0407", "An unfinished run has to be finished first";
    Unmanaged = "PB0408", "An unmanaged resource has a name that is needed";
    Revision = "PB0409", "The revision cannot be used";
    RolePermission = "PB0410", "A role lacks a permission";
    QueuedJobs = "PB0411", "Jobs would be lost with the queue";
    // The run.
    Rollout = "PB0501", "A rollout failed";
    RolloutTimeout = "PB0502", "A rollout did not finish in time";
    Health = "PB0503", "The targets of a service are not healthy";
    Task = "PB0504", "A task failed";
    Timeout = "PB0505", "A wait reached its timeout";
    Interrupted = "PB0506", "The run was interrupted";
    Asynchronous = "PB0507", "AWS accepted the request, but the operation failed later";
    TasksNotReady = "PB0508", "Running tasks have not logged that they are ready";
    // Defects.
    Bug = "PB0901", "A defect of pb-deploy";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn codes_are_unique_and_ascending() {
        let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        let is_code = |code: &&str| code.len() == 6 && code.starts_with("PB") && code[2..].parse::<u16>().is_ok();
        assert!(codes.iter().all(is_code), "{codes:?}");
    }
}
