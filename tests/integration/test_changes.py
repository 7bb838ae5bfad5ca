"""Single changes to the configuration: the plan contains, and the deploy makes, exactly the expected changes."""

from __future__ import annotations

from typing import Any

import pytest
from configuration import Table, image
from harness import TestWorkspace
from inventory import tags_of

REGISTER = ["ecs:RegisterTaskDefinition", "ecs:UpdateService"]
HTTPS = {"protocol": "tcp", "port": 443, "cidr": "0.0.0.0/0", "description": "HTTPS"}
POSTGRES = {"protocol": "tcp", "port": 5432, "cidr": "192.0.2.0/24", "description": "database"}
NTP = {"protocol": "udp", "port": 123, "cidr": "0.0.0.0/0", "description": "clock"}


def flask(**changes: Any) -> Table:
    """Returns a configuration change that affects the web service."""
    return {"services": {"flask": changes}}


def celery(**changes: Any) -> Table:
    """Returns a configuration change that affects the workers."""
    return {"services": {"celery": changes}}


def balancer(**changes: Any) -> Table:
    """Returns a configuration change that affects the load balancer."""
    return {"load_balancer": changes}


#: Configuration change, planned actions by address, and mutating calls apart from those for the state and the lease.
IN_PLACE: dict[str, tuple[Table, dict[str, str], list[str]]] = {
    "count": (celery(count=2), {"fargate/celery": "update"}, ["ecs:UpdateService"]),
    "two counts": (
        {"services": {"flask": {"count": 2}, "celery": {"count": 3}}},
        {"fargate/celery": "update", "fargate/flask": "update"},
        ["ecs:UpdateService", "ecs:UpdateService"],
    ),
    "image tag": (
        flask(image=image("two")),
        {"fargate/flask_task": "update", "fargate/flask": "update"},
        REGISTER,
    ),
    "image with registry": (
        flask(image="ghcr.io/team/app:9"),
        {"fargate/flask_task": "update", "fargate/flask": "update"},
        REGISTER,
    ),
    "task size": (
        celery(cpu=2048, memory=8192),
        {"fargate/celery_task": "update", "fargate/celery": "update"},
        REGISTER,
    ),
    "environment variable": (
        celery(environment={"LEVEL": "debug"}),
        {"fargate/celery_task": "update", "fargate/celery": "update"},
        REGISTER,
    ),
    "command": (
        celery(command=["celery", "-A", "app", "worker"]),
        {"fargate/celery_task": "update", "fargate/celery": "update"},
        REGISTER,
    ),
    "circuit breaker threshold": (flask(breaker_threshold=3), {"fargate/flask": "update"}, ["ecs:UpdateService"]),
    "grace period": (flask(health_check_grace_seconds=90), {"fargate/flask": "update"}, ["ecs:UpdateService"]),
    "health path": (
        balancer(health_path="/health"),
        {"edge/targets": "update"},
        ["elasticloadbalancing:ModifyTargetGroup"],
    ),
    "deregistration delay": (
        balancer(deregistration_delay=20),
        {"edge/targets": "update"},
        ["elasticloadbalancing:ModifyTargetGroupAttributes"],
    ),
    "deletion protection": (
        balancer(deletion_protection=True),
        {"edge/balancer": "update"},
        ["elasticloadbalancing:ModifyLoadBalancerAttributes"],
    ),
    "added egress rule": (
        {"network": {"egress": [HTTPS, POSTGRES]}},
        {"net/celery_out_tcp_5432_192-0-2-0_24": "create", "net/flask_out_tcp_5432_192-0-2-0_24": "create"},
        ["ec2:AuthorizeSecurityGroupEgress"] * 2,
    ),
    "replaced egress rule": (
        {"network": {"egress": [HTTPS, NTP]}},
        {
            "net/celery_out_tcp_5432_192-0-2-0_24": "delete",
            "net/flask_out_tcp_5432_192-0-2-0_24": "delete",
            "net/celery_out_udp_123_any": "create",
            "net/flask_out_udp_123_any": "create",
        },
        ["ec2:AuthorizeSecurityGroupEgress"] * 2 + ["ec2:RevokeSecurityGroupEgress"] * 2,
    ),
    "egress rule description": (
        {"network": {"egress": [{**HTTPS, "description": "the web"}]}},
        {"net/celery_out_tcp_443_any": "update", "net/flask_out_tcp_443_any": "update"},
        ["ec2:ModifySecurityGroupRules"] * 2,
    ),
    "ingress CIDRs": (
        balancer(ingress_cidrs=["198.51.100.0/24"]),
        {"net/lb_in_80_198-51-100-0_24": "create", "net/lb_in_80_any": "delete"},
        ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"],
    ),
    "log retention": ({"logs": {"retention_days": 7}}, {"fargate/logs": "update"}, ["logs:PutRetentionPolicy"]),
    "node type": (
        {"redis": {"node_type": "cache.t3.medium"}},
        {"redis/jobqr": "update"},
        ["elasticache:ModifyReplicationGroup"],
    ),
}


#: Configuration that is deployed before a change, by the name of the change.
DEPLOYED_FIRST = {"replaced egress rule": {"network": {"egress": [HTTPS, POSTGRES]}}}
#: Capabilities of the endpoint that a change needs, by the name of the change.
NEEDS = {"circuit breaker threshold": ["ecs-threshold"]}
#: One change per AWS service.
SAMPLE = {"count", "image tag", "health path", "added egress rule", "log retention", "node type"}


def marked(name: str) -> Any:
    """Returns a change's name as a test parameter, with marks for the needed capabilities and for the sample."""
    sample = [pytest.mark.sample] if name in SAMPLE else []
    return pytest.param(name, marks=[pytest.mark.needs(*NEEDS.get(name, [])), *sample])


@pytest.mark.parametrize("name", [marked(name) for name in IN_PLACE])
def test_configuration_change_updates_only_affected_resources(staging: TestWorkspace, name: str) -> None:
    change, planned, expected_calls = IN_PLACE[name]
    if name in DEPLOYED_FIRST:
        staging.configure(DEPLOYED_FIRST[name])
        staging.deploy()
    staging.configure(change)
    plan = staging.plan()
    assert plan.changes == planned
    assert {plan.origin(a) for a, action in planned.items() if action == "update"} <= {"configuration"}
    since = staging.mark()
    staging.deploy()
    assert staging.writes(since) == sorted(expected_calls)
    staging.assert_no_changes()


def test_plan_shows_old_and_new_value(staging: TestWorkspace) -> None:
    staging.configure(celery(count=6))
    assert staging.plan().fields("fargate/celery") == {"desired_count": (4, 6)}
    text = staging.run("plan", "staging", "--detailed-exitcode").expect_exit(2).out
    assert "  ~ fargate/celery  ecs.service" in text
    assert "~ desired_count: 4 -> 6" in text
    assert "Plan: 0 to add, 1 to change, 0 to replace, 0 to destroy." in text
    staging.deploy()
    assert staging.inventory.services()["staging-celery"]["desiredCount"] == 6
    staging.assert_no_changes()


@pytest.mark.sample
def test_new_image_rolls_out_and_keeps_old_revision(staging: TestWorkspace) -> None:
    old = staging.inventory.services()["staging-flask"]["taskDefinition"]
    staging.configure(flask(image=image("three")))
    staging.deploy()
    service = staging.inventory.services()["staging-flask"]
    assert service["taskDefinition"] != old
    ecs = staging.aws.ecs
    new = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    assert new["containerDefinitions"][0]["image"] == image("three")
    assert ecs.describe_task_definition(taskDefinition=old)["taskDefinition"]["status"] == "ACTIVE"
    (deployment,) = service["deployments"]
    assert (deployment["rolloutState"], deployment["taskDefinition"]) == ("COMPLETED", service["taskDefinition"])
    staging.assert_no_changes()


@pytest.mark.sample
def test_tag_is_added_to_and_removed_from_all_resources(workspace: TestWorkspace) -> None:
    workspace.deploy()
    everything = {
        kind: getattr(workspace.inventory, kind)()
        for kind in workspace.inventory.KINDS
        if kind not in ("records", "interfaces")
    }
    tagged_count = sum(1 for resources in everything.values() for resource in resources.values() if tags_of(resource))
    for tags, present in (({"team": "api"}, True), ({"team": None}, False)):
        workspace.configure({"tags": tags})
        plan = workspace.plan()
        assert set(plan.changes.values()) == {"update"} and len(plan.changes) == tagged_count
        assert all(set(plan.fields(address)) == {"tags.team"} for address in plan.changes)
        since = workspace.mark()
        workspace.deploy()
        calls = {call.split(":")[1] for call in workspace.writes(since)}
        assert calls <= {
            "CreateTags", "DeleteTags", "AddTags", "RemoveTags", "AddTagsToResource", "RemoveTagsFromResource",
            "TagResource", "UntagResource",
        }, calls  # fmt: skip
        with_tag = [
            resource
            for kind in everything
            for resource in getattr(workspace.inventory, kind)().values()
            if tags_of(resource).get("team") == "api"
        ]
        assert len(with_tag) == (tagged_count if present else 0)
        workspace.assert_no_changes()
