"""Jobs in the queue: a run that would delete a queue with jobs ends before it changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint import control
from fault_proxy import FaultProxy
from harness import Result, TestWorkspace, until

pytestmark = pytest.mark.needs("queued-jobs")

#: Jobs in two queues, and two that workers have taken.
JOBS = {"waiting": {"celery": 2, "reports": 1}, "unacknowledged": 2}
COUNTED = "error[PB0411]: count the jobs: the queue contains 5 jobs (celery 2, reports 1, 2 not acknowledged)"
ANNOUNCED = "jobs: counted before the queue is deleted"
#: A change that replaces the queue.
OTHER_PORT = {"redis": {"port": 6401}}


def put_jobs(workspace: TestWorkspace, jobs: dict[str, Any] | None) -> None:
    """Puts jobs into the queue of staging. `None` makes the queue unreachable."""
    place = {"account": workspace.account, "region": workspace.aws.region}
    control(workspace.url, "queued-jobs", {**place, "group": "staging-jobqr", "jobs": jobs})


@pytest.fixture(autouse=True)
def _without_jobs(staging: TestWorkspace) -> Iterator[None]:
    """Takes the jobs out of the queue after a test, because other tests use the same account."""
    yield
    put_jobs(staging, {})


def assert_refused(workspace: TestWorkspace, result: Result, command: str, since: int) -> None:
    """Asserts that a run has found the jobs and has changed nothing but the one-off task, and names the command that
    deletes the queue with its jobs.
    """
    assert ANNOUNCED in result.err and COUNTED in result.err, result
    assert f"`pb-deploy {command} staging --lose-jobs`" in result.err, result
    assert workspace.writes(since) == ["ecs:RunTask"]


def one_off_tasks(workspace: TestWorkspace, status: str) -> list[dict[str, Any]]:
    """Returns the one-off tasks of staging with this desired status, with their tags."""
    cluster = "staging-ecs-cluster"
    arns = workspace.aws.ecs.list_tasks(cluster=cluster, startedBy="pb-deploy/run", desiredStatus=status)["taskArns"]
    if not arns:
        return []
    return list(workspace.aws.ecs.describe_tasks(cluster=cluster, tasks=arns, include=["TAGS"])["tasks"])


def test_destroy_with_jobs_changes_nothing(staging: TestWorkspace) -> None:
    put_jobs(staging, JOBS)
    since = staging.mark()
    assert_refused(staging, staging.destroy(code=1), "destroy", since)
    [task] = one_off_tasks(staging, "STOPPED")
    assert task["group"] == "family:staging-celery", "the image of the workers can reach the queue"
    assert {"key": "pb-deploy:address", "value": "redis/jobs"} in task["tags"]
    staging.assert_no_changes()
    put_jobs(staging, {})
    assert "redis/jobs: passed no jobs" in staging.destroy().err
    assert staging.inventory.remains() == {}


def test_replaced_queue_with_jobs_is_kept(staging: TestWorkspace) -> None:
    put_jobs(staging, JOBS)
    staging.configure(OTHER_PORT)
    since = staging.mark()
    assert_refused(staging, staging.deploy(code=1), "deploy", since)
    lost = staging.run("deploy", "staging", "--yes", "--lose-jobs").expect_exit()
    assert "jobs: deleted with the queue, without a count (--lose-jobs)" in lost.err, lost
    assert staging.writes(since).count("ecs:RunTask") == 1, "only the first deploy counts"
    staging.assert_no_changes()


@pytest.mark.unserved("the saved plan destroys the workspace")
def test_saved_plan_keeps_the_decision_about_jobs(staging: TestWorkspace, tmp_path: Path) -> None:
    put_jobs(staging, JOBS)
    kept, lost = str(tmp_path / "kept"), str(tmp_path / "lost")
    assert ANNOUNCED in staging.run("plan", "staging", "--destroy", "--out", kept).expect_exit().out
    since = staging.mark()
    refused = staging.run("apply", kept).expect_exit(1)
    assert COUNTED in refused.err and staging.writes(since) == ["ecs:RunTask"], refused
    staging.run("plan", "staging", "--destroy", "--lose-jobs", "--out", lost).expect_exit()
    staging.run("apply", lost).expect_exit()
    assert staging.inventory.remains() == {}


def test_plan_document_announces_the_count(staging: TestWorkspace) -> None:
    guards = staging.run("plan", "staging", "--destroy", "--json").expect_exit().json()["plan"]["guards"]
    assert guards == [{"address": "redis/jobs", "notice": "counted before the queue is deleted"}]
    staging.configure({"services": {"flask": {"count": 2}}})
    since = staging.mark()
    assert "jobs:" not in staging.deploy().err
    assert "ecs:RunTask" not in staging.calls(since)


def test_queue_that_cannot_be_counted_is_kept(staging: TestWorkspace) -> None:
    put_jobs(staging, None)
    since = staging.mark()
    result = staging.destroy(code=1)
    assert "error[PB0504]: count the jobs: the jobs in the queue could not be counted: task " in result.err, result
    assert "exited with code 1: Essential container in task exited; last log line: redis.exceptions." in result.err
    assert "hint: to delete the queue with its jobs: `pb-deploy destroy staging --lose-jobs`" in result.err
    assert staging.writes(since) == ["ecs:RunTask"]
    staging.run("destroy", "staging", "--yes", "--lose-jobs").expect_exit()


def test_queue_without_services_is_not_counted(staging: TestWorkspace) -> None:
    put_jobs(staging, JOBS)
    staging.run("destroy", "staging", "--target", "fargate/flask,fargate/celery", "--yes").expect_exit()
    result = staging.destroy()
    assert "jobs: deleted with the queue, without a count: no service is deployed that could count them" in result.err


def test_lost_response_starts_no_second_count(staging: TestWorkspace, proxy: FaultProxy) -> None:
    put_jobs(staging, JOBS)
    proxy.lose_response("ecs:RunTask")
    result = staging.run("destroy", "staging", "--yes", url=proxy.url).expect_exit(1)
    assert COUNTED in result.err, result
    assert len(one_off_tasks(staging, "STOPPED")) == 1


def test_interrupted_count_stops_its_task(staging: TestWorkspace, proxy: FaultProxy) -> None:
    control(staging.url, "rollouts", {"account": staging.account, "paused": True})
    running = staging.start("destroy", "staging", "--yes", url=proxy.url)
    until(lambda: "redis/jobs: checking: task" in running.output_so_far().err)
    running.interrupt()
    result = running.result().expect_exit(130)
    control(staging.url, "rollouts", {"account": staging.account, "paused": False})
    assert one_off_tasks(staging, "RUNNING") == [], result
    assert "fargate/flask: deleting" not in result.err
    staging.assert_no_changes()


def test_killed_count_leaves_nothing_behind(staging: TestWorkspace, proxy: FaultProxy) -> None:
    put_jobs(staging, JOBS)
    held = proxy.hold_before("ecs:DescribeTasks")
    running = staging.start("destroy", "staging", "--yes", url=proxy.url)
    held.wait()
    running.process.kill()
    held.release()
    until(lambda: one_off_tasks(staging, "RUNNING") == [])
    put_jobs(staging, {})
    staging.destroy()
    assert staging.inventory.remains() == {}
