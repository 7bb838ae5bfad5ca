//! Unmanaged network interfaces that use resources which the plan deletes.

use aws_sdk_ec2::types::{NetworkInterface, NetworkInterfaceStatus};
use pb_aws::ForOperation;
use pb_engine::{Failure, PlanError};
use serde_json::Value;
use std::collections::BTreeSet;

use super::{Deletions, refusal};
use crate::ec2::{Ec2, describe_by};
use crate::interfaces::display_name;

/// Names and groups by which the interfaces of managed load balancers, cache nodes and tasks are recognised. AWS gives
/// such an interface a description and security groups, but no ownership tags, and the interface lingers for minutes
/// after its owner is gone.
pub(super) struct KnownOwners {
    /// Security groups that are managed, or used by a managed resource.
    groups: BTreeSet<String>,
    /// Names and ids of managed or desired resources.
    names: BTreeSet<String>,
}

impl KnownOwners {
    pub(super) fn of<'a>(groups: BTreeSet<String>, specs: impl Iterator<Item = &'a Value>) -> Self {
        let mut owners = Self { groups, names: BTreeSet::new() };
        for spec in specs {
            let names = ["name", "id"].iter().filter_map(|field| spec.get(field)?.as_str());
            owners.names.extend(names.map(str::to_owned));
            let lists = spec.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(Value::as_array);
            let groups = lists.flatten().filter_map(Value::as_str).filter(|text| text.starts_with("sg-"));
            owners.groups.extend(groups.map(str::to_owned));
        }
        owners
    }

    /// Returns whether the interface belongs, or belonged, to a managed load balancer, cache node or task.
    fn include(&self, interface: &NetworkInterface) -> bool {
        let description = interface.description().unwrap_or_default();
        let named = match (description.strip_prefix("ELB "), description.strip_prefix("ElastiCache ")) {
            // `ELB app/NAME/0123456789abcdef`
            (Some(balancer), _) => balancer.split('/').nth(1).is_some_and(|name| self.names.contains(name)),
            // `ElastiCache ID-001`
            (_, Some(node)) => node.rsplit_once('-').is_some_and(|(id, _)| self.names.contains(id)),
            _ if is_task(description) => false,
            _ => return false,
        };
        named || interface.groups().iter().filter_map(|group| group.group_id()).any(|id| self.groups.contains(id))
    }
}

/// Returns whether the description is that of a task's interface: `arn:aws:ecs:us-east-2:123456789012:attachment/...`.
fn is_task(description: &str) -> bool {
    description.starts_with("arn:") && description.contains(":ecs:") && description.contains(":attachment/")
}

/// Returns a refusal for each unmanaged interface that uses a resource that the plan deletes.
pub(super) async fn blockers(
    ec2: &Ec2,
    deletions: &Deletions,
    owners: &KnownOwners,
) -> Result<Vec<PlanError>, Failure> {
    let all = describe_by("vpc-id", &deletions.affected_vpcs, |filters| async move {
        let call = ec2.client.describe_network_interfaces().include_managed_resources(true).set_filters(Some(filters));
        let call = call.into_paginator().items();
        call.send().try_collect().await.for_operation("ec2:DescribeNetworkInterfaces")
    });
    let all = all.await?;
    let unmanaged = all.iter().filter(|interface| blocks_deletion(interface) && !owners.include(interface));
    Ok(unmanaged.filter_map(|interface| blocked(interface, deletions)).collect())
}

/// Returns whether the interface stays until somebody deletes it. An interface that AWS created for another service
/// does not block a delete while it is unused, because AWS itself deletes it.
fn blocks_deletion(interface: &NetworkInterface) -> bool {
    let managed = interface.requester_managed().unwrap_or_default();
    !managed || interface.status().is_none_or(|status| *status == NetworkInterfaceStatus::InUse)
}

/// Returns a refusal to delete the resource that the interface uses: its subnet, otherwise one of its groups, otherwise
/// the internet gateway; `None` if the plan deletes none of these.
fn blocked(interface: &NetworkInterface, deletions: &Deletions) -> Option<PlanError> {
    let mut groups = interface.groups().iter().filter_map(|group| group.group_id());
    let public = interface.association().is_some_and(|association| association.public_ip().is_some());
    let in_subnet = interface.subnet_id().and_then(|subnet| deletions.subnets.get(subnet)).map(|at| (at, "is in it"));
    let in_group = || groups.find_map(|group| deletions.groups.get(group)).map(|at| (at, "uses it"));
    let mapped = || interface.vpc_id().filter(|_| public).and_then(|vpc| deletions.gateways.get(vpc));
    let (address, how) =
        in_subnet.or_else(in_group).or_else(|| Some((mapped()?, "has a public address through it")))?;
    let blocker = format!("network interface {} {how}", display_name(interface));
    Some(refusal(address, &blocker, &remedy(interface, deletions)))
}

fn remedy(interface: &NetworkInterface, deletions: &Deletions) -> String {
    let instance = interface.attachment().and_then(|attachment| attachment.instance_id());
    match instance {
        Some(instance) => format!("terminate instance {instance}, or detach the interface and delete it"),
        None if interface.requester_managed().unwrap_or_default() => {
            "delete the resource that owns the interface".to_owned()
        }
        None => {
            let id = interface.network_interface_id().unwrap_or_default();
            let delete = format!("aws ec2 delete-network-interface --network-interface-id {id}");
            format!("delete the interface first: {}", deletions.command(&delete))
        }
    }
}
