//! The ledger of a run that changes only some resources of a workspace.

use crate::apply::ledger::{Entry, Ledger};
use crate::model::address::Address;
use crate::model::failure::Failure;
use crate::model::snapshot::{Intents, Record, Snapshot};
use crate::resource::contract::Resource;
use crate::resource::json::{from_json, to_json};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeSet;

/// Returns the spec to record for a resource, from the recorded spec and the applied one.
type Merge = Box<dyn Fn(&Value, Value) -> Result<Value, Failure> + Send + Sync>;

/// The ledger of a run that changes only some resources of a workspace. It leaves all other records as they are, and
/// keeps the intents of an unfinished run, which tell the next deploy what may exist.
pub struct PartialLedger<'a> {
    inner: &'a dyn Ledger,
    /// The snapshot with which the run began.
    before: Snapshot,
    /// The intents of an unfinished run.
    unfinished: Option<Intents>,
    /// The addresses whose intents this run resolves once it is complete.
    resolved: BTreeSet<Address>,
    /// The kind whose specs are merged with the recorded ones.
    merge: Option<(&'static str, Merge)>,
}

impl<'a> PartialLedger<'a> {
    /// Creates a ledger that writes to `inner` and keeps the intents that its snapshot contains.
    pub fn new(inner: &'a dyn Ledger) -> Self {
        let before = inner.snapshot();
        let unfinished = before.intents.clone();
        Self { inner, before, unfinished, resolved: BTreeSet::new(), merge: None }
    }

    /// Keeps only unfinished intents that `keep` selects; the run replaces others.
    #[must_use]
    pub fn keep_intents(mut self, keep: impl FnOnce(&Intents) -> bool) -> Self {
        self.unfinished = self.unfinished.filter(keep);
        self
    }

    /// Drops the unfinished intents for `addresses` once the run is complete.
    #[must_use]
    pub fn resolve(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.resolved.extend(addresses);
        self
    }

    /// Records resources of the kind `R` with the result of `merge`, which is called with the recorded spec and the
    /// applied one. Fields that the run does not change then keep their recorded values, so that drift stays visible.
    #[must_use]
    pub fn merge<R: Resource>(mut self, merge: fn(R::Spec, R::Spec) -> R::Spec) -> Self {
        let merge = move |recorded: &Value, applied: Value| {
            to_json(R::KIND, &merge(from_json(R::KIND, recorded)?, from_json(R::KIND, &applied)?))
        };
        self.merge = Some((R::KIND, Box::new(merge)));
        self
    }

    /// Returns the record to store. A recorded spec that cannot be read, because another version wrote it, is replaced.
    fn merged(&self, address: &Address, record: Record) -> Record {
        let Some((kind, merge)) = &self.merge else { return record };
        let recorded = self.before.resources.get(address).filter(|before| before.kind == *kind);
        let spec = recorded.and_then(|before| merge(&before.spec, record.spec.clone()).ok());
        Record { spec: spec.unwrap_or(record.spec), ..record }
    }

    fn is_unfinished(&self, address: &Address) -> bool {
        self.unfinished.iter().flat_map(|intents| &intents.steps).any(|intent| intent.address == *address)
    }

    /// Returns the unfinished intents that remain once the run is complete.
    fn remaining(&self) -> Option<Intents> {
        let mut rest = self.unfinished.clone()?;
        rest.steps.retain(|step| !self.resolved.contains(&step.address));
        (!rest.steps.is_empty() || self.resolved.is_empty()).then_some(rest)
    }
}

impl Ledger for PartialLedger<'_> {
    fn begin(&self, mut intents: Intents) -> BoxFuture<'_, Result<(), Failure>> {
        if let Some(unfinished) = &self.unfinished {
            intents.operation = unfinished.operation;
            intents.steps.splice(0..0, unfinished.steps.iter().cloned());
        }
        self.inner.begin(intents)
    }

    fn record(&self, entry: Entry) {
        match entry {
            Entry::Put(address, record) => {
                let record = self.merged(&address, record);
                self.inner.record(Entry::Put(address, record));
            }
            // The intent of an unfinished run at the same address is kept.
            Entry::CreateAborted(ref address) if self.is_unfinished(address) => {}
            // These entries are about all resources, and the run knows only some.
            Entry::RetainOnly(_) | Entry::Outputs(_) => {}
            entry => self.inner.record(entry),
        }
    }

    fn lost(&self) -> Option<Failure> {
        self.inner.lost()
    }

    fn snapshot(&self) -> Snapshot {
        self.inner.snapshot()
    }

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        match self.remaining().filter(|_| complete) {
            Some(rest) => self.inner.begin(rest),
            None => self.inner.end(complete),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PartialLedger;
    use crate::apply::ledger::{Entry, Ledger, MemoryLedger};
    use crate::model::address::Address;
    use crate::model::operation::Operation;
    use crate::model::plan::Action;
    use crate::model::snapshot::{Intent, Intents, Snapshot};
    use futures_util::FutureExt;
    use std::collections::{BTreeMap, BTreeSet};

    fn intents(operation: Operation, addresses: &[&str]) -> Intents {
        let step = |address: &&str| Intent {
            address: Address::new(*address).unwrap(),
            kind: "k".to_owned(),
            action: Action::Create,
            was: None,
        };
        Intents { plan: "p".to_owned(), operation, steps: addresses.iter().map(step).collect(), written: false }
    }

    fn unfinished() -> MemoryLedger {
        let intents = Some(intents(Operation::Deploy, &["net/vpc", "net/group"]));
        MemoryLedger::new(Snapshot { intents, ..Snapshot::default() })
    }

    fn addresses(snapshot: &Snapshot) -> Vec<String> {
        let steps = snapshot.intents.iter().flat_map(|intents| &intents.steps);
        steps.map(|step| step.address.to_string()).collect()
    }

    #[test]
    fn unfinished_intents_survive_a_complete_partial_run() {
        let inner = unfinished();
        let ledger = PartialLedger::new(&inner);
        ledger.begin(intents(Operation::Scale, &["fargate/flask"])).now_or_never().unwrap().unwrap();
        let during = inner.snapshot();
        assert_eq!(addresses(&during), ["net/vpc", "net/group", "fargate/flask"]);
        assert_eq!(during.intents.unwrap().operation, Operation::Deploy, "the deploy has to be finished");
        ledger.record(Entry::CreateAborted(Address::new("net/vpc").unwrap()));
        ledger.record(Entry::RetainOnly(BTreeSet::new()));
        ledger.record(Entry::Outputs(BTreeMap::new()));
        ledger.end(true).now_or_never().unwrap().unwrap();
        assert_eq!(addresses(&inner.snapshot()), ["net/vpc", "net/group"]);
    }

    #[test]
    fn resolved_intents_are_dropped_once_the_run_is_complete() {
        let vpc = Address::new("net/vpc").unwrap();
        let inner = unfinished();
        let ledger = PartialLedger::new(&inner).resolve([vpc.clone()]);
        ledger.begin(intents(Operation::Forget, &["net/vpc"])).now_or_never().unwrap().unwrap();
        ledger.end(false).now_or_never().unwrap().unwrap();
        assert_eq!(addresses(&inner.snapshot()), ["net/vpc", "net/group", "net/vpc"], "incomplete: all are kept");
        ledger.end(true).now_or_never().unwrap().unwrap();
        assert_eq!(addresses(&inner.snapshot()), ["net/group"]);
        let inner = unfinished();
        let group = Address::new("net/group").unwrap();
        let ledger = PartialLedger::new(&inner).resolve([vpc, group]);
        ledger.end(true).now_or_never().unwrap().unwrap();
        assert_eq!(inner.snapshot().intents, None);
    }
}
