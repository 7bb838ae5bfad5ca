//! Log groups of CloudWatch Logs.

use crate::resources::checks;
use crate::tags::{TagChanges, Tags};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::LogGroup;
use aws_types::region::Region;
use pb_aws::{ForOperation, in_region};
use pb_engine::{
    Address, Backoff, Change, Class, Context, Failure, Found, Ownership, Progress, ReadScope, Resource, fetch_each,
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

/// Returns the retention of a log group. While a retention policy of the account applies, AWS returns the retention of the
/// policy instead of the group's own, which then cannot be read and counts as the desired one. (CloudWatch Logs API:
/// LogGroup)
fn retention(scope: &ReadScope<LogGroups>, address: &Address, group: &LogGroup) -> Option<i32> {
    let desired = scope.desired.iter().find(|(at, _)| at == address);
    match (group.retention_policy_name(), desired) {
        (Some(_), Some((_, spec))) => spec.retention_days,
        _ => group.retention_in_days,
    }
}

/// Returns a log group as managed or unmanaged, or `None` if it is neither managed nor configured.
fn classify(scope: &ReadScope<LogGroups>, group: &LogGroup, tags: &Tags) -> Option<Found<LogGroups>> {
    let attrs = attrs(group);
    if let Some(address) = scope.managed_address(tags, &[&attrs.name]) {
        let spec = LogGroupSpec {
            name: attrs.name.clone(),
            retention_days: retention(scope, &address, group),
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
mod tests;
