//! What somebody else changed: the world against what was recorded, whatever is configured now.

use crate::address::Address;
use crate::diff::{Change, diff, within};
use crate::graph::Graph;
use crate::observe::{Live, Observed};
use crate::snapshot::{Record, Snapshot};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One resource that is not as the last run left it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Which resource.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// What AWS calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What happened to it.
    pub what: Happened,
    /// The fields that were changed: as recorded, and as it is now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// What happened to a resource since the last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// Fields of it were changed.
    Changed,
    /// It was deleted.
    Deleted,
    /// It carries our tags and was not recorded: the snapshot is older than it, or somebody copied the tags.
    Appeared,
}

/// Everything that is not as the last run left it. What a run that did not end has begun is no drift, and neither is what
/// differs in an ignored field.
#[must_use]
pub fn drift(graph: &Graph, observed: &Observed, snapshot: &Snapshot) -> Vec<Drift> {
    let mut drifts = Vec::new();
    for (address, record) in &snapshot.resources {
        let id = |attrs| graph.kinds.get(record.kind.as_str()).and_then(|kind| kind.id(attrs));
        let item = |what, id, changes| Drift { address: address.clone(), kind: record.kind.clone(), id, what, changes };
        match current(observed, address, record) {
            None if record.settled => drifts.push(item(Happened::Deleted, id(&record.attrs), Vec::new())),
            None => {}
            Some(live) => {
                let changes = changed(graph, address, record, live);
                if !changes.is_empty() {
                    drifts.push(item(Happened::Changed, id(&live.attrs), changes));
                }
            }
        }
    }
    let begun = |address: &Address| {
        let mut steps = snapshot.intents.iter().flat_map(|intents| &intents.steps);
        steps.any(|step| step.address == *address)
    };
    let unrecorded = observed.ours.iter().filter(|(address, _)| !snapshot.resources.contains_key(*address));
    for (address, live) in
        unrecorded.filter(|(address, _)| !begun(address)).flat_map(|(a, all)| all.iter().map(move |l| (a, l)))
    {
        drifts.push(Drift {
            address: address.clone(),
            kind: live.kind.clone(),
            id: graph.kinds.get(live.kind.as_str()).and_then(|kind| kind.id(&live.attrs)),
            what: Happened::Appeared,
            changes: Vec::new(),
        });
    }
    drifts
}

/// What stands where something was recorded; of several, the one that was recorded.
pub(crate) fn current<'a>(observed: &'a Observed, address: &Address, record: &Record) -> Option<&'a Live> {
    let found = observed.ours.get(address)?.iter().filter(|live| live.kind == record.kind);
    found.min_by_key(|live| live.attrs != record.attrs)
}

/// The fields in which `live` is not what was recorded. A field that an older version did not record is none.
pub(crate) fn changed(graph: &Graph, address: &Address, record: &Record, live: &Live) -> Vec<Change> {
    if !record.settled {
        return Vec::new();
    }
    let kind = graph.kinds.get(record.kind.as_str());
    let recorded = kind.map_or(Cow::Borrowed(&record.spec), |kind| kind.hidden(&record.spec));
    let mut changes = diff(&recorded, &live.spec);
    let ignored = graph.ignored(address);
    let observed = kind.map_or(&[] as &[&str], |kind| kind.observed());
    changes.retain(|change| !observed.contains(&change.field()));
    changes.retain(|change| {
        record.spec.get(change.field()).is_some() && !ignored.iter().any(|path| within(&change.path, path))
    });
    changes
}
