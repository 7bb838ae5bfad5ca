"""What runs before the services are rolled out, and what its failure means."""

from __future__ import annotations

from typing import Any

from configuration import image
from harness import TestWorkspace, until


def before(command: list[str], service: str = "flask") -> dict[str, Any]:
    """A configuration with this command."""
    return {"deploy": {"before": {"service": service, "command": command}}}


def runs(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """The tasks of this kind that ECS remembers."""
    ecs, found = workspace.aws.ecs, []
    for status in ("RUNNING", "STOPPED"):
        listed = ecs.list_tasks(cluster="staging-ecs-cluster", startedBy="pb-deploy/before", desiredStatus=status)
        if listed["taskArns"]:
            call = ecs.describe_tasks(cluster="staging-ecs-cluster", tasks=listed["taskArns"], include=["TAGS"])
            found += call["tasks"]
    return sorted(found, key=lambda task: task["createdAt"])


def revisions(workspace: TestWorkspace) -> dict[str, str]:
    """What each service runs."""
    services = workspace.inventory.services().values()
    return {service["serviceName"]: service["taskDefinition"].rsplit("/", 1)[-1] for service in services}


def test_it_runs_once_for_each_revision_before_the_rollout(workspace: TestWorkspace) -> None:
    workspace.configure(before(["echo", "migrated"]))
    since = workspace.mark()
    workspace.deploy()
    calls = workspace.mutations(since)
    assert calls.index("ecs:RunTask") < min(at for at, call in enumerate(calls) if call == "ecs:CreateService")
    [task] = runs(workspace)
    assert task["overrides"]["containerOverrides"][0]["command"] == ["echo", "migrated"]
    assert task["taskDefinitionArn"].endswith("/staging-flask:1")
    tags = {tag["key"]: tag["value"] for tag in task["tags"]}
    assert tags["pb-deploy:address"] == "fargate/before"
    workspace.assert_no_changes()

    workspace.configure({"services": {"celery": {"count": 2}}})
    workspace.deploy()
    assert len(runs(workspace)) == 1, "the service that it runs in has no new revision"
    workspace.configure({"services": {"flask": {"image": image("next")}}})
    assert workspace.plan().changes["fargate/before"] == "update"
    workspace.deploy()
    assert [task["taskDefinitionArn"].rsplit(":", 1)[-1] for task in runs(workspace)] == ["1", "2"]
    workspace.assert_no_changes()


def test_its_failure_stops_the_rollout_and_says_why(workspace: TestWorkspace) -> None:
    workspace.deploy()
    running = revisions(workspace)
    workspace.configure(before(["sh", "-c", "exit 7"]))
    workspace.configure({"services": {name: {"image": image("next")} for name in ("flask", "celery")}})
    since = workspace.mark()
    failed = workspace.deploy(code=1)
    assert "`sh -c exit 7` exited with 7: Essential container in task exited" in failed.err
    assert "its last lines: exiting with 7" in failed.err
    assert "nothing was rolled out" in failed.err
    assert "ecs:UpdateService" not in workspace.mutations(since)
    assert revisions(workspace) == running

    # The same again runs it again; when it ends well, the rollout goes on.
    since = workspace.mark()
    workspace.deploy(code=1)
    assert len(runs(workspace)) == 2
    calls = workspace.calls(since)
    before_the_lease = calls[: calls.index("dynamodb:UpdateItem")]
    assert before_the_lease.count("ecs:DescribeTasks") <= 1, "what ended may be looked for under the lease, not before"
    workspace.configure(before(["true"]))
    workspace.deploy()
    assert set(revisions(workspace).values()).isdisjoint(running.values())
    workspace.assert_no_changes()


def test_killed_while_it_runs_it_is_waited_for_and_not_started_twice(workspace: TestWorkspace) -> None:
    workspace.deploy()
    workspace.configure(before(["sleep", "600"]))
    running = workspace.start("deploy", "staging", "--yes")
    [task] = until(lambda: [task for task in runs(workspace) if task["lastStatus"] == "RUNNING"])
    running.kill()
    workspace.run("unlock", "staging", workspace.lock_id()).expect_exit()
    again = workspace.start("deploy", "staging", "--yes")
    until(lambda: "task RUNNING" in again.output_so_far().err)
    assert len(runs(workspace)) == 1
    workspace.aws.ecs.stop_task(cluster="staging-ecs-cluster", task=task["taskArn"], reason="enough")
    ended = again.result().expect_exit(1)
    assert "exited with 143: enough" in ended.err
    workspace.configure(before(["true"]))
    workspace.deploy()


def test_destroy_leaves_no_task_behind(workspace: TestWorkspace) -> None:
    workspace.deploy()
    run = workspace.start("run", "staging", "--", "sleep", "600")
    until(lambda: "task RUNNING" in run.output_so_far().err)
    run.kill()
    workspace.destroy()
    assert workspace.inventory.owned() == []
