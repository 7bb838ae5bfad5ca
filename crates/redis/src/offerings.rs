//! Engine versions and node types that ElastiCache offers in a region.

use crate::replication_group::engine_version;
use crate::{Client, ReplicationGroup, ReplicationGroupSpec};
use aws_sdk_elasticache::config::Builder;
use aws_sdk_elasticache::operation::describe_cache_engine_versions::builders::DescribeCacheEngineVersionsFluentBuilder;
use aws_sdk_elasticache::types::CacheEngineVersion;
use aws_types::SdkConfig;
use futures_util::future::{join, join_all};
use pb_aws::{ForOperation, no_retry};
use pb_engine::{Address, Failure, Planned};

const VERSIONS: &str = "elasticache:DescribeCacheEngineVersions";

/// Version that a new queue gets if none is configured and the endpoint does not list any, as local endpoints do.
/// ElastiCache itself always lists versions.
pub const UNLISTED_VERSION: &str = "8.0";

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
    pub version: Result<VersionOffer, Failure>,
    /// Availability of the node type. No call lists the node types, so the offerings of reserved nodes are looked up
    /// instead, which exist for every node type.
    pub node_type: Result<Offer, Failure>,
}

/// Availability of an engine version, and the newer ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionOffer {
    /// Availability of the version; of the newest one if the lookup names no version.
    pub offer: Offer,
    /// Offered versions that are newer than the named one, the oldest first; all versions if the lookup names none.
    pub newer: Vec<String>,
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
pub async fn offerings(config: &SdkConfig, engine: &str, version: Option<&str>, node_type: &str) -> Offerings {
    let client = Client::new(config);
    let (version, node_type) = join(version_offer(&client, engine, version), node_type_offer(&client, node_type)).await;
    Offerings { version, node_type }
}

/// Returns the newest offered version of an engine, such as `8.2`; `None` if the endpoint lists none. Versions whose
/// parameter group family is unknown to this crate are left out, because their queue could not be configured.
///
/// # Errors
/// A failed call.
pub async fn newest_version(config: &SdkConfig, engine: &str) -> Result<Option<String>, Failure> {
    Ok(usable(engine, &versions(&Client::new(config), Some(engine)).await?).pop())
}

/// Returns the engine versions and node types that a plan needs for a new or changed replication group and that the
/// region does not offer. A failed lookup counts as available, because AWS then refuses the call itself. Makes no call
/// unless the plan creates a replication group or changes one of the two.
pub async fn unavailable(config: &SdkConfig, planned: &Planned<'_>) -> Vec<Unavailable> {
    let created = planned.created::<ReplicationGroup>().into_iter().map(|(at, spec)| (at, None, spec));
    let modified = planned.modified::<ReplicationGroup>().into_iter().map(|(at, old, new)| (at, Some(old), new));
    let client = Client::new(config);
    let lookups = created.chain(modified).map(async |(address, before, spec)| {
        let engine = |spec: &ReplicationGroupSpec| (spec.engine.clone(), spec.engine_version.clone());
        let keeps_version = before.as_ref().is_some_and(|old| engine(old) == engine(&spec));
        let keeps_type = before.as_ref().is_some_and(|old| old.node_type == spec.node_type);
        let mut found = Vec::new();
        if !keeps_version
            && let Ok(VersionOffer { offer: Offer::NotOffered(offered), .. }) =
                version_offer(&client, &spec.engine, Some(&spec.engine_version)).await
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

async fn version_offer(client: &Client, engine: &str, version: Option<&str>) -> Result<VersionOffer, Failure> {
    let listed = without_retries(versions_call(client, Some(engine))).await?;
    let mut newer = usable(engine, &listed);
    let Some(version) = version else {
        let offer = if newer.is_empty() { Offer::Unlisted } else { Offer::Offered };
        return Ok(VersionOffer { offer, newer });
    };
    newer.retain(|found| engine_version::is_earlier(version, found));
    // AWS reports the patch version, too, and `6.x` stands for the newest version 6.
    let prefix = format!("{}.", version.strip_suffix(".x").unwrap_or(version));
    let mut full = listed.iter().filter_map(|found| found.engine_version());
    let offer = match full.any(|found| found == version || found.starts_with(&prefix)) {
        true => Offer::Offered,
        false if listed.is_empty() && without_retries(versions_call(client, None)).await?.is_empty() => Offer::Unlisted,
        false => Offer::NotOffered(listed.iter().filter_map(|found| found.engine_version.clone()).collect()),
    };
    Ok(VersionOffer { offer, newer })
}

/// Returns the versions in the form in which they are configured, the oldest first, without those whose family differs
/// from the one that this crate would use.
fn usable(engine: &str, listed: &[CacheEngineVersion]) -> Vec<String> {
    let usable = listed.iter().filter_map(|found| {
        let version = engine_version::normalize(found.engine_version()?, None);
        let family = pb_rules::cache::family(engine, &version).ok()?;
        let is_same = found.cache_parameter_group_family().is_none_or(|reported| reported == family);
        is_same.then_some(version)
    });
    let mut usable: Vec<String> = usable.collect();
    usable.sort_by(|version, other| engine_version::compare(version, other));
    usable.dedup();
    usable
}

async fn versions(client: &Client, engine: Option<&str>) -> Result<Vec<CacheEngineVersion>, Failure> {
    let answer = versions_call(client, engine).into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
    answer.for_operation(VERSIONS)
}

/// Returns all pages of a call, none of which is retried.
async fn without_retries(call: DescribeCacheEngineVersionsFluentBuilder) -> Result<Vec<CacheEngineVersion>, Failure> {
    let (mut all, mut marker) = (Vec::new(), None);
    loop {
        let page = call.clone().set_marker(marker).customize();
        let page =
            page.config_override(Builder::new().retry_config(no_retry())).send().await.for_operation(VERSIONS)?;
        marker = page.marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
        all.extend(page.cache_engine_versions.unwrap_or_default());
        if marker.is_none() {
            return Ok(all);
        }
    }
}

fn versions_call(client: &Client, engine: Option<&str>) -> DescribeCacheEngineVersionsFluentBuilder {
    client.describe_cache_engine_versions().set_engine(engine.map(str::to_owned))
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
    use super::{Offer, VersionOffer, node_type_offer, version_offer};
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

    async fn offer(client: &Client, engine: &str, version: &str) -> Offer {
        version_offer(client, engine, Some(version)).await.unwrap().offer
    }

    #[tokio::test]
    async fn version_is_offered_with_any_patch_version() {
        let redis = client(&["6.2.6", "7.1.0"], true);
        for version in ["7.1", "7.1.0", "6.x"] {
            assert_eq!(offer(&redis, "redis", version).await, Offer::Offered, "{version}");
        }
        let others = Offer::NotOffered(vec!["6.2.6".to_owned(), "7.1.0".to_owned()]);
        assert_eq!(offer(&redis, "redis", "7").await, Offer::Offered);
        assert_eq!(offer(&redis, "redis", "7.2").await, others);
        assert_eq!(offer(&redis, "valkey", "8.0").await, Offer::NotOffered(Vec::new()));
    }

    /// Returns a client whose second page of Valkey versions has the newest one.
    fn two_pages() -> Client {
        let version = |text: &str, family: &str| {
            CacheEngineVersion::builder().engine_version(text).cache_parameter_group_family(family).build()
        };
        let first = mock!(Client::describe_cache_engine_versions).match_requests(|call| call.marker().is_none());
        let first = first.then_output(move || {
            let page = DescribeCacheEngineVersionsOutput::builder().marker("next");
            page.cache_engine_versions(version("9.0.1", "valkey9"))
                .cache_engine_versions(version("8.2.0", "valkey8"))
                .build()
        });
        let second = mock!(Client::describe_cache_engine_versions).match_requests(|call| call.marker() == Some("next"));
        let second = second.then_output(move || {
            let page = DescribeCacheEngineVersionsOutput::builder();
            let page = page.cache_engine_versions(version("10.0.0", "valkey10"));
            page.cache_engine_versions(version("11.0.0", "valkey-next")).build()
        });
        pb_aws::mock_client!(aws_sdk_elasticache, [&first, &second])
    }

    #[tokio::test]
    async fn newest_version_is_found_on_all_pages_by_number() {
        let valkey = two_pages();
        let listed = super::versions(&valkey, Some("valkey")).await.unwrap();
        let usable = super::usable("valkey", &listed);
        assert_eq!(usable, ["8.2", "9.0", "10.0"], "the family of version 11 is unknown");
        let found = version_offer(&valkey, "valkey", Some("9.0")).await.unwrap();
        assert_eq!(found, VersionOffer { offer: Offer::Offered, newer: vec!["10.0".to_owned()] });
        let found = version_offer(&valkey, "valkey", None).await.unwrap();
        assert_eq!(found, VersionOffer { offer: Offer::Offered, newer: usable });
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
        assert_eq!(offer(&nothing, "redis", "7.1").await, Offer::Unlisted);
        assert_eq!(version_offer(&nothing, "valkey", None).await.unwrap().offer, Offer::Unlisted);
        assert_eq!(node_type_offer(&nothing, "cache.t3.small").await.unwrap(), Offer::Unlisted);
    }
}
