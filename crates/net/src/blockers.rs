//! Preflight check that finds unmanaged resources that would prevent AWS from deleting the network.
//!
//! AWS responds to DeleteVpc, DeleteSubnet, DeleteSecurityGroup and DetachInternetGateway with DependencyViolation
//! while something depends on the resource. Managed dependents are deleted in the same run, in the right order.
//! Unmanaged dependents are not deleted, so AWS would keep refusing to delete the resource.

mod contents;
mod interfaces;
#[cfg(test)]
mod tests;

use aws_sdk_ec2::types::{SecurityGroup as LiveGroup, SecurityGroupRule as LiveRule, Tag};
use aws_types::region::Region;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join3};
use pb_aws::in_region;
use pb_engine::{Address, Failure, PlanError, Planned, PreflightCheck};
use std::collections::{BTreeMap, BTreeSet};

use self::interfaces::KnownOwners;
use crate::ec2::{Ec2, describe_by, tag_map};
use crate::group_calls::{DEFAULT, egress};
use crate::{DefaultSecurityGroup, InternetGateway, RouteTable, SecurityGroup, Subnet, Vpc};

/// Preflight check that refuses a plan if unmanaged resources block one of its deletes.
pub(crate) struct Blockers {
    ec2: Ec2,
}

impl Blockers {
    pub(crate) fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }
}

impl PreflightCheck for Blockers {
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>> {
        async move {
            let deletions = Deletions::of(planned, self.ec2.client.config().region().cloned());
            if deletions.is_empty() {
                return Ok(Vec::new());
            }
            let managed = ManagedParts::of(planned);
            let is_managed = |id: &str, tags: &[Tag]| managed.ids.contains(id) || planned.owns(&tag_map(tags));
            let contents = contents::blockers(&self.ec2, &deletions, is_managed);
            let groups = self.groups(&deletions, is_managed);
            let interfaces = interfaces::blockers(&self.ec2, &deletions, &managed.owners);
            let (groups, contents, interfaces) = try_join3(groups, contents, interfaces).await?;
            Ok(groups.into_iter().chain(contents).chain(interfaces).collect())
        }
        .boxed()
    }
}

/// Addresses of the network resources that the plan deletes, by their ids in AWS.
struct Deletions {
    vpcs: BTreeMap<String, Address>,
    subnets: BTreeMap<String, Address>,
    groups: BTreeMap<String, Address>,
    /// Attached internet gateways, by the id of their VPC.
    gateways: BTreeMap<String, Address>,
    /// Ids of the VPCs that are deleted or that contain one of the other resources.
    affected_vpcs: Vec<String>,
    /// Region of the resources.
    region: Option<Region>,
}

impl Deletions {
    fn of(planned: &Planned<'_>, region: Option<Region>) -> Self {
        let subnets = planned.deleted::<Subnet>();
        let groups = planned.deleted::<SecurityGroup>();
        let vpcs: BTreeMap<_, _> = planned.deleted::<Vpc>().into_iter().map(|(at, _, attrs)| (attrs.id, at)).collect();
        let gateways = planned.deleted::<InternetGateway>().into_iter().filter(|(_, spec, _)| spec.attached);
        let gateways: BTreeMap<_, _> = gateways.map(|(at, _, attrs)| (attrs.vpc_id, at)).collect();
        let mut affected_vpcs: BTreeSet<String> = vpcs.keys().chain(gateways.keys()).cloned().collect();
        affected_vpcs.extend(subnets.iter().map(|(_, _, attrs)| attrs.vpc_id.clone()));
        affected_vpcs.extend(groups.iter().map(|(_, _, attrs)| attrs.vpc_id.clone()));
        affected_vpcs.remove("");
        Self {
            subnets: subnets.into_iter().map(|(at, _, attrs)| (attrs.id, at)).collect(),
            groups: groups.into_iter().map(|(at, _, attrs)| (attrs.id, at)).collect(),
            vpcs,
            gateways,
            affected_vpcs: affected_vpcs.into_iter().collect(),
            region,
        }
    }

    fn is_empty(&self) -> bool {
        [&self.vpcs, &self.subnets, &self.groups, &self.gateways].iter().all(|parts| parts.is_empty())
    }

    /// Returns a command of the AWS CLI for the region of the resources.
    fn command(&self, command: &str) -> String {
        in_region(command, self.region.as_ref())
    }

    fn vpc_ids(&self) -> Vec<String> {
        self.vpcs.keys().cloned().collect()
    }
}

/// Ids of all managed network resources, whether the plan deletes them or not, and known owners of interfaces.
struct ManagedParts {
    ids: BTreeSet<String>,
    owners: KnownOwners,
}

impl ManagedParts {
    fn of(planned: &Planned<'_>) -> Self {
        let groups = planned.managed::<SecurityGroup>().into_iter().map(|(_, _, attrs)| attrs.id);
        let groups: BTreeSet<String> = groups.collect();
        let mut ids = groups.clone();
        ids.extend(planned.managed::<DefaultSecurityGroup>().into_iter().map(|(_, _, attrs)| attrs.id));
        ids.extend(planned.managed::<Subnet>().into_iter().map(|(_, _, attrs)| attrs.id));
        ids.extend(planned.managed::<RouteTable>().into_iter().map(|(_, _, attrs)| attrs.id));
        ids.extend(planned.managed::<InternetGateway>().into_iter().map(|(_, _, attrs)| attrs.id));
        Self { ids, owners: KnownOwners::of(groups, planned.specs()) }
    }
}

/// Returns the refusal of a plan because `blocker` prevents the deletion of the resource at `address`.
fn refusal(address: &Address, blocker: &str, remedy: &str) -> PlanError {
    PlanError::new(address.clone(), format!("it has to be deleted, but {blocker}; {remedy}"))
}

impl Blockers {
    /// Returns a refusal for each unmanaged group in a deleted VPC, and for each rule in an unmanaged group that
    /// references a deleted group.
    async fn groups(
        &self,
        deletions: &Deletions,
        is_managed: impl Fn(&str, &[Tag]) -> bool,
    ) -> Result<Vec<PlanError>, Failure> {
        let ids: Vec<String> = deletions.groups.keys().cloned().collect();
        let vpcs = deletions.vpc_ids();
        let ask = |filters| self.ec2.groups(filters);
        let (within, sources, destinations) = try_join3(
            describe_by("vpc-id", &vpcs, ask),
            describe_by("ip-permission.group-id", &ids, ask),
            describe_by("egress.ip-permission.group-id", &ids, ask),
        )
        .await?;
        let unmanaged = |groups: Vec<LiveGroup>| -> BTreeMap<String, LiveGroup> {
            let by_id = groups.into_iter().filter_map(|group| Some((group.group_id()?.to_owned(), group)));
            by_id.filter(|(id, group)| !is_managed(id, group.tags())).collect()
        };
        let naming = unmanaged(sources.into_iter().chain(destinations).collect());
        let within = unmanaged(within);
        let naming_ids: Vec<String> = naming.keys().cloned().collect();
        let rules = describe_by("group-id", &naming_ids, |filters| self.ec2.rules(filters)).await?;
        let mut found: Vec<PlanError> =
            rules.iter().filter_map(|rule| blocked_by_rule(rule, &naming, deletions)).collect();
        let within = within.iter().filter(|(_, group)| group.group_name() != Some(DEFAULT));
        found.extend(within.filter_map(|(id, group)| {
            let address = deletions.vpcs.get(group.vpc_id()?)?;
            let delete = deletions.command(&format!("aws ec2 delete-security-group --group-id {id}"));
            let remedy = format!("delete the group first: {delete}");
            Some(refusal(address, &format!("{} is in it", group_name(id, Some(group))), &remedy))
        }));
        Ok(found)
    }
}

fn group_name(id: &str, group: Option<&LiveGroup>) -> String {
    match group.and_then(LiveGroup::group_name) {
        Some(name) => format!("security group {name} ({id})"),
        None => format!("security group {id}"),
    }
}

fn blocked_by_rule(rule: &LiveRule, groups: &BTreeMap<String, LiveGroup>, deletions: &Deletions) -> Option<PlanError> {
    let address = deletions.groups.get(rule.referenced_group_info()?.group_id()?)?;
    let (group, id) = (rule.group_id()?, rule.security_group_rule_id()?);
    let (role, direction) = if egress(rule) { ("destination", "egress") } else { ("source", "ingress") };
    let blocker = format!("rule {id} of {} references it as {role}", group_name(group, groups.get(group)));
    let revoke = format!("aws ec2 revoke-security-group-{direction} --group-id {group} --security-group-rule-ids {id}");
    Some(refusal(address, &blocker, &format!("revoke the rule: {}", deletions.command(&revoke))))
}
