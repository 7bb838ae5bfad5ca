"""Runs without changes, which make no mutating calls and as few calls as possible."""

from __future__ import annotations

import json

import pytest
from fault_proxy import FaultProxy, BatchProxy
from harness import TestWorkspace
from inventory import normalized

pytestmark = pytest.mark.sample


def test_second_deploy_changes_nothing(staging: TestWorkspace) -> None:
    since, before = staging.mark(), normalized(staging.inventory.everything())
    result = staging.deploy()
    assert "No changes" in result.err
    assert result.out == "http://staging.ospcapi.org\n"
    assert staging.mutations(since) == [], "not even the lease is acquired"
    assert normalized(staging.inventory.everything()) == before
    staging.mark_unchanged()


def test_plan_after_deploy_has_no_changes(staging: TestWorkspace) -> None:
    since = staging.mark()
    staging.run("plan", "staging", "--detailed-exitcode").expect_exit(0)
    plan = staging.plan()
    assert plan.changes == {}
    assert {step["action"]["do"] for step in plan.steps.values()} == {"no_op"}
    assert len(plan.steps) == 33
    assert staging.mutations(since) == []
    staging.mark_unchanged()


def test_plan_lists_changes_and_makes_none(workspace: TestWorkspace) -> None:
    workspace.run("plan", "staging", "--detailed-exitcode").expect_exit(2)
    result = workspace.run("plan", "staging").expect_exit(0)
    assert "Plan: 33 to add, 0 to change, 0 to replace, 0 to destroy." in result.out
    assert "(known after apply)" in result.out and '"10.0.0.0/16"' in result.out
    assert workspace.mutations() == [] and workspace.inventory.remains() == {}


def test_destroy_in_empty_account_does_nothing(workspace: TestWorkspace) -> None:
    result = workspace.destroy()
    assert "Nothing to destroy" in result.err
    assert workspace.mutations() == []


#: Calls that need no earlier response: for caller identity, state, prerequisites, and resources by ownership tags.
FIRST_ROUND_CALLS = [
    "iam:GetRole", "route53:ListHostedZonesByName", "s3:GetObject", "sts:GetCallerIdentity", "tagging:GetResources",
]  # fmt: skip
#: Number of calls that a plan without changes makes.
PLAN_CALLS = 33


@pytest.mark.needs("tag-index")
def test_plan_of_unchanged_stack_takes_two_round_trips(staging: TestWorkspace, batches: BatchProxy) -> None:
    running = staging.start("plan", "staging", url=batches.url)
    assert batches.batch(len(FIRST_ROUND_CALLS)) == FIRST_ROUND_CALLS
    batches.batch(PLAN_CALLS - len(FIRST_ROUND_CALLS))
    assert "No changes" in running.result().expect_exit(0).out
    staging.mark_unchanged()


@pytest.mark.needs("tag-index")
def test_plan_makes_only_required_calls(staging: TestWorkspace) -> None:
    since = staging.mark()
    staging.plan()
    calls = staging.calls(since)
    assert len(calls) == PLAN_CALLS, f"{len(calls)} calls for a plan of 33 resources: {sorted(calls)}"
    staging.mark_unchanged()


def refuse_tag_index(proxy: FaultProxy) -> None:
    body = json.dumps({"__type": "AccessDeniedException", "message": "not authorized to perform: tag:GetResources"})
    proxy.refuse("tagging:GetResources", 400, body.encode())


def test_plan_without_tag_index_reads_tags_from_services(staging: TestWorkspace, proxy: FaultProxy) -> None:
    refuse_tag_index(proxy)
    since = staging.mark()
    assert "No changes" in staging.run("plan", "staging", url=proxy.url).expect_exit(0).out
    calls = staging.calls(since)
    assert PLAN_CALLS < len(calls) <= PLAN_CALLS + 12, f"{len(calls)} calls: {sorted(calls)}"
    staging.mark_unchanged()


@pytest.mark.needs("tag-index")
def test_stale_tag_index_causes_no_change(staging: TestWorkspace, proxy: FaultProxy) -> None:
    client, bodies = staging.aws.resourcegroupstaggingapi, []
    client.meta.events.register("before-parse.*", lambda **seen: bodies.append(seen["response_dict"]["body"]))
    client.get_resources(TagFilters=[{"Key": "pb-deploy:workspace", "Values": ["staging"]}], ResourcesPerPage=100)
    staging.configure({"tags": {"team": "late"}})
    staging.deploy()
    proxy.refuse("tagging:GetResources", 200, bodies[0])
    assert "No changes" in staging.run("plan", "staging", url=proxy.url).expect_exit(0).out
    staging.assert_no_changes()


@pytest.mark.needs("tag-index")
def test_tag_changed_outside_is_drift(staging: TestWorkspace) -> None:
    (group,) = staging.aws.logs.describe_log_groups(logGroupNamePrefix="staging-pb_workers")["logGroups"]
    staging.aws.logs.tag_resource(resourceArn=group["arn"].removesuffix(":*"), tags={"Name": "somebody"})
    plan = staging.plan()
    assert plan.fields("fargate/logs") == {"tags.Name": ("somebody", "staging-pb_workers")}
    assert plan.origin("fargate/logs") == "drift"
    staging.deploy()
    staging.assert_no_changes()


def test_unrecorded_resource_is_found_by_tag_index(staging: TestWorkspace) -> None:
    service = {"cluster": "staging-ecs-cluster", "service": "staging-celery"}
    (found,) = staging.aws.ecs.describe_services(cluster=service["cluster"], services=[service["service"]])["services"]
    tags = {"pb-deploy:stack": "pb-deploy", "pb-deploy:workspace": "staging", "pb-deploy:address": "fargate/lost"}
    staging.aws.ecs.create_service(
        cluster=service["cluster"], serviceName="staging-lost", taskDefinition=found["taskDefinition"], desiredCount=0,
        launchType="FARGATE", networkConfiguration=found["networkConfiguration"],
        tags=[{"key": key, "value": value} for key, value in tags.items()],
    )  # fmt: skip
    assert staging.plan().changes == {"fargate/lost": "delete"}
    staging.deploy()
    staging.assert_no_changes()
