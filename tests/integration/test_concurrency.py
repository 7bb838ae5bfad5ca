"""Concurrent runs: workspaces are independent of each other, and the lock serializes the runs of one workspace."""

from __future__ import annotations

import pytest
from fault_proxy import FaultProxy
from harness import TestWorkspace, until
from inventory import tags_of

pytestmark = pytest.mark.sample


def test_staging_and_production_deploy_at_the_same_time(workspace: TestWorkspace) -> None:
    runs = {name: workspace.start("deploy", name, "--yes") for name in ("staging", "production")}
    for name, running in runs.items():
        result = running.result().expect_exit()
        assert result.out == ("http://ospcapi.org\n" if name == "production" else "http://staging.ospcapi.org\n")
    assert {t["VpcId"] for t in workspace.inventory.vpcs().values()} and len(workspace.inventory.vpcs()) == 2
    assert sorted(workspace.inventory.records()) == ["ospcapi.org. A", "staging.ospcapi.org. A"]
    for name in runs:
        workspace.assert_no_changes(name)


def test_destroy_of_staging_leaves_production_unchanged(workspace: TestWorkspace) -> None:
    for running in [workspace.start("deploy", name, "--yes") for name in ("staging", "production")]:
        running.result().expect_exit()
    workspace.destroy("staging")
    for kind in workspace.inventory.KINDS:
        for resource in getattr(workspace.inventory, kind)().values():
            assert tags_of(resource).get("pb-deploy:workspace", "production") == "production", resource
    workspace.assert_no_changes("production")


@pytest.mark.parametrize("command", ["deploy", "destroy"])
def test_second_run_is_refused_and_names_the_lock_holder(
    workspace: TestWorkspace, proxy: FaultProxy, command: str
) -> None:
    held = proxy.hold_before("elasticache:CreateReplicationGroup")
    first = workspace.start("deploy", "staging", "--yes", url=proxy.url, env={"USER": "ana"})
    held.wait()
    since = workspace.mark()
    second = workspace.run(command, "staging", "--yes").expect_exit(3)
    pid = first.process.pid
    assert f"locked by ana@test-host, pid {pid} (deploy since " in second.err, second
    assert "nothing was changed" in second.err and "unlock" in second.err
    assert workspace.lock_id() in second.err
    assert not [call for call in workspace.writes(since) if ":Delete" in call], "the second run deleted something"
    proxy.release_all()
    first.result().expect_exit()
    workspace.assert_no_changes()


def test_second_run_waits_with_lock_timeout(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    held = proxy.hold_before("elasticache:CreateReplicationGroup")
    first = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    second = workspace.start("deploy", "staging", "--yes", "--lock-timeout", "60")
    while "who holds the lock" not in second.output_so_far().err:
        assert second.process.poll() is None, second.output_so_far()
    held.release()
    first.result().expect_exit()
    second.result().expect_exit()
    workspace.assert_no_changes()


def test_unlocked_holder_makes_no_further_writes(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    held = proxy.hold_before("elasticache:CreateReplicationGroup")
    first = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    wrong = workspace.run("unlock", "staging", "00000000-0000-0000-0000-000000000000").expect_exit(1)
    assert "does not hold the lock" in wrong.err
    lock_id = workspace.lock_id()
    since = workspace.mark()
    assert "staging is unlocked" in workspace.run("unlock", "staging", lock_id).expect_exit().err
    assert "nobody holds the lock" in workspace.run("unlock", "staging", "anything").expect_exit(1).err
    assert workspace.run("status", "staging", "--json").expect_exit().json()["lock"] is None
    # Two writes are refused: the second `unlock`, and the holder's next heartbeat, which may already have been sent.
    until(lambda: workspace.refusals(since).count("dynamodb:UpdateItem") == 2)
    since = workspace.mark()
    held.release()
    lost = first.result().expect_exit(3)
    assert "broken with `pb-deploy unlock`" in lost.err, lost
    # The call may have been in progress when the process exited. No other mutating call may follow.
    assert set(workspace.mutations(since)) <= {"elasticache:CreateReplicationGroup"}
    until(lambda: "staging-jobqr" in workspace.inventory.replication_groups())
    workspace.deploy()
    assert workspace.inventory.counts()["replication_groups"] == 1
    workspace.assert_no_changes()
