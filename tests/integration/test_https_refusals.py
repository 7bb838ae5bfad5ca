"""HTTPS settings that cannot work: refused at plan, or reported within a minute."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from endpoint import control
from harness import TestWorkspace
from test_https import certificates, cname_records, hostname, issued, set_https

pytestmark = [
    pytest.mark.needs("data-plane"),
    pytest.mark.unserved("most of these stacks redirect, or are never served"),
]
ARN = "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012"


def imported(workspace: TestWorkspace, name: str, days: int) -> str:
    """Imports a certificate for a name that is valid for a number of days, and returns its ARN."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=9))
    builder = builder.not_valid_after(now + datetime.timedelta(days=days))
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    answer = workspace.aws.acm.import_certificate(Certificate=signed.public_bytes(encoding), PrivateKey=private)
    return str(answer["CertificateArn"])


def refusal(workspace: TestWorkspace, **settings: Any) -> str:
    """Returns the message with which a plan is refused."""
    set_https(workspace, **settings)
    return workspace.run("plan", "staging").expect_exit(1).text


def deviate(workspace: TestWorkspace, name: str, **outcome: Any) -> None:
    """Makes ACM treat the certificates of a name differently."""
    control(workspace.url, "certificates", {"account": workspace.account, "name": name, **outcome})


def test_certificate_that_cannot_serve_is_refused_at_plan(workspace: TestWorkspace) -> None:
    host = hostname(workspace)
    assert "there is no certificate" in refusal(
        workspace, certificate_arn=ARN.replace("123456789012", workspace.account)
    )
    other = imported(workspace, "other.example.net", 90)
    assert f"is not valid for {host}, only for other.example.net" in refusal(workspace, certificate_arn=other)
    expired = issued(workspace, host)
    deviate(workspace, host, days_left=-1)
    assert "has expired" in refusal(workspace, certificate_arn=expired)
    deviate(workspace, host)
    deviate(workspace, host, pending=True)
    pending = workspace.aws.acm.request_certificate(DomainName=host, ValidationMethod="DNS")["CertificateArn"]
    text = refusal(workspace, certificate_arn=pending)
    assert "its status is PENDING_VALIDATION" in text and "choose another `https.certificate_arn`" in text
    assert workspace.mutations() == []


def test_certificate_of_another_region_is_refused_by_validate(workspace: TestWorkspace) -> None:
    set_https(workspace, certificate_arn=ARN.replace("us-east-2", "eu-west-1"))
    text = workspace.run("validate").expect_exit(1).text
    assert "the certificate is in eu-west-1, but the load balancer is in us-east-2" in text


def test_unknown_policy_is_refused_with_the_known_ones(workspace: TestWorkspace) -> None:
    text = refusal(workspace, policy="ELBSecurityPolicy-TLS14-2030-01")
    assert "AWS has no TLS policy ELBSecurityPolicy-TLS14-2030-01" in text
    assert "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09" in text and "choose another `https.policy`" in text


def test_name_in_no_zone_is_refused(workspace: TestWorkspace) -> None:
    text = refusal(workspace, names=["www.elsewhere.net"])
    assert "no public hosted zone of this account contains `www.elsewhere.net`" in text
    assert "create a public hosted zone" in text


def test_zone_of_a_name_is_found_or_named(workspace: TestWorkspace) -> None:
    zones = [
        workspace.aws.route53.create_hosted_zone(Name="elsewhere.net", CallerReference=f"zone-{number}")["HostedZone"][
            "Id"
        ]
        for number in (1, 2)
    ]
    text = refusal(workspace, names=["www.elsewhere.net"])
    assert "2 public hosted zones have the name `elsewhere.net`" in text and "set `https.zones = {" in text
    ids = [zone.removeprefix("/hostedzone/") for zone in zones]
    assert "no public hosted zone with the id ZNONE" in refusal(
        workspace, names=["www.elsewhere.net"], zones={"www.elsewhere.net": "ZNONE"}
    )
    set_https(workspace, names=["www.elsewhere.net"], zones={"www.elsewhere.net": ids[1]})
    fields = workspace.plan().fields("edge/validation_www_elsewhere_net")
    assert fields["zone_id"][1] == ids[1]


def test_failed_certificate_is_replaced_by_the_next_deploy(workspace: TestWorkspace) -> None:
    host = hostname(workspace)
    deviate(workspace, host, failure="CAA_ERROR")
    set_https(workspace)
    text = workspace.deploy(code=1).text
    assert f"did not issue the certificate for {host}: CAA_ERROR" in text and '0 issue "amazon.com"' in text
    deviate(workspace, host)
    assert workspace.plan().changes["edge/certificate"] == "create_first"
    workspace.deploy()
    assert [one["Status"] for one in certificates(workspace)] == ["ISSUED"]
    workspace.assert_no_changes()


def test_pending_certificate_is_continued_by_the_next_deploy(workspace: TestWorkspace) -> None:
    host = hostname(workspace)
    deviate(workspace, host, pending=True)
    set_https(workspace)
    text = workspace.deploy(code=1).text
    assert (
        f"waiting for AWS to validate {host}" in text and "run the same command again, which goes on from here" in text
    )
    [pending] = certificates(workspace)
    deviate(workspace, host)
    workspace.deploy()
    assert [one["CertificateArn"] for one in certificates(workspace)] == [pending["CertificateArn"]]
    workspace.assert_no_changes()


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ({"Type": "NS", "Values": []}, "public DNS has no name servers for the zone"),
        ({"Type": "NS", "Values": ["ns1.registrar.example."]}, "public DNS asks ns1.registrar.example for the zone"),
        ({"Type": "CAA", "Values": ['0 issue "letsencrypt.org"']}, "allow letsencrypt.org, and not Amazon"),
    ],
)
def test_dns_that_forbids_the_certificate_ends_the_wait(
    workspace: TestWorkspace, override: dict[str, Any], reason: str
) -> None:
    host, zone = hostname(workspace), str(workspace.config["hostname"])
    deviate(workspace, host, pending=True)
    server = control(workspace.url, "dns", {"account": workspace.account, "Overrides": [{"Name": zone, **override}]})
    set_https(workspace)
    run = workspace.run("deploy", "staging", "--yes", env={"PB_DEPLOY_DNS": server["Address"]}).expect_exit(1)
    assert f"AWS cannot validate {host}" in run.text and reason in run.text, run.text
    assert "until then the site is served with HTTP" in run.text
    workspace.destroy()
    assert certificates(workspace) == [] and cname_records(workspace) == []


def test_deleted_validation_record_is_restored(workspace: TestWorkspace) -> None:
    set_https(workspace)
    workspace.deploy()
    [name] = cname_records(workspace)
    zone, record = record_set(workspace, name)
    batch = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]}
    workspace.aws.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
    address = f"edge/validation_{hostname(workspace).replace('.', '_')}"
    assert workspace.plan().changes == {address: "create"}
    workspace.deploy()
    assert cname_records(workspace) == [name]
    workspace.assert_no_changes()


def record_set(workspace: TestWorkspace, name: str) -> tuple[str, dict[str, Any]]:
    """Returns the zone and the content of the record with this name."""
    route53 = workspace.aws.route53
    for zone in route53.list_hosted_zones()["HostedZones"]:
        for record in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
            if record["Name"] == name:
                return str(zone["Id"]), record
    raise AssertionError(f"no record {name}")
