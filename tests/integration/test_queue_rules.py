"""Security group rules for both ends of the connection to the queue: services wait until both exist."""

from __future__ import annotations

import time

from fault_proxy import UNLIMITED, FaultProxy
from harness import TestWorkspace, until

LIMIT = "RulesPerSecurityGroupLimitExceeded"
REFUSED = (
    f"<Response><Errors><Error><Code>{LIMIT}</Code><Message>The maximum number of rules per security group has been"
    " reached.</Message></Error></Errors><RequestID>r</RequestID></Response>"
).encode()


def test_service_is_not_created_without_its_queue_rules(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    proxy.refuse("ec2:AuthorizeSecurityGroupIngress", 400, REFUSED, times=UNLIMITED, body_contains=b"FromPort=6400")
    result = workspace.run("deploy", "staging", "--yes", url=proxy.url).expect_exit(1)
    assert f"net/redis_in_celery: failed: ec2:AuthorizeSecurityGroupIngress: {LIMIT}" in result.err, result
    assert "fargate/flask: skipped: depends on net/redis_in_flask" in result.err, result
    assert "fargate/celery: skipped: depends on net/redis_in_celery" in result.err, result
    assert workspace.inventory.services() == {} and "ecs:CreateService" not in workspace.calls()
    proxy.release_all()
    workspace.deploy()
    workspace.assert_no_changes()


def test_queue_port_change_opens_the_port_before_the_rollout(staging: TestWorkspace, proxy: FaultProxy) -> None:
    (group,) = [group for group in staging.inventory.groups().values() if "jobqr" in group["GroupName"]]
    held = proxy.hold_before("ec2:AuthorizeSecurityGroupIngress", body_contains=f"&GroupId={group['GroupId']}".encode())
    since = staging.mark()
    staging.configure({"redis": {"port": 6500}})
    run = staging.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    until(lambda: staging.calls(since).count("ecs:RegisterTaskDefinition") == 2, 60)
    time.sleep(2)
    assert "ecs:UpdateService" not in staging.calls(since), "a task that starts at this point cannot reach the queue"
    held.release()
    run.result().expect_exit()
    staging.assert_no_changes()
