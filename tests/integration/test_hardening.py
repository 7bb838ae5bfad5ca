"""Settings without a configuration key, which a plan leaves as somebody has set them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import TestWorkspace

REPOSITORY, CLUSTER, QUEUE = "staging-celeryflask", "staging-ecs-cluster", "staging-jobqr"


def balancer_attribute(workspace: TestWorkspace, name: str, key: str, value: str) -> None:
    """Sets an attribute of the load balancer of a workspace."""
    (arn,) = [
        found["LoadBalancerArn"]
        for found in workspace.inventory.balancers().values()
        if found["LoadBalancerName"].startswith(name)
    ]
    workspace.aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}])


def tags_immutable(workspace: TestWorkspace) -> None:
    workspace.aws.ecr.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")


def insights_enabled(workspace: TestWorkspace) -> None:
    workspace.aws.ecs.update_cluster_settings(
        cluster=CLUSTER, settings=[{"name": "containerInsights", "value": "enhanced"}]
    )


def upgrades_turned_off(workspace: TestWorkspace) -> None:
    workspace.aws.elasticache.modify_replication_group(
        ReplicationGroupId=QUEUE, AutoMinorVersionUpgrade=False, ApplyImmediately=True
    )


def public_addresses_turned_on(workspace: TestWorkspace) -> None:
    """Restores the setting of the subnets that earlier versions created."""
    for subnet in workspace.inventory.subnets():
        workspace.aws.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})


def protection_turned_on(workspace: TestWorkspace) -> None:
    balancer_attribute(workspace, "staging", "deletion_protection.enabled", "true")


def idle_timeout_raised(workspace: TestWorkspace) -> None:
    balancer_attribute(workspace, "staging", "idle_timeout.timeout_seconds", "300")


HARDENED: dict[str, Callable[[TestWorkspace], Any]] = {
    "image tags are immutable": tags_immutable,
    "Container Insights is enhanced": insights_enabled,
    "minor versions are not upgraded": upgrades_turned_off,
    "subnets assign public addresses": public_addresses_turned_on,
    "the load balancer is protected": protection_turned_on,
    "the idle timeout is longer": idle_timeout_raised,
}


def test_settings_without_a_key_are_left_as_they_are(staging: TestWorkspace) -> None:
    for change in HARDENED.values():
        change(staging)
    hardened = staging.inventory.everything()
    assert staging.plan().changes == {}
    staging.run("drift", "staging").expect_exit()
    staging.assert_no_changes()
    # An update of another field does not reset them either.
    staging.configure({"tags": {"team": "queue"}, "load_balancer": {"deregistration_delay": 20}})
    staging.deploy()
    after = staging.inventory.everything()
    for kind in ("repositories", "clusters", "balancers", "subnets", "replication_groups"):
        assert without_tags(after[kind]) == without_tags(hardened[kind])


def without_tags(resources: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns resources without their tags and without values that change by themselves."""
    volatile = {"Tags", "tags", "TagList"}
    return [{key: value for key, value in found.items() if key not in volatile} for found in resources.values()]


def test_protection_with_a_key_is_managed_in_both_directions(staging: TestWorkspace) -> None:
    protection_turned_on(staging)
    assert staging.plan().changes == {}
    staging.run("destroy", "staging", "--yes").expect_exit(1)
    staging.configure({"load_balancer": {"deletion_protection": False}})
    plan = staging.plan()
    assert plan.changes == {"edge/balancer": "update"}
    staging.deploy()
    staging.assert_no_changes()


@pytest.mark.needs("elb-rules")
def test_protection_of_production_is_restored(new_workspace: Callable[[], TestWorkspace]) -> None:
    workspace = new_workspace()
    workspace.deploy("production")
    balancer_attribute(workspace, "production", "deletion_protection.enabled", "false")
    plan = workspace.plan("production")
    assert plan.changes == {"edge/balancer": "update"} and plan.origin("edge/balancer") == "drift"


def test_minor_upgrades_follow_the_key_once_it_is_set(staging: TestWorkspace) -> None:
    (group,) = staging.inventory.replication_groups().values()
    assert group["AutoMinorVersionUpgrade"] is True, "the default of AWS"
    for allowed in (False, True):
        staging.configure({"redis": {"auto_minor_version_upgrade": allowed}})
        assert staging.plan().changes == {"redis/jobqr": "update"}
        staging.deploy()
        (group,) = staging.inventory.replication_groups().values()
        assert group["AutoMinorVersionUpgrade"] is allowed
