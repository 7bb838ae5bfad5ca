//! Engine versions and node types that ElastiCache offers in a region.

use crate::Client;
use aws_sdk_elasticache::config::Builder;
use aws_types::SdkConfig;
use pb_aws::{ForOperation, no_retry};
use pb_engine::Failure;

/// Availability of an engine version and a node type, where it can be determined.
#[derive(Debug)]
pub struct Offerings {
    /// `true` if the engine version is offered.
    pub version: Result<bool, Failure>,
    /// `true` if the node type is offered. No call lists the node types, so the offerings of reserved nodes are looked
    /// up instead, which exist for every node type.
    pub node_type: Result<bool, Failure>,
}

/// Looks up whether an engine version and a node type are offered. Failed calls are not retried, because nothing
/// depends on the result.
pub async fn offerings(config: &SdkConfig, engine: &str, version: &str, node_type: &str) -> Offerings {
    let client = Client::new(config);
    let no_retry_config = || Builder::new().retry_config(no_retry());
    let versions = client.describe_cache_engine_versions().engine(engine);
    let versions = versions.customize().config_override(no_retry_config()).send().await;
    let nodes = client.describe_reserved_cache_nodes_offerings().cache_node_type(node_type).max_records(20);
    let nodes = nodes.customize().config_override(no_retry_config()).send().await;
    Offerings {
        version: versions.for_operation("elasticache:DescribeCacheEngineVersions").map(|answer| {
            let full = answer.cache_engine_versions().iter().filter_map(|found| found.engine_version());
            let mut full = full.filter(|found| *found == version || found.starts_with(&format!("{version}.")));
            full.next().is_some()
        }),
        node_type: nodes
            .for_operation("elasticache:DescribeReservedCacheNodesOfferings")
            .map(|answer| !answer.reserved_cache_nodes_offerings().is_empty()),
    }
}
