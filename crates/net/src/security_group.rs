//! Security groups. Their rules are separate resources; see [`SecurityGroupRule`](crate::SecurityGroupRule).

use aws_sdk_ec2::types::{NetworkInterface, ResourceType, SecurityGroup as Live};
use pb_aws::ForOperation;
use pb_engine::{Address, Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource, is_unknown, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::ec2::{
    Ec2, ManagedVpcs, check_tags, describe_by, filter, missing_field, missing_ids, tag_map, tag_specification,
    wait_until_visible,
};
use crate::group_calls::{DEFAULT, ManagedGroups};
use crate::interfaces::used_by;

/// Resource kind for security groups, without the rules in them.
pub struct SecurityGroup {
    ec2: Ec2,
}

/// Spec of a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupSpec {
    /// Id of the group's VPC.
    pub vpc_id: String,
    /// Name, unique in its VPC.
    pub name: String,
    /// Purpose of the group. Like the name, the description is immutable.
    pub description: String,
    /// Summaries of the unmanaged rules in the group, by rule id. The desired value is empty: neither the initial rule,
    /// which allows all outbound traffic, nor a rule that somebody added is kept.
    pub unmanaged_rules: BTreeMap<String, String>,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupAttrs {
    /// Id of the group, `sg-...`.
    pub id: String,
    /// Id of the group's VPC.
    pub vpc_id: String,
}

impl SecurityGroup {
    /// Creates the resource kind, which makes its calls through `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }

    /// Returns unmanaged groups that have the name of a desired group that does not exist. Makes a call only if a
    /// desired group does not exist.
    async fn find_unmanaged(
        &self,
        scope: &ReadScope<Self>,
        managed: &[Found<Self>],
    ) -> Result<Vec<Found<Self>>, Failure> {
        let existing = |wanted: &Address| {
            managed.iter().any(|found| matches!(found, Found::Managed { address, .. } if address == wanted))
        };
        let missing: Vec<_> = scope.desired.iter().filter(|(address, _)| !existing(address)).collect();
        let mut vpcs: Vec<String> = missing.iter().map(|(_, spec)| spec.vpc_id.clone()).collect();
        if vpcs.iter().any(|vpc| is_unknown(vpc)) {
            vpcs.extend(scope.shared(ManagedVpcs::read(&self.ec2, scope.owner())).await?.ids());
        }
        vpcs.retain(|vpc| !is_unknown(vpc));
        if vpcs.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = missing.iter().map(|(_, spec)| spec.name.clone()).collect();
        let live = describe_by("group-name", &names, |filters| self.ec2.groups(filters)).await?;
        let mut foreign = Vec::new();
        for (wanted, spec) in missing {
            let conflicts = |live: &&Live| {
                let vpc = live.vpc_id().unwrap_or_default();
                live.group_name() == Some(spec.name.as_str())
                    && (vpc == spec.vpc_id || is_unknown(&spec.vpc_id) && vpcs.iter().any(|managed| managed == vpc))
                    && scope.address_from_tags(&tag_map(live.tags())).is_none()
                    && scope.find_recorded(|attrs| live.group_id() == Some(attrs.id.as_str())).is_none()
            };
            if let Some(live) = live.iter().find(conflicts) {
                let id = live.group_id().unwrap_or_default();
                let what = format!("security group {} ({id}) in {}", spec.name, live.vpc_id().unwrap_or_default());
                foreign.push(scope.unmanaged(wanted, what, &tag_map(live.tags()), id));
            }
        }
        Ok(foreign)
    }

    /// Returns the ids of the other groups whose rules reference the group `id`.
    async fn groups_referencing(&self, id: &str) -> Result<Vec<String>, Failure> {
        let mut groups = Vec::new();
        for name in ["ip-permission.group-id", "egress.ip-permission.group-id"] {
            let found = self.ec2.groups(vec![filter(name, [id])]).await?;
            groups.extend(found.iter().filter_map(Live::group_id).filter(|other| *other != id).map(str::to_owned));
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// Adds the reason why the group could not be deleted to the failure. If no interface uses the group, rules of
    /// other groups must reference it. The rules in this group are then revoked, so that two groups that reference each
    /// other do not block each other forever.
    async fn explain_in_use(&self, refused: Failure, attrs: &SecurityGroupAttrs) -> Result<Failure, Failure> {
        if let Some(users) = self.ec2.interfaces.users(&attrs.vpc_id, uses_group(&attrs.id)).await {
            return Ok(used_by(refused, &users));
        }
        self.ec2.revoke_every_rule(&attrs.id).await?;
        let groups = self.groups_referencing(&attrs.id).await?;
        Ok(if groups.is_empty() { refused } else { used_by(refused, &format!("rules of {}", groups.join(", "))) })
    }
}

/// Returns a predicate that is true for interfaces that use the group `id`.
fn uses_group(id: &str) -> impl Fn(&NetworkInterface) -> bool + Send + Sync {
    move |interface| interface.groups().iter().any(|group| group.group_id() == Some(id))
}

fn classify(scope: &ReadScope<SecurityGroup>, groups: &ManagedGroups, live: &Live) -> Option<Found<SecurityGroup>> {
    if live.group_name() == Some(DEFAULT) {
        return None;
    }
    let (tags, id) = (tag_map(live.tags()), live.group_id()?);
    let address = scope.managed_address(&tags, &[id])?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let spec = SecurityGroupSpec {
        vpc_id: text(live.vpc_id()),
        name: text(live.group_name()),
        description: text(live.description()),
        unmanaged_rules: groups.unmanaged_rules(scope, id),
        tags: Ownership::user_tags(&tags),
    };
    let attrs = SecurityGroupAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() };
    Some(Found::Managed { address, spec, attrs, ready: true })
}

fn untagged(scope: &ReadScope<SecurityGroup>, live: &Live) -> Option<Found<SecurityGroup>> {
    let (id, vpc_id) = (live.group_id()?.to_owned(), live.vpc_id().unwrap_or_default().to_owned());
    scope.untagged(&tag_map(live.tags()), &SecurityGroupAttrs { id, vpc_id })
}

impl Resource for SecurityGroup {
    const KIND: &'static str = "ec2.security_group";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["ec2.vpc"];
    const UNIQUE_NAME: bool = false;
    const RETAINED_FIELDS: &'static [&'static str] = &["name", "description"];
    type Spec = SecurityGroupSpec;
    type Attrs = SecurityGroupAttrs;

    fn validate(spec: &SecurityGroupSpec) -> Result<(), String> {
        pb_rules::names::security_group(&spec.name).map_err(|e| format!("invalid security group name: {e}"))?;
        if spec.name == DEFAULT {
            return Err("invalid security group name: `default` is reserved for the default group of a VPC".to_owned());
        }
        if spec.description.is_empty() {
            return Err("a security group needs a description".to_owned());
        }
        pb_rules::names::security_group_description(&spec.description)
            .map_err(|e| format!("invalid security group description: {e}"))?;
        check_tags(&spec.tags)
    }

    fn planned_attrs(spec: &SecurityGroupSpec) -> SecurityGroupAttrs {
        SecurityGroupAttrs { id: unknown(), vpc_id: spec.vpc_id.clone() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "vpc_id" | "name" | "description")
    }

    fn can_coexist(old: &SecurityGroupSpec, new: &SecurityGroupSpec) -> bool {
        old.vpc_id != new.vpc_id || old.name != new.name
    }

    fn id(attrs: &SecurityGroupAttrs) -> Option<String> {
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
        all.extend(self.find_unmanaged(scope, &all).await?);
        all.extend(tagged.groups.iter().chain(&by_id.groups).filter_map(|live| untagged(scope, live)));
        Ok(all)
    }

    async fn create(&self, cx: &Context, spec: &SecurityGroupSpec) -> Result<SecurityGroupAttrs, Failure> {
        const CALL: &str = "ec2:CreateSecurityGroup";
        let call = self.ec2.client.create_security_group().vpc_id(&spec.vpc_id).group_name(&spec.name);
        let call = call.description(&spec.description);
        let call = call.tag_specifications(tag_specification(cx, ResourceType::SecurityGroup, &spec.tags));
        let answer = call.send().await.for_operation(CALL)?;
        let id = answer.group_id().ok_or_else(|| missing_field(CALL, "group id"))?;
        Ok(SecurityGroupAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() })
    }

    async fn configure(&self, _: &Context, attrs: &SecurityGroupAttrs, _: &SecurityGroupSpec) -> Result<(), Failure> {
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

    async fn wait_ready(&self, cx: &Context, attrs: SecurityGroupAttrs) -> Result<SecurityGroupAttrs, Failure> {
        wait_until_visible(cx, &attrs.id, |filters| self.ec2.groups(filters), "group-id").await?;
        Ok(attrs)
    }

    async fn delete(&self, cx: &Context, attrs: &SecurityGroupAttrs) -> Result<(), Failure> {
        let delete = || async {
            let call = self.ec2.client.delete_security_group().group_id(&attrs.id);
            call.send().await.for_operation("ec2:DeleteSecurityGroup").map(drop)
        };
        match self.ec2.interfaces.delete_when_unused(cx, &attrs.vpc_id, uses_group(&attrs.id), delete).await {
            Err(refused) if refused.class == Class::InUse => Err(self.explain_in_use(refused, attrs).await?),
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
mod tests;
