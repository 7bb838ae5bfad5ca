"""Tasks on their own: RunTask and its commands, and a shell in a running task."""

from __future__ import annotations

from typing import Any

from conftest import App, until


def run(app: App, command: list[str], **settings: Any) -> dict[str, Any]:
    """Start a task with a command of its own."""
    overrides = {"containerOverrides": [{"name": "app", "command": command}]}
    wanted = {"cluster": "c", "taskDefinition": app.definition(), "networkConfiguration": app.net.awsvpc()}
    return app.ecs.run_task(**{**wanted, "overrides": overrides, "launchType": "FARGATE", **settings})["tasks"][0]


def ended(app: App, arn: str) -> dict[str, Any]:
    """The task once it has stopped."""

    def look() -> Any:
        task = app.ecs.describe_tasks(cluster="c", tasks=[arn])["tasks"][0]
        return task["lastStatus"] == "STOPPED" and task

    return until(look)


def log(app: App, arn: str) -> list[str]:
    """What the task wrote."""
    stream = f"p/app/{arn.rsplit('/', 1)[-1]}"
    events = app.aws.logs.get_log_events(logGroupName="app", logStreamName=stream, startFromHead=True)["events"]
    return [event["message"] for event in events]


def test_a_command_ends_with_its_exit_code_and_leaves_its_lines(app: App) -> None:
    for command, code, lines in [
        (["echo", "one", "two"], 0, ["one two"]),
        (["sh", "-c", "exit 3"], 3, ["exiting with 3"]),
        (["false"], 1, ["ran: false"]),
    ]:
        task = ended(app, run(app, command)["taskArn"])
        assert task["containers"][0]["exitCode"] == code
        assert task["overrides"]["containerOverrides"][0]["command"] == command
        assert log(app, task["taskArn"]) == lines


def test_one_that_sleeps_is_stopped(app: App) -> None:
    arn = run(app, ["sleep", "600"])["taskArn"]
    until(lambda: app.ecs.describe_tasks(cluster="c", tasks=[arn])["tasks"][0]["lastStatus"] == "RUNNING")
    app.ecs.stop_task(cluster="c", task=arn, reason="enough")
    task = ended(app, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")


def test_a_client_token_gives_the_same_task_back(app: App) -> None:
    definition = app.definition()
    same: dict[str, Any] = {"clientToken": "t", "taskDefinition": definition, "tags": [{"key": "a", "value": "b"}]}
    first = run(app, ["echo"], **same)
    assert run(app, ["echo"], **same)["taskArn"] == first["taskArn"]
    assert app.aws.code(lambda: run(app, ["false"], **same)) == "ConflictException"


def test_an_override_names_a_container(app: App) -> None:
    wrong = {"containerOverrides": [{"name": "nobody", "command": ["x"]}]}
    assert app.aws.code(lambda: run(app, [], overrides=wrong)) == "InvalidParameterException"


def test_a_shell_only_where_it_was_enabled(app: App) -> None:
    definition = app.definition(taskRoleArn=app.role)
    for enabled in (False, True):
        arn = run(app, ["sleep", "9"], taskDefinition=definition, enableExecuteCommand=enabled)["taskArn"]
        until(lambda arn=arn: app.ecs.describe_tasks(cluster="c", tasks=[arn])["tasks"][0]["lastStatus"] == "RUNNING")
        call = {"cluster": "c", "task": arn, "container": "app", "command": "sh", "interactive": True}
        if enabled:
            session = app.ecs.execute_command(**call)["session"]
            assert session["streamUrl"].startswith("wss://") and session["tokenValue"]
        else:
            assert app.aws.code(app.ecs.execute_command, **call) == "InvalidParameterException"


def test_a_service_with_shells_needs_a_task_role(app: App) -> None:
    message = app.aws.message(lambda: app.create(app.definition(), enableExecuteCommand=True))
    assert "taskRoleArn" in message
    app.create(app.definition(taskRoleArn=app.role), enableExecuteCommand=True)
