"""Records that would keep clients from the hostname: a deploy refuses them, or `doctor` reports them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fault_proxy import FaultProxy
from harness import Result, TestWorkspace
from printed_commands import Shell, commands

HOSTNAME = "staging.ospcapi.org"


def zone_id(workspace: TestWorkspace, name: str = "ospcapi.org") -> str:
    """Returns the id of a public hosted zone."""
    zones = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    (found,) = [zone["Id"] for zone in zones if zone["Name"] == f"{name}." and not zone["Config"]["PrivateZone"]]
    return str(found).rsplit("/", 1)[-1]


def change(workspace: TestWorkspace, kind: str, *values: str, name: str = HOSTNAME, **fields: Any) -> None:
    """Creates a record in the zone of the workspace."""
    record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value} for value in values]}
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": {**record, **fields}}]}
    workspace.aws.route53.change_resource_record_sets(HostedZoneId=zone_id(workspace), ChangeBatch=batch)


def records(workspace: TestWorkspace, zone: str = "ospcapi.org", name: str = HOSTNAME) -> set[str]:
    """Returns the types of the records at a name."""
    found = workspace.aws.route53.list_resource_record_sets(HostedZoneId=zone_id(workspace, zone))
    return {record["Type"] for record in found["ResourceRecordSets"] if record["Name"] == f"{name}."}


def refusal(workspace: TestWorkspace, *command: str) -> Result:
    """Asserts that a command is refused without a change, and returns the result."""
    since = workspace.mark()
    result = workspace.run(*command).expect_exit(1)
    assert workspace.mutations(since) == [], result
    return result


def run_printed_command(workspace: TestWorkspace, result: Result, command: str) -> None:
    """Runs the command of the AWS CLI that a message contains."""
    (printed,) = {part for part in commands(result.text, "aws") if part.startswith(f"aws route53 {command}")}
    Shell(workspace).run(printed)


def doctor(workspace: TestWorkspace, name: str = HOSTNAME) -> dict[str, Any]:
    """Returns the finding of `doctor` about a hostname."""
    document = workspace.run("doctor", "staging", "--json").json()
    (found,) = [check for check in document["checks"] if check["name"] == f"hostname {name}"]
    assert not document["ready"] or found["verdict"] != "bad", document
    return dict(found)


def test_delegation_of_hostname_is_refused_until_deleted(workspace: TestWorkspace) -> None:
    change(workspace, "NS", "ns-1.example.net.", "ns-2.example.net.")
    for command in (("plan", "staging"), ("deploy", "staging", "--yes")):
        result = refusal(workspace, *command)
        assert f"the NS record {HOSTNAME} in the hosted zone {zone_id(workspace)} delegates the name" in result.err
        assert "ns-1.example.net, ns-2.example.net" in result.err and f'set `zone = "{HOSTNAME}"`' in result.err
        assert "this account has no public zone of that name" in result.err
    found = doctor(workspace)
    assert found["verdict"] == "bad" and "ns-1.example.net" in found["found"], found
    run_printed_command(workspace, result, "change-resource-record-sets")
    workspace.deploy()
    assert records(workspace) == {"A"} and doctor(workspace)["verdict"] == "good"
    # A delegation that is added later hides the record as well.
    change(workspace, "NS", "ns-1.example.net.")
    assert "no client would see the record" in refusal(workspace, "deploy", "staging", "--yes").err


def test_delegated_zone_of_same_account_is_named_and_works(workspace: TestWorkspace) -> None:
    delegated = workspace.aws.route53.create_hosted_zone(Name=HOSTNAME, CallerReference="delegated")
    change(workspace, "NS", *delegated["DelegationSet"]["NameServers"])
    result = refusal(workspace, "deploy", "staging", "--yes")
    assert f"this account has that zone ({zone_id(workspace, HOSTNAME)})" in result.err, result
    workspace.configure({"workspace": {"staging": {"zone": HOSTNAME}}})
    workspace.deploy()
    assert "A" in records(workspace, zone=HOSTNAME) and records(workspace) == {"NS"}
    workspace.assert_no_changes()
    workspace.destroy()


def test_delegation_above_hostname_is_refused(workspace: TestWorkspace) -> None:
    workspace.configure({"hostname": "app.ospcapi.org", "zone": "ospcapi.org"})
    workspace.aws.route53.create_hosted_zone(
        Name="app.ospcapi.org", CallerReference="p", HostedZoneConfig={"PrivateZone": True},
        VPC={"VPCRegion": workspace.aws.region, "VPCId": workspace.aws.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]},
    )  # fmt: skip
    change(workspace, "NS", "ns-1.example.net.", name="app.ospcapi.org")
    since = workspace.mark()
    result = refusal(workspace, "plan", "staging")
    assert "the NS record app.ospcapi.org in" in result.err and 'set `zone = "app.ospcapi.org"`' in result.err, result
    assert "this account has no public zone of that name" in result.err, "a private zone is not the delegated one"
    assert workspace.calls(since).count("route53:ListResourceRecordSets") == 1
    assert doctor(workspace, "staging.app.ospcapi.org")["verdict"] == "bad"


@pytest.mark.parametrize(("kind", "value"), [("AAAA", "2001:db8::1"), ("HTTPS", '1 . alpn="h2,h3"')])
def test_record_that_clients_prefer_is_refused_before_create(workspace: TestWorkspace, kind: str, value: str) -> None:
    change(workspace, kind, value)
    result = refusal(workspace, "deploy", "staging", "--yes")
    assert f"the {kind} record {HOSTNAME} in the hosted zone" in result.err and value in result.err, result
    assert doctor(workspace)["verdict"] == "bad"
    run_printed_command(workspace, result, "change-resource-record-sets")
    workspace.deploy()
    # Once the record exists, other changes are still possible, and `doctor` warns.
    change(workspace, kind, value)
    assert doctor(workspace)["verdict"] == "warning"
    workspace.configure({"services": {"celery": {"count": 2}}})
    workspace.deploy()


ROUTED: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "weighted": [("A", "192.0.2.1", {"SetIdentifier": "blue", "Weight": 1}),
                 ("A", "192.0.2.2", {"SetIdentifier": "green", "Weight": 0})],
    "latency": [("A", "192.0.2.1", {"SetIdentifier": "ohio", "Region": "us-east-2"})],
    "failover": [("A", "192.0.2.1", {"SetIdentifier": "one", "Failover": "SECONDARY"})],
    "geolocation": [("A", "192.0.2.1", {"SetIdentifier": "rest", "GeoLocation": {"CountryCode": "*"}})],
    "multivalue": [("A", "192.0.2.1", {"SetIdentifier": "m", "MultiValueAnswer": True})],
    "CNAME": [("CNAME", "elsewhere.example.net", {})],
}  # fmt: skip


@pytest.mark.parametrize("policy", ROUTED)
def test_record_that_excludes_ours_is_refused_at_plan(workspace: TestWorkspace, policy: str) -> None:
    for kind, value, fields in ROUTED[policy]:
        change(workspace, kind, value, **fields)
    for command in (("plan", "staging"), ("deploy", "staging", "--yes")):
        result = refusal(workspace, *command)
    names = [fields["SetIdentifier"] for _, _, fields in ROUTED[policy] if fields]
    assert "Route 53 accepts no" in result.err and ", ".join(names) in result.err, result
    assert "pb-deploy adopt" not in result.err, "such records cannot be imported"
    run_printed_command(workspace, result, "change-resource-record-sets")
    assert records(workspace) == set()
    workspace.run("plan", "staging").expect_exit()


@pytest.mark.parametrize("policy", ["weighted", "CNAME"])
def test_record_that_appears_during_deploy_is_explained(
    workspace: TestWorkspace, proxy: FaultProxy, policy: str
) -> None:
    held = proxy.hold_before("route53:ChangeResourceRecordSets")
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    for kind, value, fields in ROUTED[policy]:
        change(workspace, kind, value, **fields)
    held.release()
    result = running.result().expect_exit(1)
    assert "already exist" in result.err and "Route 53 accepts no" in result.err, result
    assert "A" not in records(workspace) or policy == "weighted"


def test_record_of_a_traffic_policy_is_deleted_with_it(workspace: TestWorkspace) -> None:
    route53, endpoints = workspace.aws.route53, {"one": {"Type": "value", "Value": "2001:db8::1"}}
    document = {
        "AWSPolicyFormatVersion": "2015-10-01", "RecordType": "AAAA", "Endpoints": endpoints, "StartEndpoint": "one",
    }  # fmt: skip
    policy = route53.create_traffic_policy(Name="p", Document=json.dumps(document))["TrafficPolicy"]["Id"]
    route53.create_traffic_policy_instance(
        HostedZoneId=zone_id(workspace), Name=HOSTNAME, TTL=60, TrafficPolicyId=policy, TrafficPolicyVersion=1
    )
    result = refusal(workspace, "deploy", "staging", "--yes")
    assert f"the AAAA record {HOSTNAME}" in result.err, result
    run_printed_command(workspace, result, "delete-traffic-policy-instance")
    assert records(workspace) == set()
    workspace.run("plan", "staging").expect_exit()


def test_protected_record_is_explained(workspace: TestWorkspace) -> None:
    def protect() -> None:
        protection = {"RecordName": HOSTNAME, "RecordType": "A", "Comment": "ask the network team"}
        workspace.aws.route53.create_resource_record_set_protections(
            HostedZoneId=zone_id(workspace), Protections=[protection]
        )

    def protected(*command: str) -> Result:
        result = workspace.run(*command).expect_exit(1)
        assert "ask the network team" in result.err and "a record protection forbids every change" in result.err, result
        expected = f"--hosted-zone-id {zone_id(workspace)} --protections RecordName={HOSTNAME},RecordType=A`"
        assert expected in result.err, result
        return result

    protect()
    result = protected("deploy", "staging", "--yes")
    run_printed_command(workspace, result, "delete-resource-record-set-protections")
    workspace.deploy()
    elsewhere = {"Name": HOSTNAME, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.9"}]}
    batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": elsewhere}]}
    workspace.aws.route53.change_resource_record_sets(HostedZoneId=zone_id(workspace), ChangeBatch=batch)
    protect()
    protected("deploy", "staging", "--yes")
    result = protected("destroy", "staging", "--yes")
    with pytest.raises(ClientError, match="ask the network team"):
        workspace.aws.route53.change_resource_record_sets(HostedZoneId=zone_id(workspace), ChangeBatch=batch)
    run_printed_command(workspace, result, "delete-resource-record-set-protections")
    workspace.destroy()
    assert records(workspace) == set()
