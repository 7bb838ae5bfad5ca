"""Terraform itself makes a stack, where it is installed; it is taken over, changed and removed."""

from __future__ import annotations

import pytest
import terraform_runner
from harness import Plan, Site
from terraform_runner import Terraform
from test_adopt import TAGGING, ids, untagged


def stripped_by_apply(site: Site, terraform: Terraform) -> None:
    """Terraform's next apply takes our tags off: nothing of it is deleted, and `adopt` puts them back."""
    were = ids(site)
    terraform.apply()
    since = site.mark()
    destroyed = site.run("destroy", "staging", "--yes").ended(1)
    assert destroyed.err.count("has lost this workspace's tags") > 20, destroyed
    assert "--restore-tags" in site.run("plan", "staging").ended(1).err
    assert site.writes(since) == [], "nothing is changed, and nothing deleted"
    again = site.run("adopt", "staging", "--from-terraform", terraform.url, "--yes").ended().err
    assert "ours already" not in again and "have lost their ownership tags" in again, again
    assert ids(site) == were
    managed = terraform.run("state", "list").split()
    said = {line.removeprefix("terraform state rm ").strip("'") for line in again.splitlines() if "state rm" in line}
    assert said <= set(managed) and {"aws_vpc.main", 'aws_subnet.public["a"]', "aws_route.internet"} <= said


@pytest.mark.skipif(terraform_runner.why_not() is not None, reason=str(terraform_runner.why_not()))
def test_a_stack_that_terraform_made_is_taken_over_and_nothing_of_it_is_made_anew(site: Site) -> None:
    terraform = Terraform(site)
    terraform.apply()
    made, state = site.world.everything(), terraform.state()
    before = untagged(made)
    since = site.mark()
    site.run("adopt", "staging", "--from-terraform", terraform.url, "--yes").ended()
    assert untagged(site.world.everything()) == before, "tags of ours, and nothing else"
    assert {call.split(":")[1] for call in site.writes(since)} <= TAGGING | {"PutItem", "DeleteItem", "DeleteObject"}
    assert terraform.state() == state, "its state is its own"
    stripped_by_apply(site, terraform)
    plan = Plan(site.run("plan", "staging", "--json").ended().json())
    assert set(plan.changes.values()) <= {"create", "update"}, plan.changes
    were = ids(site)
    since = site.mark()
    site.deploy()
    assert "elasticloadbalancing:DescribeTargetHealth" in site.calls(since), "the targets are looked at, whatever they are called"
    status = site.run("status", "staging", "--json").ended().json()
    assert {service["name"] for service in status["services"]} == {"staging-web", "staging-workers"}, "their names stay"
    assert {target["state"] for target in status["targets"]} == {"healthy"}
    history = site.run("history", "staging", "--json").ended().json()
    in_use = [row["revision"] for service in history for row in service["revisions"] if row["in_use"]]
    assert in_use == ["staging-flask-task:2", "staging-celery-task:2"]
    after = ids(site)
    # Task definitions have revisions; the old one stays to go back to.
    same = {address for address, identity in were.items() if after[address] == identity}
    assert set(were) - same == {"fargate/flask_task", "fargate/celery_task"}
    site.finds_nothing()
    site.destroy()
    assert site.world.remains() == {}
