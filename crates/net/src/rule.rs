//! Security group rules, each a resource with its own tags.

use aws_sdk_ec2::types::{Filter, ResourceType, SecurityGroupRule as Live, SecurityGroupRuleUpdate};
use pb_aws::ForOperation;
use pb_engine::{
    ADDRESS_TAG, Address, Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource, STACK_TAG,
    is_unknown, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::ec2::{
    Ec2, check_tags, describe_by, filter, is_managed, missing_field, missing_ids, ownership_filters, tag_map,
    tag_specification, wait_until_visible,
};
use crate::group_calls::{ManagedGroups, egress, peer};
use crate::permission::{ALL, permission, request};

/// Resource kind for security group rules.
pub struct SecurityGroupRule {
    ec2: Ec2,
}

/// Direction of the traffic that a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Traffic to resources that use the group.
    Ingress,
    /// Traffic from resources that use the group.
    Egress,
}

/// Spec of a security group rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRuleSpec {
    /// Id of the group that contains the rule.
    pub group_id: String,
    /// Direction of the traffic that the rule allows.
    pub direction: Direction,
    /// Protocol: `tcp`, `udp`, `icmp`, `icmpv6`, or `-1` for all.
    pub protocol: String,
    /// First port, or ICMP type; -1 for all.
    pub from_port: i32,
    /// Last port, or ICMP code; -1 for all.
    pub to_port: i32,
    /// Source or destination of the traffic: a CIDR block such as `0.0.0.0/0`, a group (`sg-...`) or a prefix list
    /// (`pl-...`).
    pub peer: String,
    /// Purpose of the rule; may be empty.
    pub description: String,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a security group rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRuleAttrs {
    /// Id of the rule, `sgr-...`.
    pub id: String,
    /// Id of the group that contains the rule.
    pub group_id: String,
    /// Direction of the traffic that the rule allows.
    pub direction: Direction,
}

impl SecurityGroupRule {
    /// Creates the resource kind, which makes its calls through `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }

    /// Returns the unmanaged rules in unmanaged groups that are equivalent to a desired rule. An unmanaged rule in a
    /// managed group does not conflict, because the update of the group revokes it first.
    async fn find_unmanaged(
        &self,
        scope: &ReadScope<Self>,
        managed: &[Found<Self>],
    ) -> Result<Vec<Found<Self>>, Failure> {
        let existing = |wanted: &Address| {
            managed.iter().any(|found| matches!(found, Found::Managed { address, .. } if address == wanted))
        };
        let wanted = scope.desired.iter().filter(|(address, spec)| !is_unknown(&spec.group_id) && !existing(address));
        let wanted: Vec<_> = wanted.collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let groups = ManagedGroups::read_shared(scope, &self.ec2).await?;
        let is_unmanaged = |id: &str| !groups.groups.iter().any(|group| group.group_id() == Some(id));
        let ids = wanted.iter().map(|(_, spec)| spec.group_id.clone()).filter(|id| is_unmanaged(id));
        let live = describe_by("group-id", &ids.collect::<Vec<_>>(), |filters| self.ec2.rules(filters)).await?;
        let same = |spec: &SecurityGroupRuleSpec, live: &&Live| {
            is_equivalent(spec, &spec_of(live)) && scope.address_from_tags(&tag_map(live.tags())).is_none()
        };
        let foreign = wanted.into_iter().filter_map(|(address, spec)| {
            let live = live.iter().find(|live| same(spec, live))?;
            let id = live.security_group_rule_id().unwrap_or_default();
            Some(scope.unmanaged(address, format!("the same rule ({id})"), &tag_map(live.tags()), id))
        });
        Ok(foreign.collect())
    }
}

/// Returns, for each rule in `wanted`, its address and the id of the equivalent rule without ownership tags in the same
/// group, if such a rule exists. The id of a rule that was created by hand or by another tool reveals nothing about its
/// content.
///
/// # Errors
/// The errors of `DescribeSecurityGroupRules`.
pub async fn matching_rules(
    ec2: &Ec2,
    wanted: &[(Address, SecurityGroupRuleSpec)],
) -> Result<Vec<(Address, String)>, Failure> {
    let groups: BTreeSet<String> = wanted.iter().map(|(_, spec)| spec.group_id.clone()).collect();
    let groups: Vec<String> = groups.into_iter().filter(|group| !is_unknown(group)).collect();
    let live = describe_by("group-id", &groups, |filters| ec2.rules(filters)).await?;
    let free = |live: &&Live| !tag_map(live.tags()).contains_key(STACK_TAG);
    let same = wanted.iter().filter_map(|(address, spec)| {
        let found = live.iter().filter(free).find(|live| is_equivalent(spec, &spec_of(live)))?;
        Some((address.clone(), found.security_group_rule_id()?.to_owned()))
    });
    Ok(same.collect())
}

fn is_equivalent(one: &SecurityGroupRuleSpec, other: &SecurityGroupRuleSpec) -> bool {
    let key = |spec: &SecurityGroupRuleSpec| {
        let SecurityGroupRuleSpec { group_id, direction, protocol, from_port, to_port, peer, .. } = spec.clone();
        (group_id, direction == Direction::Egress, protocol, from_port, to_port, peer)
    };
    key(one) == key(other)
}

/// Returns the spec of a live rule.
fn spec_of(live: &Live) -> SecurityGroupRuleSpec {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    SecurityGroupRuleSpec {
        group_id: text(live.group_id()),
        direction: if egress(live) { Direction::Egress } else { Direction::Ingress },
        protocol: text(live.ip_protocol()),
        from_port: live.from_port().unwrap_or(-1),
        to_port: live.to_port().unwrap_or(-1),
        peer: peer(live).to_owned(),
        description: text(live.description()),
        tags: Ownership::user_tags(&tag_map(live.tags())),
    }
}

fn classify(scope: &ReadScope<SecurityGroupRule>, live: &Live) -> Option<Found<SecurityGroupRule>> {
    let id = live.security_group_rule_id()?;
    let address = scope.managed_address(&tag_map(live.tags()), &[id])?;
    let spec = spec_of(live);
    let attrs = attrs_of(id, &spec);
    Some(Found::Managed { address, spec, attrs, ready: true })
}

fn untagged(scope: &ReadScope<SecurityGroupRule>, live: &Live) -> Option<Found<SecurityGroupRule>> {
    scope.untagged(&tag_map(live.tags()), &attrs_of(live.security_group_rule_id()?, &spec_of(live)))
}

fn attrs_of(id: &str, spec: &SecurityGroupRuleSpec) -> SecurityGroupRuleAttrs {
    SecurityGroupRuleAttrs { id: id.to_owned(), group_id: spec.group_id.clone(), direction: spec.direction }
}

impl SecurityGroupRule {
    /// Handles the result of a create call. EC2 does not allow two equivalent rules in a group. If a managed rule at
    /// another address is equivalent, this address takes over that rule, because the other address needs a different
    /// rule or none.
    async fn take_over_duplicate<T: Send>(
        &self,
        cx: &Context,
        spec: &SecurityGroupRuleSpec,
        answer: Result<T, Failure>,
    ) -> Result<T, Failure> {
        let refused = match answer {
            Err(failure) if failure.code.as_deref() == Some("InvalidPermission.Duplicate") => failure,
            other => return other,
        };
        let here = cx.address().as_str();
        let rules = self.ec2.rules(vec![filter("group-id", [&spec.group_id])]).await.unwrap_or_default();
        let mut equivalent = rules.iter().filter(|rule| is_equivalent(spec, &spec_of(rule)));
        let has_other_address = |rule: &&Live| {
            let tags = tag_map(rule.tags());
            is_managed(cx, &tags) && tags.get(ADDRESS_TAG).is_some_and(|address| address != here)
        };
        // The equivalent rule has been changed or deleted since the call.
        if equivalent.clone().next().is_none() {
            return Err(refused.class(Class::NotReady));
        }
        let Some(id) = equivalent.find(has_other_address).and_then(Live::security_group_rule_id) else {
            return Err(refused);
        };
        self.ec2.adopt(cx, id).await?;
        // The next attempt finds the rule at this address.
        Err(refused.class(Class::NotReady))
    }
}

impl Resource for SecurityGroupRule {
    const KIND: &'static str = "ec2.security_group_rule";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["ec2.security_group"];
    const UNIQUE_NAME: bool = false;
    const CREATE_REUSES_EXISTING: bool = true;
    type Spec = SecurityGroupRuleSpec;
    type Attrs = SecurityGroupRuleAttrs;

    fn validate(spec: &SecurityGroupRuleSpec) -> Result<(), String> {
        match spec.protocol.as_str() {
            "tcp" | "udp" => {
                for port in [spec.from_port, spec.to_port] {
                    pb_rules::network::port(port.into()).map_err(|e| format!("invalid port: {e}"))?;
                }
                if spec.from_port > spec.to_port {
                    return Err(format!(
                        "invalid port range {}-{}: the first port is higher than the last",
                        spec.from_port, spec.to_port
                    ));
                }
            }
            "icmp" | "icmpv6" => {}
            ALL if (spec.from_port, spec.to_port) == (-1, -1) => {}
            ALL => return Err("a rule for all protocols must cover all ports: set both ports to -1".to_owned()),
            other => return Err(format!("invalid protocol `{other}`: expected tcp, udp, icmp, icmpv6 or -1")),
        }
        let named = spec.peer.starts_with("sg-") || spec.peer.starts_with("pl-") || spec.peer.contains(':');
        if !named && !is_unknown(&spec.peer) {
            pb_rules::network::cidr(&spec.peer).map_err(|e| format!("invalid peer: {e}"))?;
        }
        pb_rules::names::security_group_description(&spec.description)
            .map_err(|e| format!("invalid description: {e}"))?;
        check_tags(&spec.tags)
    }

    fn planned_attrs(spec: &SecurityGroupRuleSpec) -> SecurityGroupRuleAttrs {
        SecurityGroupRuleAttrs { id: unknown(), group_id: spec.group_id.clone(), direction: spec.direction }
    }

    /// Returns whether a change of the field replaces the rule. A rule cannot be updated to a peer of another type
    /// (CIDR block, group, prefix list), so another peer needs a new rule. Ports could be changed in place, but with
    /// immediate effect on all connections; with a replacement, the old rule stays until nothing uses it.
    fn requires_replacement(field: &str) -> bool {
        matches!(field, "group_id" | "direction" | "peer" | "protocol" | "from_port" | "to_port")
    }

    fn can_coexist(old: &SecurityGroupRuleSpec, new: &SecurityGroupRuleSpec) -> bool {
        let says = |spec: &SecurityGroupRuleSpec| {
            (spec.group_id.clone(), spec.peer.clone(), spec.protocol.clone(), spec.from_port, spec.to_port)
        };
        old.direction != new.direction || says(old) != says(new)
    }

    fn id(attrs: &SecurityGroupRuleAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let ask = |filters: Vec<Filter>| self.ec2.rules(filters);
        let mut live = match scope.recorded.is_empty() {
            true => ask(ownership_filters(scope.owner())).await?,
            // The rules are in managed groups, and all rules of these groups are read anyway.
            false => ManagedGroups::read_shared(scope, &self.ec2).await?.rules.clone(),
        };
        live.retain(|rule| scope.address_from_tags(&tag_map(rule.tags())).is_some());
        let seen: Vec<&str> = live.iter().filter_map(Live::security_group_rule_id).collect();
        let ids = missing_ids(scope, |attrs| &attrs.id, &seen);
        live.extend(describe_by("security-group-rule-id", &ids, ask).await?);
        let mut all: Vec<Found<Self>> = live.iter().filter_map(|live| classify(scope, live)).collect();
        all.extend(self.find_unmanaged(scope, &all).await?);
        all.extend(live.iter().filter_map(|live| untagged(scope, live)));
        Ok(all)
    }

    async fn create(&self, cx: &Context, spec: &SecurityGroupRuleSpec) -> Result<SecurityGroupRuleAttrs, Failure> {
        let client = &self.ec2.client;
        let tags = tag_specification(cx, ResourceType::SecurityGroupRule, &spec.tags);
        let (call, rules) = match spec.direction {
            Direction::Ingress => {
                const CALL: &str = "ec2:AuthorizeSecurityGroupIngress";
                let call = client.authorize_security_group_ingress().group_id(&spec.group_id);
                let answer =
                    call.ip_permissions(permission(spec)).tag_specifications(tags).send().await.for_operation(CALL);
                (CALL, self.take_over_duplicate(cx, spec, answer).await?.security_group_rules.unwrap_or_default())
            }
            Direction::Egress => {
                const CALL: &str = "ec2:AuthorizeSecurityGroupEgress";
                let call = client.authorize_security_group_egress().group_id(&spec.group_id);
                let answer =
                    call.ip_permissions(permission(spec)).tag_specifications(tags).send().await.for_operation(CALL);
                (CALL, self.take_over_duplicate(cx, spec, answer).await?.security_group_rules.unwrap_or_default())
            }
        };
        let id = rules.first().and_then(Live::security_group_rule_id).ok_or_else(|| missing_field(call, "rule id"))?;
        Ok(SecurityGroupRuleAttrs { id: id.to_owned(), ..Self::planned_attrs(spec) })
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &SecurityGroupRuleAttrs,
        spec: &SecurityGroupRuleSpec,
        changes: &[Change],
    ) -> Result<SecurityGroupRuleAttrs, Failure> {
        if changes.iter().any(|change| change.field() != "tags") {
            let update = SecurityGroupRuleUpdate::builder().security_group_rule_id(&attrs.id);
            let call = self.ec2.client.modify_security_group_rules().group_id(&attrs.group_id);
            let call = call.security_group_rules(update.security_group_rule(request(spec)).build());
            call.send().await.for_operation("ec2:ModifySecurityGroupRules")?;
        }
        self.ec2.tag(cx, &attrs.id, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: SecurityGroupRuleAttrs) -> Result<SecurityGroupRuleAttrs, Failure> {
        wait_until_visible(cx, &attrs.id, |filters| self.ec2.rules(filters), "security-group-rule-id").await?;
        Ok(attrs)
    }

    async fn delete(&self, _: &Context, attrs: &SecurityGroupRuleAttrs) -> Result<(), Failure> {
        self.ec2.revoke(&attrs.group_id, &attrs.id, attrs.direction == Direction::Egress).await
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.adopt(cx, &attrs.id).await
    }

    async fn forget(&self, _: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.forget(&attrs.id).await
    }
}

#[cfg(test)]
mod tests;
