//! The default security group of a VPC, kept without rules, so that a resource assigned to it by mistake can reach
//! nothing.

use aws_sdk_ec2::types::SecurityGroup as Live;
use futures_util::future::try_join;
use pb_engine::{Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::ec2::{Ec2, check_tags, describe_by, filter, missing_ids, tag_map};
use crate::group_calls::{DEFAULT, ManagedGroups};

/// Resource kind for default security groups. AWS creates and deletes the group together with its VPC, so a create of
/// this kind adds the ownership tags to it, and a delete removes them.
pub struct DefaultSecurityGroup {
    ec2: Ec2,
}

/// Spec of a default group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultSecurityGroupSpec {
    /// Id of the group's VPC.
    pub vpc_id: String,
    /// Summaries of the unmanaged rules in the group, by rule id. The desired value is empty.
    pub rules: BTreeMap<String, String>,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a default group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultSecurityGroupAttrs {
    /// Id of the group, `sg-...`.
    pub id: String,
}

impl DefaultSecurityGroup {
    /// Creates the resource kind, which makes its calls through `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }
}

fn classify(
    scope: &ReadScope<DefaultSecurityGroup>,
    groups: &ManagedGroups,
    live: &Live,
) -> Option<Found<DefaultSecurityGroup>> {
    if live.group_name() != Some(DEFAULT) {
        return None;
    }
    let (tags, id) = (tag_map(live.tags()), live.group_id()?);
    let address = scope.managed_address(&tags, &[id])?;
    let spec = DefaultSecurityGroupSpec {
        vpc_id: live.vpc_id().unwrap_or_default().to_owned(),
        rules: groups.unmanaged_rules(scope, id),
        tags: Ownership::user_tags(&tags),
    };
    Some(Found::Managed { address, spec, attrs: DefaultSecurityGroupAttrs { id: id.to_owned() }, ready: true })
}

fn untagged(scope: &ReadScope<DefaultSecurityGroup>, live: &Live) -> Option<Found<DefaultSecurityGroup>> {
    scope.untagged(&tag_map(live.tags()), &DefaultSecurityGroupAttrs { id: live.group_id()?.to_owned() })
}

impl Resource for DefaultSecurityGroup {
    const KIND: &'static str = "ec2.default_security_group";
    const DELETE_UNTAGS: bool = true;
    type Spec = DefaultSecurityGroupSpec;
    type Attrs = DefaultSecurityGroupAttrs;

    fn validate(spec: &DefaultSecurityGroupSpec) -> Result<(), String> {
        check_tags(&spec.tags)
    }

    fn planned_attrs(_: &DefaultSecurityGroupSpec) -> DefaultSecurityGroupAttrs {
        DefaultSecurityGroupAttrs { id: unknown() }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "vpc_id"
    }

    /// Returns whether the VPCs differ, because each VPC has exactly one default group.
    fn can_coexist(old: &DefaultSecurityGroupSpec, new: &DefaultSecurityGroupSpec) -> bool {
        old.vpc_id != new.vpc_id
    }

    fn id(attrs: &DefaultSecurityGroupAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let tagged = ManagedGroups::read_shared(scope, &self.ec2).await?;
        let seen: Vec<&str> = tagged.groups.iter().filter_map(Live::group_id).collect();
        let ids = missing_ids(scope, |attrs| &attrs.id, &seen);
        let by_id = describe_by("group-id", &ids, |filters| self.ec2.groups(filters)).await?;
        let by_id = self.ec2.with_rules(by_id).await?;
        let within = |groups: &ManagedGroups| -> Vec<Found<Self>> {
            groups.groups.iter().filter_map(|live| classify(scope, groups, live)).collect()
        };
        let mut all = within(&tagged);
        all.extend(within(&by_id));
        all.extend(tagged.groups.iter().chain(&by_id.groups).filter_map(|live| untagged(scope, live)));
        Ok(all)
    }

    /// Adds the tags to the group that AWS created with the VPC.
    async fn create(
        &self,
        cx: &Context,
        spec: &DefaultSecurityGroupSpec,
    ) -> Result<DefaultSecurityGroupAttrs, Failure> {
        let filters = vec![filter("vpc-id", [&spec.vpc_id]), filter("group-name", [DEFAULT])];
        let groups = self.ec2.groups(filters).await?;
        let id = groups.first().and_then(Live::group_id).ok_or_else(|| {
            let message = format!("the default security group of {} is not visible yet", spec.vpc_id);
            Failure::new(Class::NotFound, "ec2:DescribeSecurityGroups", message)
        })?;
        self.ec2.set_tags(id, &cx.tags(&spec.tags)).await?;
        Ok(DefaultSecurityGroupAttrs { id: id.to_owned() })
    }

    async fn configure(
        &self,
        _: &Context,
        attrs: &DefaultSecurityGroupAttrs,
        _: &DefaultSecurityGroupSpec,
    ) -> Result<(), Failure> {
        // The two initial rules of the group are identified by their content, because a describe call may not return
        // them yet right after the VPC is created.
        try_join(self.ec2.revoke_allow_members(&attrs.id), self.ec2.revoke_allow_all_egress(&attrs.id)).await?;
        self.ec2.revoke_every_rule(&attrs.id).await
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &DefaultSecurityGroupAttrs,
        spec: &DefaultSecurityGroupSpec,
        changes: &[Change],
    ) -> Result<DefaultSecurityGroupAttrs, Failure> {
        self.ec2.revoke_unmanaged(cx, &attrs.id, "rules", changes).await?;
        self.ec2.tag(cx, &attrs.id, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    /// Revokes the rules, so that they do not reference a group that is to be deleted, and removes the ownership tags.
    /// The group itself cannot be deleted, and its initial rules are not restored.
    async fn delete(&self, _: &Context, attrs: &DefaultSecurityGroupAttrs) -> Result<(), Failure> {
        self.ec2.revoke_every_rule(&attrs.id).await?;
        self.ec2.forget(&attrs.id).await
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.adopt(cx, &attrs.id).await
    }

    async fn forget(&self, _: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.forget(&attrs.id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{changed_paths, filters_by_tags, has_filter, managed_tags, plain_tags, standalone};
    use aws_sdk_ec2::Client;
    use aws_sdk_ec2::operation::create_tags::CreateTagsOutput;
    use aws_sdk_ec2::operation::delete_tags::DeleteTagsOutput;
    use aws_sdk_ec2::operation::describe_security_group_rules::DescribeSecurityGroupRulesOutput;
    use aws_sdk_ec2::operation::describe_security_groups::DescribeSecurityGroupsOutput;
    use aws_sdk_ec2::operation::revoke_security_group_egress::RevokeSecurityGroupEgressOutput;
    use aws_sdk_ec2::operation::revoke_security_group_ingress::RevokeSecurityGroupIngressOutput;
    use aws_sdk_ec2::types::SecurityGroupRule;
    use aws_smithy_mocks::mock;
    use pb_aws::mock_client;

    fn spec() -> DefaultSecurityGroupSpec {
        DefaultSecurityGroupSpec { vpc_id: "vpc-1".to_owned(), rules: BTreeMap::new(), tags: plain_tags() }
    }

    fn groups(managed: bool) -> DescribeSecurityGroupsOutput {
        let group = Live::builder().group_id("sg-1").vpc_id("vpc-1").group_name("default");
        DescribeSecurityGroupsOutput::builder()
            .security_groups(group.set_tags(managed.then(managed_tags)).build())
            .build()
    }

    #[tokio::test(start_paused = true)]
    async fn default_group_is_tagged_and_emptied() {
        let none = mock!(Client::describe_security_groups).match_requests(|r| filters_by_tags(r.filters()));
        let none = none.then_output(|| DescribeSecurityGroupsOutput::builder().build());
        // The default group of a new VPC is not visible immediately.
        let existing = mock!(Client::describe_security_groups).match_requests(|r| {
            has_filter(r.filters(), "vpc-id", "vpc-1") && has_filter(r.filters(), "group-name", "default")
        });
        let existing = existing.sequence().output(|| DescribeSecurityGroupsOutput::builder().build());
        let existing = existing.output(|| groups(false)).build();
        let tag = mock!(Client::create_tags)
            .match_requests(|r| r.resources() == ["sg-1"] && managed_tags().iter().all(|tag| r.tags().contains(tag)))
            .then_output(|| CreateTagsOutput::builder().build());
        let ingress = mock!(Client::revoke_security_group_ingress)
            .match_requests(|r| {
                r.ip_permissions().iter().any(|all| {
                    let members = |pair: &aws_sdk_ec2::types::UserIdGroupPair| pair.group_id() == Some("sg-1");
                    all.ip_protocol() == Some("-1") && all.user_id_group_pairs().iter().all(members)
                })
            })
            .then_output(|| RevokeSecurityGroupIngressOutput::builder().build());
        let egress = mock!(Client::revoke_security_group_egress)
            .match_requests(|r| r.ip_permissions().iter().any(|all| all.ip_protocol() == Some("-1")))
            .then_output(|| RevokeSecurityGroupEgressOutput::builder().build());
        let added = mock!(Client::describe_security_group_rules).then_output(|| {
            let rule = SecurityGroupRule::builder().security_group_rule_id("sgr-5").group_id("sg-1").build();
            DescribeSecurityGroupRulesOutput::builder().security_group_rules(rule).build()
        });
        let by_id = mock!(Client::revoke_security_group_ingress)
            .match_requests(|r| r.security_group_rule_ids() == ["sgr-5"])
            .then_output(|| RevokeSecurityGroupIngressOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&none, &existing, &tag, &ingress, &egress, &added, &by_id]);
        standalone(DefaultSecurityGroup::new(client.into()), spec()).deploy().await.unwrap();
        for rule in [tag, ingress, egress, by_id] {
            assert_eq!(rule.num_calls(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn default_group_rule_is_planned_and_destroy_removes_tags() {
        let existing = mock!(Client::describe_security_groups).then_output(|| groups(true));
        let rules = mock!(Client::describe_security_group_rules).then_output(|| {
            let all = SecurityGroupRule::builder().security_group_rule_id("sgr-1").group_id("sg-1").is_egress(true);
            let all = all.ip_protocol("-1").from_port(-1).to_port(-1).cidr_ipv4("0.0.0.0/0").build();
            DescribeSecurityGroupRulesOutput::builder().security_group_rules(all).build()
        });
        let revoke = mock!(Client::revoke_security_group_egress)
            .match_requests(|r| r.security_group_rule_ids() == ["sgr-1"])
            .then_output(|| RevokeSecurityGroupEgressOutput::builder().build());
        let untag = mock!(Client::delete_tags)
            .match_requests(|r| r.resources() == ["sg-1"] && r.tags().len() == 3)
            .then_output(|| DeleteTagsOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&existing, &rules, &revoke, &untag]);
        let stack = standalone(DefaultSecurityGroup::new(client.into()), spec());
        let plan = stack.plan().await.unwrap();
        assert_eq!(changed_paths(&plan), ["rules.sgr-1"]);
        let shown = plan.changes().next().unwrap().changes[0].before.clone().unwrap();
        assert_eq!(shown, "egress all to 0.0.0.0/0");
        stack.deploy().await.unwrap();
        assert_eq!(revoke.num_calls(), 1);
        stack.destroy().await.unwrap();
        assert_eq!((revoke.num_calls(), untag.num_calls()), (2, 1));
    }
}
