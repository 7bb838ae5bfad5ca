"""`destroy` leaves nothing that was made; production is refused while it is protected."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from configuration import image
from gate import Gate
from harness import Site, until

pytestmark = pytest.mark.sample


def preconditions(site: Site) -> list[object]:
    """What was there before the first deploy."""
    aws = site.aws
    return [
        [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]],
        aws.dynamodb.list_tables()["TableNames"],
        [zone["Name"] for zone in aws.route53.list_hosted_zones()["HostedZones"]],
        [role["RoleName"] for role in aws.iam.list_roles()["Roles"] if "AWSServiceRole" not in role["RoleName"]],
        len(aws.ec2.describe_vpcs()["Vpcs"]),
    ]


def test_destroy_leaves_nothing(site: Site) -> None:
    before = preconditions(site)
    site.deploy()
    result = site.destroy()
    assert site.world.remains() == {}
    assert preconditions(site) == before
    assert "Destroyed staging: 0 made, 0 changed, 33 deleted" in result.err
    assert result.out == "", "there is no URL any more"
    snapshot = site.state_object()["snapshot"]
    assert (snapshot["resources"], snapshot["outputs"], "intents" in snapshot) == ({}, {}, False)
    assert "Nothing to destroy" in site.destroy().err


def test_a_destroy_shows_what_it_will_delete(staging: Site) -> None:
    text = staging.run("plan", "staging", "--destroy", "--detailed-exitcode").ended(2).out
    assert "Plan: 0 to add, 0 to change, 0 to replace, 33 to destroy." in text
    assert "  - net/vpc  ec2.vpc" in text
    staging.settle()


def test_what_was_destroyed_can_be_deployed_again(site: Site) -> None:
    site.deploy()
    counts = site.world.counts()
    site.destroy()
    site.deploy()
    assert site.world.counts() == counts
    site.finds_nothing()


@pytest.mark.needs("elb-rules")
def test_production_is_refused_at_plan_while_it_is_protected(new_site: Callable[[], Site]) -> None:
    site = new_site()
    site.deploy("production")
    since, before = site.mark(), site.world.counts()
    for command in (["plan", "production", "--destroy"], ["destroy", "production", "--yes"]):
        result = site.run(*command).ended(1)
        assert "edge/balancer" in result.err and "deletion protection" in result.err, result
        assert "deletion_protection = false" in result.err, "the way to lift it"
    assert site.mutations(since) == [] and site.world.counts() == before
    site.configure({"workspace": {"production": {"load_balancer": {"deletion_protection": False}}}})
    site.run("destroy", "production", "--yes").ended(1)
    assert site.plan("production").changes == {"edge/balancer": "update"}
    site.deploy("production")
    site.destroy("production")
    assert site.world.remains() == {}


def test_a_repository_with_images_is_refused_at_plan(staging: Site) -> None:
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": {"digest": "sha256:" + "0" * 64}, "layers": []}
    staging.aws.ecr.put_image(
        repositoryName="staging-celeryflask", imageManifest=json.dumps(manifest), imageTag="flask"
    )
    since = staging.mark()
    result = staging.run("destroy", "staging", "--yes").ended(1)
    assert "fargate/repository" in result.err and "image" in result.err, result
    assert staging.mutations(since) == []
    staging.aws.ecr.batch_delete_image(repositoryName="staging-celeryflask", imageIds=[{"imageTag": "flask"}])
    staging.finds_nothing()


@pytest.mark.needs("ecs-breaker")
def test_destroy_after_a_deploy_whose_image_does_not_start(site: Site) -> None:
    site.configure({"services": {"flask": {"image": image("fail"), "breaker_threshold": 3}}})
    result = site.run("deploy", "staging", "--yes").ended(1)
    assert "fargate/flask: failed:" in result.err, result
    assert "Essential container in task exited" in result.err, "the reason of the stopped tasks"
    assert "Mend what failed, then go on with `pb-deploy deploy staging`" in result.err
    site.destroy()
    assert site.world.remains() == {}


@pytest.mark.needs("ecs-breaker", "ecs-threshold")
def test_an_image_that_does_not_start_is_no_success_and_the_old_one_goes_on(staging: Site) -> None:
    old = staging.world.services()["staging-flask"]["taskDefinition"]
    staging.configure({"services": {"flask": {"image": image("fail"), "breaker_threshold": 3}}})
    result = staging.run("deploy", "staging", "--yes").ended(1)
    assert "fargate/flask: failed: roll out staging-flask:" in result.err, result
    assert "Essential container in task exited" in result.err, result
    assert result.out == "", "there is no URL where the new image does not run"

    def is_back() -> bool:
        service = staging.world.services()["staging-flask"]
        return (service["taskDefinition"], service["runningCount"]) == (old, 1)

    until(is_back)
    staging.configure({"services": {"flask": {"image": image("good")}}})
    staging.deploy()
    staging.finds_nothing()


@pytest.mark.parametrize("call", ["ecs:CreateService", "elasticache:CreateReplicationGroup", "ec2:CreateSubnet"])
def test_destroy_after_a_deploy_that_was_refused_something(site: Site, gate: Gate, call: str) -> None:
    body = b'{"__type": "AccessDeniedException", "message": "not allowed"}'
    if not call.startswith("ecs"):
        error = b"<Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error>"
        body = b"<Response><Errors>" + error + b"</Errors></Response>"
    if call.startswith("elasticache"):
        body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    gate.refuse(call, 403, body, times=100)
    result = site.run("deploy", "staging", "--yes", url=gate.url).ended(1)
    assert call in result.err and "lack a permission" in result.err, result
    assert site.world.remains() != {}
    site.destroy()
    assert site.world.remains() == {}


def test_destroy_needs_no_role(site: Site) -> None:
    site.deploy()
    site.configure({"roles": {"execution": "a-role-that-is-gone"}})
    assert "there is no role" in site.run("plan", "staging").ended(1).err
    site.destroy()
    assert site.world.remains() == {}


def test_without_the_zone_destroy_says_what_to_do(staging: Site) -> None:
    staging.configure({"hostname": "api.gone.example", "zone": "gone.example"})
    result = staging.run("destroy", "staging", "--yes").ended(1)
    assert "no public hosted zone `gone.example`" in result.err, result
    assert "another account" in result.err and "create an empty public zone" in result.err, result
    assert staging.world.remains() != {}
