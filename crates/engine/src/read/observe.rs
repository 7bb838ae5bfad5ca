//! Reads of the resources of a workspace.

use crate::model::address::Address;
use crate::model::diff::{diff, keep_unset};
use crate::model::failure::Failure;
use crate::model::observed::{Imports, Live, Observed, Untagged};
use crate::model::ownership::Ownership;
use crate::model::snapshot::{Intent, Snapshot};
use crate::read::tag_index::{TagIndex, TrustedTags};
use crate::resource::graph::Graph;
use crate::resource::kind::{AnyFound, AnyKind, ReadRequest};
use crate::resource::shared::{KindValue, Shared};
use crate::resource::wait::{Backoff, Cancel};
use futures_util::future::try_join_all;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Backoff of the search for the result of a create with an unknown outcome, for resource kinds that AWS would create
/// twice. EC2 is eventually consistent: for some seconds, a describe call can miss a resource that was just created.
pub(crate) const CREATE_VISIBILITY: Backoff =
    Backoff { initial: Duration::from_secs(1), max_interval: Duration::from_secs(4), timeout: Duration::from_secs(20) };

impl Observed {
    fn add(&mut self, kind: &str, found: Vec<AnyFound>) {
        for found in found {
            match found {
                AnyFound::Managed { address, spec, attrs, ready } => {
                    let live = Live { kind: kind.to_owned(), spec, attrs, ready };
                    self.managed.entry(address).or_default().push(live);
                }
                AnyFound::Unmanaged { address, unmanaged } => drop(self.unmanaged.insert(address, unmanaged)),
                AnyFound::Obstacle { address, obstacle } => self.obstacles.entry(address).or_default().push(obstacle),
                AnyFound::Untagged { address, attrs, import_id } => {
                    self.untagged.insert(address, Untagged { kind: kind.to_owned(), attrs, import_id });
                }
            }
        }
    }
}

/// Reads the managed resources of a workspace. All resource kinds of the graph are read in parallel.
///
/// If a resource that an unfinished run intended to create or had just created is not found, the search for it is
/// repeated for up to 20 seconds, for resource kinds that AWS would create twice.
///
/// # Errors
/// The error of a failed read; `Bug` if a spec cannot be serialized.
pub async fn observe(
    graph: &Graph,
    snapshot: &Snapshot,
    owner: &Arc<Ownership>,
    cancel: &Cancel,
) -> Result<Observed, Failure> {
    observe_all(graph, snapshot, owner, &Imports::new(), None, cancel).await
}

/// Like [`observe`](observe()), but with a tag index that saves calls where it matches the snapshot. The entries of the
/// index may be some minutes old, so the result is suitable for a plan that is only shown, not for one that is applied.
///
/// # Errors
/// The same errors as [`observe`](observe()).
pub async fn observe_with_index(
    graph: &Graph,
    snapshot: &Snapshot,
    owner: &Arc<Ownership>,
    index: Option<&TagIndex>,
    cancel: &Cancel,
) -> Result<Observed, Failure> {
    observe_all(graph, snapshot, owner, &Imports::new(), index, cancel).await
}

/// Like [`observe`](observe()), but `imports` count as managed unless they belong to another stack or workspace.
///
/// # Errors
/// The same errors as [`observe`](observe()).
pub async fn observe_with_imports(
    graph: &Graph,
    snapshot: &Snapshot,
    owner: &Arc<Ownership>,
    imports: &Imports,
    cancel: &Cancel,
) -> Result<Observed, Failure> {
    observe_all(graph, snapshot, owner, imports, None, cancel).await
}

async fn observe_all(
    graph: &Graph,
    snapshot: &Snapshot,
    owner: &Arc<Ownership>,
    imports: &Imports,
    index: Option<&TagIndex>,
    cancel: &Cancel,
) -> Result<Observed, Failure> {
    let specs = graph.specs()?;
    let imports = Arc::new(imports.clone());
    let of_kind = |kind: &str, address: &Address, value: &Value| KindValue {
        kind: kind.to_owned(),
        address: address.clone(),
        value: value.clone(),
    };
    let desired =
        graph.nodes.iter().zip(&specs).map(|(node, (address, spec))| of_kind(node.kind.name(), address, spec));
    let recorded = snapshot.resources.iter().map(|(address, record)| of_kind(&record.kind, address, &record.attrs));
    let shared = Shared {
        desired: Arc::new(desired.collect()),
        recorded: Arc::new(recorded.collect()),
        trusted: Arc::new(TrustedTags::new(index, |kind| graph.is_tag_indexed(kind), snapshot, owner)),
        cache: Arc::default(),
    };
    let reads = graph.kinds.values().map(|kind| {
        let desired = graph.nodes.iter().zip(&specs).filter(|(node, _)| node.kind.name() == kind.name());
        let desired: Vec<(Address, Value)> = desired.map(|(_, spec)| spec.clone()).collect();
        let request = ReadRequest {
            imports: Arc::clone(&imports),
            desired,
            recorded: recorded_of(kind, snapshot),
            owner: Arc::clone(owner),
            shared: shared.clone(),
        };
        async move { Ok::<_, Failure>((kind.name(), read_kind(kind, request, snapshot, cancel).await?)) }
    });
    let mut observed = Observed::default();
    for (kind, found) in try_join_all(reads).await? {
        observed.add(kind, found);
    }
    let is_released = |address: &Address, untagged: &Untagged| {
        let kind = graph.kinds.get(untagged.kind.as_str());
        kind.is_some_and(|kind| kind.delete_untags()) && snapshot.deletes(address)
    };
    observed.untagged.retain(|address, untagged| !is_released(address, untagged));
    Ok(observed)
}

async fn read_kind(
    kind: &Arc<dyn AnyKind>,
    request: ReadRequest,
    snapshot: &Snapshot,
    cancel: &Cancel,
) -> Result<Vec<AnyFound>, Failure> {
    let incomplete = |found: &[AnyFound]| {
        has_lagging_tags(snapshot, found) || !kind.unique_name() && misses_created(kind, snapshot, found)
    };
    let mut found = kind.read(request.clone()).await?;
    if !incomplete(&found) {
        return Ok(found);
    }
    let mut pauses = CREATE_VISIBILITY.retrying();
    while pauses.pause(cancel, kind.name(), "a create with an unknown outcome").await.is_ok() {
        let shared = Shared { cache: Arc::default(), ..request.shared.clone() };
        found = kind.read(ReadRequest { shared, ..request.clone() }).await?;
        if !incomplete(&found) {
            break;
        }
    }
    Ok(found)
}

fn recorded_of(kind: &Arc<dyn AnyKind>, snapshot: &Snapshot) -> Vec<(Address, Value)> {
    let records = snapshot.resources.iter().filter(|(_, record)| record.kind == kind.name());
    records.map(|(address, record)| (address.clone(), record.attrs.clone())).collect()
}

/// Returns whether an unfinished run may have created one of the found resources without ownership tags. The tags of
/// such a resource may not be visible yet.
fn has_lagging_tags(snapshot: &Snapshot, found: &[AnyFound]) -> bool {
    found.iter().any(|found| match found {
        AnyFound::Managed { .. } | AnyFound::Obstacle { .. } => false,
        AnyFound::Unmanaged { address, .. } => snapshot.has_unconfirmed_create(address),
        AnyFound::Untagged { address, .. } => snapshot.is_recent(address),
    })
}

/// Returns whether `found` lacks the result of an intended create of this kind, or a recorded resource that was not
/// ready yet. Such a resource may be too new to be visible, even by its id. The predecessor that a replacement was
/// going to delete does not count as the result of the create.
fn misses_created(kind: &Arc<dyn AnyKind>, snapshot: &Snapshot, found: &[AnyFound]) -> bool {
    let seen = |at: &Address, known: &Value| {
        found
            .iter()
            .any(|found| matches!(found, AnyFound::Managed { address, attrs, .. } if address == at && attrs == known))
    };
    let mut unready = snapshot.resources.iter().filter(|(_, record)| record.kind == kind.name() && !record.ready);
    if unready.any(|(address, record)| !seen(address, &record.attrs)) {
        return true;
    }
    let is_it = |intent: &Intent, found: &AnyFound| match found {
        AnyFound::Managed { address, attrs, .. } => *address == intent.address && Some(attrs) != intent.was.as_ref(),
        AnyFound::Unmanaged { .. } | AnyFound::Obstacle { .. } | AnyFound::Untagged { .. } => false,
    };
    snapshot.unconfirmed_creates_of(kind.name()).any(|intent| !found.iter().any(|found| is_it(intent, found)))
}

/// Searches for the result of a create of `spec` at `address`, for as long as a new resource can be invisible. A
/// resource that differs in an immutable field is not the result: during a replacement, the predecessor has the same
/// address.
pub(crate) async fn find_created(
    kind: &Arc<dyn AnyKind>,
    address: &Address,
    spec: &Value,
    owner: &Arc<Ownership>,
    cancel: &Cancel,
) -> Result<Option<AnyFound>, Failure> {
    let mut pauses = CREATE_VISIBILITY.retrying();
    loop {
        let request = ReadRequest {
            desired: vec![(address.clone(), spec.clone())],
            recorded: Vec::new(),
            imports: Arc::default(),
            owner: Arc::clone(owner),
            shared: Shared::default(),
        };
        let is_it = |found: &AnyFound| match found {
            AnyFound::Managed { address: at, spec: live, .. } => {
                let mut spec = spec.clone();
                keep_unset(&mut spec, live, kind.optional_fields());
                let changes = diff(live, &spec);
                at == address && !changes.iter().any(|change| kind.requires_replacement(change.field(), live, &spec))
            }
            AnyFound::Unmanaged { address: at, .. } => at == address,
            AnyFound::Obstacle { .. } | AnyFound::Untagged { .. } => false,
        };
        if let Some(found) = kind.read(request).await?.into_iter().find(is_it) {
            return Ok(Some(found));
        }
        if pauses.pause(cancel, kind.name(), "a create whose response was lost").await.is_err() {
            return Ok(None);
        }
    }
}
