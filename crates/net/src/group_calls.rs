//! Calls for security groups and their rules, shared by the resource kinds for groups, default groups and rules.

use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, SecurityGroup as LiveGroup, SecurityGroupRule as LiveRule, UserIdGroupPair,
};
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::{Change, Context, Failure, ReadScope, Resource, list_with_details};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::ec2::{Ec2, describe_by, filter, ignore_not_found, is_managed, ownership_filters, tag_map};
use crate::{DefaultSecurityGroup, SecurityGroup};

/// Name of the group that AWS creates with each VPC. The name is reserved.
pub(crate) const DEFAULT: &str = "default";

/// Groups with the ownership tags, and all rules in them. The resource kinds that need this data share one read.
pub(crate) struct ManagedGroups {
    pub groups: Vec<LiveGroup>,
    pub rules: Vec<LiveRule>,
}

impl ManagedGroups {
    /// Returns the groups and rules for this read. The first resource kind that needs them loads them for all others.
    pub(crate) async fn read_shared<R: Resource>(scope: &ReadScope<R>, ec2: &Ec2) -> Result<Arc<Self>, Failure> {
        scope.shared(Self::read(scope, ec2)).await
    }

    async fn read<R: Resource>(scope: &ReadScope<R>, ec2: &Ec2) -> Result<Self, Failure> {
        let defaults = scope.recorded_of::<DefaultSecurityGroup>().into_iter().map(|attrs| attrs.id);
        let recorded = scope.recorded_of::<SecurityGroup>().into_iter().map(|attrs| attrs.id).chain(defaults);
        let id = |group: &LiveGroup| group.group_id().map(str::to_owned);
        let found = list_with_details(ec2.groups(ownership_filters(scope.owner())), recorded, id, |ids| {
            ec2.rules_by_group(ids)
        })
        .await?;
        let (groups, rules): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        Ok(Self { groups, rules: rules.into_iter().flatten().flatten().collect() })
    }

    /// Returns summaries of the unmanaged rules in a group, by rule id. Unmanaged rules are those that AWS created with
    /// the group, and those that somebody added.
    pub(crate) fn unmanaged_rules<R: Resource>(&self, scope: &ReadScope<R>, group: &str) -> BTreeMap<String, String> {
        let within = self.rules.iter().filter(|rule| rule.group_id() == Some(group));
        let unmanaged = within.filter_map(|rule| {
            let id = rule.security_group_rule_id()?;
            let is_managed_rule = scope.address_from_tags(&tag_map(rule.tags())).is_some() || scope.is_import(id);
            (!is_managed_rule).then(|| (id.to_owned(), summary(rule)))
        });
        unmanaged.collect()
    }
}

impl Ec2 {
    pub(crate) async fn groups(&self, filters: Vec<Filter>) -> Result<Vec<LiveGroup>, Failure> {
        let pages = self.client.describe_security_groups().set_filters(Some(filters)).into_paginator().items().send();
        pages.try_collect().await.for_operation("ec2:DescribeSecurityGroups")
    }

    pub(crate) async fn rules(&self, filters: Vec<Filter>) -> Result<Vec<LiveRule>, Failure> {
        let call = self.client.describe_security_group_rules().set_filters(Some(filters));
        call.into_paginator().items().send().try_collect().await.for_operation("ec2:DescribeSecurityGroupRules")
    }

    async fn rules_by_group(&self, ids: Vec<String>) -> Result<HashMap<String, Vec<LiveRule>>, Failure> {
        let mut all: HashMap<String, Vec<LiveRule>> = HashMap::new();
        for rule in describe_by("group-id", &ids, |filters| self.rules(filters)).await? {
            all.entry(rule.group_id().unwrap_or_default().to_owned()).or_default().push(rule);
        }
        Ok(all)
    }

    pub(crate) async fn with_rules(&self, groups: Vec<LiveGroup>) -> Result<ManagedGroups, Failure> {
        let ids: Vec<String> = groups.iter().filter_map(|group| group.group_id().map(str::to_owned)).collect();
        let rules = describe_by("group-id", &ids, |filters| self.rules(filters)).await?;
        Ok(ManagedGroups { groups, rules })
    }

    /// Revokes one rule; succeeds if the rule no longer exists.
    pub(crate) async fn ensure_revoked(&self, group: &str, rule: &str, egress: bool) -> Result<(), Failure> {
        let gone = ["InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.NotFound"];
        ignore_not_found(self.revoke(group, rule, egress).await, &gone)
    }

    /// Revokes one rule; fails if the rule does not exist.
    pub(crate) async fn revoke(&self, group: &str, rule: &str, egress: bool) -> Result<(), Failure> {
        if egress {
            let call = self.client.revoke_security_group_egress().group_id(group).security_group_rule_ids(rule);
            call.send().await.for_operation("ec2:RevokeSecurityGroupEgress").map(drop)
        } else {
            let call = self.client.revoke_security_group_ingress().group_id(group).security_group_rule_ids(rule);
            call.send().await.for_operation("ec2:RevokeSecurityGroupIngress").map(drop)
        }
    }

    /// Revokes the initial rule of a new group, which allows all outbound traffic. The rule is identified by its
    /// content, because a describe call may not return it yet right after the group is created.
    pub(crate) async fn revoke_allow_all_egress(&self, group: &str) -> Result<(), Failure> {
        let anywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
        let all = IpPermission::builder().ip_protocol("-1").ip_ranges(anywhere).build();
        let call = self.client.revoke_security_group_egress().group_id(group).ip_permissions(all);
        ignore_not_found(
            call.send().await.for_operation("ec2:RevokeSecurityGroupEgress").map(drop),
            &["InvalidPermission.NotFound"],
        )
    }

    /// Revokes the initial rule of a VPC's default group, which allows traffic between the members of the group.
    pub(crate) async fn revoke_allow_members(&self, group: &str) -> Result<(), Failure> {
        let members = UserIdGroupPair::builder().group_id(group).build();
        let all = IpPermission::builder().ip_protocol("-1").user_id_group_pairs(members).build();
        let call = self.client.revoke_security_group_ingress().group_id(group).ip_permissions(all);
        ignore_not_found(
            call.send().await.for_operation("ec2:RevokeSecurityGroupIngress").map(drop),
            &["InvalidPermission.NotFound"],
        )
    }

    /// Revokes all rules in a group, managed or not.
    pub(crate) async fn revoke_every_rule(&self, group: &str) -> Result<(), Failure> {
        let rules = self.rules(vec![filter("group-id", [group])]).await?;
        self.revoke_all(group, rules.iter().collect()).await
    }

    /// Revokes the rules that `changes` list in `field`, except those that turn out to be managed: the tags of a rule
    /// may not have been visible when the plan was made.
    pub(crate) async fn revoke_unmanaged(
        &self,
        cx: &Context,
        group: &str,
        field: &str,
        changes: &[Change],
    ) -> Result<(), Failure> {
        if !changes.iter().any(|change| change.field() == field) {
            return Ok(());
        }
        let planned = |rule: &&LiveRule| {
            let path = format!("{field}.{}", rule.security_group_rule_id().unwrap_or_default());
            changes.iter().any(|change| change.path == path)
        };
        let rules = self.rules(vec![filter("group-id", [group])]).await?;
        let unmanaged = rules.iter().filter(|rule| !is_managed(cx, &tag_map(rule.tags())));
        let unmanaged = unmanaged.filter(planned).collect();
        self.revoke_all(group, unmanaged).await
    }

    async fn revoke_all(&self, group: &str, rules: Vec<&LiveRule>) -> Result<(), Failure> {
        let known = rules.into_iter().filter_map(|rule| Some((rule.security_group_rule_id()?, egress(rule))));
        try_join_all(known.map(|(rule, egress)| self.ensure_revoked(group, rule, egress))).await.map(drop)
    }
}

pub(crate) fn egress(rule: &LiveRule) -> bool {
    rule.is_egress().unwrap_or_default()
}

/// Returns the peer of a rule, which is the source or destination of its traffic: a CIDR block, a group or a prefix
/// list.
pub(crate) fn peer(rule: &LiveRule) -> &str {
    let group = rule.referenced_group_info().and_then(|group| group.group_id());
    let peers = [rule.cidr_ipv4(), rule.cidr_ipv6(), group, rule.prefix_list_id()];
    peers.into_iter().flatten().next().unwrap_or_default()
}

/// Returns a summary of a rule, such as `egress all to 0.0.0.0/0` or `ingress tcp 22 from 198.51.100.7/32`.
fn summary(rule: &LiveRule) -> String {
    let protocol = match rule.ip_protocol() {
        Some("-1") | None => "all",
        Some(protocol) => protocol,
    };
    let ports = match (rule.from_port(), rule.to_port()) {
        (Some(-1) | None, _) => String::new(),
        (Some(from), Some(to)) if from != to => format!(" {from}-{to}"),
        (Some(from), _) => format!(" {from}"),
    };
    let (direction, preposition) = if egress(rule) { ("egress", "to") } else { ("ingress", "from") };
    format!("{direction} {protocol}{ports} {preposition} {}", peer(rule))
}
