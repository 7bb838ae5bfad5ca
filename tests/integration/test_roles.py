"""The roles of the tasks: `bootstrap` creates the task role, and a plan whose role lacks a permission is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy
from harness import Result, TestWorkspace
from printed_commands import Shell, commands

NAME = "pb-deploy.staging.us-east-2.task"
STACK_POLICY = "pb-deploy.us-east-2.stack-secrets"
READ = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::my-bucket/*"}
SEND = {
    "Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": True}},
}  # fmt: skip
READ_LIVE = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::my-bucket/*"]}
SEND_LIVE = {**SEND, "Resource": ["*"], "Condition": {"Bool": {"aws:SecureTransport": ["true"]}}}
LOOKUPS = {"iam:SimulatePrincipalPolicy", "iam:GetRolePolicy"}


@pytest.fixture
def empty(url: str, tmp_path: Path) -> Iterator[TestWorkspace]:
    """Yields a workspace in an empty account."""
    workspace = TestWorkspace(url, str(random.SystemRandom().randrange(10**11, 10**12)), tmp_path)
    yield workspace
    workspace.end()


def use_task_role(workspace: TestWorkspace, *statements: dict[str, Any]) -> None:
    """Configures a task role that `bootstrap` creates."""
    workspace.configure({"roles": {"task": {"statements": list(statements)}}})


def policy(workspace: TestWorkspace, role: str = NAME, name: str = NAME) -> list[dict[str, Any]]:
    """Returns the statements of an inline policy of a role."""
    document = workspace.aws.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return list(document["Statement"])


def create_policy(workspace: TestWorkspace, name: str, action: str) -> str:
    """Creates a managed policy that allows an action on all resources, and returns its ARN."""
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return str(workspace.aws.iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"])


def check(workspace: TestWorkspace, name: str) -> dict[str, Any]:
    """Returns a check from the report of `doctor`."""
    checks = workspace.run("doctor", "staging", "--json").json()["checks"]
    return dict(next(check for check in checks if check["name"] == name))


def run_printed_bootstrap(workspace: TestWorkspace, result: Result) -> None:
    """Runs the `bootstrap` command that a message names."""
    (command,) = [command for command in commands(result.text, "pb-deploy") if " bootstrap " in command]
    Shell(workspace).run(f"{command} --yes")


def test_bootstrap_creates_the_task_role_of_a_deploy(workspace: TestWorkspace) -> None:
    use_task_role(workspace, READ, SEND)
    missing = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert f'role "{NAME}" not found' in missing.err and "PB0403" in missing.err, missing
    assert check(workspace, "roles/task")["verdict"] == "bad"
    run_printed_bootstrap(workspace, missing)
    role = workspace.aws.iam.get_role(RoleName=NAME)["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"} and trust["Action"] == "sts:AssumeRole"
    assert trust["Condition"] == {
        "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:us-east-2:{workspace.account}:*"},
        "StringEquals": {"aws:SourceAccount": workspace.account},
    }
    tags = {tag["Key"]: tag["Value"] for tag in role["Tags"]}
    assert tags["pb-deploy:stack"] == "pb-deploy" and tags["pb-deploy:address"] == "roles/task" and role["Description"]
    assert policy(workspace) == [READ_LIVE, SEND_LIVE]
    assert check(workspace, "roles/task")["verdict"] == "good"
    assert "No changes" in workspace.run("bootstrap", "staging", "--yes").expect_exit().err
    workspace.deploy()
    definition = workspace.aws.ecs.describe_task_definition(taskDefinition="staging-flask")["taskDefinition"]
    assert definition["taskRoleArn"] == role["Arn"]
    workspace.assert_no_changes()

    destroyed = workspace.run("destroy", "staging", "--yes").expect_exit()
    shell = Shell(workspace)
    printed = commands(destroyed.err, "aws")
    assert len(printed) == 2, destroyed
    for command in printed:
        shell.run(command)
    assert NAME not in {role["RoleName"] for role in workspace.aws.iam.list_roles()["Roles"]}
    assert workspace.inventory.remains() == {}


def test_changed_statements_refuse_a_plan_until_bootstrap(workspace: TestWorkspace) -> None:
    use_task_role(workspace, READ)
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    workspace.deploy()
    use_task_role(workspace, READ, SEND)
    since = workspace.mark()
    workspace.assert_no_changes()
    assert not LOOKUPS & set(workspace.calls(since)), "a plan without changes looks up no permission"
    found = check(workspace, "roles/task")
    assert found["verdict"] == "bad" and "statements" in found["found"], found
    assert found["hint"] == "pb-deploy bootstrap staging"

    workspace.configure({"services": {"flask": {"environment": {"A": "b"}}}})
    since = workspace.mark()
    refused = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "PB0410" in refused.err and "fargate/flask_task" in refused.err, refused
    statement = refused.err[refused.err.index("{") : refused.err.rindex("}") + 1]
    assert json.loads(statement) == SEND_LIVE, refused
    assert workspace.mutations(since) == []
    shown = workspace.run("bootstrap", "staging").expect_exit(64)
    assert "roles/task" in shown.err and "sqs:SendMessage" in shown.err, shown
    run_printed_bootstrap(workspace, refused)
    assert policy(workspace) == [READ_LIVE, SEND_LIVE]
    workspace.deploy()

    # A statement too many harms no deploy; `bootstrap` removes it.
    use_task_role(workspace, READ)
    workspace.configure({"services": {"flask": {"environment": {"A": "c"}}}})
    assert check(workspace, "roles/task")["verdict"] == "warning"
    workspace.deploy()
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    assert policy(workspace) == [READ_LIVE]


def test_bootstrap_uses_an_existing_task_role(workspace: TestWorkspace) -> None:
    iam = workspace.aws.iam
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=document)
    theirs = {"Effect": "Allow", "Action": "ses:SendEmail", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [theirs]})
    iam.put_role_policy(RoleName="app", PolicyName="theirs", PolicyDocument=document)
    workspace.configure({"roles": {"task": {"name": "app", "statements": [READ]}}})
    shown = workspace.run("bootstrap", "staging").expect_exit(64)
    assert "trusts_ecs_tasks: false -> true" in shown.err and "statements" in shown.err, shown
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    assert policy(workspace, "app", "theirs") == [theirs] and policy(workspace, "app") == [READ_LIVE]
    role = iam.get_role(RoleName="app")["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0] == trust and "Tags" not in role
    assert "No changes" in workspace.run("bootstrap", "staging", "--yes").expect_exit().err


def test_roles_get_the_permissions_boundary(empty: TestWorkspace) -> None:
    arn = create_policy(empty, "boundary", "*")
    execution = empty.config["roles"]["execution"]
    missing = arn.replace("boundary", "missing")
    use_task_role(empty, READ)
    empty.configure({"roles": {"permissions_boundary": missing}})
    refused = empty.run("bootstrap", "staging", "--zone", "--yes").expect_exit(1)
    assert "does not exist or is not attachable" in refused.err, refused
    empty.configure({"roles": {"permissions_boundary": arn}})
    empty.run("bootstrap", "staging", "--zone", "--yes").expect_exit()
    iam = empty.aws.iam

    def boundary(role: str) -> str:
        return str(iam.get_role(RoleName=role)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"])

    assert boundary(NAME) == boundary(execution) == arn
    other = create_policy(empty, "other", "*")
    for role in (NAME, execution):
        iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=other)
    found = check(empty, "roles/task")
    assert found["verdict"] == "warning" and "permissions_boundary" in found["found"], found
    shown = empty.run("bootstrap", "staging", "--yes").expect_exit()
    assert "roles/task" in shown.err and "roles/execution" not in shown.err, shown
    assert (boundary(NAME), boundary(execution)) == (arn, other), "other workspaces use the execution role"
    # Without the key, a role keeps the boundary that it has.
    empty.configure({"roles": {"permissions_boundary": None}})
    assert "No changes" in empty.run("bootstrap", "staging", "--yes").expect_exit().err
    empty.deploy()


def test_execution_role_may_read_the_secrets_of_the_stack(workspace: TestWorkspace) -> None:
    execution = workspace.config["roles"]["execution"]
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    arn = f"arn:aws:secretsmanager:us-east-2:{workspace.account}:secret:pb-deploy/pb-deploy/*"
    expected = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": [arn]}
    assert policy(workspace, execution, STACK_POLICY) == [expected]
    assert "No changes" in workspace.run("bootstrap", "production", "--yes").expect_exit().err
    # Nothing needs the permission yet, so neither `doctor` nor a plan complains about a role without it.
    workspace.aws.iam.delete_role_policy(RoleName=execution, PolicyName=STACK_POLICY)
    assert check(workspace, "roles/execution")["verdict"] == "good"
    workspace.deploy()
    shown = workspace.run("bootstrap", "staging").expect_exit(64)
    assert "stack_secrets" in shown.err and arn in shown.err, shown


def parameter(workspace: TestWorkspace) -> str:
    """Creates a parameter and returns its ARN."""
    workspace.aws.ssm.put_parameter(Name="/app/key", Value="hidden", Type="SecureString")
    return f"arn:aws:ssm:{workspace.config['region']}:{workspace.account}:parameter/app/key"


def secret(workspace: TestWorkspace, name: str) -> str:
    """Creates a secret and returns its ARN."""
    return str(workspace.aws.secretsmanager.create_secret(Name=name, SecretString="hidden")["ARN"])


def test_unreadable_secret_refuses_the_plan(workspace: TestWorkspace) -> None:
    arn, own = parameter(workspace), secret(workspace, "pb-deploy/pb-deploy/staging")
    workspace.configure({"services": {"flask": {"secrets": {"APP_SECRET_KEY": arn, "OWN": own}}}})
    refused = workspace.run("plan", "staging").expect_exit(1)
    assert "PB0410" in refused.err and refused.err.count("fargate/flask_task") == 2, refused
    assert '"Action":"ssm:GetParameters"' in refused.err and f'"Resource":"{arn}"' in refused.err, refused
    assert '"Action":"secretsmanager:GetSecretValue"' in refused.err and f'"Resource":"{own}"' in refused.err, refused
    document = json.loads(workspace.run("plan", "staging", "--json").expect_exit(1).err)
    assert document["pb_code"] == "PB0410" and {cause["pb_code"] for cause in document["causes"]} == {"PB0410"}
    run_printed_bootstrap(workspace, refused)
    workspace.deploy()
    workspace.assert_no_changes()
    # A plan that does not concern the secrets looks up no permission.
    workspace.configure({"services": {"celery": {"environment": {"A": "b"}}}})
    since = workspace.mark()
    workspace.deploy()
    assert not LOOKUPS & set(workspace.calls(since))

    deny = {"Effect": "Deny", "Action": "ssm:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    role = workspace.config["roles"]["execution"]
    workspace.aws.iam.put_role_policy(RoleName=role, PolicyName="deny", PolicyDocument=document)
    workspace.configure({"services": {"flask": {"environment": {"A": "b"}}}})
    refused = workspace.run("plan", "staging").expect_exit(1)
    assert "a statement denies ssm:GetParameters" in refused.err and own not in refused.err, refused
    workspace.aws.iam.delete_role_policy(RoleName=role, PolicyName="deny")
    limit = create_policy(workspace, "limit", "secretsmanager:*")
    workspace.aws.iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=limit)
    refused = workspace.run("plan", "staging").expect_exit(1)
    assert "its permissions boundary does not allow it" in refused.err and own not in refused.err, refused


def test_secret_that_its_own_policy_may_allow_is_a_warning(workspace: TestWorkspace) -> None:
    arn = secret(workspace, "app/db")
    workspace.configure({"services": {"flask": {"secrets": {"DB": f"{arn}"}}}})
    for command in (("plan", "staging"), ("deploy", "staging")):
        shown = workspace.run(*command)
        assert "warning:" in shown.err and arn in shown.err and "unless a policy of the secret does" in shown.err, shown
    run_printed_bootstrap(workspace, shown)
    assert "warning:" not in workspace.run("plan", "staging").expect_exit().err
    workspace.deploy()
    # The tasks that run with this role have read the secret, whatever its policies say.
    name = "pb-deploy.staging.us-east-2.secrets"
    workspace.aws.iam.delete_role_policy(RoleName=workspace.config["roles"]["execution"], PolicyName=name)
    workspace.configure({"services": {"flask": {"environment": {"A": "b"}}}})
    assert "warning:" not in workspace.run("plan", "staging").expect_exit().err


def test_permission_that_cannot_be_looked_up_refuses_nothing(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    use_task_role(workspace, READ)
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    use_task_role(workspace, READ, SEND)
    workspace.configure({"services": {"flask": {"secrets": {"APP_SECRET_KEY": parameter(workspace)}}}})
    denied = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    for call in LOOKUPS:
        proxy.refuse(call, 403, denied, times=10_000)
    shown = workspace.run("plan", "staging", url=proxy.url).expect_exit()
    assert "warning:" not in shown.err, shown
    proxy.release_all()
    assert "PB0410" in workspace.run("plan", "staging").expect_exit(1).err


def test_shell_without_permission_refuses_the_plan(workspace: TestWorkspace) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    workspace.aws.iam.create_role(RoleName="app", AssumeRolePolicyDocument=document)
    workspace.configure({"roles": {"task": "app"}, "services": {"flask": {"execute_command": True}}})
    refused = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "PB0410" in refused.err and "ssmmessages:OpenDataChannel" in refused.err, refused
    (command,) = commands(refused.err, "aws")
    Shell(workspace).run(command)
    workspace.deploy()
    workspace.assert_no_changes()


def test_created_role_gets_the_permissions_of_a_shell(workspace: TestWorkspace) -> None:
    use_task_role(workspace, READ)
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    workspace.configure({"services": {"flask": {"execute_command": True}}})
    refused = workspace.run("plan", "staging").expect_exit(1)
    assert "PB0410" in refused.err and "ssmmessages:OpenDataChannel" in refused.err, refused
    run_printed_bootstrap(workspace, refused)
    assert policy(workspace)[0] == READ_LIVE and "ssmmessages:CreateControlChannel" in policy(workspace)[1]["Action"]
    workspace.deploy()
