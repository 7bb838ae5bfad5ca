//! Tags of load balancers, target groups, listeners and rules: set in the create call, and read and changed by ARN.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::Tag;
use futures_util::future::try_join_all;
use pb_aws::{ForOperation, tag_map};
use pb_engine::{Change, Class, Context, Failure, Ownership, ReadScope, Resource};
use std::collections::{BTreeMap, HashMap};

/// Maximum number of ARNs in one call. (Elastic Load Balancing API: DescribeTags)
const ARNS_PER_CALL: usize = 20;

/// Tags by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// Converts tags to the type of the SDK.
pub(crate) fn to_sdk(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Returns the tags of these ARNs, from the tag index if it contains them, otherwise from the API. Deleted resources
/// are left out.
pub(crate) async fn read<R: Resource>(
    scope: &ReadScope<R>,
    client: &Client,
    arns: Vec<String>,
) -> Result<HashMap<String, Tags>, Failure> {
    scope.tags_of(arns, |arns| async move { describe(client, &arns).await }).await
}

/// Reads the tags of these ARNs from the API. Deleted resources are left out.
pub(crate) async fn describe(client: &Client, arns: &[String]) -> Result<HashMap<String, Tags>, Failure> {
    let parts = try_join_all(arns.chunks(ARNS_PER_CALL).map(|part| describe_batch(client, part)));
    Ok(parts.await?.into_iter().flatten().collect())
}

async fn describe_batch(client: &Client, arns: &[String]) -> Result<Vec<(String, Tags)>, Failure> {
    match describe_exactly(client, arns).await {
        // One of the ARNs is that of an unmanaged resource that was deleted in the meantime, so AWS refuses the whole
        // call, and each ARN is read on its own.
        Err(failure) if failure.class == Class::NotFound => {
            let each = try_join_all(arns.iter().map(|arn| async move {
                match describe_exactly(client, std::slice::from_ref(arn)).await {
                    Err(failure) if failure.class == Class::NotFound => Ok(Vec::new()),
                    answer => answer,
                }
            }));
            Ok(each.await?.into_iter().flatten().collect())
        }
        answer => answer,
    }
}

async fn describe_exactly(client: &Client, arns: &[String]) -> Result<Vec<(String, Tags)>, Failure> {
    let call = client.describe_tags().set_resource_arns(Some(arns.to_vec())).send();
    let output = call.await.for_operation("elasticloadbalancing:DescribeTags")?;
    let tagged = output.tag_descriptions().iter().filter_map(|described| {
        let tags = tag_map(described.tags().iter().map(|tag| (tag.key(), tag.value())));
        Some((described.resource_arn()?.to_owned(), tags))
    });
    Ok(tagged.collect())
}

/// Returns the tags that `changes` sets, with their values in `wanted`, and the keys of those that it removes.
pub(crate) fn changed(wanted: &Tags, changes: &[Change]) -> (Tags, Vec<String>) {
    let keys = |present: bool| {
        let changes = changes.iter().filter(move |change| change.after.is_some() == present);
        changes.filter_map(|change| key(&change.path))
    };
    let set: Tags = keys(true).filter_map(|key| Some((key.to_owned(), wanted.get(key)?.clone()))).collect();
    (set, keys(false).map(str::to_owned).collect())
}

/// Sets the tags that `changes` names to their values in `wanted`, or removes them.
pub(crate) async fn update(client: &Client, arn: &str, wanted: &Tags, changes: &[Change]) -> Result<(), Failure> {
    let (set, gone) = changed(wanted, changes);
    if !set.is_empty() {
        let call = client.add_tags().resource_arns(arn).set_tags(Some(to_sdk(&set))).send();
        call.await.for_operation("elasticloadbalancing:AddTags")?;
    }
    if !gone.is_empty() {
        let call = client.remove_tags().resource_arns(arn).set_tag_keys(Some(gone)).send();
        call.await.for_operation("elasticloadbalancing:RemoveTags")?;
    }
    Ok(())
}

/// Adds the ownership tags to a resource.
pub(crate) async fn adopt(client: &Client, cx: &Context, arn: &str) -> Result<(), Failure> {
    let call = client.add_tags().resource_arns(arn).set_tags(Some(to_sdk(&cx.tags(&Tags::new())))).send();
    call.await.for_operation("elasticloadbalancing:AddTags").map(drop)
}

/// Removes the ownership tags from a resource.
pub(crate) async fn forget(client: &Client, arn: &str) -> Result<(), Failure> {
    let keys = Ownership::KEYS.map(str::to_owned).to_vec();
    let call = client.remove_tags().resource_arns(arn).set_tag_keys(Some(keys)).send();
    call.await.for_operation("elasticloadbalancing:RemoveTags").map(drop)
}

/// Returns the key of a changed tag: `Name` for `tags.Name`, `a b` for `tags["a b"]`. Tag keys contain no quotes.
fn key(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("tags")?;
    rest.strip_prefix('.').or_else(|| rest.strip_prefix("[\"")?.strip_suffix("\"]"))
}

#[cfg(test)]
mod tests {
    use super::{describe, key, update};
    use crate::LoadBalancerClient as Client;
    use crate::testing::error_meta;
    use aws_sdk_elasticloadbalancingv2::operation::add_tags::AddTagsOutput;
    use aws_sdk_elasticloadbalancingv2::operation::describe_tags::{DescribeTagsError, DescribeTagsOutput};
    use aws_sdk_elasticloadbalancingv2::operation::remove_tags::RemoveTagsOutput;
    use aws_sdk_elasticloadbalancingv2::types::TagDescription;
    use aws_smithy_mocks::{MockResponse, mock};
    use pb_engine::Change;

    #[test]
    fn tag_key_is_parsed_from_the_path() {
        assert_eq!(key("tags.Name"), Some("Name"));
        assert_eq!(key("tags[\"cost:center x\"]"), Some("cost:center x"));
        assert_eq!(key("name"), None);
    }

    #[tokio::test]
    async fn tags_are_read_in_batches_and_a_deleted_arn_is_skipped() {
        let calls = mock!(Client::describe_tags).then_compute_response(|call| {
            let arns = call.resource_arns();
            if arns.len() > 20 || arns.contains(&"arn:7".to_owned()) {
                return MockResponse::Error(DescribeTagsError::generic(error_meta("LoadBalancerNotFound")));
            }
            let described = arns.iter().map(|arn| TagDescription::builder().resource_arn(arn).build());
            MockResponse::Output(DescribeTagsOutput::builder().set_tag_descriptions(Some(described.collect())).build())
        });
        let client = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, [&calls]);
        let arns: Vec<String> = (0..45).map(|number| format!("arn:{number}")).collect();
        assert_eq!(describe(&client, &arns).await.unwrap().len(), 44);
        assert_eq!(calls.num_calls(), 3 + 20);
    }

    #[tokio::test]
    async fn update_writes_only_changed_tags() {
        let add = mock!(Client::add_tags)
            .match_requests(|call| call.tags().len() == 1 && call.tags()[0].key() == Some("team"))
            .then_output(|| AddTagsOutput::builder().build());
        let remove = mock!(Client::remove_tags)
            .match_requests(|call| call.tag_keys() == ["old"])
            .then_output(|| RemoveTagsOutput::builder().build());
        let client = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, [&add, &remove]);
        let text = |text: &str| Some(text.to_owned().into());
        let changes = [
            Change { path: "tags.team".to_owned(), before: None, after: text("web") },
            Change { path: "tags.old".to_owned(), before: text("x"), after: None },
        ];
        let wanted = [("team".to_owned(), "web".to_owned()), ("Name".to_owned(), "n".to_owned())].into();
        update(&client, "arn", &wanted, &changes).await.unwrap();
        assert_eq!((add.num_calls(), remove.num_calls()), (1, 1));
    }
}
