//! Names of the resources of this crate.

use pb_engine::Ownership;

/// Returns the prefix of the names of all resources of a workspace.
pub(crate) fn name_prefix(owner: &Ownership) -> String {
    format!("{}-", owner.workspace)
}

/// Returns the last part of an ARN: `web:3` for `arn:aws:ecs:us-east-2:1:task-definition/web:3`.
pub(crate) fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
