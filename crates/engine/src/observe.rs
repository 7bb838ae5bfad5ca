//! What of this workspace is there.

use crate::address::Address;
use crate::check::Checked;
use crate::diff::diff;
use crate::failure::Failure;
use crate::graph::Graph;
use crate::index::{Agreed, TagIndex};
use crate::kind::{AnyFound, AnyKind, Look, OfKind, Shared};
use crate::ownership::Ownership;
use crate::snapshot::{Intent, Snapshot};
use crate::wait::{Cancel, Limits};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a create whose outcome is not known is looked for, where AWS would make a second one. EC2 is eventually
/// consistent: a describe can miss for some seconds what was just made.
pub(crate) const LOOK_AGAIN: Limits =
    Limits { first: Duration::from_secs(1), longest: Duration::from_secs(4), within: Duration::from_secs(20) };

/// Something of ours that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Its kind.
    pub kind: String,
    /// What it is like now.
    pub spec: Value,
    /// The attributes that AWS assigned.
    pub attrs: Value,
    /// Whether it can be used.
    pub settled: bool,
}

/// A resource that the snapshot records and that has lost its ownership tags: it is not ours until they are on it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Untagged {
    /// Its kind.
    pub kind: String,
    /// The attributes that AWS assigned.
    pub attrs: Value,
    /// The name by which it can be taken over again.
    pub claim: String,
}

/// What of this workspace is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Ours, by address. More than one at an address: a replacement was interrupted.
    pub ours: BTreeMap<Address, Vec<Live>>,
    /// Not ours, by the address whose name they stand in; in words.
    pub foreign: BTreeMap<Address, String>,
    /// The state of the checks that were read.
    #[serde(default)]
    pub checks: BTreeMap<Address, Checked>,
    /// Recorded and without ownership tags, by the address of the record.
    #[serde(default)]
    pub untagged: BTreeMap<Address, Untagged>,
}

impl Observed {
    /// Leaves out what a run that has not ended may just have made: its tags may not be visible yet.
    pub fn ignore_recent(&mut self, snapshot: &Snapshot) {
        self.untagged.retain(|address, _| !snapshot.is_recent(address));
        self.foreign.retain(|address, _| !snapshot.is_suspect(address));
    }

    fn add(&mut self, kind: &str, found: Vec<AnyFound>) {
        for found in found {
            match found {
                AnyFound::Ours { address, spec, attrs, settled } => {
                    let live = Live { kind: kind.to_owned(), spec, attrs, settled };
                    self.ours.entry(address).or_default().push(live);
                }
                AnyFound::Foreign { address, what } => drop(self.foreign.insert(address, what)),
                AnyFound::Untagged { address, attrs, claim } => {
                    self.untagged.insert(address, Untagged { kind: kind.to_owned(), attrs, claim });
                }
            }
        }
    }
}

/// Asks what of this workspace is there: all kinds that the graph knows, in parallel.
///
/// What a run that did not end meant to create or had just created, and which is not seen, is looked for again for up to 20
/// seconds where AWS would make a second one.
///
/// # Errors
/// What a read fails with; `Bug` when a spec cannot be written.
pub async fn observe(
    graph: &Graph,
    snapshot: &Snapshot,
    owner: &Arc<Ownership>,
    cancel: &Cancel,
) -> Result<Observed, Failure> {
    sweep_all(graph, snapshot, owner, &Claims::new(), None, cancel).await
}

/// As [`observe`](observe()), with an index that spares calls where it agrees with the snapshot. What it says is at most some minutes
/// old: good for looking, not for acting.
///
/// # Errors
/// As [`observe`](observe()).
pub async fn observe_indexed(
    graph: &Graph,
    snapshot: &Snapshot,
    owner: &Arc<Ownership>,
    index: Option<&TagIndex>,
    cancel: &Cancel,
) -> Result<Observed, Failure> {
    sweep_all(graph, snapshot, owner, &Claims::new(), index, cancel).await
}

/// What is asked to be taken over: by address, what AWS calls it.
pub type Claims = BTreeMap<Address, String>;

/// As [`observe`](observe()), with what is claimed counted as ours where nobody else has it.
///
/// # Errors
/// As [`observe`](observe()).
pub async fn observe_claims(
    graph: &Graph,
    snapshot: &Snapshot,
    owner: &Arc<Ownership>,
    claims: &Claims,
    cancel: &Cancel,
) -> Result<Observed, Failure> {
    sweep_all(graph, snapshot, owner, claims, None, cancel).await
}

async fn sweep_all(
    graph: &Graph,
    snapshot: &Snapshot,
    owner: &Arc<Ownership>,
    claims: &Claims,
    index: Option<&TagIndex>,
    cancel: &Cancel,
) -> Result<Observed, Failure> {
    let specs = graph.specs()?;
    let claims = Arc::new(claims.clone());
    let of_kind = |kind: &str, address: &Address, value: &Value| OfKind {
        kind: kind.to_owned(),
        address: address.clone(),
        value: value.clone(),
    };
    let wanted = graph.nodes.iter().zip(&specs).map(|(node, (address, spec))| of_kind(node.kind.name(), address, spec));
    let recalled = snapshot.resources.iter().map(|(address, record)| of_kind(&record.kind, address, &record.attrs));
    let shared = Shared {
        wanted: Arc::new(wanted.collect()),
        recalled: Arc::new(recalled.collect()),
        agreed: Arc::new(Agreed::new(index, graph, snapshot, owner)),
        memo: Arc::default(),
    };
    let sweeps = graph.kinds.values().map(|kind| {
        let wanted = graph.nodes.iter().zip(&specs).filter(|(node, _)| node.kind.name() == kind.name());
        let wanted: Vec<(Address, Value)> = wanted.map(|(_, spec)| spec.clone()).collect();
        let look = Look {
            claims: Arc::clone(&claims),
            wanted,
            remembered: remembered(kind, snapshot),
            owner: Arc::clone(owner),
            shared: shared.clone(),
        };
        async move { Ok::<_, Failure>((kind.name(), sweep(kind, look, snapshot, cancel).await?)) }
    });
    let mut observed = Observed::default();
    for (kind, found) in try_join_all(sweeps).await? {
        observed.add(kind, found);
    }
    let let_go = |address: &Address, untagged: &Untagged| {
        let kind = graph.kinds.get(untagged.kind.as_str());
        kind.is_some_and(|kind| kind.delete_untags()) && snapshot.deletes(address)
    };
    observed.untagged.retain(|address, untagged| !let_go(address, untagged));
    Ok(observed)
}

async fn sweep(
    kind: &Arc<dyn AnyKind>,
    look: Look,
    snapshot: &Snapshot,
    cancel: &Cancel,
) -> Result<Vec<AnyFound>, Failure> {
    let incomplete = |found: &[AnyFound]| lagging(snapshot, found) || !kind.unique() && missing(kind, snapshot, found);
    let mut found = kind.read(look.clone()).await?;
    if !incomplete(&found) {
        return Ok(found);
    }
    let mut pauses = LOOK_AGAIN.tries();
    while pauses.pause(cancel, kind.name(), "a create whose outcome is not known").await.is_ok() {
        let shared = Shared { memo: Arc::default(), ..look.shared.clone() };
        found = kind.read(Look { shared, ..look.clone() }).await?;
        if !incomplete(&found) {
            break;
        }
    }
    Ok(found)
}

fn remembered(kind: &Arc<dyn AnyKind>, snapshot: &Snapshot) -> Vec<(Address, Value)> {
    let records = snapshot.resources.iter().filter(|(_, record)| record.kind == kind.name());
    records.map(|(address, record)| (address.clone(), record.attrs.clone())).collect()
}

/// Returns whether something has no ownership tags that a run which has not ended may just have made: they may not be
/// visible yet.
fn lagging(snapshot: &Snapshot, found: &[AnyFound]) -> bool {
    found.iter().any(|found| match found {
        AnyFound::Ours { .. } => false,
        AnyFound::Foreign { address, .. } => snapshot.is_suspect(address),
        AnyFound::Untagged { address, .. } => snapshot.is_recent(address),
    })
}

/// Whether a suspect of this kind was not found, or one that was recorded and was not ready yet: it may be too new to be
/// seen, even by its id. What was to be replaced is not it.
fn missing(kind: &Arc<dyn AnyKind>, snapshot: &Snapshot, found: &[AnyFound]) -> bool {
    let seen = |at: &Address, known: &Value| {
        found
            .iter()
            .any(|found| matches!(found, AnyFound::Ours { address, attrs, .. } if address == at && attrs == known))
    };
    let mut made = snapshot.resources.iter().filter(|(_, record)| record.kind == kind.name() && !record.settled);
    if made.any(|(address, record)| !seen(address, &record.attrs)) {
        return true;
    }
    let is_it = |suspect: &Intent, found: &AnyFound| match found {
        AnyFound::Ours { address, attrs, .. } => *address == suspect.address && Some(attrs) != suspect.was.as_ref(),
        AnyFound::Foreign { .. } | AnyFound::Untagged { .. } => false,
    };
    snapshot.suspects(kind.name()).any(|suspect| !found.iter().any(|found| is_it(suspect, found)))
}

/// Looks for what a create of `spec` at `address` made, for as long as that can stay invisible. What differs in a field that
/// cannot change is not it: while a replacement runs, its predecessor stands at the same address.
pub(crate) async fn look_for(
    kind: &Arc<dyn AnyKind>,
    address: &Address,
    spec: &Value,
    owner: &Arc<Ownership>,
    cancel: &Cancel,
) -> Result<Option<AnyFound>, Failure> {
    let mut pauses = LOOK_AGAIN.tries();
    loop {
        let look = Look {
            wanted: vec![(address.clone(), spec.clone())],
            remembered: Vec::new(),
            claims: Arc::default(),
            owner: Arc::clone(owner),
            shared: Shared::default(),
        };
        let is_it = |found: &AnyFound| match found {
            AnyFound::Ours { address: at, spec: live, .. } => {
                at == address && !diff(live, spec).iter().any(|change| kind.replaces(change.field(), live, spec))
            }
            AnyFound::Foreign { address: at, .. } => at == address,
            AnyFound::Untagged { .. } => false,
        };
        if let Some(found) = kind.read(look).await?.into_iter().find(is_it) {
            return Ok(Some(found));
        }
        if pauses.pause(cancel, kind.name(), "a create whose answer was lost").await.is_err() {
            return Ok(None);
        }
    }
}
