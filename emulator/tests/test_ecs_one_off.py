"""One-off tasks: RunTask with a command, and a shell in a running task."""

from __future__ import annotations

from typing import Any

from conftest import App, control, wait_until


def run(app: App, command: list[str], **settings: Any) -> dict[str, Any]:
    """Starts a one-off task with a command."""
    overrides = {"containerOverrides": [{"name": "app", "command": command}]}
    wanted = {"cluster": "c", "taskDefinition": app.definition(), "networkConfiguration": app.net.awsvpc()}
    return app.ecs.run_task(**{**wanted, "overrides": overrides, "launchType": "FARGATE", **settings})["tasks"][0]


def wait_stopped(app: App, arn: str) -> dict[str, Any]:
    """Waits until a task has stopped, and returns it."""

    def stopped_task() -> Any:
        task = app.ecs.describe_tasks(cluster="c", tasks=[arn])["tasks"][0]
        return task["lastStatus"] == "STOPPED" and task

    return wait_until(stopped_task)


def log(app: App, arn: str) -> list[str]:
    """Returns the log lines of the task."""
    stream = f"p/app/{arn.rsplit('/', 1)[-1]}"
    events = app.aws.logs.get_log_events(logGroupName="app", logStreamName=stream, startFromHead=True)["events"]
    return [event["message"] for event in events]


def test_one_off_command_has_exit_code_and_log_lines(app: App) -> None:
    for command, code, lines in [
        (["echo", "one", "two"], 0, ["one two"]),
        (["sh", "-c", "exit 3"], 3, ["exiting with 3"]),
        (["false"], 1, ["ran: false"]),
    ]:
        task = wait_stopped(app, run(app, command)["taskArn"])
        assert task["containers"][0]["exitCode"] == code
        assert task["overrides"]["containerOverrides"][0]["command"] == command
        assert log(app, task["taskArn"]) == lines


def test_sleeping_one_off_task_can_be_stopped(app: App) -> None:
    arn = run(app, ["sleep", "600"])["taskArn"]
    wait_until(lambda: app.ecs.describe_tasks(cluster="c", tasks=[arn])["tasks"][0]["lastStatus"] == "RUNNING")
    app.ecs.stop_task(cluster="c", task=arn, reason="enough")
    task = wait_stopped(app, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")


def test_run_task_is_idempotent_by_client_token(app: App) -> None:
    definition = app.definition()
    same: dict[str, Any] = {"clientToken": "t", "taskDefinition": definition, "tags": [{"key": "a", "value": "b"}]}
    first = run(app, ["echo"], **same)
    assert run(app, ["echo"], **same)["taskArn"] == first["taskArn"]
    assert app.aws.code(lambda: run(app, ["false"], **same)) == "ConflictException"


def test_override_of_unknown_container_is_refused(app: App) -> None:
    wrong = {"containerOverrides": [{"name": "nobody", "command": ["x"]}]}
    assert app.aws.code(lambda: run(app, [], overrides=wrong)) == "InvalidParameterException"


def test_execute_command_requires_enabled_task(app: App) -> None:
    definition = app.definition(taskRoleArn=app.role)
    for enabled in (False, True):
        arn = run(app, ["sleep", "9"], taskDefinition=definition, enableExecuteCommand=enabled)["taskArn"]
        shown = {"cluster": "c", "tasks": [arn]}
        wait_until(lambda shown=shown: app.ecs.describe_tasks(**shown)["tasks"][0]["lastStatus"] == "RUNNING")
        call = {"cluster": "c", "task": arn, "container": "app", "command": "sh", "interactive": True}
        if enabled:
            session = app.ecs.execute_command(**call)["session"]
            assert session["streamUrl"].startswith("wss://") and session["tokenValue"]
        else:
            assert app.aws.code(app.ecs.execute_command, **call) == "InvalidParameterException"


def test_execute_command_requires_task_role(app: App) -> None:
    message = app.aws.message(lambda: app.create(app.definition(), enableExecuteCommand=True))
    assert "taskRoleArn" in message
    app.create(app.definition(taskRoleArn=app.role), enableExecuteCommand=True)


def test_overrides_beyond_limit_are_refused(app: App) -> None:
    run(app, ["echo", "x" * 8000])
    assert app.aws.code(lambda: run(app, ["echo", "x" * 8192])) == "InvalidParameterException"


def test_counting_program_gets_the_prescribed_jobs(app: App) -> None:
    cache = app.aws.elasticache
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="s", CacheSubnetGroupDescription="s", SubnetIds=[app.net.subnets[0]]
    )
    cache.create_replication_group(
        ReplicationGroupId="q", ReplicationGroupDescription="q", Engine="redis", CacheNodeType="cache.t3.small",
        NumCacheClusters=1, CacheSubnetGroupName="s", SecurityGroupIds=[app.net.group],
    )  # fmt: skip

    def host() -> str:
        [group] = cache.describe_replication_groups(ReplicationGroupId="q")["ReplicationGroups"]
        return group["NodeGroups"][0]["PrimaryEndpoint"]["Address"] if group["NodeGroups"] else ""

    def count(broker: str) -> tuple[int, str]:
        environment = [{"name": "CELERY_BROKER_URL", "value": f"redis://{broker}:6379/0"}]
        definition = app.definition(container={"environment": environment})
        command = ["python", "-c", "print('pb-deploy-jobs')"]
        task = wait_stopped(app, run(app, command, taskDefinition=definition)["taskArn"])
        return task["containers"][0]["exitCode"], log(app, task["taskArn"])[-1]

    queue = str(wait_until(host))
    assert count(queue) == (0, 'pb-deploy-jobs {"waiting": {}, "unacknowledged": 0}')
    place = {"account": app.aws.account, "region": app.aws.region}
    control(app.aws.url, "POST", "queued-jobs", {**place, "group": "q", "jobs": {"waiting": {"celery": 2}}})
    assert count(queue) == (3, 'pb-deploy-jobs {"waiting": {"celery": 2}, "unacknowledged": 0}')
    code, line = count("elsewhere")
    assert code == 1 and "connecting to elsewhere" in line
    control(app.aws.url, "POST", "queued-jobs", {**place, "group": "q", "jobs": None})
    assert count(queue)[0] == 1
