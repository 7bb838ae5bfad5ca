//! Engine versions and node types that ElastiCache offers in a region.

use crate::{Client, ReplicationGroup};
use aws_sdk_elasticache::config::Builder;
use aws_types::SdkConfig;
use futures_util::future::{join, join_all};
use pb_aws::{ForOperation, no_retry};
use pb_engine::{Address, Failure, Planned};

/// Availability of an engine version or a node type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// It is offered.
    Offered,
    /// It is not offered; the list contains what is offered instead, as far as that is known.
    NotOffered(Vec<String>),
    /// The endpoint offers nothing at all, which says nothing about AWS.
    Unlisted,
}

/// Availability of an engine version and a node type, where it can be determined.
#[derive(Debug)]
pub struct Offerings {
    /// Availability of the engine version.
    pub version: Result<Offer, Failure>,
    /// Availability of the node type. No call lists the node types, so the offerings of reserved nodes are looked up
    /// instead, which exist for every node type.
    pub node_type: Result<Offer, Failure>,
}

/// An engine version or a node type that a plan needs and that the region does not offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Address of the replication group.
    pub address: Address,
    /// Setting: `engine_version` or `node_type`.
    pub setting: &'static str,
    /// Wanted value, such as `redis 7.2` or `cache.t3.large`.
    pub wanted: String,
    /// The values that are offered instead, as far as they are known.
    pub offered: Vec<String>,
}

/// Looks up whether an engine version and a node type are offered. Failed calls are not retried, because nothing
/// depends on the result.
pub async fn offerings(config: &SdkConfig, engine: &str, version: &str, node_type: &str) -> Offerings {
    let client = Client::new(config);
    let (version, node_type) = join(version_offer(&client, engine, version), node_type_offer(&client, node_type)).await;
    Offerings { version, node_type }
}

/// Returns the engine versions and node types that a plan needs for a new or changed replication group and that the
/// region does not offer. A failed lookup counts as available, because AWS then refuses the call itself. Makes no call
/// unless the plan creates a replication group or changes one of the two.
pub async fn unavailable(config: &SdkConfig, planned: &Planned<'_>) -> Vec<Unavailable> {
    let created = planned.created::<ReplicationGroup>().into_iter().map(|(at, spec)| (at, None, spec));
    let modified = planned.modified::<ReplicationGroup>().into_iter().map(|(at, old, new)| (at, Some(old), new));
    let client = Client::new(config);
    let lookups = created.chain(modified).map(async |(address, before, spec)| {
        let keeps_version = before.as_ref().is_some_and(|old| old.engine_version == spec.engine_version);
        let keeps_type = before.as_ref().is_some_and(|old| old.node_type == spec.node_type);
        let mut found = Vec::new();
        if !keeps_version
            && let Ok(Offer::NotOffered(offered)) = version_offer(&client, &spec.engine, &spec.engine_version).await
        {
            let wanted = format!("{} {}", spec.engine, spec.engine_version);
            found.push(Unavailable { address: address.clone(), setting: "engine_version", wanted, offered });
        }
        if !keeps_type && let Ok(Offer::NotOffered(offered)) = node_type_offer(&client, &spec.node_type).await {
            found.push(Unavailable { address, setting: "node_type", wanted: spec.node_type.clone(), offered });
        }
        found
    });
    join_all(lookups).await.into_iter().flatten().collect()
}

async fn version_offer(client: &Client, engine: &str, version: &str) -> Result<Offer, Failure> {
    let listed = versions(client, Some(engine)).await?;
    // AWS reports the patch version, too, and `6.x` stands for the newest version 6.
    let prefix = format!("{}.", version.strip_suffix(".x").unwrap_or(version));
    if listed.iter().any(|found| found == version || found.starts_with(&prefix)) {
        return Ok(Offer::Offered);
    }
    match listed.is_empty() && versions(client, None).await?.is_empty() {
        true => Ok(Offer::Unlisted),
        false => Ok(Offer::NotOffered(listed)),
    }
}

async fn versions(client: &Client, engine: Option<&str>) -> Result<Vec<String>, Failure> {
    let call = client.describe_cache_engine_versions().set_engine(engine.map(str::to_owned));
    let answer = call.customize().config_override(Builder::new().retry_config(no_retry())).send().await;
    let answer = answer.for_operation("elasticache:DescribeCacheEngineVersions")?;
    Ok(answer.cache_engine_versions().iter().filter_map(|found| found.engine_version()).map(str::to_owned).collect())
}

async fn node_type_offer(client: &Client, node_type: &str) -> Result<Offer, Failure> {
    if has_offerings(client, Some(node_type)).await? {
        return Ok(Offer::Offered);
    }
    match has_offerings(client, None).await? {
        true => Ok(Offer::NotOffered(Vec::new())),
        false => Ok(Offer::Unlisted),
    }
}

async fn has_offerings(client: &Client, node_type: Option<&str>) -> Result<bool, Failure> {
    let call = client.describe_reserved_cache_nodes_offerings().set_cache_node_type(node_type.map(str::to_owned));
    let call = call.max_records(20).customize().config_override(Builder::new().retry_config(no_retry()));
    let answer = call.send().await.for_operation("elasticache:DescribeReservedCacheNodesOfferings")?;
    Ok(!answer.reserved_cache_nodes_offerings().is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Offer, node_type_offer, version_offer};
    use crate::Client;
    use aws_sdk_elasticache::operation::describe_cache_engine_versions::DescribeCacheEngineVersionsOutput;
    use aws_sdk_elasticache::operation::describe_reserved_cache_nodes_offerings::DescribeReservedCacheNodesOfferingsOutput;
    use aws_sdk_elasticache::types::{CacheEngineVersion, ReservedCacheNodesOffering};
    use aws_smithy_mocks::mock;

    /// Returns a client of an endpoint with these versions of Redis, and with offerings for one node type if `lists_nodes`.
    fn client(versions: &'static [&str], lists_nodes: bool) -> Client {
        let versions = mock!(Client::describe_cache_engine_versions)
            .match_requests(|call| call.engine() != Some("valkey"))
            .then_output(move || {
                let version = |text: &&str| CacheEngineVersion::builder().engine_version(*text).build();
                let all = Some(versions.iter().map(version).collect());
                DescribeCacheEngineVersionsOutput::builder().set_cache_engine_versions(all).build()
            });
        let none = mock!(Client::describe_cache_engine_versions)
            .then_output(|| DescribeCacheEngineVersionsOutput::builder().build());
        let nodes = mock!(Client::describe_reserved_cache_nodes_offerings)
            .match_requests(move |call| lists_nodes && call.cache_node_type() != Some("cache.t3.large"))
            .then_output(|| {
                let one = ReservedCacheNodesOffering::builder().cache_node_type("cache.t3.small").build();
                DescribeReservedCacheNodesOfferingsOutput::builder().reserved_cache_nodes_offerings(one).build()
            });
        let no_nodes = mock!(Client::describe_reserved_cache_nodes_offerings)
            .then_output(|| DescribeReservedCacheNodesOfferingsOutput::builder().build());
        pb_aws::mock_client!(aws_sdk_elasticache, [&versions, &none, &nodes, &no_nodes])
    }

    #[tokio::test]
    async fn version_is_offered_with_any_patch_version() {
        let redis = client(&["6.2.6", "7.1.0"], true);
        for version in ["7.1", "7.1.0", "6.x"] {
            assert_eq!(version_offer(&redis, "redis", version).await.unwrap(), Offer::Offered, "{version}");
        }
        let others = Offer::NotOffered(vec!["6.2.6".to_owned(), "7.1.0".to_owned()]);
        assert_eq!(version_offer(&redis, "redis", "7").await.unwrap(), Offer::Offered);
        assert_eq!(version_offer(&redis, "redis", "7.2").await.unwrap(), others);
        assert_eq!(version_offer(&redis, "valkey", "8.0").await.unwrap(), Offer::NotOffered(Vec::new()));
    }

    #[tokio::test]
    async fn node_type_without_offerings_is_not_offered() {
        let redis = client(&[], true);
        assert_eq!(node_type_offer(&redis, "cache.t3.small").await.unwrap(), Offer::Offered);
        assert_eq!(node_type_offer(&redis, "cache.t3.large").await.unwrap(), Offer::NotOffered(Vec::new()));
    }

    #[tokio::test]
    async fn endpoint_without_any_offerings_says_nothing() {
        let nothing = client(&[], false);
        assert_eq!(version_offer(&nothing, "redis", "7.1").await.unwrap(), Offer::Unlisted);
        assert_eq!(node_type_offer(&nothing, "cache.t3.small").await.unwrap(), Offer::Unlisted);
    }
}
