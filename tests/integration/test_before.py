"""What runs before the services are rolled out, and what its failure means."""

from __future__ import annotations

from typing import Any

from configuration import image
from harness import Site, until


def before(command: list[str], service: str = "flask") -> dict[str, Any]:
    """A configuration with this command."""
    return {"deploy": {"before": {"service": service, "command": command}}}


def runs(site: Site) -> list[dict[str, Any]]:
    """The tasks of this kind that ECS remembers."""
    ecs, found = site.aws.ecs, []
    for status in ("RUNNING", "STOPPED"):
        listed = ecs.list_tasks(cluster="staging-ecs-cluster", startedBy="pb-deploy/before", desiredStatus=status)
        if listed["taskArns"]:
            call = ecs.describe_tasks(cluster="staging-ecs-cluster", tasks=listed["taskArns"], include=["TAGS"])
            found += call["tasks"]
    return sorted(found, key=lambda task: task["createdAt"])


def revisions(site: Site) -> dict[str, str]:
    """What each service runs."""
    services = site.world.services().values()
    return {service["serviceName"]: service["taskDefinition"].rsplit("/", 1)[-1] for service in services}


def test_it_runs_once_for_each_revision_before_the_rollout(site: Site) -> None:
    site.configure(before(["echo", "migrated"]))
    since = site.mark()
    site.deploy()
    calls = site.mutations(since)
    assert calls.index("ecs:RunTask") < min(at for at, call in enumerate(calls) if call == "ecs:CreateService")
    [task] = runs(site)
    assert task["overrides"]["containerOverrides"][0]["command"] == ["echo", "migrated"]
    assert task["taskDefinitionArn"].endswith("/staging-flask:1")
    tags = {tag["key"]: tag["value"] for tag in task["tags"]}
    assert tags["pb-deploy:address"] == "fargate/before"
    site.finds_nothing()

    site.configure({"services": {"celery": {"count": 2}}})
    site.deploy()
    assert len(runs(site)) == 1, "the service that it runs in has no new revision"
    site.configure({"services": {"flask": {"image": image("next")}}})
    assert site.plan().changes["fargate/before"] == "update"
    site.deploy()
    assert [task["taskDefinitionArn"].rsplit(":", 1)[-1] for task in runs(site)] == ["1", "2"]
    site.finds_nothing()


def test_its_failure_stops_the_rollout_and_says_why(site: Site) -> None:
    site.deploy()
    running = revisions(site)
    site.configure(before(["sh", "-c", "exit 7"]))
    site.configure({"services": {name: {"image": image("next")} for name in ("flask", "celery")}})
    since = site.mark()
    failed = site.deploy(code=1)
    assert "`sh -c exit 7` exited with 7: Essential container in task exited" in failed.err
    assert "its last lines: exiting with 7" in failed.err
    assert "nothing was rolled out" in failed.err
    assert "ecs:UpdateService" not in site.mutations(since)
    assert revisions(site) == running

    # The same again runs it again; when it ends well, the rollout goes on.
    since = site.mark()
    site.deploy(code=1)
    assert len(runs(site)) == 2
    calls = site.calls(since)
    before_the_lease = calls[: calls.index("dynamodb:UpdateItem")]
    assert before_the_lease.count("ecs:DescribeTasks") <= 1, "what ended may be looked for under the lease, not before"
    site.configure(before(["true"]))
    site.deploy()
    assert set(revisions(site).values()).isdisjoint(running.values())
    site.finds_nothing()


def test_killed_while_it_runs_it_is_waited_for_and_not_started_twice(site: Site) -> None:
    site.deploy()
    site.configure(before(["sleep", "600"]))
    running = site.start("deploy", "staging", "--yes")
    [task] = until(lambda: [task for task in runs(site) if task["lastStatus"] == "RUNNING"])
    running.kill()
    site.run("unlock", "staging", site.lock_id()).ended()
    again = site.start("deploy", "staging", "--yes")
    until(lambda: "task RUNNING" in again.so_far().err)
    assert len(runs(site)) == 1
    site.aws.ecs.stop_task(cluster="staging-ecs-cluster", task=task["taskArn"], reason="enough")
    ended = again.result().ended(1)
    assert "exited with 143: enough" in ended.err
    site.configure(before(["true"]))
    site.deploy()


def test_destroy_leaves_no_task_behind(site: Site) -> None:
    site.deploy()
    run = site.start("run", "staging", "--", "sleep", "600")
    until(lambda: "task RUNNING" in run.so_far().err)
    run.kill()
    site.destroy()
    assert site.world.owned() == []
