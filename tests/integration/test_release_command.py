"""The release command, which runs before services roll out, and the consequences of its failure."""

from __future__ import annotations

from typing import Any

from configuration import image
from harness import TestWorkspace, until


def release_command(command: list[str], service: str = "flask") -> dict[str, Any]:
    """Returns a configuration with this release command."""
    return {"deploy": {"before": {"service": service, "command": command}}}


def release_tasks(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """Returns the release command tasks that ECS still lists, oldest first."""
    ecs, tasks = workspace.aws.ecs, []
    for status in ("RUNNING", "STOPPED"):
        listed = ecs.list_tasks(cluster="staging-ecs-cluster", startedBy="pb-deploy/before", desiredStatus=status)
        if listed["taskArns"]:
            description = ecs.describe_tasks(cluster="staging-ecs-cluster", tasks=listed["taskArns"], include=["TAGS"])
            tasks += description["tasks"]
    return sorted(tasks, key=lambda task: task["createdAt"])


def revisions(workspace: TestWorkspace) -> dict[str, str]:
    """Returns the revision in use of each service by name."""
    services = workspace.inventory.services().values()
    return {service["serviceName"]: service["taskDefinition"].rsplit("/", 1)[-1] for service in services}


def test_release_command_runs_once_per_revision_before_rollout(workspace: TestWorkspace) -> None:
    workspace.configure(release_command(["echo", "migrated"]))
    since = workspace.mark()
    workspace.deploy()
    calls = workspace.mutations(since)
    assert calls.index("ecs:RunTask") < min(at for at, call in enumerate(calls) if call == "ecs:CreateService")
    [task] = release_tasks(workspace)
    assert task["overrides"]["containerOverrides"][0]["command"] == ["echo", "migrated"]
    assert task["taskDefinitionArn"].endswith("/staging-flask:1")
    tags = {tag["key"]: tag["value"] for tag in task["tags"]}
    assert tags["pb-deploy:address"] == "fargate/before"
    workspace.assert_no_changes()

    workspace.configure({"services": {"celery": {"count": 2}}})
    workspace.deploy()
    assert len(release_tasks(workspace)) == 1, "no second release command runs, because its service has no new revision"
    workspace.configure({"services": {"flask": {"image": image("next")}}})
    assert workspace.plan().changes["fargate/before"] == "update"
    workspace.deploy()
    assert [task["taskDefinitionArn"].rsplit(":", 1)[-1] for task in release_tasks(workspace)] == ["1", "2"]
    workspace.assert_no_changes()


def test_failed_release_command_stops_rollout_with_reason(workspace: TestWorkspace) -> None:
    workspace.deploy()
    revisions_before = revisions(workspace)
    workspace.configure(release_command(["sh", "-c", "exit 7"]))
    workspace.configure({"services": {name: {"image": image("next")} for name in ("flask", "celery")}})
    since = workspace.mark()
    failed = workspace.deploy(code=1)
    assert "`sh -c exit 7` exited with code 7: Essential container in task exited" in failed.err
    assert "last log lines: exiting with 7" in failed.err
    assert "nothing was rolled out" in failed.err
    assert "ecs:UpdateService" not in workspace.mutations(since)
    assert revisions(workspace) == revisions_before

    # A second deploy runs the failed command again. The rollout starts only once the command succeeds.
    since = workspace.mark()
    workspace.deploy(code=1)
    assert len(release_tasks(workspace)) == 2
    calls = workspace.calls(since)
    calls_before_lease = calls[: calls.index("dynamodb:UpdateItem")]
    assert calls_before_lease.count("ecs:DescribeTasks") <= 1, "stopped tasks are looked up under the lease, not before"
    workspace.configure(release_command(["true"]))
    workspace.deploy()
    assert set(revisions(workspace).values()).isdisjoint(revisions_before.values())
    workspace.assert_no_changes()


def test_running_release_command_is_awaited_after_kill(workspace: TestWorkspace) -> None:
    workspace.deploy()
    workspace.configure(release_command(["sleep", "600"]))
    running = workspace.start("deploy", "staging", "--yes")
    [task] = until(lambda: [task for task in release_tasks(workspace) if task["lastStatus"] == "RUNNING"])
    running.kill()
    workspace.run("unlock", "staging", workspace.lock_id()).expect_exit()
    again = workspace.start("deploy", "staging", "--yes")
    until(lambda: "task RUNNING" in again.output_so_far().err)
    assert len(release_tasks(workspace)) == 1
    workspace.aws.ecs.stop_task(cluster="staging-ecs-cluster", task=task["taskArn"], reason="enough")
    ended = again.result().expect_exit(1)
    assert "exited with code 143: enough" in ended.err
    workspace.configure(release_command(["true"]))
    workspace.deploy()


def test_destroy_stops_one_off_tasks(workspace: TestWorkspace) -> None:
    workspace.deploy()
    run = workspace.start("run", "staging", "--", "sleep", "600")
    until(lambda: "task RUNNING" in run.output_so_far().err)
    run.kill()
    workspace.destroy()
    assert workspace.inventory.managed_resources() == []
