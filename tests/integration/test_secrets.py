"""Secrets: tasks receive them by reference, and their values appear in no plan, state or output."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from fidelity import violations
from harness import TestWorkspace
from observer import Observer

SECRET_VALUE = "hunter2-is-what-nobody-may-see"
ROLE, POLICY = "roles/execution", "pb-deploy.staging.us-east-2.secrets"
STACK_POLICY = "pb-deploy.us-east-2.stack-secrets"


def create_secrets(workspace: TestWorkspace) -> dict[str, str]:
    """Creates a secret and a parameter in the account. Returns references to them, by environment variable."""
    secret = workspace.aws.secretsmanager.create_secret(
        Name="app/db", SecretString=json.dumps({"password": SECRET_VALUE})
    )["ARN"]
    workspace.aws.ssm.put_parameter(Name="/app/key", Value=SECRET_VALUE, Type="SecureString")
    parameter = f"arn:aws:ssm:{workspace.config['region']}:{workspace.account}:parameter/app/key"
    return {"DB_PASSWORD": f"{secret}:password::", "APP_SECRET_KEY": parameter}


def role_check(workspace: TestWorkspace) -> dict[str, Any]:
    """Returns the execution role's check from the report of `doctor`."""
    checks = workspace.run("doctor", "staging", "--json").expect_exit().json()["checks"]
    return next(check for check in checks if check["name"] == ROLE)


def role_policies(workspace: TestWorkspace) -> dict[str, list[dict[str, Any]]]:
    """Returns the statements of the execution role's inline policies for services, by policy name."""
    iam, role = workspace.aws.iam, workspace.config["roles"]["execution"]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}
    return {name: document["Statement"] for name, document in documents.items() if name != STACK_POLICY}


@pytest.mark.needs("ecs-breaker")
def test_secret_is_passed_to_tasks_by_reference(workspace: TestWorkspace, url: str) -> None:
    references = create_secrets(workspace)
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    assert role_check(workspace)["verdict"] == "good" and role_policies(workspace) == {}
    # IAM cannot tell whether the policy of the secret allows the role to read it, so only the rollout fails.
    first = {key: references[key] for key in ("DB_PASSWORD",)}
    workspace.configure({"services": {"flask": {"secrets": first, "count": 2}}})

    warning = role_check(workspace)
    assert warning["verdict"] == "warning" and "may read the secrets" in warning["found"]
    assert warning["hint"] == "pb-deploy bootstrap staging"
    failed = workspace.deploy(code=1)
    assert "unable to pull secrets" in failed.err and "`pb-deploy bootstrap` grants that access" in failed.err, failed
    workspace.configure({"services": {"flask": {"secrets": references}}})

    shown = workspace.run("bootstrap", "staging").expect_exit(64)
    assert all(reference.removesuffix(":password::") in shown.err for reference in references.values()), shown
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    password, key = (references[name] for name in ("DB_PASSWORD", "APP_SECRET_KEY"))
    assert role_policies(workspace) == {
        POLICY: [
            {
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": [password.removesuffix(":password::")],
            },
            {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": [key]},
        ]
    }
    assert role_check(workspace)["verdict"] == "good"
    assert "No changes" in workspace.run("bootstrap", "staging", "--yes").expect_exit().err

    with Observer(url) as observer:
        workspace.run("deploy", "staging", "--yes", url=observer.url).expect_exit()
    assert [problem for request, _ in observer.requests for problem in violations(request)] == []
    workspace.assert_no_changes()
    (container,) = revision(workspace)["containerDefinitions"]
    assert {one["name"]: one["valueFrom"] for one in container["secrets"]} == references
    assert not {one["name"] for one in container["environment"]} & set(references)
    spec = workspace.state_object()["snapshot"]["resources"]["fargate/flask_task"]["spec"]
    assert spec["containers"]["flask"]["secrets"] == references

    workspace.configure({"services": {"flask": {"secrets": {"DB_PASSWORD": None}}}})
    (path,) = workspace.plan().fields("fargate/flask_task")
    assert path == "containers.flask.secrets.DB_PASSWORD"
    workspace.deploy()
    workspace.assert_no_changes()
    # A rollback to the previous revision needs a secret that the configuration does not contain, so `bootstrap` keeps
    # the permission to read it.
    workspace.aws.ssm.put_parameter(Name="/app/other", Value=SECRET_VALUE, Type="SecureString")
    workspace.configure({"services": {"flask": {"secrets": {"APP_SECRET_KEY": key.replace("/app/key", "/app/other")}}}})
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    assert [statement["Resource"] for statement in role_policies(workspace)[POLICY]] == [
        [password.removesuffix(":password::")], [key], [key.replace("/app/key", "/app/other")]
    ]  # fmt: skip
    workspace.deploy()
    workspace.run("rollback", "staging", "--yes").expect_exit()
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def revision(workspace: TestWorkspace, family: str = "staging-flask") -> dict[str, Any]:
    """Returns the latest revision of a task definition family."""
    return dict(workspace.aws.ecs.describe_task_definition(taskDefinition=family)["taskDefinition"])


def leak_secret(workspace: TestWorkspace) -> None:
    """Registers a revision that contains plaintext secrets and rolls it out, outside of pb-deploy."""
    ecs = workspace.aws.ecs
    described = ecs.describe_task_definition(taskDefinition="staging-flask", include=["TAGS"])
    kept_keys = ("family", "networkMode", "cpu", "memory", "requiresCompatibilities", "executionRoleArn")
    (container,) = described["taskDefinition"]["containerDefinitions"]
    container["environment"] += [
        {"name": "DB_PASSWORD", "value": SECRET_VALUE},
        {"name": "DATABASE", "value": f"postgres://app:{SECRET_VALUE}@db.example.org/app"},
    ]
    container["command"] = ["serve", f"--broker=amqp://app:{SECRET_VALUE}@mq.example.org"]
    kept = {key: described["taskDefinition"][key] for key in kept_keys}
    registered = ecs.register_task_definition(**kept, containerDefinitions=[container], tags=described["tags"])
    arn = registered["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(cluster="staging-ecs-cluster", service="staging-flask", taskDefinition=arn)


def folder_text(folder: Path) -> str:
    """Returns the concatenated text of all files in a folder."""
    return "".join(file.read_text(encoding="utf-8") for file in folder.iterdir() if file.is_file())


def test_secret_in_live_revision_is_hidden_in_plan_and_state(staging: TestWorkspace) -> None:
    leak_secret(staging)
    texts = []
    for command, code in (
        (["plan", "staging"], 0), (["plan", "staging", "--json"], 0), (["plan", "staging", "--out", "leak.plan"], 0),
        (["show", "leak.plan"], 0), (["show", "leak.plan", "--json"], 0), (["show", "leak.plan", "--markdown"], 0),
        (["drift", "staging"], 2), (["drift", "staging", "--json"], 2), (["status", "staging", "--json"], None),
        (["plan", "staging", "--refresh-only", "--out", "refresh.plan"], 0),
    ):  # fmt: skip
        result = staging.run(*command)
        assert code is None or result.code == code, result
        texts.append(result.text)
    assert any("DB_PASSWORD" in text and "hidden" in text for text in texts)
    # A refresh records the live values, but secrets only in their hidden form.
    staging.run("apply", "refresh.plan").expect_exit()
    recorded = staging.state_object()["snapshot"]["resources"]["fargate/flask_task"]["spec"]
    assert "hidden" in recorded["containers"]["flask"]["environment"]["DB_PASSWORD"]
    texts += [json.dumps(staging.state_object()), folder_text(staging.folder)]
    texts += [staging.run("state", "show", "staging").text, staging.run("state", "pull", "staging").text]
    # To keep the ignored field, a deploy would have to register its values again, but hidden values are unknown to it.
    staging.configure({"ignore_changes": ["fargate/flask_task.containers.flask.environment"]})
    refused = staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert "hidden" in refused.err and "`secrets`" in refused.err, refused
    staging.configure({"ignore_changes": None})
    repaired = staging.run("deploy", "staging", "--yes", "--json").expect_exit()
    texts += [refused.text, repaired.text, json.dumps(staging.state_object())]
    assert [text for text in texts if SECRET_VALUE in text] == []
    staging.assert_no_changes()


def test_secret_in_stored_state_is_hidden_in_output(staging: TestWorkspace) -> None:
    document = json.loads(staging.run("state", "pull", "staging").expect_exit().out)
    environment = document["snapshot"]["resources"]["fargate/flask_task"]["spec"]["containers"]["flask"]["environment"]
    environment["DB_PASSWORD"] = SECRET_VALUE
    (staging.folder / "old.json").write_text(json.dumps(document), encoding="utf-8")
    staging.run("state", "push", "staging", "old.json", "--force", "--yes").expect_exit()
    (staging.folder / "old.json").unlink()
    texts = [staging.run(*command).text for command in (
        ["plan", "staging"], ["plan", "staging", "--json"], ["plan", "staging", "--refresh-only", "--out", "refresh.plan"],
        ["drift", "staging"], ["drift", "staging", "--json"],
    )] + [folder_text(staging.folder)]  # fmt: skip
    assert any("DB_PASSWORD" in text and "hidden" in text for text in texts)
    assert [text for text in texts if SECRET_VALUE in text] == []
    staging.run("deploy", "staging", "--refresh-only", "--yes").expect_exit()
    assert SECRET_VALUE not in json.dumps(staging.state_object())


def test_secret_in_configuration_is_refused_and_hidden(workspace: TestWorkspace) -> None:
    for change in (
        {"services": {"flask": {"environment": {"DB_PASSWORD": SECRET_VALUE}}}},
        {"services": {"celery": {"command": ["celery", f"--broker=amqp://app:{SECRET_VALUE}@mq.example.org"]}}},
        {"services": {"flask": {"secrets": {"DB": SECRET_VALUE}}}},
    ):
        since = workspace.mark()
        workspace.configure(change)
        for command in (["validate"], ["plan", "staging"], ["deploy", "staging", "--yes", "--json"]):
            refused = workspace.run(*command).expect_exit(1)
            assert "pb_deploy.toml:" in refused.err and "***" in refused.err, refused
            assert SECRET_VALUE not in refused.text
        assert workspace.calls(since) == []
        workspace.configure(
            {"services": {"flask": {"environment": None, "secrets": None}, "celery": {"command": None}}}
        )
    workspace.run("validate").expect_exit()


def test_init_from_terraform_omits_secrets(workspace: TestWorkspace) -> None:
    text = (
        f'hostname = "api.example.com"\nflask_environment = {{ DB_PASSWORD = "{SECRET_VALUE}", LEVEL = "info" }}\n'
        f'celery_command = ["celery", "--broker=amqp://app:{SECRET_VALUE}@mq.example.org"]\n'
        f'celery_environment = [{{ name = "DB_PASSWORD", value = "{SECRET_VALUE}" }}]\n'
    )
    (workspace.folder / "terraform.tfvars").write_text(text, encoding="utf-8")
    result = workspace.run("init", "--config", "new.toml", "--from", "terraform.tfvars").expect_exit()
    assert "Left out because it looks like a secret: flask_environment.DB_PASSWORD (line 2)" in result.err, result
    assert "Left out because it looks like a secret: celery_command (line 3)" in result.err
    assert "Left out because pb-deploy has no key for it: celery_environment (line 4)" in result.err
    written = (workspace.folder / "new.toml").read_text(encoding="utf-8")
    assert 'LEVEL = "info"' in written and SECRET_VALUE not in result.text + written
    (workspace.folder / "bad.tfvars").write_text(f'db_password = "{SECRET_VALUE}\n', encoding="utf-8")
    bad = workspace.run("init", "--config", "bad.toml", "--from", "bad.tfvars").expect_exit(1)
    assert "bad.tfvars:1:" in bad.err and SECRET_VALUE not in bad.text
    assert re.search(r"^#secrets = \{\}$", written, re.MULTILINE)


def test_local_up_takes_secrets_from_the_environment(workspace: TestWorkspace) -> None:
    arn = f"arn:aws:ssm:{workspace.config['region']}:{workspace.account}:parameter/app/key"
    config = {"command": ["sh", "-c", 'test "$APP_SECRET_KEY" = mine'], "secrets": {"APP_SECRET_KEY": arn}}
    workspace.configure({"services": {"flask": config}})
    with socket.create_server(("127.0.0.1", 0)) as queue:
        # The service never connects to the queue, so any server is sufficient.
        address = f"127.0.0.1:{queue.getsockname()[1]}"
        command = ("local", "up", "staging", "--only", "flask", "--app", ".", "--queue", address)
        missing = workspace.run(*command, env={"APP_SECRET_KEY": None})
        assert "flask runs without APP_SECRET_KEY" in missing.err and "exit status: 1" in missing.err, missing
        provided = workspace.run(*command, env={"APP_SECRET_KEY": "mine"})
    assert "runs without" not in provided.err and "exit status: 0" in provided.err, provided
