"""Operation of a deployed stack: `logs`, `tasks`, `exec` and `run`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace, until

LOG_GROUP = "staging-pb_workers"


@pytest.fixture
def deployed(staging: TestWorkspace) -> Iterator[TestWorkspace]:
    """Yields a deployed staging workspace, and asserts after the test that it is unchanged."""
    yield staging
    staging.assert_no_changes()


def write_log(workspace: TestWorkspace, stream: str, *lines: str, seconds_ago: float = 0.0) -> None:
    """Writes lines to the log stream of a container."""
    logs = workspace.aws.logs
    streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=stream)["logStreams"]
    if not streams:
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
    now = int((time.time() - seconds_ago) * 1000)
    events = [{"timestamp": now + at, "message": line} for at, line in enumerate(lines)]
    logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=events)


def test_logs_are_selected_by_service_age_and_filter(workspace: TestWorkspace) -> None:
    workspace.deploy()
    write_log(workspace, "staging-flask/flask/" + "a" * 32, "GET /hello", "ERROR no queue")
    write_log(workspace, "staging-celery/celery/" + "b" * 32, "task done")
    write_log(workspace, "staging-celery/celery/" + "c" * 32, "long ago", seconds_ago=3600)
    everything = workspace.run("logs", "staging").expect_exit()
    assert [line.split(" ", 3)[1:3] for line in everything.out.splitlines()] == [
        ["staging-flask", "aaaaaaaa"], ["staging-flask", "aaaaaaaa"], ["staging-celery", "bbbbbbbb"],
    ]  # fmt: skip
    assert "GET /hello" in everything.out and everything.err == ""
    of_celery = workspace.run("logs", "staging", "celery", "--since", "2h").expect_exit().out
    assert "long ago" in of_celery and "task done" in of_celery and "GET" not in of_celery
    filtered = workspace.run("logs", "staging", "--filter", "ERROR", "--json").expect_exit().lines()
    assert [(line["service"], line["message"]) for line in filtered] == [("staging-flask", "ERROR no queue")]


def test_logs_without_a_match_report_the_time_range(deployed: TestWorkspace) -> None:
    empty = deployed.run("logs", "staging", "--filter", '"nobody-writes-this"').expect_exit()
    assert empty.out == "" and "No matching lines in the last 10 min" in empty.err and "--since" in empty.err


def test_logs_are_followed_until_ctrl_c(deployed: TestWorkspace) -> None:
    write_log(deployed, "staging-flask/flask/" + "d" * 32, "before")
    following = deployed.start("logs", "staging", "flask", "--follow", "--since", "1h")
    until(lambda: "before" in following.output_so_far().out)
    write_log(deployed, "staging-flask/flask/" + "d" * 32, "after")
    until(lambda: "after" in following.output_so_far().out)
    following.interrupt(signal.SIGINT)
    result = following.result().expect_exit(130)
    assert result.out.count("before") == 1 and result.out.count("after") == 1


def test_unknown_service_and_undeployed_stack_are_reported(deployed: TestWorkspace) -> None:
    unknown = deployed.run("logs", "staging", "flsk").expect_exit(64)
    assert 'staging has no service "flsk"' in unknown.err and "flask, celery" in unknown.err
    assert "such as 5m" in deployed.run("logs", "staging", "--since", "soon").expect_exit(64).err
    missing = deployed.run("logs", "production").expect_exit(1)
    assert "pb-deploy deploy production" in missing.err
    assert "is not deployed" in deployed.run("run", "production", "--", "true").expect_exit(1).err


def test_tasks_are_listed_with_status_and_stop_reason(deployed: TestWorkspace) -> None:
    deployed.run("run", "staging", "--", "sh", "-c", "exit 5").expect_exit(5)
    tasks = deployed.run("tasks", "staging", "--json").expect_exit().json()
    services = [task["service"] for task in tasks if task["status"] == "RUNNING"]
    assert sorted(services) == ["staging-celery"] * 4 + ["staging-flask"]
    [stopped] = [task for task in tasks if task["status"] == "STOPPED" and task["exit_codes"] == [5]]
    assert (stopped["started_by"], stopped["reason"]) == ("pb-deploy/run", "Essential container in task exited")
    shown = deployed.run("tasks", "staging").expect_exit().out
    assert "exit code 5" in shown and shown.count("RUNNING") == 5


def test_run_prints_the_log_and_returns_the_exit_code(deployed: TestWorkspace) -> None:
    result = deployed.run("run", "staging", "--", "echo", "hello", "there").expect_exit()
    assert result.out == "hello there\n"
    assert deployed.run("run", "staging", "--service", "flask", "--", "sh", "-c", "exit 42").expect_exit(42).out
    lines = deployed.run("run", "staging", "--json", "--", "false").expect_exit(1).events()
    assert lines[-1]["event"] == "finished" and lines[-1]["exit_code"] == 1
    task = deployed.aws.ecs.describe_tasks(cluster="staging-ecs-cluster", tasks=[lines[-1]["task"]], include=["TAGS"])
    tags = {tag["key"]: tag["value"] for tag in task["tasks"][0]["tags"]}
    assert (tags["pb-deploy:workspace"], tags["pb-deploy:address"]) == ("staging", "fargate/run")


@pytest.mark.parametrize("reason", ["RESOURCE:ENI", "Capacity is unavailable at this time. Please try again later"])
def test_run_without_capacity_reports_that_no_task_started(
    deployed: TestWorkspace, proxy: FaultProxy, reason: str
) -> None:
    proxy.refuse("ecs:RunTask", 200, json.dumps({"tasks": [], "failures": [{"reason": reason}]}).encode())
    result = deployed.run("run", "staging", "--", "true", url=proxy.url).expect_exit(1)
    assert reason in result.err and "no task was started; run the same command again" in result.err, result


def test_run_stops_its_task_on_ctrl_c(deployed: TestWorkspace) -> None:
    run = deployed.start("run", "staging", "--", "sleep", "600")
    until(lambda: "task RUNNING" in run.output_so_far().err)
    run.interrupt(signal.SIGINT)
    assert "The task was stopped" in run.result().expect_exit(130).err
    tasks = deployed.run("tasks", "staging", "--json").expect_exit().json()
    assert not [task for task in tasks if task["started_by"] and task["status"] != "STOPPED"]


def install_plugin(folder: Path) -> Path:
    """Writes a stand-in for the Session Manager plugin that records its arguments. Returns the stand-in's folder."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    file = bin_folder / "session-manager-plugin"
    file.write_text(
        "#!/usr/bin/env python3\nimport json, pathlib, sys\n"
        f"pathlib.Path({str(folder / 'given.json')!r}).write_text(json.dumps(sys.argv[1:]))\nsys.exit(9)\n"
    )
    file.chmod(0o755)
    return bin_folder


def test_exec_passes_the_session_to_the_plugin(workspace: TestWorkspace) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    workspace.aws.iam.create_role(RoleName="app", AssumeRolePolicyDocument=document)
    workspace.deploy()
    path = {"PATH": f"{install_plugin(workspace.folder)}:/usr/bin:/bin"}
    refused = workspace.run("exec", "staging", "flask", env=path).expect_exit(1)
    assert "execute_command = true" in refused.err, refused

    statement = {"Effect": "Allow", "Action": "ssmmessages:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    workspace.aws.iam.put_role_policy(RoleName="app", PolicyName="shell", PolicyDocument=document)
    workspace.configure({"roles": {"task": "app"}, "services": {"flask": {"execute_command": True}}})
    workspace.deploy()
    assert workspace.inventory.services()["staging-flask"]["enableExecuteCommand"] is True
    workspace.run("exec", "staging", "flask", "--", "python", "-c", "print('a b')", env=path).expect_exit(9)
    session, region, action, _profile, request, endpoint = json.loads((workspace.folder / "given.json").read_text())
    assert set(json.loads(session)) == {"SessionId", "StreamUrl", "TokenValue"}
    assert (region, action) == ("us-east-2", "StartSession")
    target = json.loads(request)["Target"]
    tasks = workspace.run("tasks", "staging", "--json").json()
    [task] = [task for task in tasks if task["service"] == "staging-flask" and task["status"] == "RUNNING"]
    assert target.startswith("ecs:staging-ecs-cluster_") and endpoint == workspace.url
    assert task["id"] in target and workspace.calls().count("ecs:ExecuteCommand") == 1
    workspace.assert_no_changes()


def test_exec_without_the_plugin_links_to_its_installation(deployed: TestWorkspace) -> None:
    missing = deployed.run("exec", "staging", "flask", env={"PATH": "/nowhere"}).expect_exit(1)
    assert "session-manager-plugin is not on the PATH" in missing.err and "docs.aws.amazon.com" in missing.err


def test_execute_command_requires_a_task_role(deployed: TestWorkspace) -> None:
    deployed.configure({"services": {"flask": {"execute_command": True}}})
    refused = deployed.run("plan", "staging").expect_exit(1)
    assert "a shell in the tasks of `flask` needs a task role" in refused.err
    deployed.configure({"services": {"flask": {"execute_command": None, "image": image("flask")}}})
