//! Security groups. Their rules are resources of their own; see [`SecurityGroupRule`](crate::SecurityGroupRule).

use aws_sdk_ec2::types::{NetworkInterface, ResourceType, SecurityGroup as Live};
use pb_aws::Answer;
use pb_engine::{Address, Change, Class, Context, Failure, Found, Ownership, Resource, Scope, is_unknown, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::ec2::{Ec2, OurVpcs, absent, address, by, check_tags, filter, tag_map, tagged, unseen, visible};
use crate::groups::{DEFAULT, Groups};
use crate::interfaces::used_by;

/// A security group, without the rules in it.
pub struct SecurityGroup {
    ec2: Ec2,
}

/// What is wanted of a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupSpec {
    /// Its VPC.
    pub vpc_id: String,
    /// Its name, of which there is one in a VPC.
    pub name: String,
    /// What it is for. Neither this nor the name can be changed later.
    pub description: String,
    /// The rules in it that no rule of ours accounts for, by id. None is wanted: not the one by which a new group lets
    /// everything out, and none that somebody added.
    pub unmanaged_rules: BTreeMap<String, String>,
    /// Its plain tags.
    pub tags: BTreeMap<String, String>,
}

/// What AWS assigned to a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupAttrs {
    /// `sg-...`
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
}

impl SecurityGroup {
    /// Security groups of `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }

    /// Groups that stand in a name that is wanted and not there yet. They are asked for only when one is missing.
    async fn foreign(&self, scope: &Scope<Self>, ours: &[Found<Self>]) -> Result<Vec<Found<Self>>, Failure> {
        let there = |wanted: &Address| {
            ours.iter().any(|found| matches!(found, Found::Ours { address, .. } if address == wanted))
        };
        let missing: Vec<_> = scope.wanted.iter().filter(|(address, _)| !there(address)).collect();
        let mut vpcs: Vec<String> = missing.iter().map(|(_, spec)| spec.vpc_id.clone()).collect();
        if vpcs.iter().any(|vpc| is_unknown(vpc)) {
            vpcs.extend(scope.shared(OurVpcs::ask(&self.ec2, scope.owner())).await?.ids());
        }
        vpcs.retain(|vpc| !is_unknown(vpc));
        if vpcs.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = missing.iter().map(|(_, spec)| spec.name.clone()).collect();
        let live = by("group-name", &names, |filters| self.ec2.groups(filters)).await?;
        let mut foreign = Vec::new();
        for (wanted, spec) in missing {
            let stands = |live: &&Live| {
                let vpc = live.vpc_id().unwrap_or_default();
                live.group_name() == Some(spec.name.as_str())
                    && (vpc == spec.vpc_id || is_unknown(&spec.vpc_id) && vpcs.iter().any(|ours| ours == vpc))
                    && scope.owned(&tag_map(live.tags())).is_none()
                    && scope.remembers(|attrs| live.group_id() == Some(attrs.id.as_str())).is_none()
            };
            if let Some(live) = live.iter().find(stands) {
                let what = format!(
                    "security group {} ({}) in {}",
                    spec.name,
                    live.group_id().unwrap_or_default(),
                    live.vpc_id().unwrap_or_default()
                );
                foreign.push(Found::Foreign { address: wanted.clone(), what });
            }
        }
        Ok(foreign)
    }

    /// The groups in whose rules this one is named.
    async fn named_by(&self, id: &str) -> Result<Vec<String>, Failure> {
        let mut groups = Vec::new();
        for name in ["ip-permission.group-id", "egress.ip-permission.group-id"] {
            let found = self.ec2.groups(vec![filter(name, [id])]).await?;
            groups.extend(found.iter().filter_map(Live::group_id).filter(|other| *other != id).map(str::to_owned));
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// Why the group could not be deleted. Where no interface carries it, rules are the reason: those in this group are
    /// revoked, so that two groups which name each other do not keep each other for ever.
    async fn still_used(&self, refused: Failure, attrs: &SecurityGroupAttrs) -> Result<Failure, Failure> {
        if let Some(users) = self.ec2.interfaces.users(&attrs.vpc_id, carries(&attrs.id)).await {
            return Ok(used_by(refused, &users));
        }
        self.ec2.strip(&attrs.id).await?;
        let groups = self.named_by(&attrs.id).await?;
        Ok(if groups.is_empty() { refused } else { used_by(refused, &format!("rules of {}", groups.join(", "))) })
    }
}

/// Whether an interface carries the group `id`.
fn carries(id: &str) -> impl Fn(&NetworkInterface) -> bool + Send + Sync {
    move |interface| interface.groups().iter().any(|group| group.group_id() == Some(id))
}

fn found(scope: &Scope<SecurityGroup>, groups: &Groups, live: &Live) -> Option<Found<SecurityGroup>> {
    if live.group_name() == Some(DEFAULT) {
        return None;
    }
    let (tags, id) = (tag_map(live.tags()), live.group_id()?);
    let address = address(scope, &tags, id, |attrs| attrs.id == id)?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let spec = SecurityGroupSpec {
        vpc_id: text(live.vpc_id()),
        name: text(live.group_name()),
        description: text(live.description()),
        unmanaged_rules: groups.unmanaged(scope, id),
        tags: Ownership::plain(&tags),
    };
    let attrs = SecurityGroupAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() };
    Some(Found::Ours { address, spec, attrs, settled: true })
}

impl Resource for SecurityGroup {
    const KIND: &'static str = "ec2.security_group";
    const HOLDS: &'static [&'static str] = &["ec2.vpc"];
    const KEEPS: &'static [&'static str] = &["name", "description"];
    type Spec = SecurityGroupSpec;
    type Attrs = SecurityGroupAttrs;

    fn check(spec: &SecurityGroupSpec) -> Result<(), String> {
        pb_rules::names::security_group(&spec.name).map_err(|e| format!("invalid name of a security group: {e}"))?;
        if spec.name == DEFAULT {
            return Err("invalid name of a security group: `default` is the group that comes with a VPC".to_owned());
        }
        if spec.description.is_empty() {
            return Err("a security group needs a description".to_owned());
        }
        pb_rules::names::security_group_description(&spec.description)
            .map_err(|e| format!("invalid description of a security group: {e}"))?;
        check_tags(&spec.tags)
    }

    fn pending(spec: &SecurityGroupSpec) -> SecurityGroupAttrs {
        SecurityGroupAttrs { id: unknown(), vpc_id: spec.vpc_id.clone() }
    }

    fn replaces(field: &str) -> bool {
        matches!(field, "vpc_id" | "name" | "description")
    }

    fn beside(old: &SecurityGroupSpec, new: &SecurityGroupSpec) -> bool {
        old.vpc_id != new.vpc_id || old.name != new.name
    }

    fn id(attrs: &SecurityGroupAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &Scope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let tagged = Groups::ours(scope, &self.ec2).await?;
        let seen: Vec<&str> = tagged.groups.iter().filter_map(Live::group_id).collect();
        let besides = unseen(scope, |attrs| &attrs.id, &seen);
        let besides = by("group-id", &besides, |filters| self.ec2.groups(filters)).await?;
        let besides = self.ec2.with_rules(besides).await?;
        let within = |groups: &Groups| -> Vec<Found<Self>> {
            groups.groups.iter().filter_map(|live| found(scope, groups, live)).collect()
        };
        let mut all = within(&tagged);
        all.extend(within(&besides));
        all.extend(self.foreign(scope, &all).await?);
        Ok(all)
    }

    async fn create(&self, cx: &Context, spec: &SecurityGroupSpec) -> Result<SecurityGroupAttrs, Failure> {
        const CALL: &str = "ec2:CreateSecurityGroup";
        let call = self.ec2.client.create_security_group().vpc_id(&spec.vpc_id).group_name(&spec.name);
        let call = call.description(&spec.description);
        let call = call.tag_specifications(tagged(cx, ResourceType::SecurityGroup, &spec.tags));
        let answer = call.send().await.answer(CALL)?;
        let id = answer.group_id().ok_or_else(|| absent(CALL, "group id"))?;
        Ok(SecurityGroupAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() })
    }

    async fn complete(&self, _: &Context, attrs: &SecurityGroupAttrs, _: &SecurityGroupSpec) -> Result<(), Failure> {
        self.ec2.revoke_allow_all_egress(&attrs.id).await
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &SecurityGroupAttrs,
        spec: &SecurityGroupSpec,
        changes: &[Change],
    ) -> Result<SecurityGroupAttrs, Failure> {
        self.ec2.revoke_unmanaged(cx, &attrs.id, "unmanaged_rules", changes).await?;
        self.ec2.tag(cx, &attrs.id, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    async fn settle(&self, cx: &Context, attrs: SecurityGroupAttrs) -> Result<SecurityGroupAttrs, Failure> {
        visible(cx, &attrs.id, |filters| self.ec2.groups(filters), "group-id").await?;
        Ok(attrs)
    }

    async fn delete(&self, cx: &Context, attrs: &SecurityGroupAttrs) -> Result<(), Failure> {
        let delete = || async {
            let call = self.ec2.client.delete_security_group().group_id(&attrs.id);
            call.send().await.answer("ec2:DeleteSecurityGroup").map(drop)
        };
        match self.ec2.interfaces.let_go(cx, &attrs.vpc_id, carries(&attrs.id), delete).await {
            Err(refused) if refused.class == Class::InUse => Err(self.still_used(refused, attrs).await?),
            answer => answer,
        }
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
    use crate::testing::{alone, by_tags, carries_our_tags, has, listen, our_tags, paths, plain, refusal};
    use aws_sdk_ec2::Client;
    use aws_sdk_ec2::operation::create_security_group::CreateSecurityGroupOutput;
    use aws_sdk_ec2::operation::delete_security_group::DeleteSecurityGroupOutput;
    use aws_sdk_ec2::operation::describe_network_interfaces::DescribeNetworkInterfacesOutput;
    use aws_sdk_ec2::operation::describe_security_group_rules::DescribeSecurityGroupRulesOutput;
    use aws_sdk_ec2::operation::describe_security_groups::DescribeSecurityGroupsOutput;
    use aws_sdk_ec2::operation::revoke_security_group_egress::RevokeSecurityGroupEgressOutput;
    use aws_sdk_ec2::operation::revoke_security_group_ingress::RevokeSecurityGroupIngressOutput;
    use aws_sdk_ec2::types::SecurityGroupRule;
    use aws_smithy_mocks::{Rule, mock};
    use pb_aws::mock_client;

    fn spec() -> SecurityGroupSpec {
        SecurityGroupSpec {
            vpc_id: "vpc-1".to_owned(),
            name: "w-flask".to_owned(),
            description: "Flask tasks".to_owned(),
            unmanaged_rules: BTreeMap::new(),
            tags: plain(),
        }
    }

    fn groups(id: &str, vpc: &str, ours: bool) -> DescribeSecurityGroupsOutput {
        let group = Live::builder().group_id(id).vpc_id(vpc).group_name("w-flask").description("Flask tasks");
        let group = group.set_tags(ours.then(our_tags)).build();
        DescribeSecurityGroupsOutput::builder().security_groups(group).build()
    }

    fn none() -> Rule {
        let rule = mock!(Client::describe_security_groups).match_requests(|r| by_tags(r.filters()));
        rule.then_output(|| DescribeSecurityGroupsOutput::builder().build())
    }

    fn ours() -> Rule {
        let rule = mock!(Client::describe_security_groups).match_requests(|r| by_tags(r.filters()));
        rule.then_output(|| groups("sg-1", "vpc-1", true))
    }

    fn visible() -> Rule {
        let rule = mock!(Client::describe_security_groups).match_requests(|r| has(r.filters(), "group-id", "sg-1"));
        rule.then_output(|| groups("sg-1", "vpc-1", true))
    }

    /// One rule of ours, one that somebody added.
    fn rules() -> Rule {
        let rule =
            mock!(Client::describe_security_group_rules).match_requests(|r| has(r.filters(), "group-id", "sg-1"));
        rule.then_output(|| {
            let rule = |id: &str| SecurityGroupRule::builder().security_group_rule_id(id).group_id("sg-1");
            let managed = rule("sgr-1").is_egress(true).ip_protocol("tcp").from_port(443).to_port(443);
            let managed = managed.cidr_ipv4("0.0.0.0/0").set_tags(Some(our_tags())).build();
            let added = rule("sgr-2").is_egress(false).ip_protocol("tcp").from_port(22).to_port(23);
            let added = added.cidr_ipv4("198.51.100.7/32").build();
            DescribeSecurityGroupRulesOutput::builder().set_security_group_rules(Some(vec![managed, added])).build()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_group_lets_nothing_out() {
        let (none, visible) = (none(), visible());
        let taken = mock!(Client::describe_security_groups)
            .match_requests(|r| has(r.filters(), "group-name", "w-flask"))
            .then_output(|| groups("sg-9", "vpc-2", false));
        let create = mock!(Client::create_security_group)
            .match_requests(|r| {
                (r.group_name(), r.description()) == (Some("w-flask"), Some("Flask tasks"))
                    && r.vpc_id() == Some("vpc-1")
                    && carries_our_tags(r.tag_specifications(), &ResourceType::SecurityGroup)
            })
            .then_output(|| CreateSecurityGroupOutput::builder().group_id("sg-1").build());
        let revoke = mock!(Client::revoke_security_group_egress).match_requests(|r| {
            let [all] = r.ip_permissions() else { return false };
            let [anywhere] = all.ip_ranges() else { return false };
            r.group_id() == Some("sg-1")
                && all.ip_protocol() == Some("-1")
                && (all.from_port(), all.to_port()) == (None, None)
                && anywhere.cidr_ip() == Some("0.0.0.0/0")
        });
        // The first was done, but its answer was lost.
        let gone = refusal("InvalidPermission.NotFound", "The specified rule does not exist in this security group.");
        let revoke = revoke.sequence().http_status(500, None).http_status(400, gone).build();
        let client = mock_client!(aws_sdk_ec2, [&none, &visible, &taken, &create, &revoke]);
        alone(SecurityGroup::new(client.into()), spec()).deploy().await.unwrap();
        assert_eq!((create.num_calls(), revoke.num_calls()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_that_somebody_added_is_shown_and_revoked_and_no_other() {
        let (there, visible, rules) = (ours(), visible(), rules());
        let revoke = mock!(Client::revoke_security_group_ingress)
            .match_requests(|r| r.group_id() == Some("sg-1") && r.security_group_rule_ids() == ["sgr-2"])
            .then_output(|| RevokeSecurityGroupIngressOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&there, &visible, &rules, &revoke]);
        let stack = alone(SecurityGroup::new(client.into()), spec());
        let plan = stack.plan().await.unwrap();
        assert_eq!(paths(&plan), ["unmanaged_rules.sgr-2"]);
        let shown = plan.changes().next().unwrap().changes[0].before.clone().unwrap();
        assert_eq!(shown, "ingress tcp 22-23 from 198.51.100.7/32");
        stack.deploy().await.unwrap();
        assert_eq!(revoke.num_calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_whose_tags_are_only_now_visible_is_not_revoked() {
        let (there, visible) = (ours(), visible());
        let early = mock!(Client::describe_security_group_rules).sequence().output(|| {
            let rule = SecurityGroupRule::builder().security_group_rule_id("sgr-1").group_id("sg-1").build();
            DescribeSecurityGroupRulesOutput::builder().security_group_rules(rule).build()
        });
        let (early, late) = (early.build(), rules());
        let client = mock_client!(aws_sdk_ec2, [&there, &visible, &early, &late]);
        // Any revoke would find no rule of the mock, and panic.
        alone(SecurityGroup::new(client.into()), spec()).deploy().await.unwrap();
        assert_eq!(late.num_calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_of_our_name_in_our_vpc_is_left_alone() {
        let none = none();
        let taken = mock!(Client::describe_security_groups).then_output(|| groups("sg-9", "vpc-1", false));
        let client = mock_client!(aws_sdk_ec2, [&none, &taken]);
        let failure = alone(SecurityGroup::new(client.into()), spec()).deploy().await.unwrap_err();
        assert!(failure.message.contains("security group w-flask (sg-9) in vpc-1 exists"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn groups_that_name_each_other_do_not_keep_each_other() {
        let (there, rules) = (ours(), rules());
        let refused = refusal("DependencyViolation", "resource sg-1 has a dependent object");
        let delete = mock!(Client::delete_security_group).sequence().http_status(400, refused);
        let delete = delete.output(|| DeleteSecurityGroupOutput::builder().build()).build();
        let interfaces = mock!(Client::describe_network_interfaces)
            .then_output(|| DescribeNetworkInterfacesOutput::builder().build());
        let ingress = mock!(Client::revoke_security_group_ingress)
            .then_output(|| RevokeSecurityGroupIngressOutput::builder().build());
        let egress = mock!(Client::revoke_security_group_egress)
            .then_output(|| RevokeSecurityGroupEgressOutput::builder().build());
        let naming = mock!(Client::describe_security_groups)
            .match_requests(|r| {
                has(r.filters(), "ip-permission.group-id", "sg-1")
                    || has(r.filters(), "egress.ip-permission.group-id", "sg-1")
            })
            .then_output(|| groups("sg-7", "vpc-1", false));
        let client = mock_client!(aws_sdk_ec2, [&there, &rules, &delete, &interfaces, &ingress, &egress, &naming]);
        let (stack, said) = listen(alone(SecurityGroup::new(client.into()), spec()));
        stack.destroy().await.unwrap();
        assert_eq!((ingress.num_calls(), egress.num_calls()), (1, 1), "its own rules are gone");
        let said = said.lock().unwrap().join("\n");
        assert!(said.contains("has a dependent object; still used by rules of sg-7"), "{said}");
    }
}
