//! Tags in the formats of the AWS services.

use pb_aws::{ForOperation, tag_map};
use pb_engine::{Change, Context, Failure, Ownership, STACK_TAG, WORKSPACE_TAG};
use std::collections::BTreeMap;

/// Tags of any AWS service.
pub(crate) type Tags = BTreeMap<String, String>;

/// Converts tags to the type of the ECS SDK.
pub(crate) fn to_ecs(tags: Tags) -> Vec<aws_sdk_ecs::types::Tag> {
    tags.into_iter().map(|(key, value)| aws_sdk_ecs::types::Tag::builder().key(key).value(value).build()).collect()
}

/// Converts tags from the type of the ECS SDK.
pub(crate) fn from_ecs(tags: &[aws_sdk_ecs::types::Tag]) -> Tags {
    tag_map(tags.iter().map(|tag| (tag.key(), tag.value())))
}

/// Returns whether `tags` name the same stack and workspace as the resource of `cx`.
pub(crate) fn same_owner(cx: &Context, tags: &Tags) -> bool {
    let ours = cx.tags(&Tags::new());
    [STACK_TAG, WORKSPACE_TAG].iter().all(|key| tags.get(*key).is_some_and(|value| ours.get(*key) == Some(value)))
}

/// Differences in the field `tags` of a spec.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TagChanges {
    /// Tags that are new or whose value has changed.
    pub set: Tags,
    /// Keys of the tags to remove.
    pub removed: Vec<String>,
}

impl TagChanges {
    /// Returns the tag changes among `changes`. `tags` are the configured tags.
    pub(crate) fn of(tags: &Tags, changes: &[Change]) -> Self {
        let mut found = Self::default();
        for key in changes.iter().filter_map(|change| key(&change.path)) {
            match tags.get(&key) {
                Some(value) => drop(found.set.insert(key, value.clone())),
                None => found.removed.push(key),
            }
        }
        found
    }
}

/// Returns the tag key in the path of a change, such as `tags.team` or `tags["cost:center"]`.
fn key(path: &str) -> Option<String> {
    let rest = path.strip_prefix("tags")?;
    match rest.strip_prefix('.') {
        Some(key) => Some(key.to_owned()),
        None => Some(rest.strip_prefix("[\"")?.strip_suffix("\"]")?.to_owned()),
    }
}

/// Applies the tag changes among `changes` to an ECS resource. `tags` are the configured tags.
pub(crate) async fn retag(
    client: &aws_sdk_ecs::Client,
    arn: &str,
    tags: &Tags,
    changes: &[Change],
) -> Result<(), Failure> {
    let TagChanges { set, removed } = TagChanges::of(tags, changes);
    if !set.is_empty() {
        let call = client.tag_resource().resource_arn(arn).set_tags(Some(to_ecs(set)));
        call.send().await.for_operation("ecs:TagResource")?;
    }
    if !removed.is_empty() {
        let call = client.untag_resource().resource_arn(arn).set_tag_keys(Some(removed));
        call.send().await.for_operation("ecs:UntagResource")?;
    }
    Ok(())
}

/// Adds the ownership tags to an ECS resource.
pub(crate) async fn adopt(client: &aws_sdk_ecs::Client, cx: &Context, arn: &str) -> Result<(), Failure> {
    let call = client.tag_resource().resource_arn(arn).set_tags(Some(to_ecs(cx.tags(&Tags::new()))));
    call.send().await.for_operation("ecs:TagResource").map(drop)
}

/// Removes the ownership tags from an ECS resource.
pub(crate) async fn forget(client: &aws_sdk_ecs::Client, arn: &str) -> Result<(), Failure> {
    let call =
        client.untag_resource().resource_arn(arn).set_tag_keys(Some(Ownership::KEYS.map(str::to_owned).to_vec()));
    call.send().await.for_operation("ecs:UntagResource").map(drop)
}

#[cfg(test)]
mod tests {
    use super::{TagChanges, Tags};
    use pb_engine::diff;
    use serde_json::json;

    #[test]
    fn tag_changes_contain_only_differences() {
        let before = json!({"tags": {"same": "1", "cost:center": "a", "gone": "x", "gone:too": "y"}, "name": "a"});
        let after = json!({"tags": {"same": "1", "cost:center": "b", "new": "n"}, "name": "b"});
        let wanted: Tags = serde_json::from_value(after["tags"].clone()).unwrap();
        let found = TagChanges::of(&wanted, &diff(&before, &after));
        let set = [("cost:center", "b"), ("new", "n")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(found.set, Tags::from(set));
        assert_eq!(found.removed, ["gone", "gone:too"]);
    }
}
