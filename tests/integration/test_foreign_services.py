"""Services of others in the cluster of a workspace: they are left as they are, and named if they block a plan."""

from __future__ import annotations

from harness import TestWorkspace
from printed_commands import Shell, commands
from test_unmanaged import subnets, vpc

CLUSTER = "staging-ecs-cluster"


def create_service(workspace: TestWorkspace, name: str) -> str:
    """Creates a service without ownership tags in the cluster of the workspace, and in another VPC; returns its ARN."""
    network = vpc(workspace)
    subnet_ids = subnets(workspace, network)
    group = workspace.aws.ec2.create_security_group(GroupName="x", Description="x", VpcId=network)["GroupId"]
    definition = workspace.aws.ecs.register_task_definition(
        family="theirs", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
        containerDefinitions=[{"name": "x", "image": "x:1"}],
    )["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
    configuration = {"subnets": subnet_ids, "securityGroups": [group], "assignPublicIp": "ENABLED"}
    made = workspace.aws.ecs.create_service(
        cluster=CLUSTER, serviceName=name, taskDefinition=definition, desiredCount=1, launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": configuration},
    )  # fmt: skip
    return str(made["service"]["serviceArn"])


def test_foreign_service_with_our_name_is_refused_at_plan(workspace: TestWorkspace) -> None:
    workspace.run("deploy", "staging", "--yes", "--target", "fargate/cluster").expect_exit()
    create_service(workspace, "staging-flask")
    since = workspace.mark()
    for command in (("plan", "staging"), ("deploy", "staging", "--yes")):
        result = workspace.run(*command).expect_exit(1)
        assert f"fargate/flask: ECS service staging-flask in {CLUSTER} already exists and is not managed" in result.err
    assert workspace.mutations(since) == []


def test_foreign_service_refuses_a_destroy_until_deleted(workspace: TestWorkspace) -> None:
    workspace.run("deploy", "staging", "--yes", "--target", "fargate/cluster").expect_exit()
    create_service(workspace, "reports")
    since = workspace.mark()
    for command in (("plan", "staging", "--destroy"), ("destroy", "staging", "--yes")):
        result = workspace.run(*command).expect_exit(1)
        assert "fargate/cluster: service reports, which is not managed by this workspace" in result.err, result
    assert workspace.mutations(since) == []
    workspace.run("plan", "staging").expect_exit()
    (command,) = commands(result.err, "aws")
    Shell(workspace).run(command)
    workspace.run("destroy", "staging", "--yes").expect_exit()
    clusters = workspace.aws.ecs.describe_clusters(clusters=[CLUSTER])["clusters"]
    assert [found["status"] for found in clusters] == ["INACTIVE"]
