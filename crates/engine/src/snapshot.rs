//! What is recorded between runs.

use crate::address::Address;
use crate::plan::Action;
use crate::release::ReleaseOutcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is recorded between runs: a cache of what AWS assigned, what was wanted when it was last applied, and what a run
/// that did not end meant to do. AWS itself is the authority; a lost snapshot loses no resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Set once when the snapshot is first written; another lineage is another stack.
    pub lineage: String,
    /// Rises by one with each write.
    pub serial: u64,
    /// The fencing token of the lease under which it was written.
    pub fence: u64,
    /// The account that the resources are in; absent in a snapshot of a version that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region that the resources are in; absent in a snapshot of a version that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The resources by address.
    pub resources: BTreeMap<Address, Record>,
    /// What the last run meant to do, until it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intents: Option<Intents>,
    /// What people ask the stack for, as of the last run.
    #[serde(default)]
    pub outputs: BTreeMap<String, Value>,
    /// The ids of the last saved plans that were applied, the latest last.
    #[serde(default)]
    pub applied: Vec<String>,
    /// What was released to the services, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<Release>,
    /// Counts that were set by hand, by the address of the service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scaled: BTreeMap<Address, Scaled>,
}

/// One run that gave services something else to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The id of the run.
    pub run: String,
    /// When it ended: `2026-11-22T19:30:00Z`.
    pub at: String,
    /// Who ran it.
    pub who: String,
    /// `deploy`, `rollback`, `restart` or `scale`.
    pub operation: String,
    /// What it gave to which service, by the service's address.
    pub services: BTreeMap<Address, Released>,
}

/// What one run gave to one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// What it ran before; absent when it was made in that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it was given.
    pub to: String,
    /// The image, as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its result.
    pub outcome: ReleaseOutcome,
}

/// A count that was set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaled {
    /// How many.
    pub count: i32,
    /// How many the configuration said then: when it says another number, that one counts.
    pub configured: i32,
}

/// One resource, as it was last seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The kind of resource.
    pub kind: String,
    /// What was wanted when it was last made or changed.
    pub spec: Value,
    /// What AWS assigned.
    pub attrs: Value,
    /// Whether it could be used.
    #[serde(rename = "settled")]
    pub ready: bool,
}

/// What a run means to do. It is stored before the first write to AWS, and removed when the run has ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intents {
    /// The id of the plan.
    pub plan: String,
    /// `deploy` or `destroy`.
    pub operation: String,
    /// Each write that is meant, but for the creates of which it is known that nothing came of them.
    pub steps: Vec<Intent>,
    /// Set when all of these were written, so that the run had only rollouts left to wait for when it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written: bool,
}

/// One write that a run means to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// What it is about.
    pub address: Address,
    /// The kind of resource.
    pub kind: String,
    /// What is meant.
    pub action: Action,
    /// What AWS had assigned to the one that is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Value>,
}

impl Intent {
    /// Whether something new is meant to be there afterwards.
    pub(crate) fn creates(&self) -> bool {
        matches!(self.action, Action::Create | Action::Replace { .. })
    }
}

impl Snapshot {
    /// Sets the intents of a run that begins. Deletes that an earlier run has begun stay among them as long as their resources
    /// are recorded and this run does not deal with them: they may be done, all but the record.
    pub fn set_intents(&mut self, mut intents: Intents) {
        for step in self.intents.take().map(|earlier| earlier.steps).unwrap_or_default() {
            let is_new = !intents.steps.iter().any(|new| new.address == step.address);
            let deletes = matches!(step.action, Action::Delete | Action::Replace { .. });
            if is_new && deletes && self.resources.contains_key(&step.address) {
                intents.steps.push(Intent { action: Action::Delete, ..step });
            }
        }
        self.intents = Some(intents);
    }

    /// Takes all that is recorded of what was at `from` for what is at `to` now: the record, what was released to it, the
    /// count that was set by hand.
    pub(crate) fn move_records(&mut self, from: &Address, to: &Address, unrecorded: Record) {
        let record = self.resources.remove(from).unwrap_or(unrecorded);
        self.resources.entry(to.clone()).or_insert(record);
        if let Some(scaled) = self.scaled.remove(from) {
            self.scaled.insert(to.clone(), scaled);
        }
        for release in &mut self.releases {
            if let Some(released) = release.services.remove(from) {
                release.services.insert(to.clone(), released);
            }
        }
    }

    /// Returns whether a run that has not ended is about what is recorded at `address`, or left it before it could be used.
    pub(crate) fn is_recent(&self, address: &Address) -> bool {
        let mut steps = self.intents.iter().flat_map(|intents| &intents.steps);
        self.resources.get(address).is_some_and(|record| !record.ready) || steps.any(|step| step.address == *address)
    }

    /// Returns whether a run that has not ended means to delete what is recorded at `address`.
    pub(crate) fn deletes(&self, address: &Address) -> bool {
        let mut steps = self.intents.iter().flat_map(|intents| &intents.steps);
        steps.any(|step| step.address == *address && matches!(step.action, Action::Delete | Action::Replace { .. }))
    }

    /// Returns whether a create was meant at `address` and is not recorded: there may be one.
    pub(crate) fn has_unconfirmed_create(&self, address: &Address) -> bool {
        self.unconfirmed_creates().any(|step| step.address == *address)
    }

    /// Returns whether a run that did not end may have made something at `address` that is not recorded.
    #[must_use]
    pub fn is_unconfirmed(&self, address: &Address) -> bool {
        let mut steps = self.intents.iter().flat_map(|intents| &intents.steps);
        steps.any(|step| {
            step.address == *address && self.unconfirmed_creates_of(&step.kind).any(|intent| intent == step)
        })
    }

    /// The creates of `kind` that were meant and are not recorded: there may be one at each address.
    pub(crate) fn unconfirmed_creates_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Intent> {
        self.unconfirmed_creates().filter(move |step| step.kind == kind)
    }

    fn unconfirmed_creates(&self) -> impl Iterator<Item = &Intent> {
        let steps = self.intents.iter().flat_map(|intents| &intents.steps);
        let recorded =
            |step: &Intent| self.resources.get(&step.address).map(|record| &record.attrs) != step.was.as_ref();
        steps.filter(move |step| step.creates() && !recorded(step))
    }
}

#[cfg(test)]
mod tests {
    use super::{Intent, Intents, Record, Snapshot};
    use crate::address::Address;
    use crate::plan::Action;
    use serde_json::Value;

    fn intents(steps: &[(&str, Action)]) -> Intents {
        let step = |(address, action): &(&str, Action)| Intent {
            address: Address::new(*address).unwrap(),
            kind: "k".to_owned(),
            action: *action,
            was: None,
        };
        let steps = steps.iter().map(step).collect();
        Intents { plan: "p".to_owned(), operation: "destroy".to_owned(), steps, written: false }
    }

    #[test]
    fn intent_of_begun_delete_stays_until_its_record_is_gone() {
        let record = Record { kind: "k".to_owned(), spec: Value::Null, attrs: Value::Null, ready: true };
        let recorded = ["net/group", "net/vpc"].map(|address| (Address::new(address).unwrap(), record.clone()));
        let mut snapshot = Snapshot { resources: recorded.into(), ..Snapshot::default() };
        snapshot.set_intents(intents(&[
            ("net/group", Action::Delete),
            ("net/vpc", Action::Delete),
            ("net/gone", Action::Delete),
            ("net/new", Action::Create),
        ]));
        let next = intents(&[("net/vpc", Action::Update)]);
        snapshot.set_intents(next.clone());
        let steps = snapshot.intents.as_ref().map(|intents| intents.steps.clone()).unwrap();
        assert_eq!(steps, [next.steps, intents(&[("net/group", Action::Delete)]).steps].concat());
        snapshot.resources.clear();
        snapshot.set_intents(intents(&[]));
        assert_eq!(snapshot.intents, Some(intents(&[])));
    }
}
