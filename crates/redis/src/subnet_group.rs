//! `elasticache.subnet_group`: the subnets in which nodes may run.

use crate::clusters::CacheClusters;
use crate::{Client, ownership, tags};
use aws_sdk_elasticache::types::CacheSubnetGroup;
use futures_util::future::try_join;
use pb_aws::ForOperation;
use pb_engine::{
    Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource, is_unknown, list_with_details, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Resource kind for cache subnet groups.
pub struct SubnetGroup {
    client: Client,
}

impl SubnetGroup {
    /// Creates the resource kind, which makes its calls through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn candidates(&self, scope: &ReadScope<Self>) -> Result<Vec<CacheSubnetGroup>, Failure> {
        let all = self.client.describe_cache_subnet_groups().into_paginator().items().send();
        let mut all: Vec<CacheSubnetGroup> =
            all.collect::<Result<_, _>>().await.for_operation("elasticache:DescribeCacheSubnetGroups")?;
        all.retain(|group| {
            let name = group.cache_subnet_group_name().unwrap_or_default();
            ownership::is_candidate(scope, name, |spec| &spec.name, |attrs: &SubnetGroupAttrs| &attrs.name)
        });
        Ok(all)
    }
}

/// Spec of a cache subnet group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubnetGroupSpec {
    /// Name in lower case.
    pub name: String,
    /// Description; can be updated in place.
    pub description: String,
    /// Ids of subnets, all in one VPC.
    pub subnet_ids: BTreeSet<String>,
    /// Ids of the subnets in which a cache node may be running; observed, never configured.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes_in: BTreeSet<String>,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a cache subnet group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubnetGroupAttrs {
    /// Name of the group.
    pub name: String,
    /// ARN of the group.
    pub arn: String,
}

impl Resource for SubnetGroup {
    const KIND: &'static str = "elasticache.subnet_group";
    const TAG_INDEXED: bool = true;
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["ec2.subnet"];
    const RETAINED_FIELDS: &'static [&'static str] = &["name"];
    const READ_ONLY_FIELDS: &'static [&'static str] = &["nodes_in"];
    const MERGES_LIVE: bool = true;
    type Spec = SubnetGroupSpec;
    type Attrs = SubnetGroupAttrs;

    fn validate(spec: &SubnetGroupSpec) -> Result<(), String> {
        if !is_unknown(&spec.name) {
            pb_rules::names::cache_subnet_group(&spec.name).map_err(|violation| violation.to_string())?;
        }
        if spec.subnet_ids.is_empty() {
            Err("a cache subnet group needs at least one subnet".to_owned())
        } else {
            Ok(())
        }
    }

    fn planned_attrs(spec: &SubnetGroupSpec) -> SubnetGroupAttrs {
        SubnetGroupAttrs { name: spec.name.clone(), arn: unknown() }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "name"
    }

    /// Adds the subnets in which nodes run to the desired subnets, because AWS refuses to remove them from the group.
    /// (ElastiCache API: ModifyCacheSubnetGroup, SubnetInUse) If the group contains none of the desired subnets, the
    /// group is replaced instead.
    fn merge_live(wanted: &mut SubnetGroupSpec, live: &SubnetGroupSpec) {
        wanted.nodes_in.clone_from(&live.nodes_in);
        if !wanted.subnet_ids.is_disjoint(&live.subnet_ids) {
            wanted.subnet_ids.extend(live.nodes_in.iter().cloned());
        }
    }

    /// Returns whether the name changes, or the group contains none of the desired subnets. AWS refuses to remove a
    /// subnet that contains a node, and accepts no subnets of another VPC, so such a group is replaced. (ElastiCache
    /// API: ModifyCacheSubnetGroup, SubnetInUse)
    fn change_requires_replacement(field: &str, old: &SubnetGroupSpec, new: &SubnetGroupSpec) -> bool {
        Self::requires_replacement(field) || (field == "subnet_ids" && old.subnet_ids.is_disjoint(&new.subnet_ids))
    }

    fn can_coexist(old: &SubnetGroupSpec, new: &SubnetGroupSpec) -> bool {
        old.name != new.name
    }

    fn id(attrs: &SubnetGroupAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let recorded = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
        let arn = |group: &CacheSubnetGroup| group.arn().map(str::to_owned);
        let tags = |arns| tags::of(scope, &self.client, arns);
        let tagged = list_with_details(self.candidates(scope), recorded, arn, tags);
        let (tagged, clusters) = try_join(tagged, CacheClusters::read(scope, &self.client)).await?;
        let name = |group: &CacheSubnetGroup| group.cache_subnet_group_name().unwrap_or_default().to_owned();
        let untagged = tagged.iter().filter_map(|(group, tags)| scope.untagged(tags.as_ref()?, &attrs_of(group)));
        let found = tagged.iter().filter_map(|(group, tags)| {
            let (name, tags) = (name(group), tags.as_ref()?);
            let what = format!("cache subnet group {name}");
            let has_name = |spec: &SubnetGroupSpec| spec.name == name;
            ownership::classify(scope, tags, &name, has_name, what, |address| Found::Managed {
                address,
                spec: spec_of(group, &clusters, tags),
                attrs: attrs_of(group),
                ready: true,
            })
        });
        Ok(found.chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &SubnetGroupSpec) -> Result<SubnetGroupAttrs, Failure> {
        let call = self
            .client
            .create_cache_subnet_group()
            .cache_subnet_group_name(&spec.name)
            .cache_subnet_group_description(&spec.description)
            .set_subnet_ids(Some(spec.subnet_ids.iter().cloned().collect()))
            .set_tags(Some(tags::to_sdk(&cx.tags(&spec.tags))));
        let answer = call.send().await.for_operation("elasticache:CreateCacheSubnetGroup");
        // A new subnet may become visible to ElastiCache only some moments after EC2 has created it. (ElastiCache API:
        // CreateCacheSubnetGroup)
        let output = answer.map_err(|failure| failure.when(&["InvalidSubnet"], Class::NotFound))?;
        Ok(output.cache_subnet_group().map_or_else(|| Self::planned_attrs(spec), attrs_of))
    }

    async fn update(
        &self,
        _cx: &Context,
        attrs: &SubnetGroupAttrs,
        spec: &SubnetGroupSpec,
        changes: &[Change],
    ) -> Result<SubnetGroupAttrs, Failure> {
        tags::change(&self.client, &attrs.arn, &spec.tags, changes).await?;
        if changes.iter().any(|change| matches!(change.field(), "description" | "subnet_ids")) {
            let call = self
                .client
                .modify_cache_subnet_group()
                .cache_subnet_group_name(&attrs.name)
                .cache_subnet_group_description(&spec.description)
                .set_subnet_ids(Some(spec.subnet_ids.iter().cloned().collect()));
            let answer = call.send().await.for_operation("elasticache:ModifyCacheSubnetGroup");
            answer.map_err(|failure| failure.when(&["InvalidSubnet"], Class::NotFound))?;
        }
        Ok(attrs.clone())
    }

    async fn delete(&self, _cx: &Context, attrs: &SubnetGroupAttrs) -> Result<(), Failure> {
        let call = self.client.delete_cache_subnet_group().cache_subnet_group_name(&attrs.name);
        call.send().await.for_operation("elasticache:DeleteCacheSubnetGroup").map(drop)
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::forget(&self.client, &attrs.arn).await
    }
}

fn spec_of(group: &CacheSubnetGroup, clusters: &CacheClusters, tags: &BTreeMap<String, String>) -> SubnetGroupSpec {
    let subnets = group.subnets().iter().filter_map(|subnet| subnet.subnet_identifier());
    SubnetGroupSpec {
        name: group.cache_subnet_group_name().unwrap_or_default().to_owned(),
        description: group.cache_subnet_group_description().unwrap_or_default().to_owned(),
        subnet_ids: subnets.map(str::to_owned).collect(),
        nodes_in: clusters.subnets_with_nodes(group),
        tags: Ownership::user_tags(tags),
    }
}

fn attrs_of(group: &CacheSubnetGroup) -> SubnetGroupAttrs {
    SubnetGroupAttrs {
        name: group.cache_subnet_group_name().unwrap_or_default().to_owned(),
        arn: group.arn().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{SubnetGroup, SubnetGroupSpec};
    use crate::Client;
    use crate::testing::{error_metadata, name_tag, owned_tags, standalone};
    use aws_sdk_elasticache::operation::create_cache_subnet_group::CreateCacheSubnetGroupOutput;
    use aws_sdk_elasticache::operation::delete_cache_subnet_group::{
        DeleteCacheSubnetGroupError, DeleteCacheSubnetGroupOutput,
    };
    use aws_sdk_elasticache::operation::describe_cache_clusters::DescribeCacheClustersOutput;
    use aws_sdk_elasticache::operation::describe_cache_subnet_groups::DescribeCacheSubnetGroupsOutput;
    use aws_sdk_elasticache::operation::list_tags_for_resource::ListTagsForResourceOutput;
    use aws_sdk_elasticache::operation::modify_cache_subnet_group::ModifyCacheSubnetGroupOutput;
    use aws_sdk_elasticache::types::{AvailabilityZone, CacheCluster, CacheNode, CacheSubnetGroup, Subnet, Tag};
    use aws_smithy_mocks::{Rule, mock};
    use pb_engine::{Action, Graph, Order, Plan, Standalone};
    use std::collections::BTreeSet;

    fn spec() -> SubnetGroupSpec {
        SubnetGroupSpec {
            name: "staging-jobqr".to_owned(),
            description: "Subnets".to_owned(),
            subnet_ids: ["subnet-1".to_owned(), "subnet-2".to_owned()].into(),
            nodes_in: BTreeSet::new(),
            tags: name_tag("staging-jobqr"),
        }
    }

    fn stack_of(spec: SubnetGroupSpec, rules: &[&Rule]) -> Standalone {
        let clusters = nodes_in(Vec::new());
        let client = pb_aws::mock_client!(aws_sdk_elasticache, rules.iter().copied().chain([&clusters]));
        let mut graph = Graph::new();
        let kind = graph.kind(SubnetGroup::new(client));
        graph.add("redis/subnets", &kind, (), move |()| spec.clone()).unwrap();
        standalone(graph)
    }

    fn group(name: &str) -> CacheSubnetGroup {
        let subnet = |id: &str| {
            let zone = AvailabilityZone::builder().name(id.replace("subnet-", "zone-")).build();
            Subnet::builder().subnet_identifier(id).subnet_availability_zone(zone).build()
        };
        CacheSubnetGroup::builder()
            .cache_subnet_group_name(name)
            .cache_subnet_group_description("Subnets")
            .arn(format!("arn:{name}"))
            .subnets(subnet("subnet-2"))
            .subnets(subnet("subnet-1"))
            .build()
    }

    /// Responds with two pages of subnet groups, with the group `second` on the second page.
    fn groups_rule(second: &'static str) -> Rule {
        mock!(Client::describe_cache_subnet_groups).then_compute_output(move |call| {
            let answer = DescribeCacheSubnetGroupsOutput::builder();
            match call.marker() {
                None => answer.cache_subnet_groups(group("default")).marker("more").build(),
                Some(_) => answer.cache_subnet_groups(group(second)).build(),
            }
        })
    }

    /// Responds with cache clusters, each with its subnet group and the zones of its nodes.
    fn nodes_in(clusters: Vec<(&'static str, &'static [Option<&'static str>])>) -> Rule {
        mock!(Client::describe_cache_clusters)
            .match_requests(|call| call.show_cache_node_info() == Some(true))
            .then_output(move || {
                let node = |zone: &Option<&str>| {
                    CacheNode::builder().set_customer_availability_zone(zone.map(str::to_owned)).build()
                };
                let cluster = |(group, zones): &(&str, &[Option<&str>])| {
                    let nodes = zones.iter().map(node).collect();
                    CacheCluster::builder().cache_subnet_group_name(*group).set_cache_nodes(Some(nodes)).build()
                };
                let clusters = clusters.iter().map(cluster).collect();
                DescribeCacheClustersOutput::builder().set_cache_clusters(Some(clusters)).build()
            })
    }

    fn tags(tags: Vec<Tag>) -> Rule {
        mock!(Client::list_tags_for_resource)
            .match_requests(|call| call.resource_name() == Some("arn:staging-jobqr"))
            .then_output(move || ListTagsForResourceOutput::builder().set_tag_list(Some(tags.clone())).build())
    }

    #[tokio::test(start_paused = true)]
    async fn subnet_group_create_sends_its_tags() {
        let create = mock!(Client::create_cache_subnet_group)
            .match_requests(|call| {
                call.subnet_ids() == ["subnet-1", "subnet-2"]
                    && owned_tags("redis/subnets", "staging-jobqr").iter().all(|tag| call.tags().contains(tag))
            })
            .then_output(|| CreateCacheSubnetGroupOutput::builder().cache_subnet_group(group("staging-jobqr")).build());
        let snapshot = stack_of(spec(), &[&groups_rule("other"), &create]).deploy().await.unwrap();
        assert_eq!(snapshot.resources.values().next().unwrap().attrs["arn"], "arn:staging-jobqr");
    }

    #[tokio::test(start_paused = true)]
    async fn subnet_group_is_found_on_any_page_and_updated_in_place() {
        let managed = tags(owned_tags("redis/subnets", "staging-jobqr"));
        let plan = stack_of(spec(), &[&groups_rule("staging-jobqr"), &managed]).plan().await.unwrap();
        assert!(plan.is_empty(), "{plan:?}");

        let wanted = SubnetGroupSpec { subnet_ids: ["subnet-2".to_owned(), "subnet-3".to_owned()].into(), ..spec() };
        let modify = mock!(Client::modify_cache_subnet_group)
            .match_requests(|call| call.subnet_ids() == ["subnet-2", "subnet-3"])
            .then_output(|| ModifyCacheSubnetGroupOutput::builder().build());
        stack_of(wanted, &[&groups_rule("staging-jobqr"), &managed, &modify]).deploy().await.unwrap();
        assert_eq!(modify.num_calls(), 1);
    }

    /// Plans with the desired subnets `wanted`, while the group contains subnets 1 and 2.
    async fn plan_with(wanted: &[&str], clusters: Rule) -> Plan {
        let managed = tags(owned_tags("redis/subnets", "staging-jobqr"));
        let subnet_ids = wanted.iter().map(|id| (*id).to_owned()).collect();
        let wanted = SubnetGroupSpec { subnet_ids, ..spec() };
        stack_of(wanted, &[&groups_rule("staging-jobqr"), &managed, &clusters]).plan().await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn subnet_of_a_cache_node_is_kept() {
        let second: &[Option<&str>] = &[Some("zone-2")];
        let plan = plan_with(&["subnet-1"], nodes_in(vec![("staging-jobqr", second)])).await;
        assert!(plan.is_empty(), "{plan:?}");
        let plan = plan_with(&["subnet-1", "subnet-3"], nodes_in(vec![("staging-jobqr", second)])).await;
        let [change] = plan.steps[0].changes.as_slice() else { panic!("{plan:?}") };
        let after = change.after.as_ref().unwrap().to_string();
        assert_eq!((change.path.as_str(), after.as_str()), ("subnet_ids", r#"["subnet-1","subnet-2","subnet-3"]"#));
        // A node whose zone is not reported yet may be in any subnet.
        let plan = plan_with(&["subnet-1"], nodes_in(vec![("staging-jobqr", &[None])])).await;
        assert!(plan.is_empty(), "{plan:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn subnet_without_a_cache_node_is_removed() {
        let first: &[Option<&str>] = &[Some("zone-1")];
        let other: &[Option<&str>] = &[Some("zone-2")];
        let plan = plan_with(&["subnet-1"], nodes_in(vec![("staging-jobqr", first), ("other", other)])).await;
        assert_eq!(plan.steps[0].action, Action::Update);
        assert_eq!(plan.steps[0].changes[0].after.as_ref().unwrap().to_string(), r#"["subnet-1"]"#);
    }

    #[tokio::test(start_paused = true)]
    async fn moved_cache_node_is_neither_change_nor_drift() {
        let managed = tags(owned_tags("redis/subnets", "staging-jobqr"));
        let nodes = |zone: &'static str| {
            let node = CacheNode::builder().customer_availability_zone(zone).build();
            let cluster = CacheCluster::builder().cache_subnet_group_name("staging-jobqr").cache_nodes(node).build();
            DescribeCacheClustersOutput::builder().cache_clusters(cluster).build()
        };
        let clusters = mock!(Client::describe_cache_clusters)
            .sequence()
            .output(move || nodes("zone-1"))
            .output(move || nodes("zone-2"))
            .build();
        let stack = stack_of(spec(), &[&groups_rule("staging-jobqr"), &managed, &clusters]);
        stack.deploy().await.unwrap();
        let plan = stack.plan().await.unwrap();
        assert!(plan.is_empty() && plan.steps[0].drift.is_empty(), "{plan:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn subnet_group_without_a_common_subnet_is_replaced() {
        let managed = tags(owned_tags("redis/subnets", "staging-jobqr"));
        for wanted in ["subnet-3".to_owned(), pb_engine::unknown()] {
            let wanted = SubnetGroupSpec { subnet_ids: [wanted].into(), ..spec() };
            let plan = stack_of(wanted, &[&groups_rule("staging-jobqr"), &managed]).plan().await.unwrap();
            assert_eq!(plan.steps[0].action, Action::Replace { order: Order::DestroyBeforeCreate });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unmanaged_subnet_group_with_the_name_is_left_alone() {
        let failure = stack_of(spec(), &[&groups_rule("staging-jobqr"), &tags(Vec::new())]).plan().await.unwrap_err();
        assert!(failure.message.contains("cache subnet group staging-jobqr"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn orphaned_subnet_group_is_deleted_once_unused() {
        let delete = mock!(Client::delete_cache_subnet_group)
            .sequence()
            .error(|| DeleteCacheSubnetGroupError::generic(error_metadata("CacheSubnetGroupInUse")))
            .output(|| DeleteCacheSubnetGroupOutput::builder().build())
            .build();
        let client = pb_aws::mock_client!(
            aws_sdk_elasticache,
            [&groups_rule("staging-jobqr"), &tags(owned_tags("redis/old", "x")), &delete, &nodes_in(Vec::new())]
        );
        let mut graph = Graph::new();
        graph.kind(SubnetGroup::new(client));
        standalone(graph).deploy().await.unwrap();
        assert_eq!(delete.num_calls(), 2);
    }
}
