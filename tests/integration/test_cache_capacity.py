"""A queue that AWS cannot create because it has no capacity for its node."""

from __future__ import annotations

import pytest
from endpoint import control
from harness import TestWorkspace

pytestmark = pytest.mark.needs("cache-capacity")


def test_failed_queue_is_reported_and_replaced(workspace: TestWorkspace) -> None:
    control(workspace.url, "cache-capacity", {"account": workspace.account, "available": False})
    result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert "could not be created: Cannot create cache.t3.small in us-east-2a: insufficient capacity" in result.err, (
        result
    )
    control(workspace.url, "cache-capacity", {"account": workspace.account, "available": True})
    assert workspace.plan().changes["redis/jobqr"] == "delete_first", "the failed queue is not kept"
    workspace.deploy()
    workspace.assert_no_changes()
    workspace.destroy()


def test_failed_queue_is_destroyed(workspace: TestWorkspace) -> None:
    control(workspace.url, "cache-capacity", {"account": workspace.account, "available": False})
    workspace.deploy(code=1)
    workspace.destroy()
    assert workspace.inventory.remains() == {}
