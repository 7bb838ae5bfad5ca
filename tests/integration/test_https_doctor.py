"""HTTPS in `doctor` and `status`: names that AWS could not validate, settings, expiry and renewal of certificates."""

from __future__ import annotations

from typing import Any

import pytest
from endpoint import control
from harness import TestWorkspace, until
from printed_commands import Shell, commands

OTHER_SERVERS = ["ns1.registrar.example"]
LETS_ENCRYPT = ['0 issue "letsencrypt.org"']


def hostname(workspace: TestWorkspace) -> str:
    """Returns the hostname of staging."""
    return f"staging.{workspace.config['hostname']}"


def set_https(workspace: TestWorkspace, **settings: Any) -> None:
    """Replaces the table `https`."""
    workspace.configure({"https": None})
    workspace.configure({"https": {"enabled": True, **settings}})


def public_dns(workspace: TestWorkspace, *overrides: dict[str, Any]) -> dict[str, str | None]:
    """Lets public DNS give these answers, and returns the variable with the address of its server."""
    wanted = {"account": workspace.account, "Overrides": list(overrides)}
    return {"PB_DEPLOY_DNS": control(workspace.url, "dns", wanted)["Address"]}


def prescribe(workspace: TestWorkspace, **outcome: Any) -> None:
    """Prescribes the outcome for the certificates of the hostname."""
    control(workspace.url, "certificates", {"account": workspace.account, "name": hostname(workspace), **outcome})


def checks(
    workspace: TestWorkspace, env: dict[str, str | None] | None = None, code: int = 0
) -> dict[str, dict[str, Any]]:
    """Runs `doctor` and returns its checks by name."""
    since = workspace.mark()
    document = workspace.run("doctor", "staging", "--json", env=env).expect_exit(code).json()
    assert set(workspace.mutations(since)) <= {"iam:SimulatePrincipalPolicy"}
    return {check["name"]: check for check in document["checks"]}


def prepared(workspace: TestWorkspace, **settings: Any) -> TestWorkspace:
    """Creates what a first deploy with HTTPS needs."""
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    set_https(workspace, **settings)
    return workspace


def status(workspace: TestWorkspace) -> dict[str, Any]:
    """Returns the certificate of `status`."""
    (found,) = workspace.run("status", "staging", "--json").expect_exit().json()["certificates"]
    return dict(found)


def test_workspace_without_https_gets_a_recommendation(workspace: TestWorkspace) -> None:
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    found = checks(workspace)["HTTPS"]
    assert found["verdict"] == "warning" and "`[https]`" in found["found"] and "hint" not in found
    text = workspace.run("doctor", "staging").expect_exit().out
    assert len([line for line in text.splitlines() if "[https]" in line]) == 1
    set_https(workspace)
    assert "HTTPS" not in checks(workspace)


def test_ready_names_policy_and_quota_are_good(workspace: TestWorkspace) -> None:
    more = f"www.{workspace.config['hostname']}"
    dns = public_dns(prepared(workspace, names=[more]))
    found = checks(workspace, dns)
    for name in (f"name {hostname(workspace)}", f"name {more}"):
        assert found[name]["verdict"] == "good" and "public DNS lets AWS issue" in found[name]["found"], found[name]
    assert found["TLS policy"]["verdict"] == "good"
    assert found["permissions"]["found"] == "all 12 simulated actions are allowed"
    room = found["room for a certificate"]
    assert room["verdict"] == "good" and room["found"].startswith("0 of 2500"), room


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"Type": "NS", "Values": []}, "public DNS has no name servers for the zone"),
        ({"Type": "NS", "Values": OTHER_SERVERS}, f"public DNS asks {OTHER_SERVERS[0]} for the zone"),
        ({"Type": "CAA", "Values": LETS_ENCRYPT}, "allow letsencrypt.org, and not Amazon"),
    ],
)
def test_name_that_aws_cannot_validate_is_bad(workspace: TestWorkspace, answer: dict[str, Any], expected: str) -> None:
    zone = prepared(workspace).config["hostname"]
    found = checks(workspace, public_dns(workspace, {"Name": zone, **answer}), 1)[f"name {hostname(workspace)}"]
    assert found["verdict"] == "bad" and expected in found["found"] and zone in found["found"], found


def test_dns_without_an_answer_is_unknown_and_no_failure(workspace: TestWorkspace) -> None:
    zone = prepared(workspace).config["hostname"]
    name = f"name {hostname(workspace)}"
    found = checks(workspace, public_dns(workspace, {"Name": zone, "Type": "NS", "Status": "SERVFAIL"}))[name]
    assert found["verdict"] == "unknown" and "with SERVFAIL" in found["found"], found
    unasked = checks(workspace)[name]
    assert unasked["verdict"] == "unknown" and "public DNS does not know the zones" in unasked["found"], unasked


def test_name_in_no_zone_is_bad_with_a_hint(workspace: TestWorkspace) -> None:
    dns = public_dns(prepared(workspace, names=["www.example.net"]))
    found = checks(workspace, dns, 1)["name www.example.net"]
    assert found["verdict"] == "bad" and "no public hosted zone of this account contains" in found["found"]
    assert "create a public hosted zone" in found["hint"]
    workspace.aws.route53.create_hosted_zone(Name="example.net", CallerReference="test")
    found = checks(workspace, dns)["name www.example.net"]
    assert found["verdict"] == "good" and "in the hosted zone example.net (" in found["found"], found


def test_unknown_policy_and_used_up_quota_are_bad(workspace: TestWorkspace) -> None:
    policy = "ELBSecurityPolicy-TLS13-1-9-2099-01"
    dns = public_dns(prepared(workspace, policy=policy))
    scope = {"account": workspace.account, "region": workspace.config["region"]}
    control(workspace.url, "preconditions", {"quotas": {"L-F141DD1D": 0}, **scope})
    found = checks(workspace, dns, 1)
    assert found["TLS policy"]["verdict"] == "bad" and policy in found["TLS policy"]["found"]
    assert found["TLS policy"]["hint"] == "choose another `https.policy`"
    room = found["room for a certificate"]
    assert room["verdict"] == "bad" and room["found"].startswith("0 of 0"), room
    assert "AWS Certificate Manager" in room["hint"]


def test_existing_certificate_must_be_usable(workspace: TestWorkspace) -> None:
    acm, host = workspace.aws.acm, hostname(workspace)
    missing = f"arn:aws:acm:{workspace.config['region']}:{workspace.account}:certificate/00000000"
    prepared(workspace, certificate_arn=missing)
    found = checks(workspace, code=1)["certificate"]
    assert found["verdict"] == "bad" and "there is no certificate" in found["found"]
    pending = acm.request_certificate(DomainName=host, ValidationMethod="DNS")["CertificateArn"]
    set_https(workspace, certificate_arn=pending)
    found = checks(workspace, code=1)["certificate"]
    assert found["verdict"] == "bad" and "its status is PENDING_VALIDATION" in found["found"]
    assert "https.certificate_arn" in found["hint"]
    validate(workspace, pending)
    found = checks(workspace)
    assert found[f"certificate {host}"]["verdict"] == "good", found
    assert f"name {host}" not in found and "room for a certificate" not in found
    set_https(workspace, certificate_arn=pending, names=[f"www.{workspace.config['hostname']}"])
    assert "is not valid for www." in checks(workspace, code=1)["certificate"]["found"]
    set_https(workspace, certificate_arn=pending)
    prescribe(workspace, days_left=-1)
    assert "has expired" in checks(workspace, code=1)["certificate"]["found"]


def validate(workspace: TestWorkspace, arn: str) -> None:
    """Creates the validation record of a certificate, and waits until it is issued."""

    def described() -> dict[str, Any]:
        found: dict[str, Any] = workspace.aws.acm.describe_certificate(CertificateArn=arn)["Certificate"]
        return found

    until(lambda: "ResourceRecord" in described().get("DomainValidationOptions", [{}])[0])
    record = described()["DomainValidationOptions"][0]["ResourceRecord"]
    change_record(workspace, "UPSERT", record["Name"], record["Value"])
    until(lambda: described()["Status"] == "ISSUED")


def change_record(workspace: TestWorkspace, action: str, name: str, value: str, ttl: int = 300) -> None:
    """Changes a CNAME record in the zone of the workspace."""
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    record = {"Name": name, "Type": "CNAME", "TTL": ttl, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    workspace.aws.route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch=batch)


def test_deployed_certificate_is_shown_and_its_expiry_reported(workspace: TestWorkspace) -> None:
    more = [f"{name}.{workspace.config['hostname']}" for name in ("a", "b")]
    prepared(workspace, names=more).deploy()
    host = hostname(workspace)
    shown = workspace.run("status", "staging").expect_exit().out
    assert f"https://{host}" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("  certificate ")]
    assert f"{host} and 2 more names: issued by Amazon, expires on " in line and "renewal automatic" in line
    found = status(workspace)
    assert (found["status"], found["issuer"], found["names"]) == ("ISSUED", "Amazon", [host, *more])
    assert found["days_left"] > 190 and found["renewable"] and found["renewal"] is None and found["unknown"] is None
    good = checks(workspace)
    assert good[f"certificate {host}"]["verdict"] == "good", good
    assert all(name in good[f"certificate {host}"]["found"] for name in more)
    assert good["room for a certificate"]["found"] == "the certificate already exists"
    prescribe(workspace, days_left=20.5)
    few = checks(workspace)[f"certificate {host}"]
    assert few["verdict"] == "warning" and "(in 20 days)" in few["found"] and few["hint"], few
    assert status(workspace)["days_left"] == 20
    # What keeps AWS from validating a name then only endangers the renewal.
    dns = public_dns(workspace, {"Name": workspace.config["hostname"], "Type": "CAA", "Values": LETS_ENCRYPT})
    name = checks(workspace, dns)[f"name {host}"]
    assert name["verdict"] == "warning" and "AWS cannot renew the certificate" in name["found"]


@pytest.mark.unserved("a shell runs the tool")
def test_renewal_without_its_record_names_and_restores_it(workspace: TestWorkspace) -> None:
    prepared(workspace).deploy()
    host, dns = hostname(workspace), public_dns(workspace)
    acm, arn = workspace.aws.acm, status(workspace)["arn"]
    record = acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"][0]["ResourceRecord"]
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    records = workspace.aws.route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    (ttl,) = [one["TTL"] for one in records if one["Type"] == "CNAME"]
    change_record(workspace, "DELETE", record["Name"], record["Value"], ttl)
    prescribe(workspace, renewal="PENDING_VALIDATION")
    found = checks(workspace, dns)[f"certificate {host}"]
    wanted = f"`{record['Name'].rstrip('.')} CNAME {record['Value'].rstrip('.')}`"
    assert found["verdict"] == "warning" and "renewal PENDING_VALIDATION" in found["found"], found
    assert f"{host} lacks the record {wanted}" in found["found"], found
    assert status(workspace)["unvalidated"][0]["record"] == record["Name"].rstrip(".")
    (command,) = commands(found["hint"], "pb-deploy")
    Shell(workspace).run(f"{command} --yes")
    visible = checks(workspace, dns)[f"certificate {host}"]["found"]
    assert f"the record {wanted} for {host} is visible in public DNS" in visible, visible


@pytest.mark.unserved("a shell runs the tool")
def test_failed_renewal_has_a_command_for_a_new_certificate(workspace: TestWorkspace) -> None:
    prepared(workspace).deploy()
    host, before = hostname(workspace), status(workspace)["arn"]
    prescribe(workspace, days_left=5.5, renewal="FAILED", renewal_reason="CAA_ERROR")
    line = workspace.run("status", "staging").expect_exit().out
    assert "expires on" in line and "(in 5 days), renewal FAILED: CAA_ERROR" in line
    found = checks(workspace)[f"certificate {host}"]
    assert found["verdict"] == "warning" and "renewal FAILED: CAA_ERROR" in found["found"]
    (command,) = commands(found["hint"], "pb-deploy")
    prescribe(workspace)
    Shell(workspace).run(f"{command} --yes")
    after = status(workspace)
    assert after["arn"] != before and after["renewal"] is None
    assert checks(workspace)[f"certificate {host}"]["verdict"] == "good"


def test_pending_certificate_is_shown_with_its_names(workspace: TestWorkspace) -> None:
    prescribe(prepared(workspace), pending=True)
    workspace.run("deploy", "staging", "--yes", "--wait-timeout", "20s").expect_exit(1)
    host = hostname(workspace)
    shown = workspace.run("status", "staging").expect_exit().out
    assert f"{host}: pending validation: AWS has yet to validate {host}" in shown, shown
    found = status(workspace)
    assert (found["status"], found["expires"], found["issuer"]) == ("PENDING_VALIDATION", None, None)
    assert found["unvalidated"][0]["name"] == host and found["unvalidated"][0]["record"].startswith("_")
    warning = checks(workspace)[f"certificate {host}"]
    assert warning["verdict"] == "warning" and "pending validation" in warning["found"], warning
    prescribe(workspace)
    workspace.deploy()
    assert status(workspace)["status"] == "ISSUED"


def test_deleted_certificate_is_unknown_in_status(workspace: TestWorkspace) -> None:
    acm = workspace.aws.acm
    arn = acm.request_certificate(DomainName=hostname(workspace), ValidationMethod="DNS")["CertificateArn"]
    validate(workspace, arn)
    set_https(workspace, certificate_arn=arn)
    workspace.deploy()
    assert status(workspace)["arn"] == arn
    balancer = workspace.aws.elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    listeners = workspace.aws.elbv2.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
    (https,) = [one["ListenerArn"] for one in listeners if one["Port"] == 443]
    workspace.aws.elbv2.delete_listener(ListenerArn=https)
    until(lambda: not acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"])
    acm.delete_certificate(CertificateArn=arn)
    found = status(workspace)
    assert set(found) == {"arn", "unknown"} and "there is no certificate" in found["unknown"]
    assert "unknown: " in workspace.run("status", "staging").expect_exit().out


def test_status_without_https_reads_no_certificate(staging: TestWorkspace) -> None:
    since = staging.mark()
    assert staging.run("status", "staging", "--json").expect_exit().json()["certificates"] == []
    assert "acm:DescribeCertificate" not in staging.calls(since)


@pytest.mark.parametrize("value", ["", "127.0.0.1", "dns.example.org:53"])
def test_invalid_dns_server_is_refused(workspace: TestWorkspace, value: str) -> None:
    for command in (["plan", "staging"], ["doctor", "staging"]):
        result = workspace.run(*command, env={"PB_DEPLOY_DNS": value}).expect_exit(64)
        assert f'PB_DEPLOY_DNS is not the address of a DNS server: "{value}"' in result.err, result.text
        assert "such as 127.0.0.1:53" in result.err
