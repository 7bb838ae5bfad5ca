//! `forget` after a deploy or destroy that did not finish: the intents of the unfinished run are kept, so that
//! resources can be forgotten even if the deploy or destroy fails every time.

use super::Task;
use crate::exit::Error;
use futures_util::future::BoxFuture;
use pb_engine::{Address, Entry, Failure, Intents, Ledger, Snapshot};
use pb_state::Session;

/// Operations of `adopt`, `forget` and `state mv`, whose intents may be replaced.
const ADOPTION_OPERATIONS: [&str; 3] = ["adopt", "forget", "move"];

/// Returns the intents of a deploy or destroy that did not finish.
fn unfinished(snapshot: &Snapshot) -> Option<&Intents> {
    snapshot.intents.as_ref().filter(|intents| !ADOPTION_OPERATIONS.contains(&intents.operation.as_str()))
}

/// Refuses a task that would lose the intents of a deploy or destroy that did not finish. `forget` keeps these intents,
/// and is refused only for an address at which the unfinished run may have created a resource that is not recorded,
/// because the owner of this resource could not be identified afterwards.
pub(super) fn check(task: &Task<'_>, snapshot: &Snapshot, workspace: &str) -> Result<(), Error> {
    let Some(intents) = unfinished(snapshot) else { return Ok(()) };
    let operation = &intents.operation;
    let message = match task {
        Task::Forget(addresses) => match addresses.iter().find(|address| snapshot.is_unconfirmed(address)) {
            None => return Ok(()),
            Some(address) => {
                format!("the last {operation} did not finish, and may have created {address}; nothing was changed")
            }
        },
        _ => format!("the last {operation} did not finish; nothing was changed"),
    };
    Err(Error::other(message, format!("finish it first: pb-deploy {operation} {workspace}")))
}

/// The ledger of a task that keeps the intents of an unfinished deploy or destroy, except those for forgotten
/// addresses.
pub(super) struct PreservingLedger<'a> {
    session: &'a Session,
    unfinished: Option<Intents>,
    /// The intents that remain once this run has completed.
    rest: Option<Intents>,
}

impl<'a> PreservingLedger<'a> {
    /// Returns the ledger of a run of `task`.
    pub(super) fn new(session: &'a Session, task: &Task<'_>) -> Self {
        let unfinished = unfinished(&session.snapshot()).cloned();
        let forgotten: &[Address] = match task {
            Task::Forget(addresses) => addresses,
            _ => &[],
        };
        let rest = unfinished.clone().map(|mut rest| {
            rest.steps.retain(|step| !forgotten.contains(&step.address));
            rest
        });
        Self { session, unfinished, rest: rest.filter(|rest| !rest.steps.is_empty()) }
    }
}

impl Ledger for PreservingLedger<'_> {
    fn begin(&self, mut intents: Intents) -> BoxFuture<'_, Result<(), Failure>> {
        if let Some(unfinished) = &self.unfinished {
            intents.operation.clone_from(&unfinished.operation);
            intents.steps.splice(0..0, unfinished.steps.iter().cloned());
        }
        self.session.begin(intents)
    }

    fn record(&self, entry: Entry) {
        self.session.record(entry);
    }

    fn lost(&self) -> Option<Failure> {
        self.session.lost()
    }

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        match &self.rest {
            Some(rest) if complete => self.session.begin(rest.clone()),
            _ => self.session.end(complete),
        }
    }
}
