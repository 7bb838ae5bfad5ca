//! Tags of ElastiCache resources: set in the create call, read and changed by ARN.

use aws_sdk_elasticache::Client;
use aws_sdk_elasticache::types::Tag;
use pb_aws::{ForOperation, tag_map};
use pb_engine::{Change, Class, Context, Failure, Ownership, ReadScope, Resource, fetch_each};
use std::collections::{BTreeMap, HashMap};

/// Converts tags into the SDK's type.
pub(crate) fn to_sdk(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Returns the tags of the resources `arns`, by ARN. Calls ElastiCache only for resources whose tags the tag index does
/// not supply. Resources that no longer exist or are not `available` are left out.
pub(crate) async fn of<R: Resource>(
    scope: &ReadScope<R>,
    client: &Client,
    arns: Vec<String>,
) -> Result<HashMap<String, BTreeMap<String, String>>, Failure> {
    let ask = |arns| fetch_each(arns, |arn| async move { read(client, &arn).await });
    scope.tags_of(arns, ask).await
}

/// Reads the tags of the resource with this ARN. Returns `None` if AWS does not report them: the resource no longer
/// exists, or it is a replication group that is not `available` ("If the cluster is not in the available state,
/// `ListTagsForResource` returns an error", ElastiCache API).
pub(crate) async fn read(client: &Client, arn: &str) -> Result<Option<BTreeMap<String, String>>, Failure> {
    let answer = client.list_tags_for_resource().resource_name(arn).send().await;
    match answer.for_operation("elasticache:ListTagsForResource") {
        Ok(output) => Ok(Some(tag_map(output.tag_list().iter().map(|tag| (tag.key(), tag.value()))))),
        Err(failure) if failure.class == Class::NotFound || is_unavailable(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Returns whether a call was refused because a replication group, or one of its members, is not `available`. Such a
/// refusal is temporary.
pub(crate) fn is_unavailable(failure: &Failure) -> bool {
    failure.is("InvalidReplicationGroupState") || failure.is("InvalidCacheClusterState")
}

/// Sets the tags that `changes` add or update to their values in `wanted`, and removes the tags that `changes` remove.
pub(crate) async fn change(
    client: &Client,
    arn: &str,
    wanted: &BTreeMap<String, String>,
    changes: &[Change],
) -> Result<(), Failure> {
    let keys = |present: bool| {
        let changes = changes.iter().filter(move |change| change.after.is_some() == present);
        changes.filter_map(|change| key(&change.path))
    };
    let set: BTreeMap<String, String> =
        keys(true).filter_map(|key| Some((key.to_owned(), wanted.get(key)?.clone()))).collect();
    let removed: Vec<String> = keys(false).map(str::to_owned).collect();
    if !set.is_empty() {
        let call = client.add_tags_to_resource().resource_name(arn).set_tags(Some(to_sdk(&set))).send();
        call.await.for_operation("elasticache:AddTagsToResource").map_err(retry_until_available)?;
    }
    if !removed.is_empty() {
        let call = client.remove_tags_from_resource().resource_name(arn).set_tag_keys(Some(removed)).send();
        match call.await.for_operation("elasticache:RemoveTagsFromResource") {
            Err(failure) if failure.is("TagNotFound") => {}
            answer => drop(answer.map_err(retry_until_available)?),
        }
    }
    Ok(())
}

/// Adds the ownership tags to the resource with this ARN.
pub(crate) async fn adopt(client: &Client, cx: &Context, arn: &str) -> Result<(), Failure> {
    let tags = to_sdk(&cx.tags(&BTreeMap::new()));
    let call = client.add_tags_to_resource().resource_name(arn).set_tags(Some(tags)).send();
    call.await.for_operation("elasticache:AddTagsToResource").map_err(retry_until_available).map(drop)
}

/// Removes the ownership tags from the resource with this ARN.
pub(crate) async fn forget(client: &Client, arn: &str) -> Result<(), Failure> {
    let keys = Ownership::KEYS.map(str::to_owned).to_vec();
    let call = client.remove_tags_from_resource().resource_name(arn).set_tag_keys(Some(keys)).send();
    match call.await.for_operation("elasticache:RemoveTagsFromResource") {
        Err(failure) if failure.is("TagNotFound") => Ok(()),
        answer => answer.map(drop).map_err(retry_until_available),
    }
}

fn retry_until_available(failure: Failure) -> Failure {
    failure.when(&["InvalidReplicationGroupState", "InvalidCacheClusterState"], Class::NotReady)
}

/// Returns the key of the tag that a change refers to: `Name` for `tags.Name`, `a b` for `tags["a b"]`. Keys contain no
/// quotes.
fn key(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("tags")?;
    rest.strip_prefix('.').or_else(|| rest.strip_prefix("[\"")?.strip_suffix("\"]"))
}

#[cfg(test)]
mod tests {
    use super::{change, key, read};
    use crate::Client;
    use crate::testing::error_body;
    use aws_sdk_elasticache::operation::add_tags_to_resource::AddTagsToResourceOutput;
    use aws_smithy_mocks::mock;
    use pb_engine::Change;
    use std::collections::BTreeMap;

    #[test]
    fn tag_key_is_parsed_from_a_change_path() {
        assert_eq!(key("tags.Name"), Some("Name"));
        assert_eq!(key("tags[\"cost:center x\"]"), Some("cost:center x"));
        assert_eq!(key("tagset.Name"), None);
        assert_eq!(key("name"), None);
    }

    #[tokio::test]
    async fn tag_update_writes_only_changed_keys() {
        let add = mock!(Client::add_tags_to_resource)
            .match_requests(|call| call.tags().len() == 1 && call.tags()[0].key() == Some("team"))
            .then_output(|| AddTagsToResourceOutput::builder().build());
        let remove = mock!(Client::remove_tags_from_resource)
            .match_requests(|call| call.tag_keys() == ["old"])
            .sequence()
            .http_status(400, error_body("TagNotFound"))
            .build();
        let client = pb_aws::mock_client!(aws_sdk_elasticache, [&add, &remove]);
        let text = |text: &str| Some(text.to_owned().into());
        let changes = [
            Change { path: "tags.team".to_owned(), before: None, after: text("queue") },
            Change { path: "tags.old".to_owned(), before: text("x"), after: None },
            Change { path: "port".to_owned(), before: None, after: text("1") },
        ];
        let wanted = BTreeMap::from([("team".to_owned(), "queue".to_owned()), ("Name".to_owned(), "n".to_owned())]);
        change(&client, "arn", &wanted, &changes).await.unwrap();
        assert_eq!((add.num_calls(), remove.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn unreadable_tags_are_no_error() {
        for code in ["InvalidReplicationGroupState", "ReplicationGroupNotFoundFault", "CacheClusterNotFound"] {
            let list = mock!(Client::list_tags_for_resource).sequence().http_status(400, error_body(code)).build();
            let client = pb_aws::mock_client!(aws_sdk_elasticache, [&list]);
            assert_eq!(read(&client, "arn").await.unwrap(), None, "{code}");
        }
    }
}
