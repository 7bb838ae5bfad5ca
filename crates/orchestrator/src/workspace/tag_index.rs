//! Index of the ownership tags, from the tagging API. The index saves a call for each unchanged resource and is
//! optional: without permission, or at an endpoint without this API, the tags are read from the AWS services
//! themselves.

use aws_config::SdkConfig;
use aws_sdk_resourcegroupstagging::Client;
use aws_sdk_resourcegroupstagging::config::Builder;
use aws_sdk_resourcegroupstagging::types::{ResourceTagMapping, TagFilter};
use pb_aws::{ForOperation, no_retry, tag_map, timeouts};
use pb_engine::{Ownership, STACK_TAG, TagIndex, WORKSPACE_TAG};
use std::time::Duration;

/// Resource types whose tags need separate calls. EC2 is not among them, because it returns tags together with its
/// resources; nor are task definitions, because each revision would be an entry of its own, and there are too many.
/// (Resource Groups Tagging API: GetResources)
const TYPES: [&str; 6] =
    ["ecr:repository", "ecs:cluster", "ecs:service", "elasticache", "elasticloadbalancing", "logs:log-group"];

/// Resources per page; the maximum of the API.
const PAGE_SIZE: i32 = 100;

/// Timeout of the call, after which the tags are read from the AWS services instead.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Returns the index of the resources with the tags of `owner`; `None` if the API does not return all pages in time.
pub async fn look_up(aws: &SdkConfig, owner: &Ownership) -> Option<TagIndex> {
    // The other timeouts are the usual ones: with a different connect timeout, this client would not share the
    // connection pool.
    let within = timeouts().to_builder().operation_timeout(TIMEOUT).build();
    let config = Builder::from(aws).retry_config(no_retry()).timeout_config(within);
    let call = Client::from_conf(config.build())
        .get_resources()
        .tag_filters(filter(STACK_TAG, &owner.stack))
        .tag_filters(filter(WORKSPACE_TAG, &owner.workspace))
        .set_resource_type_filters(Some(TYPES.map(str::to_owned).to_vec()))
        .resources_per_page(PAGE_SIZE);
    let all = call.into_paginator().items().send().collect::<Result<Vec<ResourceTagMapping>, _>>().await;
    let all = all.for_operation("tag:GetResources").ok()?;
    let entry = |found: ResourceTagMapping| {
        let tags = tag_map(found.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))));
        Some((found.resource_arn?, tags))
    };
    Some(all.into_iter().filter_map(entry).collect())
}

fn filter(key: &str, value: &str) -> TagFilter {
    TagFilter::builder().key(key).values(value).build()
}
