//! The state of a workspace between runs.

use crate::model::address::Address;
use crate::model::operation::Operation;
use crate::model::plan::Action;
use crate::model::release::ReleaseOutcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The state of a workspace between runs: a cache of the attributes that AWS assigned, the specs that were applied
/// last, and the intents of an unfinished run. AWS itself is the authority; losing a snapshot loses no resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// An id that is set when the first snapshot is written. Snapshots with different lineages belong to different
    /// histories.
    pub lineage: String,
    /// A number that increases by one with each write.
    pub serial: u64,
    /// The fencing token of the lease under which the snapshot was written.
    pub fence: u64,
    /// The account of the resources; absent if the version that wrote the snapshot did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region of the resources; absent if the version that wrote the snapshot did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The records of the resources, by address.
    pub resources: BTreeMap<Address, Record>,
    /// The intents of the last run, until the run has applied its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intents: Option<Intents>,
    /// The outputs of the last run.
    #[serde(default)]
    pub outputs: BTreeMap<String, Value>,
    /// The ids of the most recently applied saved plans, oldest first.
    #[serde(default)]
    pub applied: Vec<String>,
    /// The most recent releases, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<Release>,
    /// Counts that `scale` has set, by the address of the service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scaled: BTreeMap<Address, Scaled>,
}

/// A run that changed the revision or the count of services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The id of the run.
    pub run: String,
    /// The time at which the run ended, such as `2026-11-22T19:30:00Z`.
    pub at: String,
    /// The person who started the run.
    pub who: String,
    /// The operation of the run.
    pub operation: Operation,
    /// The changed services, by address.
    pub services: BTreeMap<Address, Released>,
}

/// The change of one service in a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// The previous revision; absent if the run created the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The new revision.
    pub to: String,
    /// The image, as it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The outcome of the rollout.
    pub outcome: ReleaseOutcome,
}

/// A count that `scale` has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaled {
    /// The number of tasks that `scale` set.
    pub count: i32,
    /// The configured number of tasks at that time. If a different number has been configured since, that number
    /// applies instead of `count`.
    pub configured: i32,
}

/// The record of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The kind of the resource.
    pub kind: String,
    /// The desired spec of the last create or update.
    pub spec: Value,
    /// The attributes that AWS assigned.
    pub attrs: Value,
    /// Set if the resource could be used when it was recorded.
    #[serde(rename = "settled")]
    pub ready: bool,
}

/// The intents of a run. They are stored before the first write to AWS and removed when all steps are done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intents {
    /// The id of the plan.
    pub plan: String,
    /// The operation of the run.
    pub operation: Operation,
    /// Each intended write, except creates that are known to have had no effect.
    pub steps: Vec<Intent>,
    /// Set if all of these writes were done, so that the run only had to wait for rollouts when it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written: bool,
}

/// A write that a run intends to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The address of the resource.
    pub address: Address,
    /// The kind of the resource.
    pub kind: String,
    /// The intended action.
    pub action: Action,
    /// The attributes of the resource before the write, if it existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Value>,
}

impl Intent {
    /// Returns whether the write creates a resource.
    pub(crate) fn creates(&self) -> bool {
        matches!(self.action, Action::Create | Action::Replace { .. })
    }
}

impl Snapshot {
    /// Sets the intents of a new run. Intended deletes of an earlier run are kept as long as their resources are
    /// recorded and the new run has no step for them, because the resources may already have been deleted without a
    /// record of the deletion.
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

    /// Moves everything that is recorded at `from` to `to`: the record, the releases and the count that `scale` has
    /// set.
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

    /// Returns whether an unfinished run intends a write at `address`, or the resource that is recorded there was not
    /// ready.
    pub(crate) fn is_recent(&self, address: &Address) -> bool {
        let mut steps = self.intents.iter().flat_map(|intents| &intents.steps);
        self.resources.get(address).is_some_and(|record| !record.ready) || steps.any(|step| step.address == *address)
    }

    /// Returns whether an unfinished run intends to delete the resource recorded at `address`.
    pub(crate) fn deletes(&self, address: &Address) -> bool {
        let mut steps = self.intents.iter().flat_map(|intents| &intents.steps);
        steps.any(|step| step.address == *address && matches!(step.action, Action::Delete | Action::Replace { .. }))
    }

    /// Returns whether a create was intended at `address` whose result is not recorded. The resource may exist.
    pub(crate) fn has_unconfirmed_create(&self, address: &Address) -> bool {
        self.unconfirmed_creates().any(|step| step.address == *address)
    }

    /// Returns whether an unfinished run may have created a resource at `address` that is not recorded.
    #[must_use]
    pub fn is_unconfirmed(&self, address: &Address) -> bool {
        let mut steps = self.intents.iter().flat_map(|intents| &intents.steps);
        steps.any(|step| {
            step.address == *address && self.unconfirmed_creates_of(&step.kind).any(|intent| intent == step)
        })
    }

    /// Returns the intended creates of resources of `kind` whose results are not recorded. Each of these resources may
    /// exist.
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
    use crate::model::address::Address;
    use crate::model::operation::Operation;
    use crate::model::plan::Action;
    use serde_json::Value;

    fn intents(steps: &[(&str, Action)]) -> Intents {
        let step = |(address, action): &(&str, Action)| Intent {
            address: Address::new(*address).unwrap(),
            kind: "k".to_owned(),
            action: *action,
            was: None,
        };
        let steps = steps.iter().map(step).collect();
        Intents { plan: "p".to_owned(), operation: Operation::Destroy, steps, written: false }
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
