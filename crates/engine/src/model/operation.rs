//! The operations that a run can be.

use crate::model::goal::Goal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The operation of a run, as it is stored in intents, releases, saved plans and the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Creation of the prerequisites of the first deploy.
    Bootstrap,
    /// Creation, update and deletion of resources until they match the configuration.
    Deploy,
    /// Deletion of the resources.
    Destroy,
    /// Update of the snapshot; changes nothing in AWS.
    Refresh,
    /// Import of existing resources.
    Adopt,
    /// End of the management of resources, which are not deleted.
    Forget,
    /// Change of the addresses of resources.
    Move,
    /// Return of services to earlier revisions.
    Rollback,
    /// Replacement of the tasks of services.
    Restart,
    /// Change of the number of tasks of services.
    Scale,
    /// Wait for rollouts; changes nothing.
    Wait,
}

impl Operation {
    /// Returns the operation as it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Deploy => "deploy",
            Self::Destroy => "destroy",
            Self::Refresh => "refresh",
            Self::Adopt => "adopt",
            Self::Forget => "forget",
            Self::Move => "move",
            Self::Rollback => "rollback",
            Self::Restart => "restart",
            Self::Scale => "scale",
            Self::Wait => "wait",
        }
    }

    /// Returns whether the operation changes only ownership tags and records.
    #[must_use]
    pub fn changes_only_ownership(self) -> bool {
        matches!(self, Self::Adopt | Self::Forget | Self::Move)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Goal> for Operation {
    fn from(goal: Goal) -> Self {
        match goal {
            Goal::Deploy => Self::Deploy,
            Goal::Destroy => Self::Destroy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;

    #[test]
    fn operation_is_stored_as_it_is_shown() {
        for operation in [Operation::Deploy, Operation::Move, Operation::Rollback, Operation::Bootstrap] {
            let stored = serde_json::to_string(&operation).unwrap();
            assert_eq!(stored, format!("{:?}", operation.to_string()));
            assert_eq!(serde_json::from_str::<Operation>(&stored).unwrap(), operation);
        }
    }
}
