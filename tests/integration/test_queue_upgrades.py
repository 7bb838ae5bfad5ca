"""Changes of the queue's engine and version: in place wherever AWS can do so, and never silently."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from configuration import Table
from endpoint import control
from fault_proxy import FaultProxy
from harness import TestWorkspace, until

pytestmark = pytest.mark.needs("cache-control")

QUEUE, PARAMETERS = "redis/jobqr", "redis/parameters"
MODIFY, CREATE = "elasticache:ModifyReplicationGroup", "elasticache:CreateReplicationGroup"
LOST = "the jobs in the queue and the stored results are lost"
#: Versions of Valkey in the emulator that are newer than 8.0.
NEWER = ["8.1.0", "8.2.0"]


def hide(workspace: TestWorkspace, *versions: str) -> None:
    """Makes AWS offer all versions of Valkey except these."""
    control(workspace.url, "cache-versions", {"account": workspace.account, "hidden": {"valkey": list(versions)}})


def hold(workspace: TestWorkspace, status: str, group: str = "staging-jobqr") -> None:
    """Holds the queue in a status; releases it if the status is empty."""
    place = {"account": workspace.account, "region": workspace.aws.region}
    control(workspace.url, "cache-status", {**place, "group": group, "status": status})


def engine(workspace: TestWorkspace) -> tuple[str, str]:
    """Returns the engine of the queue and its full version."""
    (group,) = workspace.inventory.replication_groups().values()
    (cluster,) = group["Clusters"]
    return cluster["Engine"], cluster["EngineVersion"]


def address(workspace: TestWorkspace) -> str:
    """Returns the host name of the queue."""
    (group,) = workspace.inventory.replication_groups().values()
    return str(group["NodeGroups"][0]["PrimaryEndpoint"]["Address"])


def change_outside(workspace: TestWorkspace, **changes: Any) -> None:
    """Changes the queue outside of pb-deploy, and waits until the change is applied."""
    workspace.aws.elasticache.modify_replication_group(
        ReplicationGroupId="staging-jobqr", ApplyImmediately=True, **changes
    )
    until(lambda: workspace.inventory.replication_groups()["staging-jobqr"]["Status"] == "available")


def assert_upgraded(workspace: TestWorkspace, since: int, old_address: str) -> None:
    """Asserts that one call changed the queue, between the exchange of its parameter groups, and that no task was."""
    calls = [call for call in workspace.mutations(since) if call.startswith(("elasticache:", "ecs:"))]
    assert calls == [
        "elasticache:CreateCacheParameterGroup", "elasticache:ModifyCacheParameterGroup", MODIFY,
        "elasticache:DeleteCacheParameterGroup",
    ]  # fmt: skip
    assert address(workspace) == old_address
    workspace.assert_no_changes()


def test_redis_becomes_the_newest_valkey_in_place(staging: TestWorkspace) -> None:
    before, since = address(staging), staging.mark()
    staging.configure({"redis": {"engine": "valkey"}})
    plan = staging.plan()
    assert plan.changes == {QUEUE: "update", PARAMETERS: "create_first"}
    fields = plan.fields(QUEUE)
    assert (fields["engine"], fields["engine_version"]) == (("redis", "valkey"), ("7.1", "8.2"))
    text = staging.run("plan", "staging").expect_exit().out
    assert "jobs stay: redis 7.1 becomes valkey 8.2 in place" in text and LOST not in text, text
    staging.deploy()
    assert engine(staging) == ("valkey", "8.2.0")
    assert_upgraded(staging, since, before)
    (parameters,) = staging.inventory.cache_parameter_groups().values()
    assert parameters["CacheParameterGroupFamily"] == "valkey8"
    assert parameters["Changed"] == {"maxmemory-policy": "noeviction"}


def test_queue_is_upgraded_in_place_step_by_step(workspace: TestWorkspace) -> None:
    workspace.configure({"redis": {"version": "6.2"}})
    workspace.deploy()
    before = address(workspace)
    for name, version, found in [("redis", "7.1", "7.1.0"), ("valkey", "7.2", "7.2.6"), ("valkey", "8.1", "8.1.0")]:
        since = workspace.mark()
        workspace.configure({"redis": {"engine": name, "version": version}})
        workspace.deploy()
        assert engine(workspace) == (name, found)
        assert_upgraded(workspace, since, before)
    since = workspace.mark()
    workspace.configure({"redis": {"version": "8.2"}})
    workspace.deploy()
    assert engine(workspace) == ("valkey", "8.2.0")
    calls = [call for call in workspace.writes(since) if call.startswith("elasticache:")]
    assert calls == [MODIFY], "the family stays, and with it the parameter group"


def test_version_of_new_queue_is_kept_and_never_raised(workspace: TestWorkspace) -> None:
    hide(workspace, *NEWER)
    workspace.configure({"redis": {"engine": "valkey"}})
    assert "valkey 8.0, the newest version" in workspace.run("doctor", "staging").out
    workspace.deploy()
    assert engine(workspace) == ("valkey", "8.0.1")
    record = workspace.state_object()["snapshot"]["resources"][QUEUE]
    assert record["spec"]["engine_version"] == "8.0"
    hide(workspace)
    since = workspace.mark()
    workspace.assert_no_changes()
    assert "elasticache:DescribeCacheEngineVersions" not in workspace.calls(since)
    found = workspace.run("doctor", "staging").out
    assert "valkey 8.0; newer: 8.1, 8.2" in found, found
    workspace.aws.s3.delete_object(Bucket=workspace.config["state"]["bucket"], Key=workspace.state_key())
    workspace.deploy()
    assert engine(workspace) == ("valkey", "8.0.1"), "the live version counts if the state is lost"
    workspace.configure({"redis": {"port": 6500}})
    workspace.deploy()
    assert engine(workspace) == ("valkey", "8.0.1"), "a replacement keeps the version"


def test_redis_makes_no_call_for_its_version(staging: TestWorkspace) -> None:
    since = staging.mark()
    staging.plan()
    calls = staging.calls(since)
    assert calls.count("elasticache:DescribeCacheClusters") == 1, "only the read of the queue"
    assert "elasticache:DescribeCacheEngineVersions" not in calls


def test_saved_plan_never_gets_a_newer_version(workspace: TestWorkspace) -> None:
    workspace.deploy()
    hide(workspace, *NEWER)
    workspace.configure({"redis": {"engine": "valkey"}})
    workspace.run("plan", "staging", "--out", "upgrade.plan").expect_exit()
    hide(workspace)
    since = workspace.mark()
    workspace.run("apply", "upgrade.plan").expect_exit(1)
    assert MODIFY not in workspace.calls(since) and engine(workspace) == ("redis", "7.1.0")
    hide(workspace, *NEWER)
    workspace.run("apply", "upgrade.plan").expect_exit()
    assert engine(workspace) == ("valkey", "8.0.1")


@pytest.mark.parametrize(
    ("before", "after", "field", "cause"),
    [
        ({"engine": "valkey", "version": "8.0"}, {"engine": "redis", "version": "7.1"}, "engine", "turn valkey into redis"),
        ({"engine": "valkey", "version": "8.0"}, {"version": "7.2"}, "engine_version", "lower the version"),
        ({}, {"at_rest_encryption": True}, "at_rest_encryption", "change the encryption of stored data"),
    ],
)  # fmt: skip
def test_change_that_loses_the_jobs_says_so(
    workspace: TestWorkspace, before: Table, after: Table, field: str, cause: str
) -> None:
    workspace.configure({"redis": before})
    workspace.deploy()
    workspace.configure({"redis": after})
    plan = workspace.plan()
    assert plan.changes[QUEUE] == "delete_first" and field in plan.fields(QUEUE)
    text = workspace.run("plan", "staging").expect_exit().out
    assert f"{LOST}: AWS cannot {cause}" in text, text
    workspace.deploy()
    workspace.assert_no_changes()


def test_upgrade_to_a_version_not_offered_is_refused(workspace: TestWorkspace) -> None:
    workspace.deploy()
    hide(workspace, *NEWER)
    workspace.configure({"redis": {"engine": "valkey", "version": "8.1"}})
    refused = workspace.run("plan", "staging").expect_exit(1)
    assert "valkey 8.1 is not offered in us-east-2, only 7.2.6, 8.0.1" in refused.err, refused


def test_snapshot_without_a_change_is_not_waited_for(staging: TestWorkspace) -> None:
    hold(staging, "snapshotting")
    staging.assert_no_changes()
    hold(staging, "")
    staging.mark_unchanged()


@pytest.mark.parametrize("status", ["snapshotting", "modifying"])
def test_passing_state_is_waited_for_before_a_change(staging: TestWorkspace, status: str) -> None:
    hold(staging, status)
    staging.configure({"redis": {"engine": "valkey", "node_type": "cache.t3.medium"}})
    running = staging.start("deploy", "staging", "--yes")
    words = f"waiting until queue staging-jobqr can be changed (it is {status})"
    until(lambda: words in running.output_so_far().err, 60)
    assert engine(staging)[0] == "redis"
    hold(staging, "")
    running.result().expect_exit()
    assert engine(staging) == ("valkey", "8.2.0")
    staging.assert_no_changes()


def test_queue_is_deleted_after_its_snapshot(workspace: TestWorkspace) -> None:
    workspace.deploy()
    hold(workspace, "snapshotting")
    running = workspace.start("destroy", "staging", "--yes")
    until(lambda: "it is snapshotting" in running.output_so_far().err, 60)
    hold(workspace, "")
    running.result().expect_exit()
    assert workspace.inventory.remains() == {}


def test_accepted_change_is_not_done_before_it_is_visible(staging: TestWorkspace) -> None:
    hold(staging, "available")
    staging.configure({"redis": {"node_type": "cache.t3.medium"}})
    running = staging.start("deploy", "staging", "--yes")
    until(lambda: "waiting for the change of queue staging-jobqr to become visible" in running.output_so_far().err, 60)
    # AWS begins a snapshot before the change.
    hold(staging, "snapshotting")
    until(lambda: "waiting for queue staging-jobqr (snapshotting)" in running.output_so_far().err, 60)
    hold(staging, "available")
    time.sleep(1)
    assert running.process.poll() is None, "the end of the snapshot is not the end of the change"
    hold(staging, "")
    running.result().expect_exit()
    (group,) = staging.inventory.replication_groups().values()
    assert group["CacheNodeType"] == "cache.t3.medium"


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_upgrade_is_completed_by_the_next_deploy(
    new_workspace: Callable[[], TestWorkspace], url: str, when: str
) -> None:
    workspace = new_workspace()
    workspace.deploy()
    before, since = address(workspace), workspace.mark()
    workspace.configure({"redis": {"engine": "valkey"}})
    with FaultProxy(url) as proxy:
        stop = proxy.hold_before(MODIFY) if when == "before" else proxy.hold_after(MODIFY)
        running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
        stop.wait(60)
        # The change is still in progress when the next run begins.
        hold(workspace, "modifying")
        running.kill()
        if when == "before":
            proxy.drop(stop)
        proxy.release_all()
    workspace.run("unlock", "staging", workspace.lock_id()).expect_exit()
    changes = workspace.plan().changes
    assert changes[QUEUE] == "update" and "delete_first" not in changes.values(), changes
    second = workspace.start("deploy", "staging", "--yes")
    until(lambda: "it is modifying" in second.output_so_far().err, 60)
    hold(workspace, "")
    second.result().expect_exit()
    assert engine(workspace) == ("valkey", "8.2.0") and address(workspace) == before
    calls = workspace.writes(since)
    assert (calls.count(MODIFY), calls.count(CREATE)) == (1, 0)
    workspace.assert_no_changes()
    assert len(workspace.inventory.cache_parameter_groups()) == 1


def test_upgrade_outside_is_drift_and_is_not_undone(workspace: TestWorkspace) -> None:
    hide(workspace, *NEWER)
    workspace.configure({"redis": {"engine": "valkey", "auto_minor_version_upgrade": False}})
    workspace.deploy()
    hide(workspace)
    change_outside(workspace, EngineVersion="8.1")
    drift = workspace.run("drift", "staging").out
    assert "engine_version" in drift and "8.1" in drift, drift
    workspace.assert_no_changes()
    workspace.configure({"redis": {"version": "8.0"}})
    text = workspace.run("plan", "staging").expect_exit().out
    assert LOST in text and 'set `redis.version` to "8.1"' in text, text


def test_change_to_valkey_outside_can_be_kept(staging: TestWorkspace) -> None:
    change_outside(
        staging, Engine="valkey", EngineVersion="8.0", CacheParameterGroupName="default.valkey8"
    )  # fmt: skip
    text = staging.run("plan", "staging").expect_exit().out
    assert LOST in text and 'set `redis.engine` to "valkey"' in text, text
    assert "changed outside of pb-deploy" in text, text
    staging.configure({"redis": {"engine": "valkey"}})
    changes = staging.plan().changes
    assert changes == {QUEUE: "update", PARAMETERS: "create_first"}, changes
    staging.deploy()
    assert engine(staging) == ("valkey", "8.0.1")
    staging.assert_no_changes()


def test_adopted_valkey_queue_keeps_its_version(workspace: TestWorkspace) -> None:
    hide(workspace, *NEWER)
    workspace.configure({"redis": {"engine": "valkey"}})
    workspace.deploy()
    hide(workspace)
    workspace.run("forget", "staging", QUEUE, "--yes").expect_exit()
    workspace.run("adopt", "staging", f"{QUEUE}=staging-jobqr", "--yes").expect_exit()
    workspace.assert_no_changes()
    assert engine(workspace) == ("valkey", "8.0.1")
