"""Tests of the EC2 rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Aws, running_server, wait_until


def permission(port: int, **source: Any) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}]


def test_new_security_group_has_egress_rule_with_id(aws: Aws) -> None:
    net = aws.network()
    filters = [{"Name": "group-id", "Values": [net.group]}]
    rules = aws.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    assert [(r["IsEgress"], r["CidrIpv4"], r["IpProtocol"]) for r in rules] == [(True, "0.0.0.0/0", "-1")]
    aws.ec2.revoke_security_group_egress(GroupId=net.group, SecurityGroupRuleIds=[rules[0]["SecurityGroupRuleId"]])
    assert aws.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"] == []


def test_rule_tags_filters_and_duplicates(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    tags = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "owner", "Value": "me"}]}]
    wanted = permission(80, IpRanges=[{"CidrIp": "0.0.0.0/0"}]) + permission(81, IpRanges=[{"CidrIp": "10.0.0.0/8"}])
    made = ec2.authorize_security_group_ingress(GroupId=net.group, IpPermissions=wanted, TagSpecifications=tags)
    assert sorted(r["FromPort"] for r in made["SecurityGroupRules"]) == [80, 81]
    assert all(r["Tags"] == [{"Key": "owner", "Value": "me"}] for r in made["SecurityGroupRules"])
    found = ec2.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [net.group]}, {"Name": "tag:owner", "Values": ["me"]}]
    )["SecurityGroupRules"]
    assert len(found) == 2
    assert (
        aws.code(ec2.authorize_security_group_ingress, GroupId=net.group, IpPermissions=wanted[:1])
        == "InvalidPermission.Duplicate"
    )
    gone = permission(99, IpRanges=[{"CidrIp": "0.0.0.0/0"}])
    assert (
        aws.code(ec2.revoke_security_group_ingress, GroupId=net.group, IpPermissions=gone)
        == "InvalidPermission.NotFound"
    )


def test_referenced_security_group_cannot_be_deleted(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    other = net.add_group("other")
    rule = permission(80, UserIdGroupPairs=[{"GroupId": net.group}])
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=rule)
    assert aws.code(ec2.delete_security_group, GroupId=net.group) == "DependencyViolation"
    ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=rule)
    ec2.delete_security_group(GroupId=net.group)


def test_group_names(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    fields = {"Description": "d", "VpcId": net.vpc}
    assert aws.code(ec2.create_security_group, GroupName="app", **fields) == "InvalidGroup.Duplicate"
    assert aws.code(ec2.create_security_group, GroupName="sg-x", **fields) == "InvalidParameterValue"
    assert aws.code(ec2.create_security_group, GroupName="x" * 256, **fields) == "InvalidParameterValue"
    default = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [net.vpc]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"][0]["GroupId"]
    assert aws.code(ec2.delete_security_group, GroupId=default) == "CannotDelete"


def test_vpc_with_contents_cannot_be_deleted(aws: Aws) -> None:
    ec2 = aws.ec2
    net = aws.network()
    assert aws.code(ec2.delete_vpc, VpcId=net.vpc) == "DependencyViolation"
    for subnet in net.subnets:
        ec2.delete_subnet(SubnetId=subnet)
    assert aws.code(ec2.delete_vpc, VpcId=net.vpc) == "DependencyViolation"  # group and gateway
    ec2.delete_security_group(GroupId=net.group)
    assert aws.code(ec2.delete_vpc, VpcId=net.vpc) == "DependencyViolation"  # gateway
    assert aws.code(ec2.delete_internet_gateway, InternetGatewayId=net.igw) == "DependencyViolation"
    ec2.detach_internet_gateway(InternetGatewayId=net.igw, VpcId=net.vpc)
    ec2.delete_internet_gateway(InternetGatewayId=net.igw)
    table = ec2.create_route_table(VpcId=net.vpc)["RouteTable"]["RouteTableId"]
    assert aws.code(ec2.delete_vpc, VpcId=net.vpc) == "DependencyViolation"  # route table
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_vpc(VpcId=net.vpc)
    assert aws.code(ec2.delete_vpc, VpcId=net.vpc) == "InvalidVpcID.NotFound"


def test_vpc_with_attachments_cannot_be_deleted(aws: Aws) -> None:
    ec2 = aws.ec2
    vpc, other = (ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n in range(2))
    within = [{"Name": "vpc-id", "Values": [vpc]}]

    def kept() -> bool:
        return aws.code(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"

    acls = ec2.describe_network_acls(Filters=within)["NetworkAcls"]
    assert [acl["IsDefault"] for acl in acls] == [True]
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    assert kept()
    ec2.delete_network_acl(NetworkAclId=acl)
    service = f"com.amazonaws.{ec2.meta.region_name}.s3"
    endpoint = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=service, VpcEndpointType="Gateway")
    endpoint_id = endpoint["VpcEndpoint"]["VpcEndpointId"]
    assert ec2.describe_vpc_endpoints(Filters=within)["VpcEndpoints"][0]["VpcEndpointId"] == endpoint_id
    assert kept()
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint_id])
    peering = ec2.create_vpc_peering_connection(VpcId=other, PeerVpcId=vpc)["VpcPeeringConnection"]
    assert kept()
    ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering["VpcPeeringConnectionId"])
    egress = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    assert kept()
    ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=egress["EgressOnlyInternetGatewayId"])
    vpn = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=vpn)
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    assert ec2.describe_vpn_gateways(Filters=attached)["VpnGateways"][0]["VpnGatewayId"] == vpn
    assert kept()
    ec2.detach_vpn_gateway(VpcId=vpc, VpnGatewayId=vpn)
    ec2.delete_vpc(VpcId=vpc)
    assert ec2.describe_network_acls(Filters=within)["NetworkAcls"] == []


def test_security_groups_are_filtered_by_referenced_group(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    bastion = net.add_group("bastion")
    pair = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": net.group}]}]
    ec2.authorize_security_group_ingress(GroupId=bastion, IpPermissions=pair)

    def naming(name: str) -> list[str]:
        found = ec2.describe_security_groups(Filters=[{"Name": name, "Values": [net.group, "sg-00000000"]}])
        return [group["GroupId"] for group in found["SecurityGroups"]]

    assert (naming("ip-permission.group-id"), naming("egress.ip-permission.group-id")) == ([bastion], [])
    ec2.authorize_security_group_egress(GroupId=bastion, IpPermissions=pair)
    assert naming("egress.ip-permission.group-id") == [bastion]


def test_subnets(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    create = ec2.create_subnet
    assert aws.code(create, VpcId=net.vpc, CidrBlock="10.0.0.128/25") == "InvalidSubnet.Conflict"
    assert aws.code(create, VpcId=net.vpc, CidrBlock="10.9.0.0/24") == "InvalidSubnet.Range"
    assert (
        aws.code(create, VpcId=net.vpc, CidrBlock="10.0.7.0/24", AvailabilityZone="eu-west-1a")
        == "InvalidParameterValue"
    )
    made = create(VpcId=net.vpc, CidrBlock="10.0.8.0/24")["Subnet"]
    assert made["AvailabilityZone"].startswith(aws.region)


def test_route_tables_and_routes(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    table = ec2.create_route_table(VpcId=net.vpc, ClientToken="t")["RouteTable"]["RouteTableId"]
    assert ec2.create_route_table(VpcId=net.vpc, ClientToken="t")["RouteTable"]["RouteTableId"] == table
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(**route, GatewayId=net.igw)
    ec2.create_route(**route, GatewayId=net.igw)
    other = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert aws.code(ec2.create_route, **route, GatewayId=other) == "RouteAlreadyExists"
    assert aws.code(ec2.create_route, **route, GatewayId="igw-0123456789abcdef0") == "InvalidGatewayID.NotFound"
    elsewhere = {"RouteTableId": table, "DestinationCidrBlock": "192.0.2.0/24", "GatewayId": other}
    assert aws.code(ec2.create_route, **elsewhere) == "InvalidParameterValue"  # not attached
    ec2.associate_route_table(RouteTableId=table, SubnetId=net.subnets[0])
    assert aws.code(ec2.delete_route_table, RouteTableId=table) == "DependencyViolation"
    second = ec2.create_route_table(VpcId=net.vpc)["RouteTable"]["RouteTableId"]
    assert (
        aws.code(ec2.associate_route_table, RouteTableId=second, SubnetId=net.subnets[0])
        == "Resource.AlreadyAssociated"
    )
    filters = [{"Name": "vpc-id", "Values": [net.vpc]}, {"Name": "association.main", "Values": ["true"]}]
    main = ec2.describe_route_tables(Filters=filters)["RouteTables"][0]["RouteTableId"]
    assert aws.code(ec2.delete_route_table, RouteTableId=main) == "DependencyViolation"


def test_vpc_has_one_internet_gateway(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    assert (
        aws.code(ec2.attach_internet_gateway, InternetGatewayId=net.igw, VpcId=net.vpc) == "Resource.AlreadyAssociated"
    )
    other = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert aws.code(ec2.attach_internet_gateway, InternetGatewayId=other, VpcId=net.vpc) == "InvalidParameterValue"


def test_quotas(aws: Aws) -> None:
    for number in range(4):
        aws.ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
    assert aws.code(aws.ec2.create_vpc, CidrBlock="10.9.0.0/16") == "VpcLimitExceeded"
    for _ in range(5):
        aws.ec2.create_internet_gateway()
    assert aws.code(aws.ec2.create_internet_gateway) == "InternetGatewayLimitExceeded"


def test_create_time_tags_and_tag_limits(aws: Aws) -> None:
    ec2 = aws.ec2

    def given(kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": [{"Key": "stack", "Value": aws.account}]}]

    tagged = [{"Name": "tag:stack", "Values": [aws.account]}]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=given("vpc"))["Vpc"]["VpcId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", TagSpecifications=given("subnet"))
    ec2.create_route_table(VpcId=vpc, TagSpecifications=given("route-table"))
    ec2.create_internet_gateway(TagSpecifications=given("internet-gateway"))
    ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc, TagSpecifications=given("security-group"))
    assert len(ec2.describe_vpcs(Filters=tagged)["Vpcs"]) == 1
    assert len(ec2.describe_subnets(Filters=tagged)["Subnets"]) == 1
    assert len(ec2.describe_route_tables(Filters=tagged)["RouteTables"]) == 1
    assert len(ec2.describe_internet_gateways(Filters=tagged)["InternetGateways"]) == 1
    assert len(ec2.describe_security_groups(Filters=tagged)["SecurityGroups"]) == 1
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(50)]
    assert aws.code(ec2.create_tags, Resources=[vpc], Tags=many) == "TagLimitExceeded"
    assert aws.code(ec2.create_tags, Resources=[vpc], Tags=[{"Key": "aws:x", "Value": "v"}]) == "InvalidParameterValue"
    long = [{"Key": "k", "Value": "v" * 257}]
    assert aws.code(ec2.create_tags, Resources=[vpc], Tags=long) == "InvalidParameterValue"


def test_tags_on_deleted_resource_are_refused(aws: Aws) -> None:
    ec2 = aws.ec2
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    tag = [{"Key": "k", "Value": "v"}]
    ec2.create_tags(Resources=[vpc, group], Tags=tag)
    ec2.delete_security_group(GroupId=group)
    for call in (ec2.create_tags, ec2.delete_tags):
        assert aws.code(call, Resources=[group], Tags=tag) == "InvalidID"
        call(Resources=[vpc], Tags=tag)


def test_reads_are_eventually_consistent(tmp_path: Path) -> None:
    pace = tmp_path / "pace.json"
    pace.write_text('{"ec2_visible": 0.8, "network_pending": 1.2}', encoding="utf-8")
    with running_server(tmp_path, "--pace", str(pace)) as url:
        aws = Aws(url, "300000000011")
        tags = [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]
        made = aws.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags)["Vpc"]
        assert made["State"] == "pending"
        filters = [{"Name": "tag:a", "Values": ["b"]}]
        assert aws.code(aws.ec2.describe_vpcs, VpcIds=[made["VpcId"]]) == "InvalidVpcID.NotFound"
        assert aws.ec2.describe_vpcs(Filters=filters)["Vpcs"] == []
        wait_until(lambda: aws.ec2.describe_vpcs(Filters=filters)["Vpcs"])
        wait_until(lambda: aws.ec2.describe_vpcs(VpcIds=[made["VpcId"]])["Vpcs"][0]["State"] == "available")


@pytest.mark.parametrize("cidr,code", [("10.0.0.0/8", "InvalidVpc.Range"), ("10.0.0.0/29", "InvalidVpc.Range")])
def test_vpc_sizes(aws: Aws, cidr: str, code: str) -> None:
    assert aws.code(aws.ec2.create_vpc, CidrBlock=cidr) == code
