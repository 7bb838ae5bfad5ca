//! Where a run writes down what it means to do and what it did.

use crate::address::Address;
use crate::failure::Failure;
use crate::release::ReleaseOutcome;
use crate::snapshot::{Intents, Record, Release, Scaled, Snapshot};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// One thing that happened, to be remembered.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A resource is there.
    Put(Address, Record),
    /// A resource is gone.
    Remove(Address),
    /// Nothing but these is there: what else is remembered has gone without that being recorded.
    RetainOnly(BTreeSet<Address>),
    /// What was remembered at one address is at another now. `unrecorded` is what to remember when nothing was.
    Moved {
        /// Where it was.
        from: Address,
        /// Where it is.
        to: Address,
        /// What it is like, should the snapshot not know it.
        unrecorded: Record,
    },
    /// The create that was meant at this address was not begun, or was refused: nothing came of it.
    CreateAborted(Address),
    /// What people ask the stack for.
    Outputs(BTreeMap<String, Value>),
    /// A saved plan was applied; it is not applied again.
    Applied(String),
    /// Services were given something else to run.
    Released(Release),
    /// The end of an earlier release to a service was seen, or learnt of.
    Concluded {
        /// The id of the run that released.
        run: String,
        /// The service.
        address: Address,
        /// The result.
        outcome: ReleaseOutcome,
    },
    /// The run has written all that it meant to, and had only rollouts left to wait for.
    Written,
    /// The count of a service was set by hand, or goes by the configuration again.
    Scaled(Address, Option<Scaled>),
}

impl Entry {
    /// Puts the entry into a snapshot.
    pub fn apply(self, snapshot: &mut Snapshot) {
        /// How many ids of applied plans are kept. A plan is bound to a serial as well, so that few are enough.
        const APPLIED: usize = 20;
        /// How many releases are remembered: more than revisions are kept.
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

/// Where a run writes down what it means to do and what it did.
pub trait Ledger: Send + Sync {
    /// Stores what the run means to do. When this returns, it is durable.
    fn begin(&self, intents: Intents) -> BoxFuture<'_, Result<(), Failure>>;

    /// Takes one entry, to be stored soon. Never waits.
    fn record(&self, entry: Entry);

    /// Why nothing may be written any more, if so: the lease is lost, or the snapshot was changed by another.
    fn lost(&self) -> Option<Failure>;

    /// Stores all that was recorded and, when the run is `complete`, takes the intents back.
    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>>;
}

/// A ledger in memory, for programs that keep no state, and for tests.
#[derive(Default, Clone)]
pub struct MemoryLedger(Arc<Mutex<Snapshot>>);

impl MemoryLedger {
    /// A ledger that begins with `snapshot`.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(Mutex::new(snapshot)))
    }

    /// What is remembered now.
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

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        if complete {
            self.change(|snapshot| snapshot.intents = None);
        }
        async { Ok(()) }.boxed()
    }
}
