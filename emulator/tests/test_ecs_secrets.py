"""Secrets of containers: refused definitions, and failures of tasks to start."""

from __future__ import annotations

import json

from conftest import App, wait_until


def secret(app: App) -> str:
    """Creates a secret, and returns its ARN."""
    return str(app.aws.secretsmanager.create_secret(Name="db", SecretString="{}")["ARN"])


def test_unreadable_secret_prevents_task_start(app: App) -> None:
    arn = secret(app)
    app.aws.ssm.put_parameter(Name="/app/key", Value="x", Type="SecureString")
    parameter = f"arn:aws:ssm:{app.aws.region}:{app.aws.account}:parameter/app/key"
    secrets = [{"name": "DB", "valueFrom": f"{arn}:password::"}, {"name": "KEY", "valueFrom": parameter}]
    definition, names = app.definition(container={"secrets": secrets}), iter("abcd")

    def reason() -> str:
        """Creates a service, and returns why its task did not start."""
        name = next(names)
        app.create(definition, name)
        wanted = {"cluster": "c", "serviceName": name, "desiredStatus": "STOPPED"}
        stopped = wait_until(lambda: app.ecs.list_tasks(**wanted)["taskArns"])
        task = app.ecs.describe_tasks(cluster="c", tasks=stopped)["tasks"][0]
        assert task["stopCode"] == "TaskFailedToStart"
        why = str(task["stoppedReason"])
        assert why.startswith("ResourceInitializationError: unable to pull secrets or registry auth: "), why
        return why

    def allow(*allowed: tuple[str, str]) -> None:
        statements = [{"Effect": "Allow", "Action": [action], "Resource": resource} for action, resource in allowed]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        app.aws.iam.put_role_policy(RoleName="x", PolicyName="secrets", PolicyDocument=document)

    why = reason()
    assert "is not authorized to perform: secretsmanager:GetSecretValue" in why and arn in why
    allow(("secretsmanager:GetSecretValue", arn))
    assert "is not authorized to perform: ssm:GetParameters" in reason()
    allow(("secretsmanager:GetSecretValue", arn), ("ssm:GetParameters", parameter))
    app.create(definition)
    assert app.steady()["runningCount"] == 2
    app.aws.secretsmanager.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    assert "ResourceNotFoundException" in reason()


def test_invalid_secrets_are_refused(app: App) -> None:
    one = {"name": "DB", "valueFrom": secret(app)}
    plain = [{"name": "DB", "value": "x"}]
    refusals = (
        ({"secrets": [one], "environment": plain}, {}, "not shared with any new or existing environment variables"),
        ({"secrets": [one, one]}, {}, "Duplicate secret names found: DB"),
        ({"secrets": [one], "logConfiguration": {"logDriver": "splunk"}}, {"executionRoleArn": ""}, "executionRoleArn"),
    )
    for container, settings, message in refusals:
        assert message in app.aws.message(app.definition, container=container, **settings)
    app.definition(container={"secrets": [one], "environment": [{"name": "OTHER", "value": "x"}]})
