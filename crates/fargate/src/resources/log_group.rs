//! Log groups of CloudWatch Logs.

use crate::resources::checks;
use crate::tags::{TagChanges, Tags};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::LogGroup;
use aws_types::region::Region;
use pb_aws::{ForOperation, in_region};
use pb_engine::{
    Backoff, Change, Class, Context, Failure, Found, Ownership, Progress, ReadScope, Resource, fetch_each,
    list_with_details,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Spec of a log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroupSpec {
    /// Name of the log group.
    pub name: String,
    /// Retention of events, in days; if absent, they never expire.
    pub retention_days: Option<i32>,
    /// Tags, in addition to the ownership tags.
    pub tags: Tags,
}

/// Attributes of a log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroupAttrs {
    /// Name of the log group.
    pub name: String,
    /// ARN without the trailing `:*`; absent until the group has been read.
    pub arn: Option<String>,
    /// `true` if deletion protection is on.
    pub protected: bool,
}

/// Resource kind for log groups of CloudWatch Logs (`logs.log_group`).
#[derive(Debug, Clone)]
pub struct LogGroups {
    client: Client,
}

impl LogGroups {
    /// Creates the resource kind, which calls AWS through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<LogGroup>, Failure> {
        let pages = self.client.describe_log_groups().log_group_name_prefix(prefix).into_paginator();
        let groups: Result<Vec<LogGroup>, _> = pages.items().send().collect().await;
        groups.for_operation("logs:DescribeLogGroups")
    }

    /// Lists the log groups whose names start with the prefix of the workspace, and the configured, recorded and
    /// imported log groups with other names.
    async fn candidates(&self, scope: &ReadScope<Self>) -> Result<Vec<LogGroup>, Failure> {
        let prefix = crate::names::name_prefix(scope.owner());
        let mut groups = self.list(&prefix).await?;
        let wanted = scope.desired.iter().map(|(_, spec)| &spec.name);
        let names = wanted.chain(scope.recorded.iter().map(|(_, attrs)| &attrs.name)).map(String::as_str);
        let names: BTreeSet<&str> = names.chain(scope.imports().map(|(_, id)| id)).collect();
        for name in names.into_iter().filter(|name| !name.starts_with(&prefix)) {
            let found = self.list(name).await?;
            groups.extend(found.into_iter().filter(|group| group.log_group_name() == Some(name)));
        }
        Ok(groups)
    }

    /// Returns the tags of a log group, or `None` if it has been deleted in the meantime.
    async fn tags(&self, arn: &str) -> Result<Option<Tags>, Failure> {
        let answer = self.client.list_tags_for_resource().resource_arn(arn).send().await;
        match answer.for_operation("logs:ListTagsForResource") {
            Ok(found) => Ok(Some(found.tags.unwrap_or_default().into_iter().collect())),
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn set_retention(&self, name: &str, days: Option<i32>) -> Result<(), Failure> {
        match days {
            Some(days) => {
                let call = self.client.put_retention_policy().log_group_name(name).retention_in_days(days);
                call.send().await.for_operation("logs:PutRetentionPolicy")?;
            }
            None => {
                let call = self.client.delete_retention_policy().log_group_name(name);
                call.send().await.for_operation("logs:DeleteRetentionPolicy")?;
            }
        }
        Ok(())
    }

    async fn retag(&self, arn: &str, tags: &Tags, changes: &[Change]) -> Result<(), Failure> {
        let TagChanges { set, removed } = TagChanges::of(tags, changes);
        if !set.is_empty() {
            let call = self.client.tag_resource().resource_arn(arn).set_tags(Some(set.into_iter().collect()));
            call.send().await.for_operation("logs:TagResource")?;
        }
        if !removed.is_empty() {
            let call = self.client.untag_resource().resource_arn(arn).set_tag_keys(Some(removed));
            call.send().await.for_operation("logs:UntagResource")?;
        }
        Ok(())
    }
}

fn attrs(group: &LogGroup) -> LogGroupAttrs {
    // The field `arn` ends with `:*`, which the tagging calls refuse. (CloudWatch Logs API: LogGroup)
    let arn = group.log_group_arn().or(group.arn()).map(|arn| arn.trim_end_matches(":*").to_owned());
    LogGroupAttrs {
        name: group.log_group_name().unwrap_or_default().to_owned(),
        arn,
        protected: group.deletion_protection_enabled().unwrap_or_default(),
    }
}

/// Returns a log group as managed or unmanaged, or `None` if it is neither managed nor configured.
fn classify(scope: &ReadScope<LogGroups>, group: &LogGroup, tags: &Tags) -> Option<Found<LogGroups>> {
    let attrs = attrs(group);
    if let Some(address) = scope.managed_address(tags, &[&attrs.name]) {
        let spec = LogGroupSpec {
            name: attrs.name.clone(),
            retention_days: group.retention_in_days,
            tags: Ownership::user_tags(tags),
        };
        return Some(Found::Managed { address, spec, attrs, ready: true });
    }
    let address = scope.find_desired(|spec| spec.name == attrs.name)?;
    Some(scope.unmanaged(address, format!("log group {}", attrs.name), tags, &attrs.name))
}

impl Resource for LogGroups {
    const KIND: &'static str = "logs.log_group";
    const TAG_INDEXED: bool = true;
    const RETAINED_FIELDS: &'static [&'static str] = &["name"];
    type Spec = LogGroupSpec;
    type Attrs = LogGroupAttrs;

    fn validate(spec: &LogGroupSpec) -> Result<(), String> {
        checks::text("name", &spec.name, pb_rules::logs::log_group)?;
        if let Some(days) = spec.retention_days {
            checks::verdict("retention", pb_rules::logs::retention_days(days.into()))?;
        }
        checks::tags(&spec.tags)
    }

    fn planned_attrs(spec: &LogGroupSpec) -> LogGroupAttrs {
        LogGroupAttrs { name: spec.name.clone(), arn: None, protected: false }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "name"
    }

    fn can_coexist(old: &LogGroupSpec, new: &LogGroupSpec) -> bool {
        old.name != new.name
    }

    fn deletion_blocker(_spec: &LogGroupSpec, attrs: &LogGroupAttrs) -> Option<String> {
        let region =
            attrs.arn.as_ref().and_then(|arn| arn.split(':').nth(3)).map(|region| Region::new(region.to_owned()));
        let turn_off = format!(
            "aws logs put-log-group-deletion-protection --log-group-identifier {} --no-deletion-protection-enabled",
            attrs.name
        );
        attrs.protected.then(|| {
            let turn_off = in_region(&turn_off, region.as_ref());
            format!("its deletion protection is on; turn it off with `{turn_off}`")
        })
    }

    fn id(attrs: &LogGroupAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let likely = scope.recorded.iter().filter_map(|(_, attrs)| attrs.arn.clone());
        let ask = |arns| fetch_each(arns, |arn| async move { self.tags(&arn).await });
        let tags = |arns| scope.tags_of(arns, ask);
        let groups = list_with_details(self.candidates(scope), likely, |group| attrs(group).arn, tags).await?;
        let untagged = groups.iter().filter_map(|(group, tags)| scope.untagged(tags.as_ref()?, &attrs(group)));
        Ok(groups.iter().filter_map(|(group, tags)| classify(scope, group, tags.as_ref()?)).chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &LogGroupSpec) -> Result<LogGroupAttrs, Failure> {
        let tags = cx.tags(&spec.tags).into_iter().collect();
        let call = self.client.create_log_group().log_group_name(&spec.name).set_tags(Some(tags));
        call.send().await.for_operation("logs:CreateLogGroup")?;
        Ok(Self::planned_attrs(spec))
    }

    async fn configure(&self, _cx: &Context, attrs: &LogGroupAttrs, spec: &LogGroupSpec) -> Result<(), Failure> {
        match spec.retention_days {
            Some(days) => self.set_retention(&attrs.name, Some(days)).await,
            None => Ok(()),
        }
    }

    async fn update(
        &self,
        _cx: &Context,
        attrs: &LogGroupAttrs,
        spec: &LogGroupSpec,
        changes: &[Change],
    ) -> Result<LogGroupAttrs, Failure> {
        if changes.iter().any(|change| change.field() == "retention_days") {
            self.set_retention(&attrs.name, spec.retention_days).await?;
        }
        self.retag(attrs.arn.as_deref().unwrap_or_default(), &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    /// Waits until the log group is visible, and returns it with its ARN.
    async fn wait_ready(&self, cx: &Context, attrs: LogGroupAttrs) -> Result<LogGroupAttrs, Failure> {
        if attrs.arn.is_some() {
            return Ok(attrs);
        }
        let name = &attrs.name;
        cx.wait("logs:DescribeLogGroups", Backoff::seconds(Duration::from_secs(60)), || async move {
            let group = self.list(name).await?.into_iter().find(|group| group.log_group_name() == Some(name));
            Ok(match group {
                Some(group) => Progress::Ready(self::attrs(&group)),
                None => Progress::Pending("waiting for the log group to appear".to_owned()),
            })
        })
        .await
    }

    async fn delete(&self, _cx: &Context, attrs: &LogGroupAttrs) -> Result<(), Failure> {
        let call = self.client.delete_log_group().log_group_name(&attrs.name);
        call.send().await.for_operation("logs:DeleteLogGroup")?;
        Ok(())
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        let tags = cx.tags(&Tags::new()).into_iter().collect();
        let call = self.client.tag_resource().resource_arn(attrs.arn.as_deref().unwrap_or_default());
        call.set_tags(Some(tags)).send().await.for_operation("logs:TagResource").map(drop)
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        let call = self.client.untag_resource().resource_arn(attrs.arn.as_deref().unwrap_or_default());
        let call = call.set_tag_keys(Some(Ownership::KEYS.map(str::to_owned).to_vec()));
        call.send().await.for_operation("logs:UntagResource").map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, LogGroupSpec, LogGroups, Tags};
    use crate::testing::{Fake, name_tag, owned_tags, refused, standalone};
    use aws_sdk_cloudwatchlogs::operation::create_log_group::CreateLogGroupOutput;
    use aws_sdk_cloudwatchlogs::operation::delete_log_group::DeleteLogGroupOutput;
    use aws_sdk_cloudwatchlogs::operation::describe_log_groups::DescribeLogGroupsOutput;
    use aws_sdk_cloudwatchlogs::operation::list_tags_for_resource::ListTagsForResourceOutput;
    use aws_sdk_cloudwatchlogs::operation::put_retention_policy::PutRetentionPolicyOutput;
    use aws_sdk_cloudwatchlogs::operation::tag_resource::TagResourceOutput;
    use aws_sdk_cloudwatchlogs::operation::untag_resource::UntagResourceOutput;
    use aws_sdk_cloudwatchlogs::types::LogGroup;
    use aws_smithy_mocks::{MockResponse, Rule, mock};
    use pb_engine::{Class, Graph, Resource, Standalone};

    const ARN: &str = "arn:aws:logs:us-east-2:1:log-group:staging-app";

    /// State of the fake CloudWatch Logs: a log group, and the write calls so far.
    #[derive(Default)]
    struct Logs {
        group: Option<(Option<i32>, Tags)>,
        protected: bool,
        writes: Vec<String>,
    }

    fn reads(fake: &Fake<Logs>) -> [Rule; 2] {
        let (groups, tags) = (fake.clone(), fake.clone());
        [
            mock!(Client::describe_log_groups).then_compute_output(move |input| {
                let logs = groups.get();
                let group =
                    logs.group.as_ref().filter(|_| "staging-app".starts_with(input.log_group_name_prefix().unwrap()));
                let group = group.map(|(days, _)| {
                    let group = LogGroup::builder().log_group_name("staging-app").arn(format!("{ARN}:*"));
                    group.set_retention_in_days(*days).deletion_protection_enabled(logs.protected).build()
                });
                DescribeLogGroupsOutput::builder().set_log_groups(Some(group.into_iter().collect())).build()
            }),
            mock!(Client::list_tags_for_resource)
                .match_requests(|input| input.resource_arn() == Some(ARN))
                .then_compute_output(move |_| {
                    let group = tags.get().group.clone().unwrap();
                    ListTagsForResourceOutput::builder().set_tags(Some(group.1.into_iter().collect())).build()
                }),
        ]
    }

    fn writes(fake: &Fake<Logs>) -> [Rule; 5] {
        let [create, retain, tag, untag, delete] = [(); 5].map(|()| fake.clone());
        [
            mock!(Client::create_log_group).then_compute_response(move |input| {
                let mut logs = create.get();
                if logs.group.is_some() {
                    return MockResponse::Http(refused("ResourceAlreadyExistsException", "it exists"));
                }
                logs.writes.push("create".to_owned());
                logs.group = Some((None, input.tags().unwrap().clone().into_iter().collect()));
                MockResponse::Output(CreateLogGroupOutput::builder().build())
            }),
            mock!(Client::put_retention_policy).then_compute_output(move |input| {
                let mut logs = retain.get();
                logs.writes.push(format!("retain {:?}", input.retention_in_days().unwrap()));
                logs.group.as_mut().unwrap().0 = input.retention_in_days();
                PutRetentionPolicyOutput::builder().build()
            }),
            mock!(Client::tag_resource).match_requests(|input| input.resource_arn() == Some(ARN)).then_compute_output(
                move |input| {
                    let mut logs = tag.get();
                    logs.writes.push(format!("tag {:?}", input.tags().unwrap()));
                    logs.group.as_mut().unwrap().1.extend(input.tags().unwrap().clone());
                    TagResourceOutput::builder().build()
                },
            ),
            mock!(Client::untag_resource).then_compute_output(move |input| {
                let mut logs = untag.get();
                logs.writes.push(format!("untag {:?}", input.tag_keys()));
                logs.group.as_mut().unwrap().1.retain(|key, _| !input.tag_keys().contains(key));
                UntagResourceOutput::builder().build()
            }),
            mock!(Client::delete_log_group).then_compute_output(move |_| {
                delete.get().group = None;
                DeleteLogGroupOutput::builder().build()
            }),
        ]
    }

    fn stack(fake: &Fake<Logs>, days: Option<i32>, tags: Tags) -> Standalone {
        let rules: Vec<Rule> = reads(fake).into_iter().chain(writes(fake)).collect();
        let mut graph = Graph::new();
        let kind = graph.kind(LogGroups::new(pb_aws::mock_client!(aws_sdk_cloudwatchlogs, &rules)));
        let spec = move |()| LogGroupSpec { name: "staging-app".to_owned(), retention_days: days, tags: tags.clone() };
        graph.add("fargate/logs", &kind, (), spec).unwrap();
        standalone(graph)
    }

    #[tokio::test(start_paused = true)]
    async fn log_group_is_created_with_tags_then_a_no_op() {
        let fake = Fake::<Logs>::new();
        let made = stack(&fake, Some(30), name_tag()).deploy().await.unwrap();
        assert_eq!(fake.get().group, Some((Some(30), owned_tags("fargate/logs"))));
        assert_eq!(crate::testing::attrs_of(&made, "fargate/logs")["arn"], ARN);
        assert!(stack(&fake, Some(30), name_tag()).plan().await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn log_group_update_writes_only_differences() {
        let fake = Fake::<Logs>::new();
        let mut there = owned_tags("fargate/logs");
        there.insert("old".to_owned(), "1".to_owned());
        fake.get().group = Some((Some(30), there));
        let tags: Tags = [("Name", "n"), ("team", "a")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        stack(&fake, Some(30), tags.clone()).deploy().await.unwrap();
        assert_eq!(fake.get().writes, [r#"tag {"team": "a"}"#, r#"untag ["old"]"#]);
        stack(&fake, Some(7), tags).deploy().await.unwrap();
        assert_eq!(fake.get().writes[2..], ["retain 7"]);
    }

    #[tokio::test(start_paused = true)]
    async fn unmanaged_log_group_is_left_alone() {
        let fake = Fake::<Logs>::new();
        fake.get().group = Some((None, name_tag()));
        let failure = stack(&fake, Some(30), name_tag()).deploy().await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(failure.message.contains("log group staging-app already exists"), "{failure}");
        assert!(fake.get().writes.is_empty());
        stack(&fake, None, name_tag()).destroy().await.unwrap();
        assert!(fake.get().group.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn log_group_protection_refuses_a_destroy() {
        let fake = Fake::<Logs>::new();
        fake.get().group = Some((None, owned_tags("fargate/logs")));
        fake.get().protected = true;
        let failure = stack(&fake, None, name_tag()).destroy().await.unwrap_err();
        assert!(failure.message.contains("deletion protection is on"), "{failure}");
        fake.get().protected = false;
        stack(&fake, None, name_tag()).destroy().await.unwrap();
        assert!(fake.get().group.is_none());
    }

    #[test]
    fn log_group_retention_unknown_to_aws_is_refused() {
        let spec = |days| LogGroupSpec { name: "a".to_owned(), retention_days: Some(days), tags: Tags::new() };
        assert_eq!(LogGroups::validate(&spec(30)), Ok(()));
        assert!(LogGroups::validate(&spec(31)).unwrap_err().contains("the nearest valid value is 30"));
    }
}
