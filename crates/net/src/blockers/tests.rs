//! Tests that unmanaged resources that block a delete are named, and that managed resources are not.

use super::*;
use crate::testing::{has_filter, managed_tags};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::ErrorMetadata;
use aws_sdk_ec2::operation::describe_egress_only_internet_gateways::DescribeEgressOnlyInternetGatewaysOutput;
use aws_sdk_ec2::operation::describe_internet_gateways::DescribeInternetGatewaysOutput;
use aws_sdk_ec2::operation::describe_network_acls::DescribeNetworkAclsOutput;
use aws_sdk_ec2::operation::describe_network_interfaces::DescribeNetworkInterfacesOutput;
use aws_sdk_ec2::operation::describe_route_tables::DescribeRouteTablesOutput;
use aws_sdk_ec2::operation::describe_security_group_rules::DescribeSecurityGroupRulesOutput;
use aws_sdk_ec2::operation::describe_security_groups::DescribeSecurityGroupsOutput;
use aws_sdk_ec2::operation::describe_subnets::DescribeSubnetsOutput;
use aws_sdk_ec2::operation::describe_vpc_endpoints::DescribeVpcEndpointsOutput;
use aws_sdk_ec2::operation::describe_vpc_peering_connections::{
    DescribeVpcPeeringConnectionsError, DescribeVpcPeeringConnectionsOutput,
};
use aws_sdk_ec2::operation::describe_vpn_gateways::DescribeVpnGatewaysOutput;
use aws_sdk_ec2::types::{
    AttachmentStatus, EgressOnlyInternetGateway, GroupIdentifier, InternetGateway as LiveGateway,
    InternetGatewayAttachment, NetworkAcl, NetworkInterface, NetworkInterfaceAssociation, NetworkInterfaceStatus,
    ReferencedSecurityGroup, RouteTable as LiveTable, RouteTableAssociation, SecurityGroupRule, Subnet as LiveSubnet,
    VpcAttachment, VpcEndpoint, VpcPeeringConnection, VpcPeeringConnectionVpcInfo, VpnGateway,
};
use aws_smithy_mocks::{Rule, mock};
use pb_aws::mock_client;
use serde_json::json;

/// Resources to delete: a VPC with a subnet, two groups and a gateway.
fn deletions() -> Deletions {
    let one = |id: &str, at: &str| BTreeMap::from([(id.to_owned(), Address::new(at).unwrap())]);
    let mut groups = one("sg-web", "net/flask_group");
    groups.extend(one("sg-lb", "net/lb_group"));
    Deletions {
        vpcs: one("vpc-1", "net/vpc"),
        subnets: one("subnet-1", "net/tasks_subnet"),
        groups,
        gateways: one("vpc-1", "net/igw"),
        affected_vpcs: vec!["vpc-1".to_owned()],
        region: Some(Region::new("us-east-2")),
    }
}

fn is_managed(id: &str, tags: &[Tag]) -> bool {
    ["sg-web", "sg-lb", "sg-default", "subnet-1", "rtb-1", "igw-1"].contains(&id) || tags == managed_tags()
}

fn owners() -> KnownOwners {
    let specs = [json!({"name": "w-public"}), json!({"id": "w-jobqr", "security_group_ids": ["sg-cache"]})];
    KnownOwners::of(BTreeSet::from(["sg-web".to_owned(), "sg-lb".to_owned()]), specs.iter())
}

fn lines(refused: &[PlanError]) -> Vec<String> {
    let short = |refused: &PlanError| {
        let why = refused.why.strip_prefix("it has to be deleted, but ").unwrap();
        format!("{}: {why}", refused.address)
    };
    refused.iter().map(short).collect()
}

fn group(id: &str, name: &str, vpc: &str) -> LiveGroup {
    LiveGroup::builder().group_id(id).group_name(name).vpc_id(vpc).build()
}

fn groups_by(filter: &'static str, groups: Vec<LiveGroup>) -> Rule {
    mock!(Client::describe_security_groups)
        .match_requests(move |r| r.filters().iter().any(|found| found.name() == Some(filter)))
        .then_output(move || DescribeSecurityGroupsOutput::builder().set_security_groups(Some(groups.clone())).build())
}

#[tokio::test]
async fn unmanaged_groups_and_rules_are_named_with_a_remedy() {
    let bastion = || group("sg-9", "bastion", "vpc-1");
    let managed = group("sg-web", "w-flask", "vpc-1");
    // A group that was created after the read is not among the observed ones, but carries the ownership tags.
    let new = LiveGroup::builder().group_id("sg-7").vpc_id("vpc-1").set_tags(Some(managed_tags())).build();
    let default = group("sg-3", "default", "vpc-1");
    let within = groups_by("vpc-id", vec![managed.clone(), new, default, bastion()]);
    let sources = groups_by("ip-permission.group-id", vec![managed, bastion()]);
    let destinations = groups_by("egress.ip-permission.group-id", vec![group("sg-8", "peer", "vpc-2")]);
    let rules = mock!(Client::describe_security_group_rules)
        .match_requests(|r| has_filter(r.filters(), "group-id", "sg-8") && has_filter(r.filters(), "group-id", "sg-9"))
        .then_output(|| {
            let rule = |id: &str, group: &str, peer: &str, egress| {
                let peer = ReferencedSecurityGroup::builder().group_id(peer).build();
                let rule = SecurityGroupRule::builder().security_group_rule_id(id).group_id(group).is_egress(egress);
                rule.referenced_group_info(peer).build()
            };
            DescribeSecurityGroupRulesOutput::builder()
                .security_group_rules(rule("sgr-1", "sg-9", "sg-web", false))
                .security_group_rules(rule("sgr-2", "sg-9", "sg-9", false))
                .security_group_rules(rule("sgr-3", "sg-8", "sg-lb", true))
                .build()
        });
    let client = mock_client!(aws_sdk_ec2, [&within, &sources, &destinations, &rules]);
    let found = Blockers::new(client.into()).groups(&deletions(), is_managed).await.unwrap();
    assert_eq!(
        lines(&found),
        [
            "net/flask_group: rule sgr-1 of security group bastion (sg-9) references it as source; revoke the rule: \
             aws ec2 revoke-security-group-ingress --group-id sg-9 --security-group-rule-ids sgr-1 --region us-east-2",
            "net/lb_group: rule sgr-3 of security group peer (sg-8) references it as destination; revoke the rule: \
             aws ec2 revoke-security-group-egress --group-id sg-8 --security-group-rule-ids sgr-3 --region us-east-2",
            "net/vpc: security group bastion (sg-9) is in it; delete the group first: \
             aws ec2 delete-security-group --group-id sg-9 --region us-east-2",
        ]
    );
}

fn interface(id: &str, description: &str, group: &str, managed: bool) -> NetworkInterface {
    let group = GroupIdentifier::builder().group_id(group).build();
    NetworkInterface::builder()
        .network_interface_id(id)
        .description(description)
        .vpc_id("vpc-1")
        .subnet_id("subnet-1")
        .groups(group)
        .requester_managed(managed)
        .status(NetworkInterfaceStatus::InUse)
        .build()
}

async fn by_interfaces(all: Vec<NetworkInterface>) -> Vec<String> {
    let ask = mock!(Client::describe_network_interfaces)
        .match_requests(|r| has_filter(r.filters(), "vpc-id", "vpc-1"))
        .then_output(move || {
            DescribeNetworkInterfacesOutput::builder().set_network_interfaces(Some(all.clone())).build()
        });
    let ec2: Ec2 = mock_client!(aws_sdk_ec2, [&ask]).into();
    lines(&interfaces::blockers(&ec2, &deletions(), &owners()).await.unwrap())
}

#[tokio::test]
async fn own_and_lingering_interfaces_do_not_block() {
    let task = "arn:aws:ecs:us-east-2:123456789012:attachment/0a1b";
    let lingering = interface("eni-6", "AWS Lambda VPC ENI-x", "sg-other", true).status_is_available();
    let own = vec![
        interface("eni-1", "ELB app/w-public/50dc6c495c0c9188", "sg-other", true),
        interface("eni-2", "ElastiCache w-jobqr-001", "sg-other", true),
        interface("eni-3", "ElastiCache other-001", "sg-cache", true),
        interface("eni-4", task, "sg-web", true),
        interface("eni-5", task, "sg-web", false),
        lingering,
    ];
    assert_eq!(by_interfaces(own).await, [""; 0]);
}

trait Available {
    fn status_is_available(self) -> Self;
}

impl Available for NetworkInterface {
    fn status_is_available(mut self) -> Self {
        self.status = Some(NetworkInterfaceStatus::Available);
        self
    }
}

#[tokio::test]
async fn unmanaged_interfaces_block_the_resources_that_they_use() {
    let task = "arn:aws:ecs:us-east-2:123456789012:attachment/0a1b";
    let elsewhere = |id: &str, group: &str, public: bool| {
        let mut interface = interface(id, "bastion", group, false).status_is_available();
        interface.subnet_id = Some("subnet-9".to_owned());
        let address = NetworkInterfaceAssociation::builder().public_ip("198.51.100.1").build();
        interface.association = public.then_some(address);
        interface
    };
    let found = by_interfaces(vec![
        interface("eni-1", "ELB app/other/50dc6c495c0c9188", "sg-other", true),
        interface("eni-2", task, "sg-other", true),
        interface("eni-3", "AWS Lambda VPC ENI-x", "sg-web", true),
        elsewhere("eni-4", "sg-web", true),
        elsewhere("eni-5", "sg-other", true),
        elsewhere("eni-6", "sg-other", false),
    ]);
    let owner = "delete the resource that owns the interface";
    let delete = |id: &str| {
        format!(
            "delete the interface first: aws ec2 delete-network-interface --network-interface-id {id} \
             --region us-east-2"
        )
    };
    assert_eq!(
        found.await,
        [
            format!("net/tasks_subnet: network interface eni-1 (ELB app/other/50dc6c495c0c9188) is in it; {owner}"),
            format!("net/tasks_subnet: network interface eni-2 ({task}) is in it; {owner}"),
            format!("net/tasks_subnet: network interface eni-3 (AWS Lambda VPC ENI-x) is in it; {owner}"),
            format!("net/flask_group: network interface eni-4 (bastion) uses it; {}", delete("eni-4")),
            format!("net/igw: network interface eni-5 (bastion) has a public address through it; {}", delete("eni-5")),
        ]
    );
}

fn subnets_tables_gateways() -> [Rule; 3] {
    let subnets = mock!(Client::describe_subnets).match_requests(|r| has_filter(r.filters(), "vpc-id", "vpc-1"));
    let tables = mock!(Client::describe_route_tables).match_requests(|r| has_filter(r.filters(), "vpc-id", "vpc-1"));
    let gateways = mock!(Client::describe_internet_gateways)
        .match_requests(|r| has_filter(r.filters(), "attachment.vpc-id", "vpc-1"));
    [
        subnets.then_output(|| {
            let subnet = |id: &str| LiveSubnet::builder().subnet_id(id).vpc_id("vpc-1").build();
            DescribeSubnetsOutput::builder().subnets(subnet("subnet-1")).subnets(subnet("subnet-9")).build()
        }),
        tables.then_output(|| {
            let table = |id: &str| LiveTable::builder().route_table_id(id).vpc_id("vpc-1");
            let main = table("rtb-main").associations(RouteTableAssociation::builder().main(true).build()).build();
            let all = vec![main, table("rtb-1").build(), table("rtb-9").build()];
            DescribeRouteTablesOutput::builder().set_route_tables(Some(all)).build()
        }),
        gateways.then_output(|| {
            let attached = InternetGatewayAttachment::builder().vpc_id("vpc-1").build();
            let gateway =
                |id: &str| LiveGateway::builder().internet_gateway_id(id).attachments(attached.clone()).build();
            let all = vec![gateway("igw-1"), gateway("igw-9")];
            DescribeInternetGatewaysOutput::builder().set_internet_gateways(Some(all)).build()
        }),
    ]
}

fn attached() -> [Rule; 4] {
    [
        mock!(Client::describe_network_acls).then_output(|| {
            let acl = |id: &str| NetworkAcl::builder().network_acl_id(id).vpc_id("vpc-1");
            let all = vec![acl("acl-1").is_default(true).build(), acl("acl-9").is_default(false).build()];
            DescribeNetworkAclsOutput::builder().set_network_acls(Some(all)).build()
        }),
        mock!(Client::describe_vpc_endpoints).then_output(|| {
            let end = |id: &str, state: &str| {
                VpcEndpoint::builder().vpc_endpoint_id(id).vpc_id("vpc-1").state(state.into()).build()
            };
            let all = vec![end("vpce-1", "deleted"), end("vpce-9", "available")];
            DescribeVpcEndpointsOutput::builder().set_vpc_endpoints(Some(all)).build()
        }),
        mock!(Client::describe_vpn_gateways).then_output(|| {
            let to = |vpc: &str, state| VpcAttachment::builder().vpc_id(vpc).state(state).build();
            let gateway = |id: &str| VpnGateway::builder().vpn_gateway_id(id);
            let all = vec![
                gateway("vgw-1").vpc_attachments(to("vpc-1", AttachmentStatus::Detached)).build(),
                gateway("vgw-9").vpc_attachments(to("vpc-1", AttachmentStatus::Attached)).build(),
            ];
            DescribeVpnGatewaysOutput::builder().set_vpn_gateways(Some(all)).build()
        }),
        mock!(Client::describe_egress_only_internet_gateways).then_output(|| {
            let to = |vpc: &str| InternetGatewayAttachment::builder().vpc_id(vpc).build();
            let gateway = |id: &str, vpc: &str| {
                EgressOnlyInternetGateway::builder().egress_only_internet_gateway_id(id).attachments(to(vpc)).build()
            };
            let all = vec![gateway("eigw-1", "vpc-2"), gateway("eigw-9", "vpc-1")];
            DescribeEgressOnlyInternetGatewaysOutput::builder().set_egress_only_internet_gateways(Some(all)).build()
        }),
    ]
}

async fn contents(peerings: Rule) -> Vec<String> {
    let (in_it, attached) = (subnets_tables_gateways(), attached());
    let ec2: Ec2 = mock_client!(aws_sdk_ec2, in_it.iter().chain(&attached).chain([&peerings])).into();
    lines(&contents::blockers(&ec2, &deletions(), is_managed).await.unwrap())
}

#[tokio::test]
async fn each_unmanaged_resource_in_a_vpc_is_named() {
    let peerings = mock!(Client::describe_vpc_peering_connections).then_output(|| {
        let side = |vpc: &str| VpcPeeringConnectionVpcInfo::builder().vpc_id(vpc).build();
        let peering = |id: &str, from: &str, to: &str| {
            let peering = VpcPeeringConnection::builder().vpc_peering_connection_id(id);
            peering.requester_vpc_info(side(from)).accepter_vpc_info(side(to)).build()
        };
        let all = vec![peering("pcx-1", "vpc-2", "vpc-3"), peering("pcx-9", "vpc-2", "vpc-1")];
        DescribeVpcPeeringConnectionsOutput::builder().set_vpc_peering_connections(Some(all)).build()
    });
    let line = |what: &str, command: &str| format!("net/vpc: {what}; first run: aws ec2 {command} --region us-east-2");
    assert_eq!(
        contents(peerings).await,
        [
            line("subnet subnet-9 is in it", "delete-subnet --subnet-id subnet-9"),
            line("route table rtb-9 is in it", "delete-route-table --route-table-id rtb-9"),
            line(
                "internet gateway igw-9 is attached to it",
                "detach-internet-gateway --vpc-id vpc-1 --internet-gateway-id igw-9"
            ),
            line("network ACL acl-9 is in it", "delete-network-acl --network-acl-id acl-9"),
            line("VPC endpoint vpce-9 is in it", "delete-vpc-endpoints --vpc-endpoint-ids vpce-9"),
            line("VPN gateway vgw-9 is attached to it", "detach-vpn-gateway --vpc-id vpc-1 --vpn-gateway-id vgw-9"),
            line(
                "VPC peering connection pcx-9 connects it to another VPC",
                "delete-vpc-peering-connection --vpc-peering-connection-id pcx-9"
            ),
            line(
                "egress-only internet gateway eigw-9 is attached to it",
                "delete-egress-only-internet-gateway --egress-only-internet-gateway-id eigw-9"
            ),
        ]
    );
}

#[tokio::test]
async fn denied_read_keeps_the_other_blockers() {
    let denied = mock!(Client::describe_vpc_peering_connections).then_error(|| {
        let meta = ErrorMetadata::builder().code("UnauthorizedOperation").message("no").build();
        DescribeVpcPeeringConnectionsError::generic(meta)
    });
    let found = contents(denied).await;
    assert_eq!(found.len(), 7, "{found:?}");
    assert!(!found.iter().any(|line| line.contains("peering")), "{found:?}");
}
