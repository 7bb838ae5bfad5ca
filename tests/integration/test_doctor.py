"""`doctor` says before a deploy what a deploy would fail on, and changes nothing."""

from __future__ import annotations

from typing import Any

from harness import Site


def checks(site: Site, code: int) -> dict[str, dict[str, Any]]:
    """What it found, by name."""
    since = site.mark()
    document = site.run("doctor", "staging", "--json").ended(code).json()
    # What the credentials may do is asked by a call that changes nothing, whatever its name sounds like.
    assert set(site.mutations(since)) <= {"iam:SimulatePrincipalPolicy"}
    assert document["ready"] == (code == 0)
    return {check["name"]: check for check in document["checks"]}


def test_what_a_deploy_needs_is_looked_at_and_a_ready_account_is_called_so(site: Site) -> None:
    site.run("bootstrap", "staging", "--yes").ended()
    found = checks(site, 0)
    for name in ("account", "state/bucket", "state/table", "roles/execution", "state", "lock", "hosted zone", "zones",
                 "images", "room for a VPC", "room for an internet gateway", "addresses"):  # fmt: skip
        assert found[name]["verdict"] == "good", found[name]
    assert {"engine", "node type", "permissions"} <= set(found)
    assert "staging can be deployed." in site.run("doctor", "staging").ended().out
    site.deploy()
    assert found != checks(site, 0), "it sees what is there by now"


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
    assert bad == {"roles/execution", "state/table", "hosted zone", "addresses"}, found
    assert found["state/table"]["hint"] == "pb-deploy bootstrap staging"
    assert all(found[name].get("hint") for name in bad)
    assert found["state/bucket"]["verdict"] == "warning" and "encrypted" in found["state/bucket"]["found"]
    assert found["room for a VPC"]["verdict"] == "warning", "the account may have more than the usual quota"
    text = site.run("doctor", "staging").ended(1).out
    assert "staging cannot be deployed: 4 things in the way." in text


def test_credentials_of_another_account_are_all_that_is_told(site: Site) -> None:
    site.configure({"allowed_account_ids": ["999999999999"]})
    found = checks(site, 1)
    assert set(found) == {"account"} and site.account in found["account"]["found"]
