//! The ledger of a run that changes only services and their routing.

use crate::run::releases::SERVICE;
use futures_util::future::BoxFuture;
use pb_engine::{Address, Entry, Failure, Intents, Ledger, Record, Snapshot};
use pb_state::Session;

/// The ledger of a run that changes only services and the routing to them. It leaves all other records, and the intents
/// of an unfinished run, as they are.
pub(super) struct PartialLedger<'a> {
    pub session: &'a Session,
    pub intents: Option<Intents>,
    pub recorded: &'a Snapshot,
}

impl PartialLedger<'_> {
    /// Returns the record of a service: the spec as it was recorded, with the new values of the fields that the run
    /// changes.
    fn record(&self, address: &Address, record: Record) -> Record {
        let Some(before) = self.recorded.resources.get(address).filter(|before| before.kind == SERVICE) else {
            return record;
        };
        let mut spec = before.spec.clone();
        for field in ["task_definition", "desired_count", "load_balancers"] {
            spec[field] = record.spec[field].clone();
        }
        Record { spec, ..record }
    }

    fn is_unfinished(&self, address: &Address) -> bool {
        self.intents.as_ref().is_some_and(|intents| intents.steps.iter().any(|intent| intent.address == *address))
    }
}

impl Ledger for PartialLedger<'_> {
    fn begin(&self, mut intents: Intents) -> BoxFuture<'_, Result<(), Failure>> {
        if let Some(unfinished) = &self.intents {
            intents.operation.clone_from(&unfinished.operation);
            intents.steps.splice(0..0, unfinished.steps.iter().cloned());
        }
        self.session.begin(intents)
    }

    fn record(&self, entry: Entry) {
        match entry {
            Entry::Put(address, record) => {
                let record = self.record(&address, record);
                self.session.record(Entry::Put(address, record));
            }
            Entry::Remove(_) => self.session.record(entry),
            // The intent of an unfinished run at the same address is kept.
            Entry::CreateAborted(ref address) if !self.is_unfinished(address) => self.session.record(entry),
            _ => {}
        }
    }

    fn lost(&self) -> Option<Failure> {
        self.session.lost()
    }

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        match &self.intents {
            Some(unfinished) if complete => self.session.begin(unfinished.clone()),
            _ => self.session.end(complete),
        }
    }
}
