//! Spec and attributes of a replication group, from the descriptions of the group and its first member.

use super::engine_version::{is_later_minor, normalize};
use crate::{ReplicationGroupAttrs, ReplicationGroupSpec};
use aws_sdk_elasticache::types::{
    AutomaticFailoverStatus, CacheCluster, Endpoint, MultiAzStatus, ReplicationGroup, StorageEncryptionType,
};
use pb_engine::{Ownership, unknown};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the status of a replication group: `creating`, `available`, `modifying`, `snapshotting`, `deleting`,
/// `create-failed`.
pub(super) fn status(group: &ReplicationGroup) -> &str {
    group.status().unwrap_or("unknown")
}

/// Returns the live spec. Values that AWS does not report (for a group that is being created, the port and at first the
/// members) are taken from `wanted`, so that they do not show as changes. Pending modifications count as live values.
pub(super) fn spec_of(
    group: &ReplicationGroup,
    member: Option<&CacheCluster>,
    wanted: Option<&ReplicationGroupSpec>,
    tags: &BTreeMap<String, String>,
) -> ReplicationGroupSpec {
    let pending =
        if status(group) == "modifying" { member.and_then(CacheCluster::pending_modified_values) } else { None };
    let text = |reported: Option<&str>, wanted: Option<&String>| match reported {
        Some(reported) => reported.to_owned(),
        None => wanted.cloned().unwrap_or_default(),
    };
    let upgrades = group
        .auto_minor_version_upgrade()
        .or_else(|| member?.auto_minor_version_upgrade())
        .or_else(|| wanted?.auto_minor_version_upgrade);
    let reported_version = pending
        .and_then(|pending| pending.engine_version())
        .or_else(|| member.and_then(CacheCluster::engine_version))
        .map(|version| {
            let wanted = wanted.map(|wanted| wanted.engine_version.as_str());
            let version = normalize(version, wanted);
            // AWS has upgraded the group, which is not undone: a return to the earlier version would replace the queue.
            let upgraded = wanted.filter(|wanted| upgrades == Some(true) && is_later_minor(&version, wanted));
            upgraded.map_or(version, str::to_owned)
        });
    let node_type = pending
        .and_then(|pending| pending.cache_node_type())
        .or_else(|| group.cache_node_type())
        .or_else(|| member.and_then(CacheCluster::cache_node_type));
    let parameter_group =
        member.and_then(CacheCluster::cache_parameter_group).and_then(|group| group.cache_parameter_group_name());
    let failover = group
        .automatic_failover()
        .map(|status| matches!(status, AutomaticFailoverStatus::Enabled | AutomaticFailoverStatus::Enabling));
    ReplicationGroupSpec {
        id: group.replication_group_id().unwrap_or_default().to_owned(),
        description: text(group.description(), wanted.map(|wanted| &wanted.description)),
        engine: text(group.engine().or_else(|| member?.engine()), wanted.map(|wanted| &wanted.engine)),
        engine_version: reported_version
            .unwrap_or_else(|| wanted.map(|wanted| wanted.engine_version.clone()).unwrap_or_default()),
        node_type: text(node_type, wanted.map(|wanted| &wanted.node_type)),
        port: port(group, member).or(wanted.map(|wanted| wanted.port)).unwrap_or_default(),
        nodes: nodes(group).or_else(|| wanted?.nodes),
        subnet_group: text(member.and_then(|member| member.cache_subnet_group_name()), wanted.map(|w| &w.subnet_group)),
        parameter_group: text(parameter_group, wanted.map(|wanted| &wanted.parameter_group)),
        security_group_ids: member
            .map(security_groups)
            .or_else(|| Some(wanted?.security_group_ids.clone()))
            .unwrap_or_default(),
        automatic_failover: failover.or_else(|| wanted?.automatic_failover),
        multi_az: Some(group.multi_az().is_some_and(|status| *status == MultiAzStatus::Enabled)),
        transit_encryption: group.transit_encryption_enabled().unwrap_or_default(),
        at_rest_encryption: Some(is_encrypted_at_rest(group, wanted.and_then(|wanted| wanted.at_rest_encryption))),
        auto_minor_version_upgrade: upgrades,
        failed: status(group) == "create-failed",
        tags: Ownership::user_tags(tags),
    }
}

/// Returns whether data on disk is encrypted. AWS may encrypt the data of a group that was created without encryption;
/// the flag then stays `false`, and the type of the encryption is the effective setting. Such a group counts as not
/// encrypted only if the desired spec says so. (ElastiCache API: ReplicationGroup)
fn is_encrypted_at_rest(group: &ReplicationGroup, wanted: Option<bool>) -> bool {
    let flag = group.at_rest_encryption_enabled().unwrap_or_default();
    let encrypted = group.storage_encryption_type().is_some_and(|kind| *kind != StorageEncryptionType::None);
    flag || (encrypted && wanted != Some(false))
}

/// Returns the attributes. The endpoint is unknown until the group is available for the first time.
pub(super) fn attrs_of(
    group: &ReplicationGroup,
    member: Option<&CacheCluster>,
    wanted_port: Option<i32>,
) -> ReplicationGroupAttrs {
    let address = endpoint(group).and_then(|endpoint| endpoint.address()).filter(|address| !address.is_empty());
    ReplicationGroupAttrs {
        id: group.replication_group_id().unwrap_or_default().to_owned(),
        arn: group.arn().unwrap_or_default().to_owned(),
        primary_endpoint_address: address.map_or_else(unknown, str::to_owned),
        port: port(group, member).or(wanted_port).unwrap_or_default(),
    }
}

/// Returns the first member of the group, which represents all members.
pub(super) fn member_of<'a>(group: &ReplicationGroup, clusters: &'a [CacheCluster]) -> Option<&'a CacheCluster> {
    clusters.iter().find(|cluster| cluster.replication_group_id() == group.replication_group_id())
}

fn endpoint(group: &ReplicationGroup) -> Option<&Endpoint> {
    group.node_groups().first().and_then(|nodes| nodes.primary_endpoint())
}

/// Returns the port; `None` until an endpoint exists. An endpoint that AWS reports without a port, or with port 0, does
/// not exist yet.
fn port(group: &ReplicationGroup, member: Option<&CacheCluster>) -> Option<i32> {
    let node = || member.and_then(|member| member.cache_nodes().first()).and_then(|node| node.endpoint());
    let reported = endpoint(group).and_then(Endpoint::port).or_else(|| node().and_then(Endpoint::port));
    reported.filter(|port| *port != 0)
}

fn nodes(group: &ReplicationGroup) -> Option<i32> {
    let members = group.member_clusters();
    i32::try_from(members.len()).ok().filter(|count| *count > 0)
}

fn security_groups(member: &CacheCluster) -> BTreeSet<String> {
    member.security_groups().iter().filter_map(|group| group.security_group_id().map(str::to_owned)).collect()
}
