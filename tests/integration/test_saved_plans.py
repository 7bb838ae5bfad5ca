"""Saved plans, which can be applied only once and only while their inputs are unchanged; lost and outdated snapshots."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from configuration import image
from harness import TestWorkspace


def save_plan(workspace: TestWorkspace, *arguments: str) -> str:
    """Saves a plan and returns the name of its file."""
    result = workspace.run("plan", "staging", "--out", "a.plan", *arguments).expect_exit()
    assert "apply a.plan" in result.err
    return "a.plan"


def test_saved_plan_is_applied_once(workspace: TestWorkspace) -> None:
    plan = save_plan(workspace)
    assert workspace.mutations() == [], "planning writes nothing"
    result = workspace.run("apply", plan).expect_exit()
    assert result.out == "http://staging.ospcapi.org\n"
    workspace.assert_no_changes()
    since = workspace.mark()
    again = workspace.run("apply", plan).expect_exit(1)
    assert "it has already been applied" in again.err
    assert workspace.writes(since) == []


def test_saved_plan_is_shown_as_text_and_json(workspace: TestWorkspace) -> None:
    plan = save_plan(workspace)
    text = workspace.run("show", plan).expect_exit().out
    assert text.startswith("To deploy staging") and "Plan: 33 to add" in text
    document = workspace.run("show", plan, "--json").expect_exit().json()
    assert document == json.loads((workspace.folder / plan).read_text(encoding="utf-8"))
    assert (document["format"], document["operation"], document["bound"]["workspace"]) == (1, "deploy", "staging")


@pytest.mark.unserved("the plan that is applied deletes everything")
def test_saved_destroy_plan_deletes_everything(workspace: TestWorkspace) -> None:
    workspace.deploy()
    workspace.run("apply", save_plan(workspace, "--destroy")).expect_exit()
    assert workspace.inventory.remains() == {}


def configuration_changed(workspace: TestWorkspace) -> None:
    workspace.configure({"logs": {"retention_days": 3}})


def drifted(workspace: TestWorkspace) -> None:
    workspace.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=2)


def deployed(workspace: TestWorkspace) -> None:
    workspace.configure({"logs": {"retention_days": 14}})
    workspace.deploy()
    workspace.configure({"logs": {"retention_days": None}})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (configuration_changed, "the configuration has changed since"),
        (drifted, "resources in AWS have changed since"),
        (deployed, "another run has changed the state since"),
    ],
)
def test_saved_plan_is_refused_after_a_change(
    staging: TestWorkspace, change: Callable[[TestWorkspace], Any], reason: str
) -> None:
    staging.configure({"services": {"celery": {"count": 5}}})
    plan = save_plan(staging)
    change(staging)
    since = staging.mark()
    result = staging.run("apply", plan).expect_exit(1)
    assert "saved plan refused (nothing was changed)" in result.err and reason in result.err, result
    assert staging.writes(since) == []
    staging.deploy()
    staging.assert_no_changes()


def test_saved_plan_of_another_account_is_refused(new_workspace: Callable[[], TestWorkspace]) -> None:
    workspace, other = new_workspace(), new_workspace()
    (other.folder / "a.plan").write_bytes((workspace.folder / save_plan(workspace)).read_bytes())
    result = other.run("apply", "a.plan").expect_exit(1)
    assert f"it was created for account {workspace.account}, not {other.account}" in result.err
    assert other.inventory.remains() == {}


def state_recreated(workspace: TestWorkspace) -> None:
    """Deletes all snapshots and deploys, so that the state has a new lineage."""
    delete_snapshots(workspace)
    workspace.run("deploy", "staging", "--yes").expect_exit()


def region_changed(workspace: TestWorkspace) -> None:
    workspace.configure({"region": "us-west-2", "network": {"zones": None}})


def workspace_removed(workspace: TestWorkspace) -> None:
    workspace.configure({"workspace": {"staging": None}})


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (state_recreated, 1, "the state has another lineage"),
        (region_changed, 1, "it was created for region us-east-2, not us-west-2"),
        (workspace_removed, 64, "no workspace `staging`"),
    ],
)
def test_saved_plan_of_another_state_or_region_is_refused(
    workspace: TestWorkspace, change: Callable[[TestWorkspace], Any], code: int, reason: str
) -> None:
    workspace.deploy()
    workspace.configure({"logs": {"retention_days": 3}})
    plan = save_plan(workspace)
    change(workspace)
    since = workspace.mark()
    result = workspace.run("apply", plan).expect_exit(code)
    assert reason in result.err, result
    assert workspace.writes(since) == []


def test_edited_saved_plan_is_refused(staging: TestWorkspace) -> None:
    before = staging.config.get("logs")
    staging.configure({"logs": {"retention_days": 5}})
    plan = staging.folder / save_plan(staging)
    document = json.loads(plan.read_text(encoding="utf-8"))
    (step,) = [step for step in document["plan"]["steps"] if step["action"]["do"] != "no_op"]
    step["changes"][0]["after"] = 3653
    plan.write_text(json.dumps(document), encoding="utf-8")
    since = staging.mark()
    assert "would compute a different plan" in staging.run("apply", "a.plan").expect_exit(1).err
    document["bound"]["workspace"] = "production"
    plan.write_text(json.dumps(document), encoding="utf-8")
    assert "saved plan refused" in staging.run("apply", "a.plan").expect_exit(1).err
    assert staging.writes(since) == []
    staging.configure({"logs": before or {"retention_days": None}})
    staging.assert_no_changes()


def test_invalid_plan_file_is_refused(workspace: TestWorkspace) -> None:
    plan = workspace.folder / save_plan(workspace)
    document = json.loads(plan.read_text(encoding="utf-8"))
    for text, reason in (
        ("{", "is not a saved plan"),
        ("{}", "is not a saved plan"),
        (json.dumps({**document, "format": 2}), "has format 2"),
        (json.dumps({**document, "more": 1}), "is not a saved plan"),
    ):
        plan.write_text(text, encoding="utf-8")
        assert reason in workspace.run("apply", "a.plan").expect_exit(1).err
    assert "cannot read" in workspace.run("apply", "nowhere.plan").expect_exit(1).err
    assert workspace.mutations() == []


def delete_snapshots(workspace: TestWorkspace) -> None:
    """Deletes the snapshot with all of its versions."""
    bucket, s3 = workspace.config["state"]["bucket"], workspace.aws.s3
    for version in s3.list_object_versions(Bucket=bucket).get("Versions", []):
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    assert not s3.list_objects_v2(Bucket=bucket).get("Contents")


def test_lost_snapshot_causes_no_changes(staging: TestWorkspace) -> None:
    delete_snapshots(staging)
    assert staging.plan().changes == {}
    since = staging.mark()
    staging.deploy()
    assert staging.writes(since) == [], "only the snapshot is written"
    assert len(staging.state_object()["snapshot"]["resources"]) == 33
    staging.assert_no_changes()


def test_change_after_lost_snapshot_is_the_only_change(staging: TestWorkspace) -> None:
    delete_snapshots(staging)
    staging.configure({"services": {"celery": {"count": 3}}})
    assert staging.plan().changes == {"fargate/celery": "update"}
    since = staging.mark()
    staging.deploy()
    assert staging.writes(since) == ["ecs:UpdateService"]
    staging.assert_no_changes()


def test_destroy_after_lost_snapshot_deletes_everything(workspace: TestWorkspace) -> None:
    workspace.deploy()
    delete_snapshots(workspace)
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_outdated_snapshot_causes_no_changes(staging: TestWorkspace) -> None:
    bucket, s3 = staging.config["state"]["bucket"], staging.aws.s3
    old = s3.get_object(Bucket=bucket, Key=staging.state_key())["Body"].read()
    staging.configure({"services": {"flask": {"image": image("next")}}})
    staging.deploy()
    staging.put_state(old)
    assert staging.plan().changes == {}
    staging.assert_no_changes()
