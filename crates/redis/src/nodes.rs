//! Engines of the existing queues, for a configuration without a version.

use crate::Client;
use crate::clusters;
use crate::replication_group::engine_version::normalize;
use aws_sdk_elasticache::types::CacheCluster;
use aws_types::SdkConfig;
use pb_engine::Failure;

/// Engine of a node of a replication group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueNode {
    /// Id of the replication group.
    pub replication_group: String,
    /// Engine: `redis` or `valkey`.
    pub engine: String,
    /// Version in the form in which it is configured, such as `8.0`; `None` as long as AWS does not report it.
    pub version: Option<String>,
    /// Version that the node gets by a change that is in progress. AWS does not report the engine that it gets.
    pub next_version: Option<String>,
}

/// Returns the nodes of all replication groups in the region. Makes one call.
///
/// # Errors
/// A failed call.
pub async fn queue_nodes(config: &SdkConfig) -> Result<Vec<QueueNode>, Failure> {
    Ok(clusters::describe(&Client::new(config), None).await?.iter().filter_map(node_of).collect())
}

fn node_of(cluster: &CacheCluster) -> Option<QueueNode> {
    let configured = |version: Option<&str>| version.map(|version| normalize(version, None));
    Some(QueueNode {
        replication_group: cluster.replication_group_id()?.to_owned(),
        engine: cluster.engine().unwrap_or_default().to_owned(),
        version: configured(cluster.engine_version()),
        next_version: configured(cluster.pending_modified_values().and_then(|pending| pending.engine_version())),
    })
}

#[cfg(test)]
mod tests {
    use super::{QueueNode, node_of};
    use aws_sdk_elasticache::types::{CacheCluster, PendingModifiedValues};

    #[test]
    fn node_has_versions_as_they_are_configured() {
        let pending = PendingModifiedValues::builder().engine_version("8.0.1").build();
        let cluster = CacheCluster::builder().engine("redis").engine_version("7.1.0").pending_modified_values(pending);
        assert_eq!(node_of(&cluster.clone().build()), None, "it is a node of no replication group");
        let node = QueueNode {
            replication_group: "staging-jobqr".to_owned(),
            engine: "redis".to_owned(),
            version: Some("7.1".to_owned()),
            next_version: Some("8.0".to_owned()),
        };
        assert_eq!(node_of(&cluster.replication_group_id("staging-jobqr").build()), Some(node));
    }
}
