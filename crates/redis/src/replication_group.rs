//! `elasticache.replication_group`: the queue itself, one node of Redis or Valkey.

mod calls;
mod change;
#[cfg(test)]
mod change_tests;
pub(crate) mod engine_version;
mod observed;
#[cfg(test)]
mod tests;

use self::observed::{attrs_of, member_of, status};
use crate::clusters::CacheClusters;
use crate::{Client, ownership, tags};
use aws_sdk_elasticache::types::ReplicationGroup as Group;
use futures_util::future::{try_join, try_join_all};
use pb_aws::ForOperation;
use pb_engine::{Backoff, Change, Class, Context, Failure, Found, Progress, ReadScope, Resource};
use pb_engine::{is_unknown, list_with_details, unknown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const DESCRIBE: &str = "elasticache:DescribeReplicationGroups";

/// Limit of the wait for a create (5 to 8 minutes), a delete (3 to 8 minutes) or a change of the node type (up to 20
/// minutes).
const CHANGE_TIMEOUT: Backoff = Backoff::minutes(Duration::from_secs(30 * 60));

/// Limit of the wait until an accepted change becomes visible. Until then, the group still reports `available` for some
/// seconds.
const VISIBILITY_TIMEOUT: Backoff = Backoff::seconds(Duration::from_secs(120));

/// Number of polls in which a new group may not be found yet: about half a minute.
const MAX_INVISIBLE_POLLS: u32 = 60;

/// Resource kind for replication groups.
///
/// Redis becomes Valkey in place, with all jobs and the same endpoint. Valkey cannot become Redis, and no version can be
/// lowered: such a change replaces the group. Jobs that wait in the queue are lost, as in every replacement.
pub struct ReplicationGroup {
    client: Client,
}

impl ReplicationGroup {
    /// Creates the resource kind, which makes its calls through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// Spec of a replication group. Cluster mode is always disabled, because a broker must not run in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicationGroupSpec {
    /// Id in lower case.
    pub id: String,
    /// Description; must not be empty. It can be updated in place.
    pub description: String,
    /// Engine: `redis` or `valkey`.
    pub engine: String,
    /// Engine version, such as `7.1`; versions before 6 include the patch version, as in `5.0.6`.
    pub engine_version: String,
    /// Node type, such as `cache.t3.small`.
    pub node_type: String,
    /// Port of all endpoints.
    pub port: i32,
    /// Number of nodes, including the primary. If absent, it is not managed: a new group has one node.
    pub nodes: Option<i32>,
    /// Name of the subnet group.
    pub subnet_group: String,
    /// Name of the parameter group, whose family must match the engine and its version.
    pub parameter_group: String,
    /// Ids of at most five security groups.
    pub security_group_ids: BTreeSet<String>,
    /// `true` if a replica automatically takes over from a failed primary; requires at least one replica. If absent, it
    /// is not managed.
    pub automatic_failover: Option<bool>,
    /// `true` if the nodes run in several zones; requires automatic failover. If absent, it is not managed.
    pub multi_az: Option<bool>,
    /// `true` if clients must use TLS.
    pub transit_encryption: bool,
    /// `true` if data on disk is encrypted, with any key. If absent, it is not managed: AWS encrypts the data of a new
    /// Valkey group, and not that of Redis. (ElastiCache API: CreateReplicationGroup)
    pub at_rest_encryption: Option<bool>,
    /// `true` if AWS may upgrade to a later minor version than the configured one. If absent, it is not managed: AWS
    /// may upgrade a new group.
    pub auto_minor_version_upgrade: Option<bool>,
    /// `true` if AWS could not create the group, which must then be deleted; `false` in a configured spec.
    #[serde(default)]
    pub failed: bool,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a replication group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicationGroupAttrs {
    /// Id of the group.
    pub id: String,
    /// ARN of the group.
    pub arn: String,
    /// Host name of the primary endpoint, which accepts writes; unknown until the group has been available.
    pub primary_endpoint_address: String,
    /// Port of all endpoints.
    pub port: i32,
}

impl Resource for ReplicationGroup {
    const KIND: &'static str = "elasticache.replication_group";
    const TAG_INDEXED: bool = true;
    const BLOCKS_DELETION_OF: &'static [&'static str] =
        &["elasticache.subnet_group", "elasticache.parameter_group", "ec2.security_group"];
    const RETAINED_FIELDS: &'static [&'static str] = &["id"];
    const OPTIONAL_FIELDS: &'static [&'static str] =
        &["nodes", "automatic_failover", "multi_az", "at_rest_encryption", "auto_minor_version_upgrade"];
    type Spec = ReplicationGroupSpec;
    type Attrs = ReplicationGroupAttrs;

    fn validate(spec: &ReplicationGroupSpec) -> Result<(), String> {
        let rules = || {
            if !is_unknown(&spec.id) {
                pb_rules::names::replication_group(&spec.id)?;
            }
            pb_rules::cache::family(&spec.engine, &spec.engine_version)?;
            pb_rules::cache::node_type(&spec.node_type)?;
            pb_rules::network::port(spec.port.into())
        };
        rules().map_err(|violation| violation.to_string())?;
        match (spec.nodes, spec.automatic_failover, spec.multi_az) {
            (Some(nodes), ..) if !(1..=6).contains(&nodes) => {
                Err(format!("invalid number of nodes {nodes}: must be between 1 and 6"))
            }
            (Some(1), Some(true), _) => Err("automatic failover needs at least 2 nodes".to_owned()),
            (_, Some(false), Some(true)) => Err("nodes in several zones need automatic failover".to_owned()),
            _ => Ok(()),
        }
    }

    fn planned_attrs(spec: &ReplicationGroupSpec) -> ReplicationGroupAttrs {
        ReplicationGroupAttrs {
            id: spec.id.clone(),
            arn: unknown(),
            primary_endpoint_address: unknown(),
            port: spec.port,
        }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "id" | "port" | "subnet_group" | "transit_encryption" | "at_rest_encryption" | "failed")
    }

    fn change_requires_replacement(field: &str, old: &ReplicationGroupSpec, new: &ReplicationGroupSpec) -> bool {
        Self::requires_replacement(field) || change::needs_another_group(field, old, new)
    }

    fn can_coexist(old: &ReplicationGroupSpec, new: &ReplicationGroupSpec) -> bool {
        old.id != new.id
    }

    fn id(attrs: &ReplicationGroupAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    /// Reads the groups, without those that are being deleted. Nothing can be done with such a group: a create waits
    /// until its id is free, and the resources that it uses cannot be deleted before the group is gone.
    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let candidates = async {
            let mut groups = self.groups().await?;
            groups.retain(|group| {
                let id = group.replication_group_id().unwrap_or_default();
                status(group) != "deleting"
                    && ownership::is_candidate(scope, id, |spec| &spec.id, |attrs: &ReplicationGroupAttrs| &attrs.id)
            });
            Ok(groups)
        };
        let recorded = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
        let arn = |group: &Group| group.arn().map(str::to_owned);
        let tags = |arns| tags::of(scope, &self.client, arns);
        let (groups, clusters) =
            try_join(list_with_details(candidates, recorded, arn, tags), CacheClusters::read(scope, &self.client))
                .await?;
        let found = groups
            .iter()
            .map(|(group, tags)| self.classify(scope, group, tags.as_ref(), member_of(group, &clusters.0)));
        let untagged = groups.iter().filter_map(|(group, tags)| {
            scope.untagged(tags.as_ref()?, &attrs_of(group, member_of(group, &clusters.0), None))
        });
        Ok(try_join_all(found).await?.into_iter().flatten().chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &ReplicationGroupSpec) -> Result<ReplicationGroupAttrs, Failure> {
        let call = self
            .client
            .create_replication_group()
            .replication_group_id(&spec.id)
            .replication_group_description(&spec.description)
            .engine(&spec.engine)
            .engine_version(&spec.engine_version)
            .cache_node_type(&spec.node_type)
            .port(spec.port)
            .num_cache_clusters(spec.nodes.unwrap_or(1))
            .cache_subnet_group_name(&spec.subnet_group)
            .cache_parameter_group_name(&spec.parameter_group)
            .set_security_group_ids(Some(spec.security_group_ids.iter().cloned().collect()))
            .set_automatic_failover_enabled(spec.automatic_failover)
            .set_multi_az_enabled(spec.multi_az)
            .transit_encryption_enabled(spec.transit_encryption)
            .set_at_rest_encryption_enabled(spec.at_rest_encryption)
            .set_auto_minor_version_upgrade(spec.auto_minor_version_upgrade)
            .set_tags(Some(tags::to_sdk(&cx.tags(&spec.tags))));
        match call.send().await.for_operation("elasticache:CreateReplicationGroup") {
            Ok(output) => Ok(output
                .replication_group()
                .map_or_else(|| Self::planned_attrs(spec), |group| attrs_of(group, None, Some(spec.port)))),
            Err(failure) if failure.class == Class::Exists => Err(self.explain_exists(&spec.id, failure).await?),
            Err(failure) => Err(failure),
        }
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &ReplicationGroupAttrs,
        spec: &ReplicationGroupSpec,
        changes: &[Change],
    ) -> Result<ReplicationGroupAttrs, Failure> {
        tags::change(&self.client, &attrs.arn, &spec.tags, changes).await?;
        for part in change::calls(changes) {
            self.modify(cx, attrs, spec, &part).await?;
        }
        if let (true, Some(nodes)) = (change::has(changes, "nodes"), spec.nodes) {
            self.set_nodes(cx, attrs, spec, nodes, changes).await?;
        }
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: ReplicationGroupAttrs) -> Result<ReplicationGroupAttrs, Failure> {
        let polls = AtomicU32::new(0);
        cx.wait(DESCRIBE, CHANGE_TIMEOUT, || async {
            let id = &attrs.id;
            let Some(group) = self.find(id).await? else {
                if polls.fetch_add(1, Ordering::Relaxed) < MAX_INVISIBLE_POLLS {
                    return Ok(Progress::Pending(format!("waiting for queue {id} to become visible")));
                }
                return Err(Failure::new(Class::NotFound, DESCRIBE, format!("replication group {id} not found")));
            };
            let ready = attrs_of(&group, None, Some(attrs.port));
            let failed = |what: String| Err(Failure::new(Class::Failed, DESCRIBE, what));
            match status(&group) {
                "available" if !is_unknown(&ready.primary_endpoint_address) => Ok(Progress::Ready(ready)),
                "create-failed" => Err(self.creation_failure(&group).await),
                "deleting" => failed(format!("replication group {id} is being deleted"))
                    .map_err(|failure| failure.hint("run the same command again")),
                state => Ok(Progress::Pending(format!("waiting for queue {id} ({state})"))),
            }
        })
        .await
    }

    async fn delete(&self, cx: &Context, attrs: &ReplicationGroupAttrs) -> Result<(), Failure> {
        let id = &attrs.id;
        self.check_ownership(cx, attrs).await?;
        if let Err(failure) = self.send_delete(id).await {
            if !tags::is_unavailable(&failure) {
                return Err(failure);
            }
            let group = self.wait_until_changeable(cx, id).await?;
            if group.is_some_and(|group| status(&group) != "deleting") {
                let busy = ["InvalidReplicationGroupState", "InvalidCacheClusterState"];
                self.send_delete(id).await.map_err(|failure| failure.when(&busy, Class::NotReady))?;
            }
        }
        cx.wait(DESCRIBE, CHANGE_TIMEOUT, || async {
            Ok(match self.find(id).await? {
                None => Progress::Ready(()),
                Some(group) => {
                    Progress::Pending(format!("waiting for the deletion of queue {id} ({})", status(&group)))
                }
            })
        })
        .await
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::forget(&self.client, &attrs.arn).await
    }
}
