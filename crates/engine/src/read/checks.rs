//! Reads of the checks of a graph.

use crate::model::address::Address;
use crate::model::check::Checked;
use crate::model::failure::Failure;
use crate::model::observed::Observed;
use crate::model::snapshot::Snapshot;
use crate::model::unknown::has_unknown;
use crate::resource::graph::Graph;
use crate::resource::readiness::Values;
use futures_util::future::{join, try_join_all};
use std::collections::BTreeMap;

/// Awaits `observed` and adds the states of the graph's checks to the observation. The checks are read in parallel with
/// `observed`, with specs that are computed from recorded attributes. If the observed attributes yield another spec for
/// a check, it is read again.
///
/// # Errors
/// The error of `observed`, or of a failed read of a check.
pub async fn with_checks(
    graph: &Graph,
    snapshot: &Snapshot,
    observed: impl Future<Output = Result<Observed, Failure>>,
) -> Result<Observed, Failure> {
    let recorded = graph.nodes.iter().map(|node| Some(snapshot.resources.get(&node.address)?.attrs.clone())).collect();
    let (observed, early) = join(observed, read(graph, &recorded, BTreeMap::new())).await;
    let mut observed = observed?;
    let live = graph.nodes.iter().zip(&recorded).map(|(node, recorded)| {
        let found = observed.managed.get(&node.address)?.iter().filter(|live| live.kind == node.kind.name());
        found.min_by_key(|live| Some(&live.attrs) != recorded.as_ref()).map(|live| live.attrs.clone())
    });
    let live = live.collect();
    // An early read may have failed because it used attributes of a deleted resource, so checks without a result are
    // read again.
    observed.checks = read(graph, &live, early.unwrap_or_default()).await?;
    Ok(observed)
}

/// Reads the checks whose inputs are known. A result in `known` is reused if its spec is the same.
async fn read(
    graph: &Graph,
    values: &Values,
    mut known: BTreeMap<Address, Checked>,
) -> Result<BTreeMap<Address, Checked>, Failure> {
    let reads = graph.checks.iter().filter_map(|check| {
        let spec = (check.make)(values).ok().filter(|spec| !has_unknown(spec))?;
        let known = known.remove(&check.address).filter(|known| known.spec == spec);
        Some(async move {
            let checked = match known {
                Some(known) => known,
                None => Checked { verdict: check.kind.read(&spec).await?, spec },
            };
            Ok::<_, Failure>((check.address.clone(), checked))
        })
    });
    Ok(try_join_all(reads.collect::<Vec<_>>()).await?.into_iter().collect())
}
