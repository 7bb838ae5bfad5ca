//! AWS calls shared by several operations of the resource kind.

use super::observed::{attrs_of, spec_of, status};
use super::{DESCRIBE, ReplicationGroup, ReplicationGroupAttrs};
use crate::tags;
use aws_sdk_elasticache::types::{CacheCluster, ReplicationGroup as Group, SourceType};
use pb_aws::ForOperation;
use pb_engine::{Address, Class, Context, Failure, Found, ReadScope};
use std::collections::BTreeMap;

impl ReplicationGroup {
    pub(super) async fn groups(&self) -> Result<Vec<Group>, Failure> {
        let all = self.client.describe_replication_groups().into_paginator().items().send();
        all.collect::<Result<_, _>>().await.for_operation(DESCRIBE)
    }

    pub(super) async fn find(&self, id: &str) -> Result<Option<Group>, Failure> {
        match self.client.describe_replication_groups().replication_group_id(id).send().await.for_operation(DESCRIBE) {
            Ok(output) => Ok(output.replication_groups.unwrap_or_default().into_iter().next()),
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn send_delete(&self, id: &str) -> Result<(), Failure> {
        let call = self.client.delete_replication_group().replication_group_id(id).retain_primary_cluster(false);
        call.send().await.for_operation("elasticache:DeleteReplicationGroup").map(drop)
    }

    pub(super) async fn classify(
        &self,
        scope: &ReadScope<Self>,
        group: &Group,
        tags: Option<&BTreeMap<String, String>>,
        member: Option<&CacheCluster>,
    ) -> Result<Option<Found<Self>>, Failure> {
        let id = group.replication_group_id().unwrap_or_default();
        let wanted = scope.desired.iter().find(|(_, spec)| spec.id == id);
        let what = format!("replication group {id}");
        let address = match tags {
            Some(tags) => scope.managed_address(tags, &[id]),
            None => self.address_without_tags(scope, id, wanted.map(|(address, _)| address), member).await?,
        };
        let Some(address) = address else {
            return Ok(wanted.map(|(address, _)| match tags {
                Some(tags) => scope.unmanaged(address, what, tags, id),
                None => {
                    let advice = format!(
                        "its tags cannot be read while it is {}: run the command again when it is available",
                        status(group)
                    );
                    Found::not_importable(address.clone(), what, advice)
                }
            }));
        };
        let wanted = scope.desired.iter().find(|(at, _)| *at == address).or(wanted);
        let tags = match (tags, wanted) {
            (Some(tags), _) => tags.clone(),
            (None, Some((_, wanted))) => wanted.tags.clone(),
            (None, None) => BTreeMap::new(),
        };
        let wanted = wanted.map(|(_, spec)| spec);
        Ok(Some(Found::Managed {
            address,
            spec: spec_of(group, member, wanted, &tags),
            attrs: attrs_of(group, member, wanted.map(|wanted| wanted.port)),
            // A group serves while AWS takes a snapshot of it.
            ready: matches!(status(group), "available" | "snapshotting"),
        }))
    }

    /// Returns the address of a group whose tags cannot be read, if the group counts as managed: it is recorded, or it
    /// is desired and its subnet group carries this workspace's ownership tags.
    async fn address_without_tags(
        &self,
        scope: &ReadScope<Self>,
        id: &str,
        wanted: Option<&Address>,
        member: Option<&CacheCluster>,
    ) -> Result<Option<Address>, Failure> {
        if let Some(address) = scope.find_recorded(|attrs| attrs.id == id) {
            return Ok(Some(address.clone()));
        }
        let (Some(wanted), Some(name)) = (wanted, member.and_then(CacheCluster::cache_subnet_group_name)) else {
            return Ok(None);
        };
        let call = self.client.describe_cache_subnet_groups().cache_subnet_group_name(name).send();
        let output = call.await.for_operation("elasticache:DescribeCacheSubnetGroups")?;
        let arn = output.cache_subnet_groups().first().and_then(|group| group.arn()).unwrap_or_default();
        let is_managed =
            tags::read(&self.client, arn).await?.is_some_and(|tags| scope.address_from_tags(&tags).is_some());
        Ok(is_managed.then(|| wanted.clone()))
    }

    /// Refuses to delete a group that has lost its ownership tags. The plan does not show such a loss if the group was
    /// not available when it was read, because its tags could not be read then.
    pub(super) async fn check_ownership(&self, cx: &Context, attrs: &ReplicationGroupAttrs) -> Result<(), Failure> {
        const CALL: &str = "elasticache:ListTagsForResource";
        let id = &attrs.id;
        let Some(tags) = tags::read(&self.client, &attrs.arn).await? else {
            let Some(group) = self.find(id).await? else { return Ok(()) };
            let message = format!("the tags of replication group {id} cannot be read while it is {}", status(&group));
            // The tags of a group whose creation failed never become readable.
            let is_readable_later = !matches!(status(&group), "create-failed" | "deleting");
            let failure = Failure::new(Class::NotReady, CALL, message);
            return if is_readable_later { Err(failure) } else { Ok(()) };
        };
        let expected = cx.tags(&BTreeMap::new());
        if expected.iter().all(|(key, value)| tags.get(key) == Some(value)) {
            return Ok(());
        }
        let message = format!("replication group {id} has lost this workspace's ownership tags and is not deleted");
        Err(Failure::new(Class::Unmanaged, CALL, message))
    }

    /// Classifies the failure "already exists": it is temporary if the existing group is being deleted, because an id
    /// stays in use until its group is gone.
    pub(super) async fn explain_exists(&self, id: &str, failure: Failure) -> Result<Failure, Failure> {
        let deleting = self.find(id).await?.is_none_or(|group| status(&group) == "deleting");
        Ok(if deleting { failure.class(Class::NotReady) } else { failure })
    }

    /// Returns the failure of a group that AWS could not create, with the reason from the events of its nodes, if they
    /// can be read. (ElastiCache API: DescribeEvents)
    pub(super) async fn creation_failure(&self, group: &Group) -> Failure {
        let id = group.replication_group_id().unwrap_or_default();
        let mut reasons = Vec::new();
        for node in group.member_clusters() {
            let call = self.client.describe_events().source_type(SourceType::CacheCluster).source_identifier(node);
            if let Ok(output) = call.send().await {
                let latest = output.events().iter().filter_map(|event| event.message()).next();
                reasons.extend(latest.map(|message| format!(": {message}")));
            }
        }
        reasons.dedup();
        let message = format!("replication group {id} could not be created{}", reasons.concat());
        Failure::new(Class::Failed, DESCRIBE, message).hint(
            "run the same command again: it deletes the group and creates another; if AWS has no capacity, choose \
             another node type or other zones",
        )
    }
}
