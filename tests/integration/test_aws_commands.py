"""The `aws` commands in messages are run as they are, without a default region: the refused run then succeeds."""

from __future__ import annotations

import base64
import json

import pytest
from configuration import merged
from fault_proxy import FaultProxy
from harness import TestWorkspace
from printed_commands import Shell, commands
from test_blockers import create_blockers, id_of, vpc_of
from test_quotas import PORT, deploy_ignoring_unmanaged_rules, fill_group


def operations(printed: list[str]) -> list[str]:
    """Returns the operations of AWS CLI commands, sorted."""
    return sorted({command.split()[2] for command in printed})


def test_commands_for_blockers_unblock_a_destroy(workspace: TestWorkspace) -> None:
    workspace.deploy()
    ec2, flask = workspace.aws.ec2, id_of(workspace, "net/flask_group")
    bastion = ec2.create_security_group(GroupName="bastion", Description="x", VpcId=vpc_of(workspace))["GroupId"]
    pair = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": flask}]}]
    ec2.authorize_security_group_ingress(GroupId=bastion, IpPermissions=pair)
    ec2.authorize_security_group_egress(GroupId=bastion, IpPermissions=pair)
    create_blockers(workspace)
    printed = commands(workspace.run("destroy", "staging", "--yes").expect_exit(1).err, "aws")
    assert operations(printed) == [
        "delete-egress-only-internet-gateway", "delete-network-acl", "delete-network-interface", "delete-route-table",
        "delete-security-group", "delete-subnet", "delete-vpc-endpoints", "delete-vpc-peering-connection",
        "detach-vpn-gateway", "revoke-security-group-egress", "revoke-security-group-ingress",
    ]  # fmt: skip
    Shell(workspace).run_all(printed)
    workspace.destroy()


def test_command_for_another_gateway_unblocks_a_destroy(workspace: TestWorkspace) -> None:
    workspace.run("deploy", "staging", "--yes", "--target", "net").expect_exit()
    ec2, vpc = workspace.aws.ec2, vpc_of(workspace)
    ec2.detach_internet_gateway(InternetGatewayId=id_of(workspace, "net/igw"), VpcId=vpc)
    other = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=other, VpcId=vpc)
    printed = commands(workspace.run("destroy", "staging", "--yes").expect_exit(1).err, "aws")
    assert operations(printed) == ["detach-internet-gateway"]
    Shell(workspace).run_all(printed)
    workspace.destroy()


@pytest.mark.needs("quotas")
def test_command_for_a_quota_allows_the_deploy(workspace: TestWorkspace) -> None:
    deploy_ignoring_unmanaged_rules(workspace)
    fill_group(workspace, "net/flask_group")
    workspace.configure(PORT)
    printed = commands(workspace.run("deploy", "staging", "--yes").expect_exit(1).err, "aws")
    assert operations(printed) == ["request-service-quota-increase"]
    Shell(workspace).run_all(printed)
    workspace.deploy()


def test_command_for_a_protected_log_group_unblocks_a_destroy(workspace: TestWorkspace) -> None:
    workspace.deploy()
    workspace.aws.logs.put_log_group_deletion_protection(
        logGroupIdentifier="staging-pb_workers", deletionProtectionEnabled=True
    )
    printed = commands(workspace.run("destroy", "staging", "--yes").expect_exit(1).err, "aws")
    assert operations(printed) == ["put-log-group-deletion-protection"]
    Shell(workspace).run_all(printed)
    workspace.destroy()


@pytest.mark.parametrize("missing", ["bucket", "lock_table"])
def test_commands_for_a_missing_prerequisite_create_it(workspace: TestWorkspace, missing: str) -> None:
    workspace.configure({"state": {missing: f"other-{workspace.account}"}})
    deploy = ["deploy", "staging", "--yes", "--target", "net/vpc"]
    printed = commands(workspace.run(*deploy).expect_exit(1).err)
    assert printed, "the message names a command"
    shell = Shell(workspace)
    for command in printed:
        is_region_missing = command.startswith("aws") and "--region" not in command
        options = f" --region {workspace.aws.region}" if is_region_missing else ""
        shell.run(f"{command} --yes" if "bootstrap" in command else f"{command}{options}")
    workspace.run(*deploy).expect_exit()


@pytest.mark.parametrize(
    ("call", "service"),
    [("ecs:CreateService", "ecs"), ("elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing")],
)
def test_command_for_a_service_linked_role_creates_it(
    workspace: TestWorkspace, proxy: FaultProxy, call: str, service: str
) -> None:
    message = "Unable to assume the service linked role. Please verify that the service linked role exists."
    body = f'{{"__type": "InvalidParameterException", "message": "{message}"}}'.encode()
    if service != "ecs":
        error = f"<Error><Code>InvalidParameterException</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{error}</ErrorResponse>".encode()
    proxy.refuse(call, 400, body, times=10_000)
    workspace.configure(merged(workspace.config, {"deploy": {"wait_timeout": 60}}))
    result = workspace.run("deploy", "staging", "--yes", "--wait-timeout", "5", url=proxy.url, timeout=100)
    printed = commands(result.expect_exit(1).err, "aws")
    assert operations(printed) == ["create-service-linked-role"], result
    Shell(workspace).run_all(printed)
    roles = [role["Path"] for role in workspace.aws.iam.list_roles()["Roles"]]
    assert f"/aws-service-role/{service}.amazonaws.com/" in roles
    proxy.release_all()
    workspace.deploy()


def test_command_for_an_encoded_denial_prints_details(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    details = json.dumps({"allowed": False, "explicitDeny": True})
    encoded = base64.urlsafe_b64encode(details.encode()).decode().rstrip("=")
    message = f"You are not authorized. Encoded authorization failure message: {encoded}"
    error = f"<Error><Code>UnauthorizedOperation</Code><Message>{message}</Message></Error>"
    proxy.refuse("ec2:CreateVpc", 403, f"<Response><Errors>{error}</Errors></Response>".encode(), times=10)
    deploy = ["deploy", "staging", "--yes", "--target", "net/vpc"]
    (command,) = commands(workspace.run(*deploy, url=proxy.url).expect_exit(1).err, "aws")
    # Without a region, the CLI calls the global endpoint of STS; if its endpoint is set, it needs a region.
    output = Shell(workspace).run(command, env={"AWS_DEFAULT_REGION": workspace.aws.region})
    assert json.loads(output)["DecodedMessage"] == details


def test_command_for_an_incomplete_secret_prints_its_arn(workspace: TestWorkspace) -> None:
    arn = workspace.aws.secretsmanager.create_secret(Name="app/key", SecretString="x")["ARN"]
    secrets = {"services": {"flask": {"secrets": {"KEY": arn.rpartition("-")[0]}}}}
    workspace.configure(secrets)
    (command,) = commands(workspace.run("validate").expect_exit(1).err, "aws")
    assert arn in Shell(workspace).run(command.replace("NAME", "app/key"))
