"""Plan options: `--target`, `--replace`, `--refresh-only`, `ignore_changes`; and the drift report."""

from __future__ import annotations

from harness import TestWorkspace

CELERY = "fargate/celery"


def scale(workspace: TestWorkspace, count: int) -> None:
    """Changes the desired count of the workers outside of pb-deploy."""
    workspace.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=count)


def test_target_deploys_dependencies_and_destroys_dependents(workspace: TestWorkspace) -> None:
    workspace.run("deploy", "staging", "--yes", "--target", "net/tasks_subnet").expect_exit()
    assert set(workspace.state_object()["snapshot"]["resources"]) == {"net/vpc", "net/tasks_subnet"}
    again = workspace.run("deploy", "staging", "--yes", "--target", "net/tasks_subnet").expect_exit()
    assert "targeted resources match the configuration" in again.err
    workspace.deploy()
    workspace.assert_no_changes()
    since = workspace.mark()
    workspace.run("destroy", "staging", "--yes", "--target", "edge/listener").expect_exit()
    writes = workspace.writes(since)
    assert "elasticloadbalancing:DeleteListener" in writes and "ec2:DeleteVpc" not in writes, writes
    assert workspace.run("output", "staging", "vpc").expect_exit().out.startswith("vpc-"), (
        "the remaining resources keep their outputs"
    )
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_target_at_unknown_address_is_a_usage_error(staging: TestWorkspace) -> None:
    since = staging.mark()
    result = staging.run("plan", "staging", "--target", "fargate/celry").expect_exit(64)
    assert 'resource "fargate/celry" not found' in result.err and f"did you mean {CELERY}?" in result.err
    staging.run("plan", "staging", "--replace", "nothing/here").expect_exit(64)
    staging.run("plan", "staging", "--destroy", "--refresh-only").expect_exit(64)
    assert staging.mutations(since) == []
    staging.mark_unchanged()


def test_saved_plan_keeps_its_targets(staging: TestWorkspace) -> None:
    staging.configure({"logs": {"retention_days": 3}, "services": {"celery": {"count": 2}}})
    staging.run("plan", "staging", "--target", "fargate/logs", "--out", "a.plan").expect_exit()
    document = staging.run("show", "a.plan", "--json").expect_exit().json()
    assert document["part"] == {"targets": ["fargate/logs"]}
    since = staging.mark()
    staging.run("apply", "a.plan").expect_exit()
    assert staging.writes(since) == ["logs:PutRetentionPolicy"]
    assert staging.plan().changes == {CELERY: "update"}
    staging.configure({"logs": {"retention_days": None}, "services": {"celery": {"count": None}}})
    staging.deploy()
    staging.assert_no_changes()


def test_replace_option_replaces_the_resource(staging: TestWorkspace) -> None:
    staging.run("plan", "staging", "--replace", CELERY, "--out", "a.plan").expect_exit()
    assert "requested with --replace" in staging.run("show", "a.plan").expect_exit().out
    staging.run("apply", "a.plan").expect_exit()
    staging.assert_no_changes()


def test_drift_is_distinguished_from_configuration_changes(staging: TestWorkspace) -> None:
    assert staging.run("drift", "staging").expect_exit().out.startswith("No drift")
    staging.configure({"services": {"celery": {"count": 2}}})
    assert staging.plan().origin(CELERY) == "configuration"
    staging.run("drift", "staging").expect_exit(0)
    scale(staging, 3)
    assert staging.plan().origin(CELERY) == "both"
    staging.configure({"services": {"celery": {"count": None}}})
    assert staging.plan().origin(CELERY) == "drift"
    text = staging.run("plan", "staging").expect_exit().out
    assert "~ desired_count: 3 -> 4  # changed outside of pb-deploy: was 4" in text
    since = staging.mark()
    report = staging.run("drift", "staging").expect_exit(2)
    assert f"~ {CELERY}" in report.out and "~ desired_count: 4 -> 3" in report.out
    (drift,) = staging.run("drift", "staging", "--json").expect_exit(2).json()["drift"]
    assert (drift["address"], drift["what"]) == (CELERY, "changed")
    assert drift["changes"] == [{"path": "desired_count", "before": 4, "after": 3}]
    assert staging.mutations(since) == []
    staging.deploy()
    staging.assert_no_changes()


def test_drift_includes_deleted_resource(staging: TestWorkspace) -> None:
    staging.aws.logs.delete_log_group(logGroupName="staging-pb_workers")
    (drift,) = staging.run("drift", "staging", "--json").expect_exit(2).json()["drift"]
    assert (drift["address"], drift["what"]) == ("fargate/logs", "deleted")
    staging.deploy()
    staging.assert_no_changes()


def test_ignored_field_keeps_its_live_value(staging: TestWorkspace) -> None:
    scale(staging, 7)
    staging.configure({"ignore_changes": [f"{CELERY}.desired_count"]})
    staging.run("drift", "staging").expect_exit(0)
    staging.run("plan", "staging", "--out", "a.plan").expect_exit()
    staging.run("plan", "staging", "--detailed-exitcode").expect_exit(0)
    staging.configure({"services": {"celery": {"stop_timeout": 60}}})
    staging.run("plan", "staging", "--out", "a.plan").expect_exit()
    scale(staging, 5)
    staging.run("apply", "a.plan").expect_exit()
    (service,) = staging.aws.ecs.describe_services(cluster="staging-ecs-cluster", services=["staging-celery"])[
        "services"
    ]
    assert service["desiredCount"] == 5, "neither the plan nor the deploy resets the count"
    staging.configure({"ignore_changes": None, "services": {"celery": {"stop_timeout": None}}})
    assert staging.plan().fields(CELERY)["desired_count"] == (5, 4)
    staging.deploy()
    staging.assert_no_changes()


def test_ignore_changes_of_unknown_field_is_refused(staging: TestWorkspace) -> None:
    for text, message in (
        ("fargate/celry.count", f"did you mean {CELERY}?"),
        (f"{CELERY}.desired_cuont", "did you mean desired_count?"),
        ("count", "does not have the form ADDRESS.FIELD"),
    ):
        staging.configure({"ignore_changes": [text]})
        assert message in staging.run("plan", "staging").expect_exit(1).err
    staging.configure({"ignore_changes": None})
    staging.mark_unchanged()


def test_refresh_only_records_drift_and_changes_nothing_else(staging: TestWorkspace) -> None:
    scale(staging, 3)
    staging.run("plan", "staging", "--refresh-only", "--detailed-exitcode", "--out", "a.plan").expect_exit(2)
    assert "desired_count: 4 -> 3" in staging.run("show", "a.plan").expect_exit().out
    since = staging.mark()
    staging.run("apply", "a.plan").expect_exit()
    assert staging.writes(since) == []
    assert staging.state_object()["snapshot"]["resources"][CELERY]["spec"]["desired_count"] == 3
    staging.run("drift", "staging").expect_exit(0)
    assert staging.plan().origin(CELERY) == "configuration", "the configuration still has a count of 4"
    assert "it has already been applied" in staging.run("apply", "a.plan").expect_exit(1).err
    scale(staging, 2)
    staging.run("deploy", "staging", "--refresh-only").expect_exit(64)
    staging.run("deploy", "staging", "--refresh-only", "--auto-approve").expect_exit()
    staging.run("plan", "staging", "--refresh-only", "--detailed-exitcode").expect_exit(0)
    staging.deploy()
    staging.assert_no_changes()
