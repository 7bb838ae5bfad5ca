//! Unmanaged resources that are in, or attached to, a VPC that the plan deletes.

use aws_sdk_ec2::types::{AttachmentStatus, State, Tag, VpcPeeringConnection, VpcPeeringConnectionStateReasonCode};
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure, PlanError};

use super::{Deletions, refusal};
use crate::ec2::{Ec2, filter};

/// A resource that is in a VPC or attached to it.
struct Content {
    vpc_id: String,
    id: String,
    tags: Vec<Tag>,
    /// The resource and its relation to the VPC, such as `subnet subnet-1 is in it`.
    what: String,
    /// AWS CLI command that removes the resource, without the region.
    command: String,
}

/// Creates the content for the resource `id`; `None` if an id is missing. `what` contains `{}` in place of the id.
/// `command` is the AWS CLI command that removes the resource, up to the option that takes the id.
fn content(vpc_id: Option<&str>, id: Option<&str>, tags: &[Tag], what: &str, command: &str) -> Option<Content> {
    let (vpc_id, id, tags) = (vpc_id?.to_owned(), id?.to_owned(), tags.to_vec());
    let (what, command) = (what.replace("{}", &id), format!("{command} {id}"));
    Some(Content { vpc_id, id, tags, what, command })
}

/// Returns a refusal for each unmanaged resource that is in, or attached to, a deleted VPC. Makes no call if no VPC is
/// deleted.
pub(super) async fn blockers(
    ec2: &Ec2,
    deletions: &Deletions,
    is_managed: impl Fn(&str, &[Tag]) -> bool,
) -> Result<Vec<PlanError>, Failure> {
    let vpcs = deletions.vpc_ids();
    if vpcs.is_empty() {
        return Ok(Vec::new());
    }
    let kinds = [Kind::Subnet, Kind::RouteTable, Kind::Gateway, Kind::Acl, Kind::Endpoint, Kind::Vpn, Kind::Peering]
        .into_iter()
        .chain([Kind::EgressOnly]);
    let found = try_join_all(kinds.map(|kind| describe(ec2, kind, &vpcs))).await?;
    let unmanaged = found.into_iter().flatten().filter(|content| !is_managed(&content.id, &content.tags));
    let refusals = unmanaged.filter_map(|content| {
        let address = deletions.vpcs.get(&content.vpc_id)?;
        Some(refusal(address, &content.what, &format!("first run: {}", deletions.command(&content.command))))
    });
    Ok(refusals.collect())
}

/// Resource kind that can be in a VPC or attached to it.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Subnet,
    RouteTable,
    Gateway,
    Acl,
    Endpoint,
    Vpn,
    Peering,
    EgressOnly,
}

impl Kind {
    /// Returns whether pb-deploy manages no resources of this kind. The policy of the caller might then not permit the
    /// describe call.
    fn is_optional(self) -> bool {
        !matches!(self, Self::Subnet | Self::RouteTable | Self::Gateway)
    }
}

/// Returns the resources of one kind in, or attached to, the VPCs. Returns an empty list for an optional kind if the
/// caller lacks the permission to read it, or if the endpoint does not implement the call: AWS still refuses to delete
/// the VPC.
async fn describe(ec2: &Ec2, kind: Kind, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    let found = match kind {
        Kind::Subnet => subnets(ec2, vpcs).await,
        Kind::RouteTable => route_tables(ec2, vpcs).await,
        Kind::Gateway => gateways(ec2, vpcs).await,
        Kind::Acl => acls(ec2, vpcs).await,
        Kind::Endpoint => endpoints(ec2, vpcs).await,
        Kind::Vpn => vpn_gateways(ec2, vpcs).await,
        Kind::Peering => peerings(ec2, vpcs).await,
        Kind::EgressOnly => egress_only(ec2, vpcs).await,
    };
    match found {
        Err(failure) if kind.is_optional() && matches!(failure.class, Class::Denied | Class::Refused) => Ok(Vec::new()),
        found => found,
    }
}

async fn subnets(ec2: &Ec2, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    let call = ec2.client.describe_subnets().filters(filter("vpc-id", vpcs)).into_paginator().items().send();
    let all = call.try_collect().await.for_operation("ec2:DescribeSubnets")?;
    let all = all.iter().filter_map(|subnet| {
        content(
            subnet.vpc_id(),
            subnet.subnet_id(),
            subnet.tags(),
            "subnet {} is in it",
            "aws ec2 delete-subnet --subnet-id",
        )
    });
    Ok(all.collect())
}

/// Returns the route tables other than the main one, which AWS deletes with its VPC.
async fn route_tables(ec2: &Ec2, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    let call = ec2.client.describe_route_tables().filters(filter("vpc-id", vpcs)).into_paginator().items().send();
    let all = call.try_collect().await.for_operation("ec2:DescribeRouteTables")?;
    let others = all.iter().filter(|table| !table.associations().iter().any(|one| one.main().unwrap_or_default()));
    let others = others.filter_map(|table| {
        let command = "aws ec2 delete-route-table --route-table-id";
        content(table.vpc_id(), table.route_table_id(), table.tags(), "route table {} is in it", command)
    });
    Ok(others.collect())
}

async fn gateways(ec2: &Ec2, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    let call = ec2.client.describe_internet_gateways().filters(filter("attachment.vpc-id", vpcs));
    let all = call.into_paginator().items().send().try_collect().await.for_operation("ec2:DescribeInternetGateways")?;
    let attached = all.iter().flat_map(|gateway| gateway.attachments().iter().map(move |to| (gateway, to)));
    let attached = attached.filter_map(|(gateway, to)| {
        let vpc = to.vpc_id()?;
        let command = format!("aws ec2 detach-internet-gateway --vpc-id {vpc} --internet-gateway-id");
        content(
            Some(vpc),
            gateway.internet_gateway_id(),
            gateway.tags(),
            "internet gateway {} is attached to it",
            &command,
        )
    });
    Ok(attached.collect())
}

/// Returns the network ACLs other than the default one, which AWS deletes with its VPC.
async fn acls(ec2: &Ec2, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    let call = ec2.client.describe_network_acls().filters(filter("vpc-id", vpcs)).into_paginator().items().send();
    let all = call.try_collect().await.for_operation("ec2:DescribeNetworkAcls")?;
    let others = all.iter().filter(|acl| !acl.is_default().unwrap_or_default()).filter_map(|acl| {
        let command = "aws ec2 delete-network-acl --network-acl-id";
        content(acl.vpc_id(), acl.network_acl_id(), acl.tags(), "network ACL {} is in it", command)
    });
    Ok(others.collect())
}

async fn endpoints(ec2: &Ec2, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    let call = ec2.client.describe_vpc_endpoints().filters(filter("vpc-id", vpcs)).into_paginator().items().send();
    let all = call.try_collect().await.for_operation("ec2:DescribeVpcEndpoints")?;
    let gone = |state: &State| {
        let state = state.as_str();
        ["deleting", "deleted", "failed", "rejected", "expired"].iter().any(|gone| state.eq_ignore_ascii_case(gone))
    };
    let existing = all.iter().filter(|endpoint| !endpoint.state().is_some_and(gone)).filter_map(|endpoint| {
        let command = "aws ec2 delete-vpc-endpoints --vpc-endpoint-ids";
        content(endpoint.vpc_id(), endpoint.vpc_endpoint_id(), endpoint.tags(), "VPC endpoint {} is in it", command)
    });
    Ok(existing.collect())
}

async fn vpn_gateways(ec2: &Ec2, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    let call = ec2.client.describe_vpn_gateways().filters(filter("attachment.vpc-id", vpcs));
    let answer = call.send().await.for_operation("ec2:DescribeVpnGateways")?;
    let attached = answer.vpn_gateways().iter().flat_map(|gateway| {
        let stays =
            |state: &AttachmentStatus| !matches!(state, AttachmentStatus::Detached | AttachmentStatus::Detaching);
        let to = gateway.vpc_attachments().iter().filter(move |to| to.state().is_none_or(stays));
        to.filter_map(|to| {
            let vpc = to.vpc_id().filter(|vpc| vpcs.iter().any(|deleted| deleted == vpc))?;
            let command = format!("aws ec2 detach-vpn-gateway --vpc-id {vpc} --vpn-gateway-id");
            content(Some(vpc), gateway.vpn_gateway_id(), gateway.tags(), "VPN gateway {} is attached to it", &command)
        })
    });
    Ok(attached.collect())
}

/// Returns the peering connections of the VPCs. A filter covers only one of the two sides of a connection, so all
/// connections are listed.
async fn peerings(ec2: &Ec2, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    use VpcPeeringConnectionStateReasonCode as Code;
    let call = ec2.client.describe_vpc_peering_connections().into_paginator().items().send();
    let all = call.try_collect().await.for_operation("ec2:DescribeVpcPeeringConnections")?;
    let is_active = |connection: &&VpcPeeringConnection| {
        let code = connection.status().and_then(|status| status.code());
        matches!(
            code,
            None | Some(Code::Active | Code::PendingAcceptance | Code::Provisioning | Code::InitiatingRequest)
        )
    };
    let ends = all.iter().filter(is_active).flat_map(|connection| {
        let sides = [connection.requester_vpc_info(), connection.accepter_vpc_info()];
        let deleted = sides.into_iter().flatten().filter_map(|side| side.vpc_id()).filter(|vpc| is_among(vpc, vpcs));
        deleted.filter_map(|vpc| {
            let (what, command) = (
                "VPC peering connection {} connects it to another VPC",
                "aws ec2 delete-vpc-peering-connection --vpc-peering-connection-id",
            );
            content(Some(vpc), connection.vpc_peering_connection_id(), connection.tags(), what, command)
        })
    });
    Ok(ends.collect())
}

/// Returns the egress-only internet gateways of the VPCs. AWS has no filter by VPC for these gateways, so all of them
/// are listed.
async fn egress_only(ec2: &Ec2, vpcs: &[String]) -> Result<Vec<Content>, Failure> {
    let call = ec2.client.describe_egress_only_internet_gateways().into_paginator().items().send();
    let all = call.try_collect().await.for_operation("ec2:DescribeEgressOnlyInternetGateways")?;
    let attached = all.iter().flat_map(|gateway| gateway.attachments().iter().map(move |to| (gateway, to)));
    let attached = attached.filter_map(|(gateway, to)| {
        let vpc = to.vpc_id().filter(|vpc| is_among(vpc, vpcs));
        let command = "aws ec2 delete-egress-only-internet-gateway --egress-only-internet-gateway-id";
        let (what, id) =
            ("egress-only internet gateway {} is attached to it", gateway.egress_only_internet_gateway_id());
        content(vpc, id, gateway.tags(), what, command)
    });
    Ok(attached.collect())
}

fn is_among(vpc: &str, vpcs: &[String]) -> bool {
    vpcs.iter().any(|deleted| deleted == vpc)
}
