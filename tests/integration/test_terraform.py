"""Terraform itself makes a stack, where it is installed; it is taken over, changed and removed."""

from __future__ import annotations

import pytest
import terraform_runner
from harness import Plan, TestWorkspace
from terraform_runner import Terraform
from test_adopt import TAGGING, ids, untagged


def stripped_by_apply(workspace: TestWorkspace, terraform: Terraform) -> None:
    """Terraform's next apply takes our tags off: nothing of it is deleted, and `adopt` puts them back."""
    were = ids(workspace)
    terraform.apply()
    since = workspace.mark()
    destroyed = workspace.run("destroy", "staging", "--yes").expect_exit(1)
    assert destroyed.err.count("has lost this workspace's tags") > 20, destroyed
    assert "--restore-tags" in workspace.run("plan", "staging").expect_exit(1).err
    assert workspace.writes(since) == [], "nothing is changed, and nothing deleted"
    again = workspace.run("adopt", "staging", "--from-terraform", terraform.url, "--yes").expect_exit().err
    assert "ours already" not in again and "have lost their ownership tags" in again, again
    assert ids(workspace) == were
    managed = terraform.run("state", "list").split()
    said = {line.removeprefix("terraform state rm ").strip("'") for line in again.splitlines() if "state rm" in line}
    assert said <= set(managed) and {"aws_vpc.main", 'aws_subnet.public["a"]', "aws_route.internet"} <= said


@pytest.mark.skipif(terraform_runner.why_not() is not None, reason=str(terraform_runner.why_not()))
def test_a_stack_that_terraform_made_is_taken_over_and_nothing_of_it_is_made_anew(workspace: TestWorkspace) -> None:
    terraform = Terraform(workspace)
    terraform.apply()
    made, state = workspace.inventory.everything(), terraform.state()
    before = untagged(made)
    since = workspace.mark()
    workspace.run("adopt", "staging", "--from-terraform", terraform.url, "--yes").expect_exit()
    assert untagged(workspace.inventory.everything()) == before, "tags of ours, and nothing else"
    assert {call.split(":")[1] for call in workspace.writes(since)} <= TAGGING | {
        "PutItem",
        "DeleteItem",
        "DeleteObject",
    }
    assert terraform.state() == state, "its state is its own"
    stripped_by_apply(workspace, terraform)
    plan = Plan(workspace.run("plan", "staging", "--json").expect_exit().json())
    assert set(plan.changes.values()) <= {"create", "update"}, plan.changes
    were = ids(workspace)
    since = workspace.mark()
    workspace.deploy()
    assert "elasticloadbalancing:DescribeTargetHealth" in workspace.calls(since), (
        "the targets are looked at, whatever they are called"
    )
    status = workspace.run("status", "staging", "--json").expect_exit().json()
    assert {service["name"] for service in status["services"]} == {"staging-web", "staging-workers"}, "their names stay"
    assert {target["state"] for target in status["targets"]} == {"healthy"}
    history = workspace.run("history", "staging", "--json").expect_exit().json()
    in_use = [row["revision"] for service in history for row in service["revisions"] if row["in_use"]]
    assert in_use == ["staging-flask-task:2", "staging-celery-task:2"]
    after = ids(workspace)
    # Task definitions have revisions; the old one stays to go back to.
    same = {address for address, identity in were.items() if after[address] == identity}
    assert set(were) - same == {"fargate/flask_task", "fargate/celery_task"}
    workspace.assert_no_changes()
    workspace.destroy()
    assert workspace.inventory.remains() == {}
