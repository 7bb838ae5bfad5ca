//! Cache clusters, which contain the nodes of all replication groups of the account.

use crate::Client;
use aws_sdk_elasticache::types::{CacheCluster, CacheSubnetGroup, Subnet};
use pb_aws::ForOperation;
use pb_engine::{Failure, ReadScope, Resource};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All cache clusters with their nodes. The resource kinds that need them share one response per read.
pub(crate) struct CacheClusters(pub Vec<CacheCluster>);

impl CacheClusters {
    pub(crate) async fn read<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        scope.shared(async { describe(client, None).await.map(Self) }).await
    }

    /// Returns the subnets of `group` in which a node may be running. AWS reports the Availability Zone of a node, but
    /// not its subnet, so these are all subnets of the group in the zones of its nodes, and all subnets of the group as
    /// long as the zone of a node is unknown.
    pub(crate) fn subnets_with_nodes(&self, group: &CacheSubnetGroup) -> BTreeSet<String> {
        let is_in_group =
            |cluster: &&CacheCluster| cluster.cache_subnet_group_name() == group.cache_subnet_group_name();
        let zones: Vec<Option<&str>> = self.0.iter().filter(is_in_group).flat_map(zones).collect();
        let may_have_node = |subnet: &&Subnet| {
            let zone = subnet.subnet_availability_zone().and_then(|zone| zone.name());
            zones.iter().any(|used| used.is_none() || zone.is_none() || *used == zone)
        };
        let subnets = group.subnets().iter().filter(may_have_node).filter_map(Subnet::subnet_identifier);
        subnets.map(str::to_owned).collect()
    }
}

/// Describes the cache cluster `id`, or all cache clusters, with their nodes.
pub(crate) async fn describe(client: &Client, id: Option<&str>) -> Result<Vec<CacheCluster>, Failure> {
    let call = client.describe_cache_clusters().show_cache_node_info(true);
    let all = call.set_cache_cluster_id(id.map(str::to_owned)).into_paginator().items().send();
    all.collect::<Result<_, _>>().await.for_operation("elasticache:DescribeCacheClusters")
}

/// Returns the zones of a cluster's nodes; `None` for a zone that is not known yet. For a cluster in several zones, AWS
/// reports `Multiple`, and the zones only with the individual nodes. (ElastiCache API: CacheCluster, CacheNode)
fn zones(cluster: &CacheCluster) -> Vec<Option<&str>> {
    let named = cluster.cache_nodes().iter().map(|node| node.customer_availability_zone());
    match named.collect::<Option<Vec<&str>>>().filter(|zones| !zones.is_empty()) {
        Some(zones) => zones.into_iter().map(Some).collect(),
        None => vec![cluster.preferred_availability_zone().filter(|zone| *zone != "Multiple")],
    }
}
