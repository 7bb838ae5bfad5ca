//! Changes of ownership after a deploy or destroy that did not finish.

use super::task::Task;
use crate::exit::Error;
use pb_engine::{ErrorCode, Intents, Snapshot};

/// Returns whether intents must be kept: those of a deploy or destroy that did not finish.
pub fn must_be_kept(intents: &Intents) -> bool {
    !intents.operation.changes_only_ownership()
}

/// Refuses a task that would lose the intents of a deploy or destroy that did not finish. `forget` keeps these intents,
/// so that resources can be forgotten even if the deploy or destroy fails every time. It is refused only for an address
/// at which the unfinished run may have created a resource that is not recorded, because the owner of this resource
/// could not be identified afterwards.
pub fn check(task: &Task<'_>, snapshot: &Snapshot, workspace: &str) -> Result<(), Error> {
    let Some(intents) = snapshot.intents.as_ref().filter(|intents| must_be_kept(intents)) else { return Ok(()) };
    let operation = intents.operation;
    let message = match task {
        Task::Forget(addresses) => match addresses.iter().find(|address| snapshot.is_unconfirmed(address)) {
            None => return Ok(()),
            Some(address) => {
                format!("the last {operation} did not finish, and may have created {address}; nothing was changed")
            }
        },
        _ => format!("the last {operation} did not finish; nothing was changed"),
    };
    Err(Error::other(ErrorCode::Unfinished, message, format!("finish it first: pb-deploy {operation} {workspace}")))
}
