"""Import, change and deletion of a stack created by Terraform itself, on machines with Terraform."""

from __future__ import annotations

import pytest
import terraform_runner
from harness import Plan, TestWorkspace
from terraform_runner import Terraform
from test_adopt import TAGGING, ids_by_address, without_ownership_tags


def check_tags_stripped_by_apply(workspace: TestWorkspace, terraform: Terraform) -> None:
    """Runs `terraform apply` again, which removes the ownership tags. Checks that nothing changes until `adopt`."""
    ids_before = ids_by_address(workspace)
    terraform.apply()
    since = workspace.mark()
    destroyed = workspace.run("destroy", "staging", "--yes").expect_exit(1)
    assert destroyed.err.count("has lost this workspace's tags") > 20, destroyed
    assert "--restore-tags" in workspace.run("plan", "staging").expect_exit(1).err
    assert workspace.writes(since) == [], "nothing is changed or deleted"
    again = workspace.run("adopt", "staging", "--from-terraform", terraform.url, "--yes").expect_exit().err
    assert "already managed" not in again and "have lost their ownership tags" in again, again
    assert ids_by_address(workspace) == ids_before
    managed = terraform.run("state", "list").split()
    commands = {
        line.removeprefix("terraform state rm ").strip("'") for line in again.splitlines() if "state rm" in line
    }
    assert commands <= set(managed) and {"aws_vpc.main", 'aws_subnet.public["a"]', "aws_route.internet"} <= commands


@pytest.mark.skipif(
    terraform_runner.unavailable_reason() is not None, reason=str(terraform_runner.unavailable_reason())
)
def test_terraform_stack_is_adopted_without_replacements(workspace: TestWorkspace) -> None:
    terraform = Terraform(workspace)
    terraform.apply()
    created, state = workspace.inventory.everything(), terraform.state()
    before = without_ownership_tags(created)
    since = workspace.mark()
    workspace.run("adopt", "staging", "--from-terraform", terraform.url, "--yes").expect_exit()
    assert without_ownership_tags(workspace.inventory.everything()) == before, "only the ownership tags were added"
    assert {call.split(":")[1] for call in workspace.writes(since)} <= TAGGING | {
        "PutItem",
        "DeleteItem",
        "DeleteObject",
    }
    assert terraform.state() == state, "Terraform's state is not changed"
    check_tags_stripped_by_apply(workspace, terraform)
    plan = Plan(workspace.run("plan", "staging", "--json").expect_exit().json())
    assert set(plan.changes.values()) <= {"create", "update"}, plan.changes
    ids_before = ids_by_address(workspace)
    since = workspace.mark()
    workspace.deploy()
    assert "elasticloadbalancing:DescribeTargetHealth" in workspace.calls(since), (
        "target health is read, whatever the target group's name is"
    )
    status = workspace.run("status", "staging", "--json").expect_exit().json()
    assert {service["name"] for service in status["services"]} == {"staging-web", "staging-workers"}, (
        "the services keep their names"
    )
    assert {target["state"] for target in status["targets"]} == {"healthy"}
    history = workspace.run("history", "staging", "--json").expect_exit().json()
    in_use = [row["revision"] for service in history for row in service["revisions"] if row["in_use"]]
    assert in_use == ["staging-flask-task:2", "staging-celery-task:2"]
    after = ids_by_address(workspace)
    # A change of a task definition creates a new revision; the old revision is kept for rollbacks.
    unchanged = {address for address, identity in ids_before.items() if after[address] == identity}
    assert set(ids_before) - unchanged == {"fargate/flask_task", "fargate/celery_task"}
    workspace.assert_no_changes()
    workspace.destroy()
    assert workspace.inventory.remains() == {}
