//! What the tagging API says carries our tags. It spares a call for each resource where nothing has changed, and nothing depends on
//! it: without permission for it, or at an endpoint without it, everything is asked of the services themselves.

use aws_config::SdkConfig;
use aws_sdk_resourcegroupstagging::Client;
use aws_sdk_resourcegroupstagging::config::Builder;
use aws_sdk_resourcegroupstagging::types::{ResourceTagMapping, TagFilter};
use pb_aws::{ForOperation, no_retry, tag_map, timeouts};
use pb_engine::{Ownership, STACK_TAG, TagIndex, WORKSPACE_TAG};
use std::time::Duration;

/// The types whose tags cost calls of their own. EC2 tells them with its resources, and task definitions are too many: each
/// revision is one. (Resource Groups Tagging API: GetResources)
const TYPES: [&str; 6] =
    ["ecr:repository", "ecs:cluster", "ecs:service", "elasticache", "elasticloadbalancing", "logs:log-group"];

/// Resources a page, the most that there can be.
const PAGE_SIZE: i32 = 100;

/// What is not answered by then is not waited for: the services can be asked instead.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The index of what carries the tags of `owner`; none when it does not answer, or not with all of it.
pub async fn look_up(aws: &SdkConfig, owner: &Ownership) -> Option<TagIndex> {
    // All else as it is for the others: with another time to connect it would have a connection pool of its own.
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
