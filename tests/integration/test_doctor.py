"""`doctor` says before a deploy what a deploy would fail on, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from endpoint import control
from harness import Site, until


def checks(site: Site, code: int) -> dict[str, dict[str, Any]]:
    """What it found, by name."""
    since = site.mark()
    document = site.run("doctor", "staging", "--json").ended(code).json()
    # What the credentials may do is asked by a call that changes nothing, whatever its name sounds like.
    assert set(site.mutations(since)) <= {"iam:SimulatePrincipalPolicy"}
    assert document["ready"] == (code == 0)
    return {check["name"]: check for check in document["checks"]}


@pytest.mark.needs("quotas")
def test_what_a_deploy_needs_is_looked_at_and_a_ready_account_is_called_so(site: Site) -> None:
    site.run("bootstrap", "staging", "--yes").ended()
    found = checks(site, 0)
    for name in ("account", "state/bucket", "state/table", "roles/execution", "state", "lock", "hosted zone", "zones",
                 "images", "room for a VPC", "room for an internet gateway", "addresses", "virtual CPUs"):  # fmt: skip
        assert found[name]["verdict"] == "good", found[name]
    assert {"engine", "node type", "permissions"} <= set(found)
    assert "staging can be deployed." in site.run("doctor", "staging").ended().out
    site.deploy()
    assert found != checks(site, 0), "it sees what is there by now"


@pytest.mark.needs("quotas")
def test_each_thing_that_is_missing_is_named_with_what_to_do(site: Site) -> None:
    role, table = site.config["roles"]["execution"], site.config["state"]["lock_table"]
    (zone,) = site.aws.route53.list_hosted_zones()["HostedZones"]
    site.aws.iam.delete_role(RoleName=role)
    site.aws.dynamodb.delete_table(TableName=table)
    site.aws.route53.delete_hosted_zone(Id=zone["Id"])
    for number in range(4):
        site.aws.ec2.create_vpc(CidrBlock=f"172.{16 + number}.0.0/16")
    site.configure({"network": {"tasks_subnet": "10.0.1.0/26"}, "services": {"celery": {"count": 40}}})
    found = checks(site, 1)
    bad = {name for name, check in found.items() if check["verdict"] == "bad"}
    assert bad == {"roles/execution", "state/table", "hosted zone", "addresses", "room for a VPC"}, found
    assert found["state/table"]["hint"] == "pb-deploy bootstrap staging"
    assert all(found[name].get("hint") for name in bad)
    assert found["state/bucket"]["verdict"] == "warning" and "encrypted" in found["state/bucket"]["found"]
    assert found["room for a VPC"]["found"].startswith("5 of 5"), "the default VPC is one"
    text = site.run("doctor", "staging").ended(1).out
    assert "staging cannot be deployed: 5 things in the way." in text


@pytest.mark.needs("quotas")
def test_a_new_account_has_few_virtual_cpus_and_a_deploy_says_what_it_waits_for(site: Site) -> None:
    site.run("bootstrap", "staging", "--yes").ended()
    place = {"account": site.account, "region": site.config["region"]}
    for vcpus, code, verdict, words in (
        (4, 1, "bad", "Fargate gives 4 to all tasks in this region, those of staging have 5"),
        (5, 1, "bad", "a rollout begins with 6"),
        (6, 0, "warning", "a rollout of all services at once has 10"),
        (10, 0, "good", "10 during a rollout of all services"),
    ):
        control(site.url, "preconditions", {"vcpus": vcpus, **place})
        found = checks(site, code)["virtual CPUs"]
        assert found["verdict"] == verdict and words in found["found"], found
    control(site.url, "preconditions", {"vcpus": 4, **place})
    running = site.start("deploy", "staging", "--yes")
    until(lambda: "limit on the number of vCPUs" in running.so_far().err)
    # As soon as AWS gives more, it goes on.
    control(site.url, "preconditions", {"vcpus": 6, **place})
    running.result().ended()


def test_credentials_of_another_account_are_all_that_is_told(site: Site) -> None:
    site.configure({"allowed_account_ids": ["999999999999"]})
    found = checks(site, 1)
    assert set(found) == {"account"} and site.account in found["account"]["found"]
