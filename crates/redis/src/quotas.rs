//! Quota usage of the cache nodes that a plan creates.

use crate::{Client, ReplicationGroup, clusters};
use aws_sdk_elasticache::types::CacheCluster;
use pb_engine::{Address, Failure, Planned};
use pb_rules::quotas::{CACHE_NODES, Usage};

/// Returns the usage of the quota for cache nodes in the region if a plan exceeds its default, with the address of the
/// first replication group that the plan adds. Makes no call unless the plan adds one.
///
/// # Errors
/// The error of `DescribeCacheClusters`.
pub async fn quota_usage(client: &Client, planned: &Planned<'_>) -> Result<Vec<(Address, Usage)>, Failure> {
    let added = planned.added::<ReplicationGroup>();
    let Some((first, _)) = added.first() else { return Ok(Vec::new()) };
    let more = added.iter().map(|(_, spec)| usize::try_from(spec.nodes.unwrap_or(1)).unwrap_or_default()).sum();
    let (of, now) = ("this region".to_owned(), node_count(client).await?);
    let usage = Usage { quota: &CACHE_NODES, of, what: "cache nodes", now, more };
    Ok(if usage.exceeds_default() { vec![(first.clone(), usage)] } else { Vec::new() })
}

/// Returns the number of cache nodes in the region, managed or not.
///
/// # Errors
/// The error of `DescribeCacheClusters`.
pub async fn node_count(client: &Client) -> Result<usize, Failure> {
    let all = clusters::describe(client, None).await?;
    let nodes = all.iter().filter_map(CacheCluster::num_cache_nodes);
    Ok(nodes.map(|nodes| usize::try_from(nodes).unwrap_or_default()).sum())
}
