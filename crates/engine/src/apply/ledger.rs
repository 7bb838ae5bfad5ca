//! Storage for the intents and the progress of a run.

use crate::model::address::Address;
use crate::model::failure::Failure;
use crate::model::release::ReleaseOutcome;
use crate::model::snapshot::{Intents, Record, Release, Scaled, Snapshot};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// An entry of the ledger.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A managed resource exists at this address.
    Put(Address, Record),
    /// No managed resource exists at this address any more.
    Remove(Address),
    /// Only the resources at these addresses exist. All other records belong to resources whose deletion was not
    /// recorded.
    RetainOnly(BTreeSet<Address>),
    /// A resource has moved to another address, and its record moves with it.
    Moved {
        /// The old address.
        from: Address,
        /// The new address.
        to: Address,
        /// The record to store at the new address if there is none at the old address.
        unrecorded: Record,
    },
    /// The create at this address was not started or was refused, so it had no effect.
    CreateAborted(Address),
    /// The outputs of the stack.
    Outputs(BTreeMap<String, Value>),
    /// A saved plan was applied and cannot be applied again.
    Applied(String),
    /// A release changed the revision or the count of services.
    Released(Release),
    /// The outcome of an earlier release of a service became known.
    Concluded {
        /// The id of the run that made the release.
        run: String,
        /// The address of the service.
        address: Address,
        /// The outcome of the release.
        outcome: ReleaseOutcome,
    },
    /// All writes of the run are done. The run only has to wait for rollouts.
    Written,
    /// The count of a service was set by `scale`, or (`None`) follows the configuration again.
    Scaled(Address, Option<Scaled>),
}

impl Entry {
    /// Applies the entry to a snapshot.
    pub fn apply(self, snapshot: &mut Snapshot) {
        /// Number of applied saved plans whose ids are kept. A small number is enough, because a saved plan is also
        /// bound to a serial.
        const APPLIED: usize = 20;
        /// Number of releases that are kept. It exceeds the number of revisions that are kept.
        const RELEASES: usize = 100;
        match self {
            Self::Put(address, record) => drop(snapshot.resources.insert(address, record)),
            Self::Remove(address) => drop(snapshot.resources.remove(&address)),
            Self::Moved { from, to, unrecorded } => snapshot.move_records(&from, &to, unrecorded),
            Self::CreateAborted(address) => {
                if let Some(intents) = &mut snapshot.intents {
                    intents.steps.retain(|step| step.address != address || !step.creates());
                }
            }
            Self::RetainOnly(kept) => snapshot.resources.retain(|address, _| kept.contains(address)),
            Self::Outputs(outputs) => snapshot.outputs = outputs,
            Self::Released(release) => {
                snapshot.releases.push(release);
                let old = snapshot.releases.len().saturating_sub(RELEASES);
                snapshot.releases.drain(..old);
            }
            Self::Concluded { run, address, outcome } => {
                let mut releases = snapshot.releases.iter_mut().rev();
                let release = releases.find(|release| release.run == run);
                if let Some(released) = release.and_then(|release| release.services.get_mut(&address)) {
                    released.outcome = outcome;
                }
            }
            Self::Written => {
                if let Some(intents) = &mut snapshot.intents {
                    intents.written = true;
                }
            }
            Self::Scaled(address, Some(scaled)) => drop(snapshot.scaled.insert(address, scaled)),
            Self::Scaled(address, None) => drop(snapshot.scaled.remove(&address)),
            Self::Applied(plan) => {
                snapshot.applied.push(plan);
                let old = snapshot.applied.len().saturating_sub(APPLIED);
                snapshot.applied.drain(..old);
            }
        }
    }
}

/// Storage for the intents and the progress of a run.
pub trait Ledger: Send + Sync {
    /// Stores the intents of the run. They are durable when the call has succeeded.
    fn begin(&self, intents: Intents) -> BoxFuture<'_, Result<(), Failure>>;

    /// Adds an entry, which is stored soon afterwards. Never blocks.
    fn record(&self, entry: Entry);

    /// Returns a failure if nothing may be written any more, because the lease is lost or another process changed the
    /// snapshot.
    fn lost(&self) -> Option<Failure>;

    /// Returns the current snapshot, with all entries so far.
    fn snapshot(&self) -> Snapshot;

    /// Stores all entries, and removes the intents if the run is `complete`.
    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>>;
}

/// A ledger in memory, for programs without a state and for tests.
#[derive(Default, Clone)]
pub struct MemoryLedger(Arc<Mutex<Snapshot>>);

impl MemoryLedger {
    /// Creates a ledger that starts with `snapshot`.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(Mutex::new(snapshot)))
    }

    /// Returns the current snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut snapshot);
        snapshot.serial += 1;
    }
}

impl Ledger for MemoryLedger {
    fn begin(&self, intents: Intents) -> BoxFuture<'_, Result<(), Failure>> {
        self.change(|snapshot| snapshot.set_intents(intents));
        async { Ok(()) }.boxed()
    }

    fn record(&self, entry: Entry) {
        self.change(|snapshot| entry.apply(snapshot));
    }

    fn lost(&self) -> Option<Failure> {
        None
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot()
    }

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        if complete {
            self.change(|snapshot| snapshot.intents = None);
        }
        async { Ok(()) }.boxed()
    }
}
