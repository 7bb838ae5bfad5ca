"""Tests of the ACM rules: requests, validation by DNS, states and deletion."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from conftest import Aws, control, wait_until
from cryptography import x509

NAME = "app.example.org"


def request(aws: Aws, *names: str, **settings: Any) -> str:
    """Requests a certificate with DNS validation, and returns its ARN."""
    more = {"SubjectAlternativeNames": list(names[1:])} if names[1:] else {}
    wanted = {"DomainName": (names or (NAME,))[0], "ValidationMethod": "DNS", **more, **settings}
    return str(aws.acm.request_certificate(**wanted)["CertificateArn"])


def show(aws: Aws, arn: str) -> dict[str, Any]:
    """Returns the description of a certificate."""
    return aws.acm.describe_certificate(CertificateArn=arn)["Certificate"]


def zone(aws: Aws, name: str = "example.org", **settings: Any) -> str:
    """Creates a hosted zone, and returns its id."""
    reference = f"{aws.account}-{name}-{len(aws.route53.list_hosted_zones()['HostedZones'])}"
    made = aws.route53.create_hosted_zone(Name=name, CallerReference=reference, **settings)
    return str(made["HostedZone"]["Id"])


def records(aws: Aws, arn: str) -> list[dict[str, str]]:
    """Waits until all validation records of a certificate are known, and returns them."""

    def known() -> Any:
        options = show(aws, arn).get("DomainValidationOptions") or [{}]
        return all("ResourceRecord" in option for option in options) and [o["ResourceRecord"] for o in options]

    return wait_until(known)


def write(aws: Aws, zone_id: str, name: str, kind: str, *values: str, action: str = "UPSERT") -> None:
    """Writes or deletes a record."""
    record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value} for value in values]}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    aws.route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)


def publish(aws: Aws, zone_id: str, arn: str) -> None:
    """Writes the validation records of a certificate to a zone."""
    for record in records(aws, arn):
        write(aws, zone_id, record["Name"], record["Type"], record["Value"])


def status(aws: Aws, arn: str) -> str:
    """Returns the status of a certificate."""
    return str(show(aws, arn)["Status"])


def issued(aws: Aws, *names: str, zone_id: str = "", **settings: Any) -> str:
    """Requests a certificate, validates it, and returns its ARN once it is issued."""
    arn = request(aws, *names, **settings)
    publish(aws, zone_id or zone(aws), arn)
    wait_until(lambda: status(aws, arn) == "ISSUED")
    return arn


def prescribe(aws: Aws, name: str = NAME, **outcome: Any) -> None:
    """Prescribes the outcome for the certificates of a name."""
    control(aws.url, "POST", "certificates", {"account": aws.account, "name": name, **outcome})


def test_validation_records_appear_after_request(aws: Aws) -> None:
    arn = request(aws)
    first = show(aws, arn)
    assert first["Status"] == "PENDING_VALIDATION" and first["DomainName"] == NAME
    assert "DomainValidationOptions" not in first and "NotAfter" not in first
    pending = wait_until(lambda: show(aws, arn).get("DomainValidationOptions"))
    assert [(o["ValidationStatus"], o["ValidationMethod"]) for o in pending] == [("PENDING_VALIDATION", "DNS")]
    [record] = records(aws, arn)
    assert record["Type"] == "CNAME" and record["Name"].endswith(f".{NAME}.") and record["Name"].startswith("_")
    assert record["Value"].endswith(".acm-validations.aws.")


def test_validation_record_is_same_in_all_certificates(aws: Aws, server: str) -> None:
    first = records(aws, request(aws, NAME, f"*.{NAME}", "other.example.org"))
    assert first[0] == first[1] != first[2]
    elsewhere = Aws(server, aws.account, "eu-west-1")
    assert records(elsewhere, request(elsewhere)) == [first[0]]
    stranger = Aws(server, str(int(aws.account) + 50_000))
    assert records(stranger, request(stranger)) != [first[0]]


def test_certificate_is_issued_when_all_names_are_validated(aws: Aws) -> None:
    arn = request(aws, NAME, "www.example.org", "WWW.example.org")
    one, two = records(aws, arn)
    zone_id = zone(aws)
    write(aws, zone_id, one["Name"], "CNAME", one["Value"])

    def validated() -> dict[str, str]:
        return {
            option["DomainName"]: option["ValidationStatus"] for option in show(aws, arn)["DomainValidationOptions"]
        }

    wait_until(lambda: validated() == {NAME: "SUCCESS", "www.example.org": "PENDING_VALIDATION"})
    write(aws, zone_id, two["Name"], "CNAME", "_wrong.acm-validations.aws.")
    assert status(aws, arn) == "PENDING_VALIDATION" and validated()["www.example.org"] == "PENDING_VALIDATION"
    write(aws, zone_id, two["Name"], "CNAME", two["Value"])
    wait_until(lambda: status(aws, arn) == "ISSUED")
    found = show(aws, arn)
    assert found["SubjectAlternativeNames"] == [NAME, "www.example.org"] and set(validated().values()) == {"SUCCESS"}
    assert (found["Issuer"], found["Type"], found["KeyAlgorithm"]) == ("Amazon", "AMAZON_ISSUED", "RSA-2048")
    assert found["NotAfter"] - found["NotBefore"] == timedelta(days=198, seconds=-1)
    assert found["RenewalEligibility"] == "INELIGIBLE" and found["InUseBy"] == []


def test_only_zone_that_dns_asks_validates(aws: Aws) -> None:
    arn = request(aws, "app.sub.example.org")
    vpc = {"VPCRegion": aws.region, "VPCId": aws.network().vpc}
    publish(aws, zone(aws, VPC=vpc, HostedZoneConfig={"PrivateZone": True}), arn)
    parent, child = zone(aws), zone(aws, "sub.example.org")
    publish(aws, child, arn)
    wait_until(lambda: show(aws, arn)["DomainValidationOptions"])
    assert show(aws, arn)["DomainValidationOptions"][0]["ValidationStatus"] == "PENDING_VALIDATION"
    write(aws, parent, "sub.example.org", "NS", "ns1.another-provider.example.")
    assert show(aws, arn)["DomainValidationOptions"][0]["ValidationStatus"] == "PENDING_VALIDATION"
    servers = aws.route53.get_hosted_zone(Id=child)["DelegationSet"]["NameServers"]
    write(aws, parent, "sub.example.org", "NS", *servers)
    wait_until(lambda: status(aws, arn) == "ISSUED")


def test_request_is_idempotent_by_token(aws: Aws) -> None:
    first = request(aws, IdempotencyToken="one")
    assert request(aws, IdempotencyToken="one") == first
    assert request(aws, IdempotencyToken="two") != first and request(aws) != first
    assert request(aws, "www.example.org", IdempotencyToken="one") != first
    aws.acm.delete_certificate(CertificateArn=request(aws, "x.example.org", IdempotencyToken="three"))
    show(aws, request(aws, "x.example.org", IdempotencyToken="three"))
    for token in ("a-b", "a.b", "é"):
        assert aws.code(request, aws=aws, IdempotencyToken=token) == "ValidationException", token


def test_invalid_names_are_refused(aws: Aws) -> None:
    def code(*names: str, **settings: Any) -> str:
        return aws.code(lambda: request(aws, *names, **settings))

    for name in ("example", "a..example.org", "-a.example.org", "a_b.example.org", "a.*.example.org", "a.org."):
        assert code(name) == "ValidationException", name
        assert code(NAME, name) == "ValidationException", name
    long = "a" * 60 + ".example.org"
    assert code(long) == "InvalidDomainValidationOptionsException"
    assert show(aws, request(aws, NAME, long))["SubjectAlternativeNames"] == [NAME, long]
    assert code(Tags=[{"Key": "aws:x", "Value": "y"}]) == "ValidationException"


def test_empty_lists_are_refused(aws: Aws) -> None:
    config = Config(retries={"max_attempts": 0}, parameter_validation=False)
    unchecked = boto3.client(
        "acm", endpoint_url=aws.url, region_name=aws.region, aws_access_key_id=aws.account,
        aws_secret_access_key="test", config=config,
    )  # fmt: skip
    for empty in ("Tags", "SubjectAlternativeNames"):
        wanted: dict[str, Any] = {"DomainName": NAME, "ValidationMethod": "DNS", empty: []}
        assert aws.code(unchecked.request_certificate, **wanted) == "ValidationException", empty


def test_names_and_certificates_beyond_quota_are_refused(aws: Aws) -> None:
    names = [f"n{number}.example.org" for number in range(11)]
    assert aws.message(lambda: request(aws, *names)) == "Certificate has too many domains."
    assert aws.code(lambda: request(aws, *names)) == "LimitExceededException"
    request(aws, *names[:10], names[0])
    quotas = {"account": aws.account, "region": aws.region, "quotas": {"L-FB94F0B0": 11, "L-F141DD1D": 2}}
    control(aws.url, "POST", "preconditions", quotas)
    request(aws, *names)
    assert aws.code(lambda: request(aws, *names[:2])) == "LimitExceededException"
    client = getattr(aws, "service-quotas")
    quota = client.get_service_quota(ServiceCode="acm", QuotaCode="L-FB94F0B0")["Quota"]
    assert quota["Value"] == 11


def test_certificate_is_signed_by_authority(aws: Aws, tmp_path: Path) -> None:
    zone_id = zone(aws)
    for algorithm in ("RSA_2048", "EC_prime256v1"):
        arn = issued(aws, NAME, "*.app.example.org", zone_id=zone_id, KeyAlgorithm=algorithm)
        found = aws.acm.get_certificate(CertificateArn=arn)
        certificate, ca = tmp_path / "certificate.pem", tmp_path / "ca.pem"
        certificate.write_text(found["Certificate"], encoding="ascii")
        ca.write_text(control(aws.url, "GET", "ca")["certificate"], encoding="ascii")
        for name in (NAME, "x.app.example.org"):
            command = ["openssl", "verify", "-CAfile", str(ca), "-verify_hostname", name, str(certificate)]
            subprocess.run(command, check=True, capture_output=True)
        assert found["CertificateChain"] == ca.read_text(encoding="ascii")
        signed = x509.load_pem_x509_certificate(found["Certificate"].encode())
        assert signed.not_valid_after_utc == show(aws, arn)["NotAfter"]


def test_certificate_is_returned_only_when_issued(aws: Aws) -> None:
    arn = request(aws)
    assert aws.code(aws.acm.get_certificate, CertificateArn=arn) == "RequestInProgressException"
    aws.acm.delete_certificate(CertificateArn=arn)
    assert aws.code(aws.acm.get_certificate, CertificateArn=arn) == "ResourceNotFoundException"


def test_unknown_and_invalid_arns_are_refused(aws: Aws, server: str) -> None:
    elsewhere = Aws(server, aws.account, "eu-west-1")
    for call in ("describe_certificate", "get_certificate", "delete_certificate"):
        missing = f"arn:aws:acm:{aws.region}:{aws.account}:certificate/00000000-0000-0000-0000-000000000000"
        assert aws.code(getattr(aws.acm, call), CertificateArn=missing) == "ResourceNotFoundException"
        other = request(elsewhere, IdempotencyToken=call)
        assert aws.code(getattr(aws.acm, call), CertificateArn=other) == "ResourceNotFoundException"
        assert aws.code(getattr(aws.acm, call), CertificateArn="arn:aws:s3:::a-bucket-name") == "ValidationException"
        odd = f"arn:aws:acm:{aws.region}:{aws.account}:something/else"
        assert aws.code(getattr(aws.acm, call), CertificateArn=odd) == "InvalidArnException"


@pytest.mark.parametrize(
    ("failure", "shown"),
    [("CAA_ERROR", "FAILED"), ("DOMAIN_NOT_ALLOWED", "FAILED"), ("VALIDATION_TIMED_OUT", "VALIDATION_TIMED_OUT")],
)
def test_failed_certificate_has_reason_and_can_be_deleted(aws: Aws, failure: str, shown: str) -> None:
    prescribe(aws, failure=failure)
    arn = request(aws)
    publish(aws, zone(aws), arn)
    wait_until(lambda: status(aws, arn) == shown)
    assert show(aws, arn).get("FailureReason") == (failure if shown == "FAILED" else None)
    aws.acm.delete_certificate(CertificateArn=arn)
    prescribe(aws)
    issued(aws, zone_id=aws.route53.list_hosted_zones()["HostedZones"][0]["Id"])


def test_name_can_stay_unvalidated(aws: Aws) -> None:
    prescribe(aws, pending=True)
    arn = request(aws)
    publish(aws, zone(aws), arn)
    assert show(aws, arn)["DomainValidationOptions"][0]["ValidationStatus"] == "PENDING_VALIDATION"
    prescribe(aws)
    wait_until(lambda: status(aws, arn) == "ISSUED")


def test_issued_certificate_can_expire_and_fail_to_renew(aws: Aws) -> None:
    arn, now = issued(aws), datetime.now(UTC)
    prescribe(aws, days_left=20, renewal="PENDING_VALIDATION", renewal_reason="CAA_ERROR")
    found = show(aws, arn)
    assert found["Status"] == "ISSUED" and timedelta(19) < found["NotAfter"] - now < timedelta(21)
    renewal = found["RenewalSummary"]
    assert (renewal["RenewalStatus"], renewal["RenewalStatusReason"]) == ("PENDING_VALIDATION", "CAA_ERROR")
    assert renewal["DomainValidationOptions"][0]["ValidationStatus"] == "PENDING_VALIDATION"
    prescribe(aws, days_left=-1)
    assert status(aws, arn) == "EXPIRED" and show(aws, arn)["NotAfter"] < now
    prescribe(aws)
    assert status(aws, arn) == "ISSUED" and "RenewalSummary" not in show(aws, arn)


def test_list_shows_only_rsa_certificates_by_default(aws: Aws) -> None:
    rsa, curve = request(aws), request(aws, KeyAlgorithm="EC_prime256v1")

    def listed(**settings: Any) -> list[str]:
        pages = aws.acm.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 1}, **settings)
        return [found["CertificateArn"] for page in pages for found in page["CertificateSummaryList"]]

    assert listed() == [rsa]
    assert listed(Includes={"keyTypes": ["RSA_2048", "EC_prime256v1"]}) == [rsa, curve]
    assert listed(CertificateStatuses=["ISSUED"]) == []
    [found] = aws.acm.list_certificates()["CertificateSummaryList"]
    assert found["SubjectAlternativeNameSummaries"] == [NAME] and found["InUse"] is False


def test_tags_are_listed_by_tagging_api(aws: Aws) -> None:
    arn = request(aws, Tags=[{"Key": "owner", "Value": "me"}])
    assert aws.acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "owner", "Value": "me"}]
    wanted = {"TagFilters": [{"Key": "owner", "Values": ["me"]}], "ResourceTypeFilters": ["acm:certificate"]}
    found = aws.resourcegroupstaggingapi.get_resources(**wanted)["ResourceTagMappingList"]
    assert [(one["ResourceARN"], one["Tags"]) for one in found] == [(arn, [{"Key": "owner", "Value": "me"}])]


def test_calls_are_logged_by_operation(aws: Aws) -> None:
    arn = request(aws)
    show(aws, arn)
    entries = control(aws.url, "GET", f"requests?account={aws.account}")["requests"]
    assert [(entry["service"], entry["action"], entry["mutating"]) for entry in entries] == [
        ("acm", "RequestCertificate", True),
        ("acm", "DescribeCertificate", False),
    ], json.dumps(entries)
