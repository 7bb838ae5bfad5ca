"""Registered task definitions, run as processes with a real Redis server and real Celery workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import endpoint
import pytest
from configuration import image
from harness import TestWorkspace, until
from real_parts import APP, LoggedProcess, application_folder, ask, free_port, listens, redis_folder

WORKER = ["celery", "--app", "shop.queue", "worker", "--loglevel", "INFO", "--concurrency", "1"]
BEAT = ["celery", "--app", "shop.queue", "beat", "--loglevel", "INFO"]
#: Maximum time until a process is ready. Python and Celery start slowly if many processes start at once.
START_SECONDS = 90.0


@pytest.fixture(scope="module")
def path() -> str:
    """Returns a PATH with the programs of the example application and with Redis."""
    return f"{application_folder()}:{redis_folder()}:{os.environ['PATH']}"


def services(flask_port: int, schedule: Path) -> dict[str, Any]:
    """Returns the configuration of Flask, two worker pools and a scheduler with the file of its schedule."""
    web = ["gunicorn", "--bind", f"0.0.0.0:{flask_port}", "shop.web:web"]
    return {
        "flask": {"port": flask_port, "command": web, "image": image("flask")},
        "celery": {"command": WORKER, "image": image("celery"), "count": 1},
        "reports": {"kind": "worker", "command": WORKER, "image": image("celery"), "count": 1, "queues": ["reports"]},
        "beat": {
            "kind": "scheduler",
            "command": BEAT,
            "image": image("celery"),
            "environment": {"CELERY_BEAT_SCHEDULE": str(schedule)},
        },
    }


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[TestWorkspace]:
    """Deploys a workspace whose queue has the address at which a real server will listen."""
    process, url = endpoint.start(tmp_path, "--cache-host", "127.0.0.1")
    try:
        workspace = TestWorkspace(url, "123456789012", tmp_path)
        workspace.create_prerequisites()
        workspace.configure({"redis": {"port": free_port()}, "services": services(free_port(), tmp_path / "schedule")})
        workspace.configure({"deploy": {"before": {"service": "flask", "command": ["python", "-m", "shop.migrate"]}}})
        workspace.deploy()
        yield workspace
        workspace.end()
    finally:
        endpoint.stop(process)


def registered_containers(workspace: TestWorkspace) -> dict[str, dict[str, Any]]:
    """Returns the container definition of each service, by the name of the service."""
    containers = {}
    for name, service in workspace.inventory.services().items():
        described = workspace.aws.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        containers[name] = described["taskDefinition"]["containerDefinitions"][0]
    return containers


def environment(path: str, folder: Path, container: dict[str, Any]) -> dict[str, str]:
    """Returns the environment variables of a minimal system and of the container definition."""
    variables = {pair["name"]: pair["value"] for pair in container["environment"]}
    return {"PATH": path, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(APP), **variables}


def submit(port: int, request: str, body: dict[str, Any]) -> Callable[[], Any]:
    """Submits a job. Returns a function that returns the job's result, or None while the job has not succeeded."""
    status, answer = ask(port, request, json.dumps(body).encode())
    assert status == 202
    identity = json.loads(answer)["id"]

    def poll() -> Any:
        outcome = json.loads(ask(port, f"/results/{identity}")[1] or b"{}")
        return outcome if outcome.get("state") == "SUCCESS" else None

    return poll


def test_registered_task_definitions_run_with_real_queue(deployed: TestWorkspace, path: str, tmp_path: Path) -> None:
    containers, parts = registered_containers(deployed), []
    queue = deployed.inventory.replication_groups()["staging-jobqr"]["NodeGroups"][0]["PrimaryEndpoint"]
    assert queue["Address"] == "127.0.0.1"

    def start(name: str, command: list[str], variables: dict[str, str]) -> LoggedProcess:
        parts.append(LoggedProcess(name, command, variables, tmp_path, tmp_path))
        return parts[-1]

    try:
        path_only = {"PATH": path}
        server = ["redis-server", "--port", str(queue["Port"]), "--bind", "127.0.0.1", "--save", ""]
        start("redis", server, path_only)
        until(lambda: listens(queue["Port"]))
        [task_arn] = deployed.aws.ecs.list_tasks(
            cluster="staging-ecs-cluster", startedBy="pb-deploy/before", desiredStatus="STOPPED"
        )["taskArns"]
        task = deployed.aws.ecs.describe_tasks(cluster="staging-ecs-cluster", tasks=[task_arn])["tasks"][0]
        command = task["overrides"]["containerOverrides"][0]["command"]
        release_command = start("before", command, environment(path, tmp_path, containers["staging-flask"]))
        assert release_command.process.wait(60) == 0, release_command.output()

        running = {
            name: start(name, container["command"], environment(path, tmp_path, container))
            for name, container in containers.items()
        }
        port = containers["staging-flask"]["portMappings"][0]["containerPort"]
        health = next(iter(deployed.inventory.target_groups().values()))["HealthCheckPath"]
        until(lambda: ask(port, health) == (200, b"hello"), START_SECONDS)

        assert until(submit(port, "/sums", {"x": 19, "y": 23}), START_SECONDS)["result"] == 42
        report = until(submit(port, "/reports", {"seconds": 0.1}), START_SECONDS)["result"]
        pools = {name: running[name].process.pid for name in ("staging-celery", "staging-reports")}
        assert os.getpgid(report["worker"]) == pools["staging-reports"], "each queue has its own pool"

        # A rollout stops a worker with SIGTERM, too: the worker finishes its current job and exits with 0, before ECS
        # would kill it.
        worker, limit = running["staging-reports"], containers["staging-reports"]["stopTimeout"]
        busy = submit(port, "/reports", {"seconds": 3})
        until(lambda: worker.output().count("received") == 2, START_SECONDS)
        os.kill(worker.process.pid, signal.SIGTERM)
        try:
            assert worker.process.wait(limit) == 0, worker.output()
        except subprocess.TimeoutExpired:
            pytest.fail(f"the worker has not stopped after {limit} s:\n{worker.output()}")
        assert until(busy)["result"]["done"] is True
        until(lambda: "beat: Starting" in running["staging-beat"].output(), START_SECONDS)
        # Beat reads the variable that a deploy sets; without it, beat would write into its working directory.
        until(lambda: list(tmp_path.glob("schedule*")), START_SECONDS)
        assert all(part.process.poll() is None for name, part in running.items() if name != "staging-reports")
    finally:
        for part in parts:
            part.end()


@pytest.fixture
def local(tmp_path: Path, path: str) -> Iterator[TestWorkspace]:
    """Yields a configured workspace without AWS: no endpoint would receive its calls."""
    workspace = TestWorkspace("http://127.0.0.1:9", "123456789012", tmp_path)
    workspace.configure({"redis": {"port": free_port()}, "services": services(free_port(), tmp_path / "schedule")})
    # Without a configured command, `celery` runs the command of the stage `celery` in the Dockerfile.
    workspace.configure({"services": {"celery": {"command": None, "image": None}, "beat": None}})
    yield workspace
    workspace.end()


def start_local(workspace: TestWorkspace, path: str, *arguments: str) -> Any:
    """Starts `local up` with neither AWS credentials nor an AWS endpoint in its environment."""
    variables = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    unset: dict[str, str | None] = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"))
    return workspace.start("local", "up", "staging", "--app", str(APP), *arguments, env={**unset, **variables})


def test_local_up_runs_all_services_until_ctrl_c(local: TestWorkspace, path: str) -> None:
    local.configure({"deploy": {"before": {"command": ["python", "-m", "shop.migrate"]}}})
    running = start_local(local, path)
    flask, queue = local.config["services"]["flask"]["port"], local.config["redis"]["port"]
    until(lambda: f"ready flask: http://127.0.0.1:{flask}/hello" in running.output_so_far().err, START_SECONDS)
    assert ask(flask, "/hello") == (200, b"hello")
    assert until(submit(flask, "/sums", {"x": 1, "y": 2}), START_SECONDS)["result"] == 3
    busy = submit(flask, "/reports", {"seconds": 2})
    until(
        lambda: (
            "shop.tasks.report" in running.output_so_far().out
            and "received" in running.output_so_far().out.splitlines()[-1]
        )
    )
    running.interrupt()
    ended = running.result().expect_exit(130)
    lines = ended.out.splitlines()
    assert {line.split("|")[0].strip() for line in lines} == {"queue", "before", "flask", "celery", "reports"}
    assert any(line.startswith("before ") and "the queue answers" in line for line in lines)
    assert any(line.startswith("reports ") and "succeeded" in line for line in lines), (
        "a job that has begun is finished"
    )
    assert not listens(flask) and not listens(queue)
    del busy


def test_local_up_stops_immediately_on_second_ctrl_c(local: TestWorkspace, path: str) -> None:
    running = start_local(local, path, "--only", "reports", "--only", "flask")
    flask, queue = local.config["services"]["flask"]["port"], local.config["redis"]["port"]
    until(lambda: "up:" in running.output_so_far().err and ask(flask, "/hello")[0] == 200, START_SECONDS)
    until(lambda: "ready." in running.output_so_far().out, START_SECONDS)
    submit(flask, "/reports", {"seconds": 100})
    until(lambda: "received" in running.output_so_far().out)
    running.interrupt()
    until(lambda: "Stopping" in running.output_so_far().err)
    time.sleep(0.2)
    running.interrupt()
    running.result(20).expect_exit(130)
    assert not listens(flask) and not listens(queue)


def test_local_up_reports_the_cause_of_startup_failures(local: TestWorkspace, path: str) -> None:
    local.configure({"deploy": {"before": {"command": ["python", "-c", "import sys; sys.exit(3)"]}}})
    failed = start_local(local, path).result().expect_exit(1)
    assert "no service was started" in failed.err and not listens(local.config["redis"]["port"])
    local.configure({"deploy": {"before": None}, "services": {"flask": {"command": ["no-such-program"]}}})
    missing = start_local(local, path).result().expect_exit(1)
    assert "cannot run `no-such-program` for flask" in missing.err and "pip install" in missing.err
    no_server = start_local(local, "/nowhere").result().expect_exit(1)
    assert "neither redis-server nor valkey-server is on the PATH" in no_server.err
