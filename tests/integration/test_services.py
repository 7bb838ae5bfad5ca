"""Services other than Flask and Celery: web services with listener rules, worker pools, and the scheduler."""

from __future__ import annotations

from typing import Any

import pytest
from configuration import image
from harness import TestWorkspace

BEAT = ["celery", "-A", "app", "beat"]
ADDED_SERVICES: dict[str, Any] = {
    "api": {"kind": "web", "hosts": ["api"], "paths": ["/v1/*"], "port": 8000, "health_path": "/healthz"},
    "admin": {"kind": "web", "paths": ["/admin/*"], "count": 2},
    "reports": {"kind": "worker", "queues": ["reports", "mail"], "count": 3},
    "beat": {"kind": "scheduler", "command": BEAT},
}
for _service in ADDED_SERVICES.values():
    _service["image"] = image("app")


def listener_rules(workspace: TestWorkspace) -> list[tuple[str, list[str], list[str], str]]:
    """Returns the priority, hosts, paths and target group name of each listener rule, in order of evaluation."""
    elb = workspace.aws.elbv2
    listener = next(iter(workspace.inventory.listeners()))
    names = {
        group["TargetGroupArn"]: group["TargetGroupName"] for group in elb.describe_target_groups()["TargetGroups"]
    }
    rules = []
    for rule in elb.describe_rules(ListenerArn=listener)["Rules"]:
        values: dict[str, list[str]] = {}
        for condition in rule["Conditions"]:
            config = condition.get("HostHeaderConfig") or condition.get("PathPatternConfig") or condition
            values[condition["Field"]] = config["Values"]
        target = names[rule["Actions"][0]["TargetGroupArn"]]
        rules.append((rule["Priority"], values.get("host-header", []), values.get("path-pattern", []), target))
    return sorted(rules, key=lambda rule: (rule[0] == "default", rule[0]))


def container_of(workspace: TestWorkspace, family: str) -> dict[str, Any]:
    """Returns the container definition in the latest revision of a task definition family."""
    described = workspace.aws.ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
    return described["containerDefinitions"][0]


@pytest.mark.needs("interfaces")
def test_added_services_leave_existing_resources_unchanged(staging: TestWorkspace) -> None:
    before = {address: identity for address, identity in staging.inventory.managed_resources()}
    staging.configure({"services": ADDED_SERVICES})
    plan = staging.plan()
    assert set(plan.changes.values()) == {"create"}, "the two existing services and their resources are unchanged"
    assert {address for address in plan.changes if address.startswith("edge/")} == {
        "edge/api_targets", "edge/api_rule", "edge/record_api_staging_ospcapi_org", "edge/admin_targets", "edge/admin_rule",
    }  # fmt: skip
    staging.deploy()
    after = {address: identity for address, identity in staging.inventory.managed_resources()}
    assert before.items() <= after.items()

    assert listener_rules(staging) == [
        ("1001", ["api.staging.ospcapi.org"], ["/v1/*"], "staging-api-8000"),
        ("1002", [], ["/admin/*"], "staging-admin-5050"),
        ("default", [], [], "staging-flask-5050"),
    ]
    services = {service["serviceName"]: service for service in staging.inventory.services().values()}
    assert {name: service["runningCount"] for name, service in services.items()} == {
        "staging-flask": 1, "staging-celery": 4, "staging-api": 1, "staging-admin": 2, "staging-reports": 3,
        "staging-beat": 1,
    }  # fmt: skip
    beat = services["staging-beat"]["deploymentConfiguration"]
    assert (beat["minimumHealthyPercent"], beat["maximumPercent"]) == (0, 100)
    assert container_of(staging, "staging-beat")["command"] == BEAT
    environment = {pair["name"]: pair["value"] for pair in container_of(staging, "staging-reports")["environment"]}
    assert environment["CELERY_WORKER_QUEUES"] == "reports,mail"
    environment = {pair["name"]: pair["value"] for pair in container_of(staging, "staging-beat")["environment"]}
    assert environment["CELERY_BEAT_SCHEDULE"] == "/tmp/celerybeat-schedule"
    assert container_of(staging, "staging-api")["portMappings"][0]["containerPort"] == 8000
    groups = {group["GroupId"]: group["GroupName"] for group in staging.inventory.groups().values()}
    ports = {
        (groups[rule["GroupId"]], rule["IsEgress"], rule["FromPort"])
        for rule in staging.inventory.rules().values()
        if rule["FromPort"] == 8000
    }
    assert ports == {("staging-lb-public", True, 8000), ("staging-ecs-flask-sg", False, 8000)}
    staging.assert_no_changes()


def test_rule_reordering_updates_rules_in_place(staging: TestWorkspace) -> None:
    staging.configure(
        {
            "services": {
                "admin": ADDED_SERVICES["admin"],
                "longer": {"kind": "web", "paths": ["/admin/reports/*"], "image": image("app")},
            }
        }
    )
    staging.deploy()
    first = {rule[3]: rule[0] for rule in listener_rules(staging)}
    assert first["staging-longer-5050"] < first["staging-admin-5050"]
    staging.configure({"services": {"longer": {"paths": ["/a"]}}})
    plan = staging.plan()
    assert plan.changes["edge/longer_rule"] == "update" and plan.changes["edge/admin_rule"] == "update"
    since = staging.mark()
    staging.deploy()
    moved = {rule[3]: rule[0] for rule in listener_rules(staging)}
    assert moved["staging-longer-5050"] > moved["staging-admin-5050"]
    calls = staging.mutations(since)
    assert "elasticloadbalancing:DeleteRule" not in calls and "elasticloadbalancing:CreateRule" not in calls
    staging.assert_no_changes()


def test_removed_services_are_deleted_with_their_resources(staging: TestWorkspace) -> None:
    staging.configure({"services": ADDED_SERVICES})
    staging.deploy()
    staging.configure({"services": dict.fromkeys(ADDED_SERVICES)})
    plan = staging.plan()
    assert set(plan.changes.values()) == {"delete"}
    staging.deploy()
    assert listener_rules(staging) == [("default", [], [], "staging-flask-5050")]
    remaining = {service["serviceName"] for service in staging.inventory.services().values()}
    assert remaining == {"staging-flask", "staging-celery"}
    staging.assert_no_changes()


def test_unmanaged_rule_with_needed_priority_is_refused(staging: TestWorkspace) -> None:
    elb, listener = staging.aws.elbv2, next(iter(staging.inventory.listeners()))
    group = next(iter(staging.inventory.target_groups().values()))["TargetGroupArn"]
    unmanaged = elb.create_rule(
        ListenerArn=listener, Priority=1001, Actions=[{"Type": "forward", "TargetGroupArn": group}],
        Conditions=[{"Field": "path-pattern", "Values": ["/theirs/*"]}],
    )["Rules"][0]["RuleArn"]  # fmt: skip
    staging.configure({"services": {"admin": ADDED_SERVICES["admin"]}})
    refused = staging.run("plan", "staging").expect_exit(1)
    assert "the listener rule with priority 1001" in refused.err
    elb.delete_rule(RuleArn=unmanaged)
    staging.configure({"services": {"admin": None}})
    staging.assert_no_changes()


def test_second_scheduler_is_refused_before_any_call(staging: TestWorkspace) -> None:
    since = staging.mark()
    staging.configure({"services": {"beat": {**ADDED_SERVICES["beat"], "count": 2}}})
    assert "two schedulers could run at once" in staging.run("deploy", "staging", "--yes").expect_exit(1).err
    staging.configure({"services": {"beat": ADDED_SERVICES["beat"], "clock": {**ADDED_SERVICES["beat"]}}})
    assert "there is already a scheduler" in staging.run("deploy", "staging", "--yes").expect_exit(1).err
    assert staging.calls(since) == []
    staging.configure({"services": {"beat": None, "clock": None}})
    staging.mark_unchanged()


def test_hundred_worker_pools_are_deployed_and_destroyed(workspace: TestWorkspace) -> None:
    pools = {
        f"pool-{number:03}": {"kind": "worker", "queues": [f"q{number}"], "count": 1, "image": image("app")}
        for number in range(100)
    }
    workspace.configure({"services": pools})
    workspace.deploy()
    services = workspace.inventory.services().values()
    assert len(services) == 102 and all(service["runningCount"] == service["desiredCount"] for service in services)
    since = workspace.mark()
    workspace.assert_no_changes()
    reads = [call for call in workspace.calls(since) if call == "ecs:DescribeServices"]
    assert len(reads) == 11, "each call describes up to ten services"
    workspace.destroy()
    assert workspace.inventory.managed_resources() == []
