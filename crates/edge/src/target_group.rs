//! `elbv2.target_group`: the targets that requests are sent to, with their health check.

mod health_check_update;
#[cfg(test)]
mod tests;

use crate::LoadBalancerClient as Client;
use crate::tags::{self, Tags};
use aws_sdk_elasticloadbalancingv2::types::{
    Matcher, ProtocolEnum, TargetGroup as Group, TargetGroupAttribute, TargetTypeEnum,
};
use pb_aws::ForOperation;
use pb_engine::{
    Address, Awaited, Change, Class, Context, Failure, Found, Interim, Ownership, ReadScope, Resource, fetch_each,
    is_unknown, list_with_details, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const DEREGISTRATION_DELAY: &str = "deregistration_delay.timeout_seconds";

/// Resource kind for target groups.
pub struct TargetGroup {
    client: Client,
}

impl TargetGroup {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// Spec of a target group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroupSpec {
    /// Name, at most 32 characters.
    pub name: String,
    /// Id of the VPC that contains the targets.
    pub vpc_id: String,
    /// Port of targets that are registered without a port.
    pub port: i32,
    /// Protocol: `HTTP`.
    pub protocol: String,
    /// Target type: `ip`.
    pub target_type: String,
    /// Health check of the targets.
    pub health: HealthCheck,
    /// Seconds that a deregistered target gets to finish its requests.
    pub deregistration_delay: i32,
    /// Tags, without the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Health check of the targets of a target group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Path that the check requests.
    pub path: String,
    /// Status codes that count as healthy: `200`, `200,202`, `200-299`.
    pub matcher: String,
    /// Seconds between two checks: 5 to 300.
    pub interval: i32,
    /// Timeout of a check in seconds: 2 to 120, less than the interval.
    pub timeout: i32,
    /// Consecutive successful checks that make a target healthy: 2 to 10.
    pub healthy: i32,
    /// Consecutive failed checks that make a target unhealthy: 2 to 10.
    pub unhealthy: i32,
}

impl HealthCheck {
    /// Returns whether the check `other` may find a target unhealthy that this check finds healthy.
    fn has_other_criteria(&self, other: &Self) -> bool {
        (&self.path, &self.matcher) != (&other.path, &other.matcher)
    }

    /// Returns the health period: the number of seconds after which a target that fails every check is unhealthy.
    fn period(&self) -> i32 {
        self.interval * self.unhealthy + self.timeout
    }

    /// Returns the check with the path and the matcher that it had before `changes`.
    fn before_changes(&self, changes: &[Change]) -> Self {
        let text = |path: &str, now: &str| {
            let change = changes.iter().find(|change| change.path == path);
            change.and_then(|change| change.before.as_ref()?.as_str()).unwrap_or(now).to_owned()
        };
        Self { path: text("health.path", &self.path), matcher: text("health.matcher", &self.matcher), ..self.clone() }
    }
}

/// Attributes of a target group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroupAttrs {
    /// ARN of the target group.
    pub arn: String,
    /// Name of the target group.
    pub name: String,
}

/// A target group does not prevent the deletion of its VPC.
impl Resource for TargetGroup {
    const KIND: &'static str = "elbv2.target_group";
    const TAG_INDEXED: bool = true;
    /// The port applies to targets that are registered without one (Elastic Load Balancing API, CreateTargetGroup). ECS
    /// registers each task with the port of its container, so a changed port does not require another target group.
    const RETAINED_FIELDS: &'static [&'static str] = &["name", "port"];
    type Spec = TargetGroupSpec;
    type Attrs = TargetGroupAttrs;

    fn validate(spec: &TargetGroupSpec) -> Result<(), String> {
        use pb_rules::load_balancer as rules;
        let all = || {
            if !is_unknown(&spec.name) {
                pb_rules::names::target_group(&spec.name)?;
            }
            pb_rules::network::port(spec.port.into())?;
            rules::health_path(&spec.health.path)?;
            rules::health_matcher(&spec.health.matcher)?;
            rules::health_interval(spec.health.interval.into())?;
            rules::health_timeout(spec.health.timeout.into())?;
            rules::health_times(spec.health.timeout.into(), spec.health.interval.into())?;
            rules::health_threshold(spec.health.healthy.into())?;
            rules::health_threshold(spec.health.unhealthy.into())?;
            rules::deregistration_delay(spec.deregistration_delay.into())
        };
        all().map_err(|violation| violation.to_string())
    }

    fn planned_attrs(spec: &TargetGroupSpec) -> TargetGroupAttrs {
        TargetGroupAttrs { arn: unknown(), name: spec.name.clone() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "name" | "vpc_id" | "port" | "protocol" | "target_type")
    }

    fn can_coexist(old: &TargetGroupSpec, new: &TargetGroupSpec) -> bool {
        old.name != new.name
    }

    /// Keeps the old health check until the dependents are updated: old tasks may fail the new check, so the check is
    /// changed only after the new tasks have started.
    fn interim_spec(old: Option<&TargetGroupSpec>, new: &TargetGroupSpec) -> Option<Interim<TargetGroupSpec>> {
        let old = old.filter(|old| old.health.has_other_criteria(&new.health))?;
        let spec = TargetGroupSpec { health: old.health.clone(), ..new.clone() };
        Some(Interim { spec, until: Awaited::Dependents })
    }

    fn id(attrs: &TargetGroupAttrs) -> Option<String> {
        (!is_unknown(&attrs.arn)).then(|| attrs.arn.clone())
    }

    /// Reads the target groups. A region may have thousands, so tags are read only for target groups whose name starts
    /// with the name of the workspace, or that are desired, recorded or to be imported.
    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let arn = |group: &Group| group.target_group_arn().map(str::to_owned);
        let likely = || scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
        let tagged = async {
            let tags = |arns| tags::read(scope, &self.client, arns);
            let tagged = list_with_details(self.candidates(scope), likely(), arn, tags).await?;
            Ok(tagged.into_iter().filter_map(|(group, tags)| Some((group, tags?))).collect())
        };
        let delays = |arns| fetch_each(arns, |arn| async move { self.deregistration_delay(&arn).await });
        let ours =
            |(group, tags): &(Group, Tags)| managed_address(scope, &attrs_of(group), tags).and_then(|_| arn(group));
        let all: Vec<((Group, Tags), _)> = list_with_details(tagged, likely(), ours, delays).await?;
        let untagged = all.iter().filter_map(|((group, tags), _)| scope.untagged(tags, &attrs_of(group)));
        let found = all.iter().filter_map(|((group, tags), delay)| classify(scope, group, tags, *delay));
        Ok(found.chain(untagged).collect())
    }

    /// Creates the target group. If a target group with the same settings exists, AWS returns it, so a repeated call
    /// does not create another.
    async fn create(&self, cx: &Context, spec: &TargetGroupSpec) -> Result<TargetGroupAttrs, Failure> {
        let call = self
            .client
            .create_target_group()
            .name(&spec.name)
            .vpc_id(&spec.vpc_id)
            .port(spec.port)
            .protocol(ProtocolEnum::from(spec.protocol.as_str()))
            .target_type(TargetTypeEnum::from(spec.target_type.as_str()))
            .health_check_path(&spec.health.path)
            .matcher(Matcher::builder().http_code(&spec.health.matcher).build())
            .health_check_interval_seconds(spec.health.interval)
            .health_check_timeout_seconds(spec.health.timeout)
            .healthy_threshold_count(spec.health.healthy)
            .unhealthy_threshold_count(spec.health.unhealthy)
            .set_tags(Some(tags::to_sdk(&cx.tags(&spec.tags))));
        let output = call.send().await.for_operation("elasticloadbalancing:CreateTargetGroup")?;
        Ok(output.target_groups().first().map_or_else(|| Self::planned_attrs(spec), attrs_of))
    }

    async fn configure(&self, _cx: &Context, attrs: &TargetGroupAttrs, spec: &TargetGroupSpec) -> Result<(), Failure> {
        let delay = spec.deregistration_delay.to_string();
        let attribute = TargetGroupAttribute::builder().key(DEREGISTRATION_DELAY).value(delay).build();
        let call = self.client.modify_target_group_attributes().target_group_arn(&attrs.arn).attributes(attribute);
        call.send().await.for_operation("elasticloadbalancing:ModifyTargetGroupAttributes").map(drop)
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &TargetGroupAttrs,
        spec: &TargetGroupSpec,
        changes: &[Change],
    ) -> Result<TargetGroupAttrs, Failure> {
        tags::update(&self.client, &attrs.arn, &spec.tags, changes).await?;
        let changed = |field: &str| changes.iter().any(|change| change.field() == field);
        if changed("health") {
            self.update_health_check(cx, attrs, (&spec.health.before_changes(changes), &spec.health)).await?;
        }
        if changed("deregistration_delay") {
            self.configure(cx, attrs, spec).await?;
        }
        Ok(attrs.clone())
    }

    async fn delete(&self, _cx: &Context, attrs: &TargetGroupAttrs) -> Result<(), Failure> {
        let call = self.client.delete_target_group().target_group_arn(&attrs.arn).send();
        call.await.for_operation("elasticloadbalancing:DeleteTargetGroup").map(drop)
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::forget(&self.client, &attrs.arn).await
    }
}

impl TargetGroup {
    async fn candidates(&self, scope: &ReadScope<Self>) -> Result<Vec<Group>, Failure> {
        let mut groups = all(&self.client).await?;
        let workspace = format!("{}-", scope.owner().workspace);
        groups.retain(|group| {
            let name = group.target_group_name().unwrap_or_default();
            name.starts_with(&workspace)
                || scope.find_desired(|spec| spec.name == name).is_some()
                || scope.find_recorded(|attrs| group.target_group_arn() == Some(&attrs.arn)).is_some()
                || scope.imports().any(|(_, id)| id == name || group.target_group_arn() == Some(id))
        });
        Ok(groups)
    }

    /// Reads the deregistration delay in seconds; `None` if the target group does not exist.
    async fn deregistration_delay(&self, arn: &str) -> Result<Option<i32>, Failure> {
        let call = self.client.describe_target_group_attributes().target_group_arn(arn).send();
        let output = match call.await.for_operation("elasticloadbalancing:DescribeTargetGroupAttributes") {
            Err(failure) if failure.class == Class::NotFound => return Ok(None),
            answer => answer?,
        };
        let delay = output.attributes().iter().find(|attribute| attribute.key() == Some(DEREGISTRATION_DELAY));
        Ok(Some(delay.and_then(|attribute| attribute.value()?.parse().ok()).unwrap_or(300)))
    }
}

/// Returns all target groups in the region.
pub(crate) async fn all(client: &Client) -> Result<Vec<Group>, Failure> {
    let all = client.describe_target_groups().into_paginator().items().send();
    all.collect::<Result<_, _>>().await.for_operation("elasticloadbalancing:DescribeTargetGroups")
}

/// Returns the address of a target group; `None` if it is not managed.
fn managed_address(scope: &ReadScope<TargetGroup>, attrs: &TargetGroupAttrs, tags: &Tags) -> Option<Address> {
    scope.managed_address(tags, &[&attrs.arn, &attrs.name])
}

/// Classifies a target group; `None` if it is neither managed nor desired, or was deleted in the meantime.
fn classify(
    scope: &ReadScope<TargetGroup>,
    group: &Group,
    tags: &Tags,
    delay: Option<i32>,
) -> Option<Found<TargetGroup>> {
    let attrs = attrs_of(group);
    match managed_address(scope, &attrs, tags) {
        Some(address) => Some(Found::Managed { address, spec: spec_of(group, tags, delay?), attrs, ready: true }),
        None => {
            let address = scope.find_desired(|spec| spec.name == attrs.name)?;
            Some(scope.unmanaged(address, format!("target group {}", attrs.name), tags, &attrs.name))
        }
    }
}

fn spec_of(group: &Group, tags: &Tags, deregistration_delay: i32) -> TargetGroupSpec {
    TargetGroupSpec {
        name: group.target_group_name().unwrap_or_default().to_owned(),
        vpc_id: group.vpc_id().unwrap_or_default().to_owned(),
        port: group.port().unwrap_or_default(),
        protocol: group.protocol().map_or_else(String::new, |protocol| protocol.as_str().to_owned()),
        target_type: group.target_type().map_or_else(String::new, |kind| kind.as_str().to_owned()),
        health: HealthCheck {
            path: group.health_check_path().unwrap_or_default().to_owned(),
            matcher: group.matcher().and_then(Matcher::http_code).unwrap_or_default().to_owned(),
            interval: group.health_check_interval_seconds().unwrap_or_default(),
            timeout: group.health_check_timeout_seconds().unwrap_or_default(),
            healthy: group.healthy_threshold_count().unwrap_or_default(),
            unhealthy: group.unhealthy_threshold_count().unwrap_or_default(),
        },
        deregistration_delay,
        tags: Ownership::user_tags(tags),
    }
}

fn attrs_of(group: &Group) -> TargetGroupAttrs {
    TargetGroupAttrs {
        arn: group.target_group_arn().unwrap_or_default().to_owned(),
        name: group.target_group_name().unwrap_or_default().to_owned(),
    }
}
