"""Requests during rollouts: a failed request fails the test, and the report names the revisions that answered."""

from __future__ import annotations

from functools import partial

import conftest
import pytest
from configuration import image
from harness import TestWorkspace, until
from test_rollouts import configure_flask
from watch import Watch

pytestmark = pytest.mark.needs("data-plane")


@pytest.fixture
def watch(workspace: TestWorkspace, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Returns a second watch on the workspace, separate from the running test's own."""
    inner = Watch()
    monkeypatch.setattr(conftest, "_watch", inner)
    workspace.before_run = partial(inner.before, workspace)
    return inner


def test_failed_request_after_a_rollout_fails_the_test(
    workspace: TestWorkspace, watch: Watch, request: pytest.FixtureRequest
) -> None:
    workspace.deploy()
    test = conftest.pytest_runtest_call(request.node)
    next(test)
    configure_flask(workspace, image=image("next"))
    workspace.deploy()
    (listener,) = workspace.inventory.listeners()
    tea = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418", "MessageBody": "tea"}}
    workspace.aws.elbv2.modify_listener(ListenerArn=listener, DefaultActions=[tea])
    until(lambda: any(prober.failures for prober in watch.running))
    with pytest.raises(AssertionError) as failed:
        next(test)
    assert "s: 418 tea" in str(failed.value)
    assert "answered by: staging-flask:1, staging-flask:2" in str(failed.value)


def test_only_deployed_workspaces_are_watched_until_destroyed(workspace: TestWorkspace, watch: Watch) -> None:
    watch.begin()
    workspace.deploy()
    workspace.assert_no_changes()
    assert watch.end() == [], "no service runs before the first deploy"
    watch.begin()
    workspace.run("restart", "staging", "celery", "--yes").expect_exit()
    workspace.destroy()
    (prober,) = watch.end()
    assert prober.served() == ["staging-flask:1"]
