//! EC2 client that all resource kinds of this crate share, with their common calls.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Builder;
use aws_sdk_ec2::types::{AvailabilityZone, Filter, ResourceType, Tag, TagSpecification, Vpc};
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{
    Backoff, Change, Class, Context, Failure, Ownership, Progress, ReadScope, Resource, STACK_TAG, WORKSPACE_TAG,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::interfaces::InterfaceCache;

/// Maximum number of values in one filter of a describe call. (EC2 user guide: filtering resources)
const FILTER_VALUES_MAX: usize = 200;

/// Maximum time for a new resource to become visible. This normally takes seconds; a longer time indicates a problem.
const VISIBLE_WITHIN: Duration = Duration::from_secs(120);

/// EC2 client for one account and region, with data that the resource kinds share. Cheap to clone.
#[derive(Clone)]
pub struct Ec2 {
    pub(crate) client: Client,
    pub(crate) interfaces: InterfaceCache,
}

/// Numbers of existing resources in a region for which AWS has a quota.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Number of VPCs.
    pub vpcs: usize,
    /// Number of internet gateways.
    pub gateways: usize,
}

impl From<Client> for Ec2 {
    fn from(client: Client) -> Self {
        Self { interfaces: InterfaceCache::new(client.clone()), client }
    }
}

impl From<&SdkConfig> for Ec2 {
    fn from(config: &SdkConfig) -> Self {
        Self::from(Client::new(config))
    }
}

impl Ec2 {
    /// Returns the sorted names of the region's Availability Zones that need no opt-in and in which tasks can run.
    ///
    /// # Errors
    /// The errors of `DescribeAvailabilityZones`.
    pub async fn zones(&self) -> Result<Vec<String>, Failure> {
        let filters =
            [filter("state", ["available"]), filter("opt-in-status", ["opt-in-not-required"])].into_iter().collect();
        let call = self.client.describe_availability_zones().set_filters(Some(filters));
        let answer = call.send().await.for_operation("ec2:DescribeAvailabilityZones")?;
        let usable = |zone: &&AvailabilityZone| zone.zone_id().is_none_or(|id| pb_rules::fargate::zone_id(id).is_ok());
        let names = answer.availability_zones().iter().filter(usable).filter_map(AvailabilityZone::zone_name);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Counts all VPCs and internet gateways in the region, managed or not.
    ///
    /// # Errors
    /// The errors of `DescribeVpcs` and `DescribeInternetGateways`.
    pub async fn counts(&self) -> Result<Counts, Failure> {
        let gateways = self.client.describe_internet_gateways().into_paginator().items().send();
        let gateways = gateways.try_collect().await.for_operation("ec2:DescribeInternetGateways")?;
        Ok(Counts { vpcs: self.vpcs(Vec::new()).await?.len(), gateways: gateways.len() })
    }

    pub(crate) async fn vpcs(&self, filters: Vec<Filter>) -> Result<Vec<Vpc>, Failure> {
        let pages = self.client.describe_vpcs().set_filters(Some(filters)).into_paginator().items().send();
        pages.try_collect().await.for_operation("ec2:DescribeVpcs")
    }

    /// Sets `tags` on the resource `id` and removes its other tags, if tags are among the changes. The ownership tags
    /// are set in the same call, which restores any that were lost.
    pub(crate) async fn tag(
        &self,
        cx: &Context,
        id: &str,
        tags: &BTreeMap<String, String>,
        changes: &[Change],
    ) -> Result<(), Failure> {
        let changed: Vec<&Change> = changes.iter().filter(|change| change.field() == "tags").collect();
        if changed.is_empty() {
            return Ok(());
        }
        let wanted = cx.tags(tags);
        self.set_tags(id, &wanted).await?;
        if changed.iter().all(|change| change.after.is_some()) {
            return Ok(());
        }
        let describe = self.client.describe_tags().filters(filter("resource-id", [id]));
        let live = describe.into_paginator().items().send().try_collect().await.for_operation("ec2:DescribeTags")?;
        let keys = live.iter().filter_map(|tag| tag.key());
        let gone = keys.filter(|key| !wanted.contains_key(*key) && !key.starts_with("aws:"));
        self.remove_tags(id, gone.map(str::to_owned).collect()).await
    }

    pub(crate) async fn set_tags(&self, id: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
        let call = self.client.create_tags().resources(id).set_tags(Some(tag_list(tags)));
        call.send().await.for_operation("ec2:CreateTags").map(drop)
    }

    /// Adds the ownership tags to the resource `id`.
    pub(crate) async fn adopt(&self, cx: &Context, id: &str) -> Result<(), Failure> {
        self.set_tags(id, &cx.tags(&BTreeMap::new())).await
    }

    /// Removes the ownership tags from the resource `id`.
    pub(crate) async fn forget(&self, id: &str) -> Result<(), Failure> {
        self.remove_tags(id, Ownership::KEYS.map(str::to_owned).to_vec()).await
    }

    pub(crate) async fn remove_tags(&self, id: &str, keys: Vec<String>) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys = keys.into_iter().map(|key| Tag::builder().key(key).build()).collect();
        let call = self.client.delete_tags().resources(id).set_tags(Some(keys));
        call.send().await.for_operation("ec2:DeleteTags").map(drop)
    }
}

/// VPCs with the ownership tags. The resource kinds that need these VPCs share one call per read.
pub(crate) struct ManagedVpcs(pub Vec<Vpc>);

impl ManagedVpcs {
    pub(crate) async fn read(ec2: &Ec2, owner: &Ownership) -> Result<Self, Failure> {
        ec2.vpcs(ownership_filters(owner)).await.map(Self)
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.0.iter().filter_map(|vpc| vpc.vpc_id().map(str::to_owned)).collect()
    }
}

/// Returns settings without retries, for create calls that take no client token: AWS would execute a repeated call a
/// second time. A resource whose create response was lost is found by its tags.
pub(crate) fn no_retry() -> Builder {
    Builder::new().retry_config(pb_aws::no_retry())
}

pub(crate) fn filter<V: Into<String>>(name: &str, values: impl IntoIterator<Item = V>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(Into::into).collect())).build()
}

/// Returns filters for resources with the ownership tags of this stack and workspace.
pub(crate) fn ownership_filters(owner: &Ownership) -> Vec<Filter> {
    vec![
        filter(&format!("tag:{STACK_TAG}"), [owner.stack.as_str()]),
        filter(&format!("tag:{WORKSPACE_TAG}"), [owner.workspace.as_str()]),
    ]
}

/// Describes the resources that match one of `values` in the filter `name`, with as many calls as the number of values
/// requires. A filter ignores ids that do not exist, whereas a missing id among id parameters fails the whole call.
pub(crate) async fn describe_by<T, F>(
    name: &str,
    values: &[String],
    ask: impl Fn(Vec<Filter>) -> F + Send,
) -> Result<Vec<T>, Failure>
where
    T: Send,
    F: Future<Output = Result<Vec<T>, Failure>> + Send,
{
    let mut found = Vec::new();
    for chunk in values.chunks(FILTER_VALUES_MAX) {
        found.extend(ask(vec![filter(name, chunk.iter().cloned())]).await?);
    }
    Ok(found)
}

/// Returns the ids of recorded resources and of resources to import that are not in `found`.
pub(crate) fn missing_ids<R: Resource>(scope: &ReadScope<R>, id: fn(&R::Attrs) -> &str, found: &[&str]) -> Vec<String> {
    let ids = scope.recorded.iter().map(|(_, attrs)| id(attrs));
    let ids: BTreeSet<&str> = ids.chain(scope.imports().map(|(_, id)| id)).collect();
    ids.into_iter().filter(|id| !found.contains(id)).map(str::to_owned).collect()
}

/// Returns whether `tags` contain the ownership tags of the stack and workspace of `cx`.
pub(crate) fn is_managed(cx: &Context, tags: &BTreeMap<String, String>) -> bool {
    let owner = cx.tags(&BTreeMap::new());
    [STACK_TAG, WORKSPACE_TAG].iter().all(|key| tags.get(*key).is_some() && tags.get(*key) == owner.get(*key))
}

pub(crate) fn tag_map(tags: &[Tag]) -> BTreeMap<String, String> {
    pb_aws::tag_map(tags.iter().map(|tag| (tag.key(), tag.value())))
}

fn tag_list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Returns the tag specification of a create call: `tags` and the ownership tags.
pub(crate) fn tag_specification(cx: &Context, kind: ResourceType, tags: &BTreeMap<String, String>) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(tag_list(&cx.tags(tags)))).build()
}

/// Waits until a describe call returns the new resource `id`. For some seconds, describe calls may not return it, and a
/// deploy that does not find it would create it again.
pub(crate) async fn wait_until_visible<T, F>(
    cx: &Context,
    id: &str,
    ask: impl Fn(Vec<Filter>) -> F,
    by: &str,
) -> Result<(), Failure>
where
    F: Future<Output = Result<Vec<T>, Failure>>,
{
    cx.wait("wait until the resource is visible", Backoff::seconds(VISIBLE_WITHIN), || async {
        let found = ask(vec![filter(by, [id])]).await?;
        Ok(if found.is_empty() {
            Progress::Pending(format!("waiting for {id} to become visible"))
        } else {
            Progress::Ready(())
        })
    })
    .await
}

/// Returns the failure for a response that lacks a documented field.
pub(crate) fn missing_field(operation: &str, what: &str) -> Failure {
    Failure::new(Class::Ambiguous, operation, format!("the response has no {what}"))
}

/// Treats an error with one of `codes` as success, because the resource to delete does not exist any more. `codes` must
/// not contain a code about the parent of the resource: the parent may merely be invisible for a moment, and the
/// resource may still exist in it.
pub(crate) fn ignore_not_found(result: Result<(), Failure>, codes: &[&str]) -> Result<(), Failure> {
    match result {
        Err(failure) if codes.iter().any(|code| failure.is(code)) => Ok(()),
        other => other,
    }
}

/// Refuses tags that AWS would refuse.
pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), String> {
    for (key, value) in tags {
        pb_rules::tags::key(key).map_err(|e| format!("invalid tag key: {e}"))?;
        pb_rules::tags::value(value).map_err(|e| format!("invalid value for tag `{key}`: {e}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{has_filter, managed_tags, plain_tags, standalone};
    use crate::{RouteTable, RouteTableSpec};
    use aws_sdk_ec2::operation::create_tags::CreateTagsOutput;
    use aws_sdk_ec2::operation::delete_tags::DeleteTagsOutput;
    use aws_sdk_ec2::operation::describe_availability_zones::DescribeAvailabilityZonesOutput;
    use aws_sdk_ec2::operation::describe_route_tables::DescribeRouteTablesOutput;
    use aws_sdk_ec2::operation::describe_tags::DescribeTagsOutput;
    use aws_sdk_ec2::types::{RouteTable as Live, TagDescription};
    use aws_smithy_mocks::mock;
    use pb_aws::mock_client;
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn surplus_tags_are_removed_ownership_tags_stay() {
        let existing = mock!(Client::describe_route_tables).then_output(|| {
            let surplus = Tag::builder().key("a.b").value("x").build();
            let table =
                Live::builder().route_table_id("rtb-1").vpc_id("vpc-1").set_tags(Some(managed_tags())).tags(surplus);
            DescribeRouteTablesOutput::builder().route_tables(table.build()).build()
        });
        let set = mock!(Client::create_tags)
            .match_requests(|r| r.resources() == ["rtb-1"] && managed_tags().iter().all(|tag| r.tags().contains(tag)))
            .then_output(|| CreateTagsOutput::builder().build());
        let live = mock!(Client::describe_tags).then_output(|| {
            let keys = ["Name", "a.b", "aws:x", STACK_TAG];
            let tags = keys.map(|key| TagDescription::builder().key(key).build());
            DescribeTagsOutput::builder().set_tags(Some(tags.to_vec())).build()
        });
        let remove = mock!(Client::delete_tags)
            .match_requests(|r| r.tags().iter().map(Tag::key).collect::<Vec<_>>() == [Some("a.b")])
            .then_output(|| DeleteTagsOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&existing, &set, &live, &remove]);
        let (routes, subnets) = (BTreeMap::new(), BTreeSet::new());
        let spec = RouteTableSpec { vpc_id: "vpc-1".to_owned(), routes, subnets, tags: plain_tags() };
        standalone(RouteTable::new(client.into()), spec).deploy().await.unwrap();
        assert_eq!((set.num_calls(), remove.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn zones_without_fargate_are_left_out() {
        let asked = mock!(Client::describe_availability_zones)
            .match_requests(|r| {
                has_filter(r.filters(), "state", "available")
                    && has_filter(r.filters(), "opt-in-status", "opt-in-not-required")
            })
            .then_output(|| {
                let zone = |(name, id)| AvailabilityZone::builder().zone_name(name).zone_id(id).build();
                // The same zone name can refer to different zones in different accounts.
                let zones = [("us-west-1c", "usw1-az1"), ("us-west-1a", "usw1-az2"), ("us-west-1b", "usw1-az3")];
                DescribeAvailabilityZonesOutput::builder()
                    .set_availability_zones(Some(zones.map(zone).to_vec()))
                    .build()
            });
        let client = mock_client!(aws_sdk_ec2, [&asked]);
        assert_eq!(Ec2::from(client).zones().await.unwrap(), ["us-west-1b", "us-west-1c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn filter_values_are_split_at_the_limit_of_aws() {
        let ids: Vec<String> = (0..450).map(|number| format!("sg-{number}")).collect();
        let calls = AtomicUsize::new(0);
        let found = describe_by("group-id", &ids, |filters| {
            calls.fetch_add(1, Ordering::Relaxed);
            let values: Vec<String> = filters.iter().flat_map(|filter| filter.values().to_vec()).collect();
            assert!(values.len() <= 200);
            async move { Ok(values) }
        });
        assert_eq!(found.await.unwrap(), ids);
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }
}
