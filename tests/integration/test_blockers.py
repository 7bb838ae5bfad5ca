"""Unmanaged resources that would block the deletion of the network: the plan names them and nothing is deleted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fault_proxy import FaultProxy
from harness import Result, TestWorkspace, until


def vpc_of(workspace: TestWorkspace) -> str:
    """Returns the id of the workspace's VPC."""
    return str(workspace.state_object()["snapshot"]["resources"]["net/vpc"]["attrs"]["id"])


def id_of(workspace: TestWorkspace, address: str) -> str:
    """Returns the AWS id of the resource at an address."""
    return str(workspace.state_object()["snapshot"]["resources"][address]["attrs"]["id"])


def assert_refused(workspace: TestWorkspace, *commands: list[str]) -> Result:
    """Asserts that each command is refused and changes nothing, and returns the last result."""
    since, before = workspace.mark(), workspace.inventory.counts()
    for command in commands or (["plan", "staging", "--destroy"], ["destroy", "staging", "--yes"]):
        result = workspace.run(*command).expect_exit(1)
        assert workspace.mutations(since) == [] and workspace.inventory.counts() == before, result
    return result


def reasons_by_address(result: Result) -> dict[str, str]:
    """Returns the reasons for the refusals by address, with multiple reasons for an address on separate lines."""
    reasons: dict[str, str] = {}
    for address, reason in re.findall(r"(net/\w+):? (it has to be deleted, but .*)", result.err):
        reasons[address] = f"{reasons.get(address, '')}{reason}\n"
    return reasons


def test_destroy_with_unmanaged_group_and_rule_is_refused(staging: TestWorkspace) -> None:
    ec2, vpc, flask_group = staging.aws.ec2, vpc_of(staging), id_of(staging, "net/flask_group")
    bastion = ec2.create_security_group(GroupName="bastion", Description="x", VpcId=vpc)["GroupId"]
    pair = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": flask_group}]}]
    answer = ec2.authorize_security_group_ingress(GroupId=bastion, IpPermissions=pair)
    rule = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    reasons = reasons_by_address(assert_refused(staging))
    assert set(reasons) == {"net/flask_group", "net/vpc"}, reasons
    assert f"rule {rule} of security group bastion ({bastion}) references it as source" in reasons["net/flask_group"]
    assert f"--group-id {bastion} --security-group-rule-ids {rule}" in reasons["net/flask_group"]
    assert f"aws ec2 delete-security-group --group-id {bastion}" in reasons["net/vpc"]
    ec2.delete_security_group(GroupId=bastion)
    assert "33 to destroy" in staging.run("plan", "staging", "--destroy").expect_exit().out
    staging.assert_no_changes()


def create_blockers(workspace: TestWorkspace) -> tuple[dict[str, str], Callable[[], None]]:
    """Creates one unmanaged resource of each kind that blocks a network resource.

    Returns the address that each of them blocks, and a function that deletes them.
    """
    ec2, vpc, tasks = workspace.aws.ec2, vpc_of(workspace), id_of(workspace, "net/tasks_subnet")
    in_vpc: dict[str, Any] = {"VpcId": vpc}
    subnet = ec2.create_subnet(CidrBlock="10.0.9.0/24", **in_vpc)["Subnet"]["SubnetId"]
    table = ec2.create_route_table(**in_vpc)["RouteTable"]["RouteTableId"]
    acl = ec2.create_network_acl(**in_vpc)["NetworkAcl"]["NetworkAclId"]
    service = f"com.amazonaws.{ec2.meta.region_name}.s3"
    endpoint = ec2.create_vpc_endpoint(ServiceName=service, VpcEndpointType="Gateway", **in_vpc)["VpcEndpoint"]
    endpoint_id = endpoint["VpcEndpointId"]
    eni = ec2.create_network_interface(SubnetId=tasks)["NetworkInterface"]["NetworkInterfaceId"]
    egress = ec2.create_egress_only_internet_gateway(**in_vpc)["EgressOnlyInternetGateway"]
    egress_id = egress["EgressOnlyInternetGatewayId"]
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    peering = ec2.create_vpc_peering_connection(VpcId=other, PeerVpcId=vpc)["VpcPeeringConnection"]
    peering_id = peering["VpcPeeringConnectionId"]
    vpn = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    ec2.attach_vpn_gateway(VpnGatewayId=vpn, **in_vpc)

    def remove() -> None:
        ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_route_table(RouteTableId=table)
        ec2.delete_network_acl(NetworkAclId=acl)
        ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint_id])
        ec2.delete_network_interface(NetworkInterfaceId=eni)
        ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=egress_id)
        ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
        ec2.delete_vpc(VpcId=other)
        ec2.detach_vpn_gateway(VpnGatewayId=vpn, **in_vpc)

    address_by_blocker = dict.fromkeys([subnet, table, acl, endpoint_id, egress_id, peering_id, vpn], "net/vpc")
    return {**address_by_blocker, eni: "net/tasks_subnet"}, remove


def test_destroy_refusal_names_each_unmanaged_resource(staging: TestWorkspace) -> None:
    address_by_blocker, remove = create_blockers(staging)
    reasons = reasons_by_address(assert_refused(staging))
    for blocker, address in address_by_blocker.items():
        assert blocker in reasons.get(address, ""), (blocker, reasons)
    assert sum(text.count("\n") for text in reasons.values()) == len(address_by_blocker), reasons
    remove()
    staging.run("plan", "staging", "--destroy").expect_exit()
    staging.assert_no_changes()


def test_replacement_of_blocked_network_is_refused(staging: TestWorkspace) -> None:
    ec2 = staging.aws.ec2
    bastion = ec2.create_security_group(GroupName="bastion", Description="x", VpcId=vpc_of(staging))["GroupId"]
    network = {"cidr": "10.7.0.0/16", "tasks_subnet": "10.7.1.0/24", "balancer_subnet": "10.7.2.0/24"}
    staging.configure({"network": network})
    assert (
        bastion
        in reasons_by_address(assert_refused(staging, ["plan", "staging"], ["deploy", "staging", "--yes"]))["net/vpc"]
    )
    ec2.delete_security_group(GroupId=bastion)
    staging.restore()


def test_missing_service_linked_role_fails_within_wait_timeout(staging: TestWorkspace, proxy: FaultProxy) -> None:
    message = "Unable to assume the service linked role. Please verify that the ECS service linked role exists."
    body = f'{{"__type": "InvalidParameterException", "message": "{message}"}}'.encode()
    proxy.refuse("ecs:CreateService", 400, body, times=10_000)
    staging.configure({"services": {"reports": {"kind": "worker", "count": 1, "queues": ["reports"],
                                                "image": staging.config["services"]["celery"]["image"]}}})  # fmt: skip
    result = staging.run("deploy", "staging", "--yes", "--wait-timeout", "5", url=proxy.url, timeout=60).expect_exit(1)
    assert "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com" in result.err, result
    assert "iam:CreateServiceLinkedRole" in result.err and "retried for 5 s" in result.err, result
    assert result.err.count("retrying after") == 1, result
    proxy.release_all()
    staging.restore()


@pytest.mark.parametrize("denied", ["ec2:DescribeVpcPeeringConnections", "ec2:DescribeNetworkAcls"])
def test_plan_ignores_denied_reads_of_unmanaged_resources(
    staging: TestWorkspace, proxy: FaultProxy, denied: str
) -> None:
    body = (
        b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>"
    )
    proxy.refuse(denied, 403, body, times=100)
    since = staging.mark()
    assert "33 to destroy" in staging.run("plan", "staging", "--destroy", url=proxy.url).expect_exit().out
    assert "ec2:DescribeVpcEndpoints" in staging.calls(since)
    until(lambda: staging.mutations(since) == [])
    staging.mark_unchanged()
