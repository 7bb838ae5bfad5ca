"""Failed and interrupted rollouts: the exit code, the reported causes, and the rollback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from configuration import image
from fault_proxy import FaultProxy
from harness import Result, TestWorkspace, until


def configure_flask(workspace: TestWorkspace, **changes: Any) -> None:
    """Changes the web service's configuration and sets its circuit breaker threshold to 1."""
    workspace.configure({"services": {"flask": {"breaker_threshold": 1, **changes}}})


def service(workspace: TestWorkspace, key: str = "flask") -> dict[str, Any]:
    """Returns the description of a service."""
    return workspace.inventory.services()[f"staging-{key}"]


def revision(workspace: TestWorkspace, key: str = "flask") -> str:
    """Returns a service's revision in use, as `FAMILY:NUMBER`."""
    return str(service(workspace, key)["taskDefinition"].rsplit("/", 1)[-1])


#: Expected fragments of the message, by image tag; the tag selects the failure.
FAILURES: dict[str, list[str]] = {
    "missing": ["stopped: ", "CannotPullContainerError"],
    "fail": [
        "stopped: ", "x Essential container in task exited (flask exited with code 1)",
        "log: fatal: the container's command exited with status 1",
    ],
    "unhealthy": ["stopped: ", "Task failed ELB health checks", "event: (task "],
    "oom": ["flask exited with code 137: OutOfMemoryError"],
    "no-capacity": ["event: was unable to place a task. Reason: Capacity is unavailable"],
}  # fmt: skip


#: Failures in which tasks of the rollout stop, so that the message lists stopped tasks, but none of earlier rollouts.
FAILURES_AFTER_START = {"missing", "fail", "unhealthy", "oom"}


@pytest.mark.parametrize("failure", FAILURES)
def test_failed_rollout_is_reported_and_rolled_back(staging: TestWorkspace, failure: str) -> None:
    configure_flask(staging, image=image("fail"))
    staging.run("deploy", "staging", "--yes").expect_exit(1)
    configure_flask(staging, image=image("good"))
    staging.deploy()
    good = revision(staging)
    configure_flask(staging, image=image(failure))
    result = staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert "fargate/flask: failed: roll out staging-flask: " in result.err and result.out == "", result
    for words in [
        *FAILURES[failure],
        "rolled back: the previous revision is serving again",
        f"running now: 1 of 1 task (1 on {good})",
    ]:
        assert words in result.err, f"{words!r} is not in:\n{result}"
    assert ("stopped: " in result.err) == (failure in FAILURES_AFTER_START) and ("log: fatal" in result.err) == (
        failure in {"fail", "oom"}
    ), result
    assert "pb-deploy logs staging flask" in result.err and "Fix the error" in result.err, result
    assert revision(staging) == good
    staging.restore()


@pytest.mark.parametrize("key", ["flask", "celery"])
def test_crash_loop_that_ecs_does_not_count_fails_the_rollout(staging: TestWorkspace, key: str) -> None:
    before, since = revision(staging, key), staging.mark()
    staging.configure({"services": {key: {"image": image("crash"), "breaker_threshold": 2}}})
    result = staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert f"roll out staging-{key}: " in result.err and "started and exited with an error" in result.err, result
    assert f"{key} exited with code 1" in result.err and "log: fatal: the worker ended with status 1" in result.err, (
        result
    )
    assert "Deployed" not in result.err and result.out == "", result
    if "rolling back requires another rollout" in result.err:
        # All tasks were running for a moment, and ECS therefore considers the rollout completed.
        shown = staging.run("status", "staging").expect_exit().out
        assert "failed, although ECS completed the rollout: " in shown or "does not serve: " in shown, shown
        assert f"{key} is already on the new revision. To undo: `pb-deploy rollback staging`" in result.err, result
        staging.run("rollback", "staging", "--yes").expect_exit()
    else:
        assert "rolled back: the previous revision is serving again" in result.err, result
        assert staging.calls(since).count("ecs:StopServiceDeployment") == 1
    assert revision(staging, key) == before
    staging.configure({"services": {key: {"image": image(key), "breaker_threshold": None}}})
    staging.deploy()
    staging.assert_no_changes()


def test_crash_loop_of_first_rollout_has_no_rollback(workspace: TestWorkspace) -> None:
    configure_flask(workspace, image=image("crash"))
    since = workspace.mark()
    result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "there is nothing to roll back to" in result.err and "started and exited with an error" in result.err, result
    assert "ecs:StopServiceDeployment" not in workspace.calls(since)
    configure_flask(workspace, image=image("good"))
    workspace.deploy()
    workspace.assert_no_changes()


def test_wait_does_not_stop_a_failing_rollout(staging: TestWorkspace) -> None:
    configure_flask(staging, image=image("crash"))
    staging.run("deploy", "staging", "--yes", "--no-wait").expect_exit()
    since = staging.mark()
    result = staging.run("wait", "staging").expect_exit(1)
    assert (
        "1 task started and exited with an error" in result.err
        or "tasks started and exited with an error" in result.err
    ), result
    assert "the rollout continues in ECS" in result.err and staging.writes(since) == [], result
    configure_flask(staging, image=image("good"))
    staging.deploy()
    staging.assert_no_changes()


def test_execution_role_that_cannot_be_assumed_is_reported(staging: TestWorkspace) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = staging.config["roles"]["execution"]
    original = staging.aws.iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    staging.aws.iam.update_assume_role_policy(RoleName=role, PolicyDocument=document)
    configure_flask(staging, image=image("another"))
    result = staging.run("deploy", "staging", "--yes", "--wait-timeout", "5").expect_exit(1)
    assert "ECS was unable to assume the role" in result.err, result
    staging.aws.iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(original))
    staging.deploy()
    staging.assert_no_changes()


def test_failed_first_rollout_has_no_rollback(workspace: TestWorkspace) -> None:
    configure_flask(workspace, image=image("fail"))
    result = workspace.run("deploy", "staging", "--yes", "--json").expect_exit(1)
    (failed,) = [line for line in result.events() if line["event"] == "failed"]
    details = failed["failure"]["details"]
    assert failed["address"] == "fargate/flask" and failed["failure"]["class"] == "failed"
    assert any(detail.startswith("there is nothing to roll back to") for detail in details), details
    assert "running now: 0 of 1 task" in details
    workspace.restore()


def test_failed_rollback_is_reported(staging: TestWorkspace) -> None:
    staging.aws.ecs.deregister_task_definition(taskDefinition=service(staging)["taskDefinition"])
    configure_flask(staging, image=image("fail"))
    result = staging.run("deploy", "staging", "--yes").expect_exit(1)
    assert "the rollback failed too" in result.err and "INACTIVE" in result.err, result
    staging.restore()


def test_draining_service_is_awaited_before_its_recreation(staging: TestWorkspace) -> None:
    staging.aws.ecs.delete_service(cluster="staging-ecs-cluster", service="staging-celery", force=True)
    staging.deploy()
    assert service(staging, "celery")["status"] == "ACTIVE"
    staging.assert_no_changes()


def test_rollout_without_breaker_ends_at_the_wait_timeout(staging: TestWorkspace) -> None:
    configure_flask(staging, image=image("fail"), breaker=False)
    result = staging.run("deploy", "staging", "--yes", "--wait-timeout", "3").expect_exit(1)
    assert "gave up after 3 s" in result.err and "the rollout continues in ECS" in result.err, result
    assert "flask exited with code 1" in result.err
    assert service(staging)["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"] is False
    staging.restore()


@pytest.mark.parametrize(("tag", "code"), [("next", 0), ("fail", 1)])
def test_rollout_without_waiting_is_confirmed_by_wait(staging: TestWorkspace, tag: str, code: int) -> None:
    configure_flask(staging, image=image(tag))
    result = staging.run("deploy", "staging", "--yes", "--no-wait").expect_exit(0)
    assert "Rollouts may still be in progress" in result.err, result
    assert "Started staging" in result.err and "Deployed" not in result.err, result
    waited = staging.run("wait", "staging").expect_exit(code)
    assert ("the latest" if code == 0 else "flask exited with code 1") in waited.err, waited
    assert staging.run("status", "staging", "--json").expect_exit().json()["lock"] is None
    staging.restore()


def interrupt_endless_rollout(workspace: TestWorkspace, *arguments: str) -> Result:
    """Interrupts a deploy during a rollout that never ends, and returns the result of the deploy."""
    configure_flask(workspace, image=image("unhealthy"), breaker=False)
    run = workspace.start("deploy", "staging", "--yes", *arguments)
    until(lambda: len(service(workspace)["deployments"]) == 2)
    until(lambda: workspace.state_object()["snapshot"]["resources"]["fargate/flask"]["settled"] is False)
    run.interrupt()
    return run.result().expect_exit(130)


def test_interrupted_deploy_stops_its_rollouts_in_parallel(staging: TestWorkspace, proxy: FaultProxy) -> None:
    before = revision(staging), revision(staging, "celery")
    staging.configure({"services": {"celery": {"image": image("fail"), "breaker": False}}})
    configure_flask(staging, image=image("unhealthy"), breaker=False)
    run = staging.start("deploy", "staging", "--yes", "--on-interrupt", "rollback", url=proxy.url)
    until(lambda: all(len(service(staging, key)["deployments"]) == 2 for key in ("flask", "celery")))
    held, since = proxy.hold_after("ecs:StopServiceDeployment"), staging.mark()
    run.interrupt()
    held.wait()
    # The second service's rollout is stopped before the call for the first service has been answered.
    until(lambda: staging.calls(since).count("ecs:StopServiceDeployment") == 2)
    held.release()
    result = run.result().expect_exit(130)
    assert result.err.count("rolled back: the previous revision is serving again") == 2, result
    assert (revision(staging), revision(staging, "celery")) == before
    staging.configure({"services": {"celery": {"image": image("celery"), "breaker": None}}})
    staging.restore()


def start_endless_rollout(workspace: TestWorkspace) -> None:
    """Starts a rollout that never ends, without waiting for it."""
    configure_flask(workspace, image=image("unhealthy"), breaker=False)
    workspace.run("deploy", "staging", "--yes", "--no-wait").expect_exit()


def is_restart_in_progress(workspace: TestWorkspace) -> bool:
    """Returns whether a restart has begun and is recorded as incomplete."""
    record = workspace.state_object()["snapshot"]["resources"]["fargate/flask"]
    return record["attrs"]["deployment"] == service(workspace)["deployments"][0]["id"] and not record["settled"]


def test_interrupted_restart_reports_that_the_rollout_continues(staging: TestWorkspace) -> None:
    start_endless_rollout(staging)
    before = service(staging)["deployments"][0]["id"]
    run = staging.start("restart", "staging", "flask", "--yes")
    until(lambda: service(staging)["deployments"][0]["id"] != before)
    until(lambda: is_restart_in_progress(staging))
    run.interrupt()
    result = run.result().expect_exit(130)
    assert "rollout continues in ECS: staging-flask" in result.err and "pb-deploy wait staging" in result.err, result
    staging.restore()


def test_terminal_prompt_decides_on_an_interrupted_restart(staging: TestWorkspace) -> None:
    good = revision(staging)
    start_endless_rollout(staging)
    before = service(staging)["deployments"][0]["id"]

    def is_in_progress() -> bool:
        return service(staging)["deployments"][0]["id"] != before and is_restart_in_progress(staging)

    result = staging.run_in_terminal(
        "restart", "staging", "flask", "--yes", answer="rollback", interrupt_when=is_in_progress
    )
    assert "Leave the rollout running in ECS, or stop it and roll back?" in result.expect_exit(130).out, result
    assert revision(staging) == good
    staging.restore()


def test_interrupted_rollout_continues_without_a_terminal(staging: TestWorkspace) -> None:
    result = interrupt_endless_rollout(staging)
    assert "rollout continues in ECS: staging-flask" in result.err and "pb-deploy wait staging" in result.err, result
    assert len(service(staging)["deployments"]) == 2
    staging.restore()


def test_interrupted_rollout_is_rolled_back_on_request(staging: TestWorkspace) -> None:
    before = revision(staging)
    result = interrupt_endless_rollout(staging, "--on-interrupt", "rollback")
    assert "rolled back: the previous revision is serving again" in result.err, result
    assert revision(staging) == before and len(service(staging)["deployments"]) == 1
    staging.restore()


@pytest.mark.parametrize("answer", ["rollback", "leave"])
def test_terminal_prompt_decides_on_an_interrupted_rollout(staging: TestWorkspace, answer: str) -> None:
    before = revision(staging)
    configure_flask(staging, image=image("unhealthy"), breaker=False)

    def is_in_progress() -> bool:
        record = staging.state_object()["snapshot"]["resources"]["fargate/flask"]
        return len(service(staging)["deployments"]) == 2 and not record["settled"]

    result = staging.run_in_terminal(
        "deploy", "staging", "--yes", answer=answer, interrupt_when=is_in_progress
    ).expect_exit(130)
    assert "Leave the rollout running in ECS, or stop it and roll back?" in result.out, result
    assert (revision(staging) == before) == (answer == "rollback"), result
    staging.restore()
