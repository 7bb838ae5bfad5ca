//! Subnets.

use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, ResourceType, Subnet as Live, SubnetState};
use ipnet::Ipv4Net;
use pb_aws::ForOperation;
use pb_engine::{
    Backoff, Change, Class, Context, Failure, Found, Ownership, Progress, ReadScope, Resource, is_unknown, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::ec2::{
    Ec2, ManagedVpcs, check_tags, describe_by, filter, missing_field, missing_ids, no_retry, ownership_filters,
    tag_map, tag_specification,
};

/// Maximum time for a subnet to become `available`. This normally takes seconds; a longer time indicates a problem.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(120);

/// Resource kind for subnets.
pub struct Subnet {
    ec2: Ec2,
}

/// Spec of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSpec {
    /// Id of the subnet's VPC.
    pub vpc_id: String,
    /// CIDR block, /16 to /28, inside the VPC's CIDR block.
    pub cidr: String,
    /// Availability Zone, such as `us-east-2a`.
    pub zone: String,
    /// `true` if network interfaces that do not ask for an address get a public one. If absent, it is not managed: a new
    /// subnet does not assign addresses.
    pub public_addresses: Option<bool>,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetAttrs {
    /// Id of the subnet, `subnet-...`.
    pub id: String,
    /// Id of the subnet's VPC.
    pub vpc_id: String,
}

impl Subnet {
    /// Creates the resource kind, which makes its calls through `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }

    async fn describe(&self, filters: Vec<Filter>) -> Result<Vec<Live>, Failure> {
        let pages = self.ec2.client.describe_subnets().set_filters(Some(filters)).into_paginator().items().send();
        pages.try_collect().await.for_operation("ec2:DescribeSubnets")
    }

    async fn set_public_addresses(&self, id: &str, on: bool) -> Result<(), Failure> {
        let on = AttributeBooleanValue::builder().value(on).build();
        let call = self.ec2.client.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(on);
        call.send().await.for_operation("ec2:ModifySubnetAttribute").map(drop)
    }

    /// Returns unmanaged subnets that overlap with a desired subnet that does not exist. Makes a call only if a desired
    /// subnet does not exist.
    async fn find_unmanaged(
        &self,
        scope: &ReadScope<Self>,
        managed: &[Found<Self>],
    ) -> Result<Vec<Found<Self>>, Failure> {
        let existing = |wanted: &pb_engine::Address| {
            managed.iter().any(|found| matches!(found, Found::Managed { address, .. } if address == wanted))
        };
        let missing: Vec<_> = scope.desired.iter().filter(|(address, _)| !existing(address)).collect();
        let mut vpcs: Vec<String> = missing.iter().map(|(_, spec)| spec.vpc_id.clone()).collect();
        if vpcs.iter().any(|vpc| is_unknown(vpc)) {
            vpcs.extend(scope.shared(ManagedVpcs::read(&self.ec2, scope.owner())).await?.ids());
        }
        vpcs.retain(|vpc| !is_unknown(vpc));
        vpcs.sort_unstable();
        vpcs.dedup();
        let live = describe_by("vpc-id", &vpcs, |filters| self.describe(filters)).await?;
        let mut foreign = Vec::new();
        for (wanted, spec) in missing {
            let conflicts = |live: &&Live| {
                overlap(&spec.cidr, live.cidr_block().unwrap_or_default())
                    && (is_unknown(&spec.vpc_id) || live.vpc_id() == Some(spec.vpc_id.as_str()))
                    && scope.address_from_tags(&tag_map(live.tags())).is_none()
                    && scope.find_recorded(|attrs| live.subnet_id() == Some(attrs.id.as_str())).is_none()
            };
            if let Some(live) = live.iter().find(conflicts) {
                let (id, cidr) = (live.subnet_id().unwrap_or_default(), live.cidr_block().unwrap_or_default());
                let what = format!("subnet {id} with {cidr} in {}", live.vpc_id().unwrap_or_default());
                foreign.push(scope.unmanaged(wanted, what, &tag_map(live.tags()), id));
            }
        }
        Ok(foreign)
    }
}

fn classify(scope: &ReadScope<Subnet>, live: &Live) -> Option<Found<Subnet>> {
    let (tags, id) = (tag_map(live.tags()), live.subnet_id()?);
    let address = scope.managed_address(&tags, &[id])?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let spec = SubnetSpec {
        vpc_id: text(live.vpc_id()),
        cidr: text(live.cidr_block()),
        zone: text(live.availability_zone()),
        public_addresses: Some(live.map_public_ip_on_launch().unwrap_or_default()),
        tags: Ownership::user_tags(&tags),
    };
    let attrs = SubnetAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() };
    Some(Found::Managed { address, spec, attrs, ready: live.state() == Some(&SubnetState::Available) })
}

fn untagged(scope: &ReadScope<Subnet>, live: &Live) -> Option<Found<Subnet>> {
    let attrs = SubnetAttrs { id: live.subnet_id()?.to_owned(), vpc_id: live.vpc_id().unwrap_or_default().to_owned() };
    scope.untagged(&tag_map(live.tags()), &attrs)
}

/// Returns whether two CIDR blocks overlap. An invalid block does not overlap with any other.
fn overlap(one: &str, other: &str) -> bool {
    match (one.parse::<Ipv4Net>(), other.parse::<Ipv4Net>()) {
        (Ok(one), Ok(other)) => one.contains(&other.network()) || other.contains(&one.network()),
        _ => false,
    }
}

impl Resource for Subnet {
    const KIND: &'static str = "ec2.subnet";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["ec2.vpc"];
    const UNIQUE_NAME: bool = false;
    const OPTIONAL_FIELDS: &'static [&'static str] = &["public_addresses"];
    type Spec = SubnetSpec;
    type Attrs = SubnetAttrs;

    fn validate(spec: &SubnetSpec) -> Result<(), String> {
        let cidr = pb_rules::network::cidr(&spec.cidr);
        // Only the size is checked here. `NetworkSpec::check`, which knows both CIDR blocks, compares the block with
        // the VPC's.
        cidr.and_then(|cidr| pb_rules::network::subnet_cidr(cidr, cidr))
            .map_err(|e| format!("invalid subnet CIDR block: {e}"))?;
        check_tags(&spec.tags)
    }

    fn planned_attrs(spec: &SubnetSpec) -> SubnetAttrs {
        SubnetAttrs { id: unknown(), vpc_id: spec.vpc_id.clone() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "vpc_id" | "cidr" | "zone")
    }

    /// Returns whether the subnets are in different VPCs or do not overlap: subnets of the same VPC must not overlap.
    fn can_coexist(old: &SubnetSpec, new: &SubnetSpec) -> bool {
        old.vpc_id != new.vpc_id || !overlap(&old.cidr, &new.cidr)
    }

    fn id(attrs: &SubnetAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut live = self.describe(ownership_filters(scope.owner())).await?;
        let seen: Vec<&str> = live.iter().filter_map(Live::subnet_id).collect();
        let ids = missing_ids(scope, |attrs| &attrs.id, &seen);
        live.extend(describe_by("subnet-id", &ids, |filters| self.describe(filters)).await?);
        let mut all: Vec<Found<Self>> = live.iter().filter_map(|live| classify(scope, live)).collect();
        all.extend(self.find_unmanaged(scope, &all).await?);
        all.extend(live.iter().filter_map(|live| untagged(scope, live)));
        Ok(all)
    }

    async fn create(&self, cx: &Context, spec: &SubnetSpec) -> Result<SubnetAttrs, Failure> {
        const CALL: &str = "ec2:CreateSubnet";
        let call = self.ec2.client.create_subnet().vpc_id(&spec.vpc_id).cidr_block(&spec.cidr);
        let call = call.availability_zone(&spec.zone).tag_specifications(tag_specification(
            cx,
            ResourceType::Subnet,
            &spec.tags,
        ));
        let answer = call.customize().config_override(no_retry()).send().await.for_operation(CALL);
        let answer = answer.map_err(|failure| failure.when(&["InvalidSubnet.Conflict"], Class::Exists))?;
        let id = answer.subnet().and_then(Live::subnet_id).ok_or_else(|| missing_field(CALL, "subnet id"))?;
        Ok(SubnetAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() })
    }

    async fn configure(&self, _: &Context, attrs: &SubnetAttrs, spec: &SubnetSpec) -> Result<(), Failure> {
        match spec.public_addresses {
            Some(on) => self.set_public_addresses(&attrs.id, on).await,
            None => Ok(()),
        }
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &SubnetAttrs,
        spec: &SubnetSpec,
        changes: &[Change],
    ) -> Result<SubnetAttrs, Failure> {
        let changed = changes.iter().any(|change| change.field() == "public_addresses");
        if let (true, Some(on)) = (changed, spec.public_addresses) {
            self.set_public_addresses(&attrs.id, on).await?;
        }
        self.ec2.tag(cx, &attrs.id, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: SubnetAttrs) -> Result<SubnetAttrs, Failure> {
        let id = attrs.id.as_str();
        cx.wait("wait for the subnet", Backoff::seconds(AVAILABLE_WITHIN), || async move {
            let found = self.describe(vec![filter("subnet-id", [id])]).await?;
            Ok(match found.first().and_then(Live::state) {
                Some(SubnetState::Available) => Progress::Ready(()),
                Some(state @ (SubnetState::Failed | SubnetState::FailedInsufficientCapacity)) => {
                    let message = format!("AWS could not create {id} ({})", state.as_str());
                    let failure = Failure::new(Class::Failed, "ec2:DescribeSubnets", message);
                    return Err(
                        failure.hint(format!("delete it, then deploy again: aws ec2 delete-subnet --subnet-id {id}"))
                    );
                }
                Some(state) => Progress::Pending(format!("waiting for {id} ({})", state.as_str())),
                None => Progress::Pending(format!("waiting for {id} to become visible")),
            })
        })
        .await?;
        Ok(attrs)
    }

    async fn delete(&self, cx: &Context, attrs: &SubnetAttrs) -> Result<(), Failure> {
        let inside =
            |interface: &aws_sdk_ec2::types::NetworkInterface| interface.subnet_id() == Some(attrs.id.as_str());
        let delete = || async {
            let call = self.ec2.client.delete_subnet().subnet_id(&attrs.id);
            call.send().await.for_operation("ec2:DeleteSubnet").map(drop)
        };
        self.ec2.interfaces.delete_when_unused(cx, &attrs.vpc_id, inside, delete).await
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
