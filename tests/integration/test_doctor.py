"""`doctor` says before a deploy what a deploy would fail on, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from endpoint import control
from harness import TestWorkspace, until


def checks(workspace: TestWorkspace, code: int) -> dict[str, dict[str, Any]]:
    """What it found, by name."""
    since = workspace.mark()
    document = workspace.run("doctor", "staging", "--json").expect_exit(code).json()
    # What the credentials may do is asked by a call that changes nothing, whatever its name sounds like.
    assert set(workspace.mutations(since)) <= {"iam:SimulatePrincipalPolicy"}
    assert document["ready"] == (code == 0)
    return {check["name"]: check for check in document["checks"]}


@pytest.mark.needs("quotas")
def test_what_a_deploy_needs_is_looked_at_and_a_ready_account_is_called_so(workspace: TestWorkspace) -> None:
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    found = checks(workspace, 0)
    for name in ("account", "state/bucket", "state/table", "roles/execution", "state", "lock", "hosted zone", "zones",
                 "images", "room for a VPC", "room for an internet gateway", "addresses", "virtual CPUs"):  # fmt: skip
        assert found[name]["verdict"] == "good", found[name]
    assert {"engine", "node type", "permissions"} <= set(found)
    assert "staging can be deployed." in workspace.run("doctor", "staging").expect_exit().out
    workspace.deploy()
    assert found != checks(workspace, 0), "it sees what is there by now"


@pytest.mark.needs("quotas")
def test_each_thing_that_is_missing_is_named_with_what_to_do(workspace: TestWorkspace) -> None:
    role, table = workspace.config["roles"]["execution"], workspace.config["state"]["lock_table"]
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    workspace.aws.iam.delete_role(RoleName=role)
    workspace.aws.dynamodb.delete_table(TableName=table)
    workspace.aws.route53.delete_hosted_zone(Id=zone["Id"])
    for number in range(4):
        workspace.aws.ec2.create_vpc(CidrBlock=f"172.{16 + number}.0.0/16")
    workspace.configure({"network": {"tasks_subnet": "10.0.1.0/26"}, "services": {"celery": {"count": 40}}})
    found = checks(workspace, 1)
    bad = {name for name, check in found.items() if check["verdict"] == "bad"}
    assert bad == {"roles/execution", "state/table", "hosted zone", "addresses", "room for a VPC"}, found
    assert found["state/table"]["hint"] == "pb-deploy bootstrap staging"
    assert all(found[name].get("hint") for name in bad)
    assert found["state/bucket"]["verdict"] == "warning" and "encrypted" in found["state/bucket"]["found"]
    assert found["room for a VPC"]["found"].startswith("5 of 5"), "the default VPC is one"
    text = workspace.run("doctor", "staging").expect_exit(1).out
    assert "staging cannot be deployed: 5 things in the way." in text


@pytest.mark.needs("quotas")
def test_a_new_account_has_few_virtual_cpus_and_a_deploy_says_what_it_waits_for(workspace: TestWorkspace) -> None:
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    place = {"account": workspace.account, "region": workspace.config["region"]}
    for vcpus, code, verdict, words in (
        (4, 1, "bad", "Fargate gives 4 to all tasks in this region, those of staging have 5"),
        (5, 1, "bad", "a rollout begins with 6"),
        (6, 0, "warning", "a rollout of all services at once has 10"),
        (10, 0, "good", "10 during a rollout of all services"),
    ):
        control(workspace.url, "preconditions", {"vcpus": vcpus, **place})
        found = checks(workspace, code)["virtual CPUs"]
        assert found["verdict"] == verdict and words in found["found"], found
    control(workspace.url, "preconditions", {"vcpus": 4, **place})
    running = workspace.start("deploy", "staging", "--yes")
    until(lambda: "limit on the number of vCPUs" in running.output_so_far().err)
    # As soon as AWS gives more, it goes on.
    control(workspace.url, "preconditions", {"vcpus": 6, **place})
    running.result().expect_exit()


def test_credentials_of_another_account_are_all_that_is_told(workspace: TestWorkspace) -> None:
    workspace.configure({"allowed_account_ids": ["999999999999"]})
    found = checks(workspace, 1)
    assert set(found) == {"account"} and workspace.account in found["account"]["found"]
