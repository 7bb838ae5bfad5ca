"""AWS Certificate Manager: requests with DNS validation, states, descriptions and deletion. Moto serves the import and
the tags of certificates.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from moto.acm.models import CertBundle, TagHolder, acm_backends
from moto.acm.responses import AWSCertificateManagerResponse

from . import acm_model, certificate_authority, quotas, timings
from .acm_model import Requested
from .errors import AwsError
from .patching import Place, attached_state, disable, install

NAME = re.compile(r"(\*\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])")
TOKEN = re.compile(r"\w{1,32}", re.ASCII)
ARN = re.compile(r"arn:[\w+=/,.@-]+:acm:[\w+=/,.@-]*:[0-9]+:[\w+=,.@-]+(/[\w+=,.@-]+)*")
CERTIFICATE = re.compile(r"arn:aws[\w-]*:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+")
#: Maximum length of the first name, which is the common name of the subject.
COMMON_NAME_LENGTH = 64
TOKEN_SECONDS = 3600.0
#: Key types that ListCertificates returns if the call names none.
LISTED_KEY_TYPES = ("RSA_1024", "RSA_2048")
PAGE_SIZE = 1000


def install_rules() -> None:
    """Replaces moto's operations on certificates, except the import and tags."""
    for action, operation in {
        "RequestCertificate": request_certificate,
        "DescribeCertificate": describe_certificate,
        "GetCertificate": get_certificate,
        "ListCertificates": list_certificates,
        "DeleteCertificate": delete_certificate,
    }.items():
        install(AWSCertificateManagerResponse, action, operation)
    disable(AWSCertificateManagerResponse, ("ExportCertificate", "ResendValidationEmail", "RenewCertificate"))


def invalid(value: object, field: str, rule: str) -> AwsError:
    """Returns the error for a value that violates a constraint of the service model."""
    problem = f"Value '{value}' at '{field}' failed to satisfy constraint: Member must {rule}"
    return AwsError("ValidationException", f"1 validation error detected: {problem}")


def request_certificate(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """RequestCertificate: a repeated token returns the certificate that was requested with it."""
    if request.get("ValidationMethod") != "DNS" or request.get("CertificateAuthorityArn"):
        raise NotImplementedError("only public certificates with DNS validation are emulated")
    names, algorithm = checked_names(request), request.get("KeyAlgorithm") or "RSA_2048"
    if algorithm not in certificate_authority.ALGORITHMS:
        raise AwsError("ValidationException", f"The key algorithm {algorithm} is not supported for requests.")
    token = request.get("IdempotencyToken")
    if token is not None and not TOKEN.fullmatch(token):
        raise invalid(token, "idempotencyToken", r"satisfy regular expression pattern: \w+")
    if request.get("Tags") == []:
        raise invalid("[]", "tags", "have length greater than or equal to 1")
    TagHolder().add(request.get("Tags") or [])
    known = tokens(place).get(token or "")
    if known and known[0] > timings.now() and known[1] == set(names) and known[2] in acm_model.certificates(place):
        return {"CertificateArn": known[2]}
    check_quotas(place, names)
    made = Requested(place, names, algorithm)
    made.tags.add(request.get("Tags") or [])
    acm_model.certificates(place)[made.arn] = made
    if token:
        tokens(place)[token] = (timings.now() + TOKEN_SECONDS, set(names), made.arn)
    return {"CertificateArn": made.arn}


def checked_names(request: dict[str, Any]) -> list[str]:
    """Returns the names of a request in lower case and without duplicates, or raises an error for an invalid one."""
    alternatives = request.get("SubjectAlternativeNames")
    if alternatives == []:
        raise invalid("[]", "subjectAlternativeNames", "have length greater than or equal to 1")
    first = request["DomainName"]
    for field, name in [("domainName", first), *(("subjectAlternativeNames", name) for name in alternatives or [])]:
        if len(name) > 253 or not NAME.fullmatch(name):
            raise invalid(name, field, f"satisfy regular expression pattern: ^{NAME.pattern}$")
    if len(first) > COMMON_NAME_LENGTH:
        raise AwsError(
            "InvalidDomainValidationOptionsException", "The first domain name can be no longer than 64 characters."
        )
    return list(dict.fromkeys(name.lower() for name in [first, *(alternatives or [])]))


def tokens(place: Place) -> dict[str, tuple[float, set[str], str]]:
    """Returns the end of validity, the names and the certificate of the tokens of an account."""
    found: dict[str, tuple[float, set[str], str]] = attached_state(
        acm_backends[place.account][place.region], "tokens", dict
    )
    return found


def check_quotas(place: Place, names: list[str]) -> None:
    """Limits the names of a certificate, and the certificates of a region."""
    if len(names) > quotas.limit(place.account, place.region, quotas.CERTIFICATE_NAMES):
        raise AwsError("LimitExceededException", "Certificate has too many domains.")
    requested = [known for known in acm_model.certificates(place).values() if isinstance(known, Requested)]
    if len(requested) >= quotas.limit(place.account, place.region, quotas.CERTIFICATES):
        raise AwsError(
            "LimitExceededException",
            "Cannot request more certificates in this account. Contact Customer Service for details.",
        )


def find(place: Place, arn: str) -> Requested | CertBundle:
    """Returns a certificate, or raises an error if the ARN is invalid or names no certificate of this account and
    region.
    """
    if not ARN.fullmatch(arn):
        raise invalid(arn, "certificateArn", f"satisfy regular expression pattern: {ARN.pattern}")
    if not CERTIFICATE.fullmatch(arn):
        raise AwsError("InvalidArnException", f"The ARN {arn} is not the ARN of a certificate.")
    found = acm_model.certificates(place).get(arn)
    if found is None:
        raise AwsError("ResourceNotFoundException", f"Could not find certificate {arn} in account {place.account}.")
    found.check()
    return found


def describe_certificate(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeCertificate: returns all details of a certificate."""
    return {"Certificate": details(place, find(place, request["CertificateArn"]))}


def details(place: Place, certificate: Requested | CertBundle) -> dict[str, Any]:
    """Returns a certificate in the form of DescribeCertificate."""
    users = acm_model.users(place, certificate.arn)
    if isinstance(certificate, Requested):
        return requested_details(certificate, users)
    found: dict[str, Any] = certificate.describe()["Certificate"]
    return {**found, "InUseBy": users, "KeyAlgorithm": shown_algorithm(found["KeyAlgorithm"])}


def shown_algorithm(algorithm: str) -> str:
    """Returns a key algorithm as AWS shows it: with a hyphen, unlike the values that requests accept."""
    return algorithm.replace("_", "-", 1)


def requested_details(certificate: Requested, users: list[str]) -> dict[str, Any]:
    """Returns a requested certificate in the form of DescribeCertificate. The validation options appear some time after
    the request, and their records still later.
    """
    found: dict[str, Any] = {
        "CertificateArn": certificate.arn,
        "DomainName": certificate.names[0],
        "SubjectAlternativeNames": certificate.names,
        "Subject": f"CN={certificate.names[0]}",
        "Issuer": "Amazon",
        "CreatedAt": certificate.created_at,
        "Status": certificate.status,
        "Type": certificate.type,
        "KeyAlgorithm": shown_algorithm(certificate.algorithm),
        "SignatureAlgorithm": "SHA256WITHRSA",
        "InUseBy": users,
        "RenewalEligibility": "ELIGIBLE" if users and certificate.status == "ISSUED" else "INELIGIBLE",
        "KeyUsages": [],
        "ExtendedKeyUsages": [],
        "Options": certificate.cert_options,
    }
    waited = timings.now() - certificate.requested
    if waited >= timings.seconds("certificate_records") / 2:
        found["DomainValidationOptions"] = validation_options(certificate)
    if certificate.failure:
        found["FailureReason"] = certificate.failure
    if certificate.material:
        signed = certificate.material.certificate
        serial = f"{signed.serial_number:032x}"
        found["Serial"] = ":".join(serial[at : at + 2] for at in range(0, 32, 2))
        found["NotBefore"], found["NotAfter"] = signed.not_valid_before_utc, signed.not_valid_after_utc
        found["IssuedAt"] = certificate.issued_at
    renewal = next((outcome for outcome in certificate.outcomes() if outcome.renewal), None)
    if renewal and certificate.material:
        found["RenewalSummary"] = renewal_summary(certificate, renewal)
    return found


def validation_options(certificate: Requested, status: str = "") -> list[dict[str, Any]]:
    """Returns the validation of each name, with its record once that is known."""
    known = timings.now() >= certificate.requested + timings.seconds("certificate_records")
    found = []
    for name in certificate.names:
        option: dict[str, Any] = {
            "DomainName": name,
            "ValidationDomain": name,
            "ValidationMethod": "DNS",
            "ValidationStatus": status or certificate.domain_status(name),
        }
        if known:
            record, value = acm_model.validation_record(certificate.place.account, name)
            option["ResourceRecord"] = {"Name": record, "Type": "CNAME", "Value": value}
        found.append(option)
    return found


def renewal_summary(certificate: Requested, outcome: acm_model.Outcome) -> dict[str, Any]:
    """Returns the state of a renewal that a test prescribed."""
    status = "SUCCESS" if outcome.renewal in ("SUCCESS", "PENDING_AUTO_RENEWAL") else outcome.renewal
    summary: dict[str, Any] = {
        "RenewalStatus": outcome.renewal,
        "DomainValidationOptions": validation_options(certificate, status),
        "UpdatedAt": certificate.issued_at,
    }
    if outcome.renewal_reason:
        summary["RenewalStatusReason"] = outcome.renewal_reason
    return summary


def get_certificate(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """GetCertificate: returns a certificate and its chain once it is issued."""
    certificate = find(place, request["CertificateArn"])
    if not isinstance(certificate, Requested):
        return {"Certificate": certificate.cert.decode(), "CertificateChain": certificate.chain.decode()}
    if certificate.material is None:
        raise AwsError(
            "RequestInProgressException", f"Certificate {certificate.arn} is in status {certificate.status}."
        )
    return {"Certificate": certificate.material.pem, "CertificateChain": certificate_authority.authority_pem()}


def list_certificates(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListCertificates: by default, lists only certificates with RSA keys of 1024 or 2048 bits."""
    includes = request.get("Includes") or {}
    types = [shown_algorithm(kind) for kind in includes.get("keyTypes") or LISTED_KEY_TYPES]
    statuses, found = request.get("CertificateStatuses") or [], []
    for certificate in acm_model.certificates(place).values():
        certificate.check()
        shown = details(place, certificate)
        export = certificate.cert_options.get("Export", "DISABLED")
        if shown["KeyAlgorithm"] not in types or (statuses and shown["Status"] not in statuses):
            continue
        if includes.get("exportOption", export) == export:
            found.append(summary(shown, export))
    try:
        start = int(base64.b64decode(request.get("NextToken") or "MA==", validate=True))
    except ValueError as error:
        raise AwsError("InvalidArgsException", "The next token is invalid.") from error
    end = start + int(request.get("MaxItems") or PAGE_SIZE)
    answer: dict[str, Any] = {"CertificateSummaryList": found[start:end]}
    if len(found) > end:
        answer["NextToken"] = base64.b64encode(str(end).encode()).decode()
    return answer


def summary(shown: dict[str, Any], export: str) -> dict[str, Any]:
    """Returns the fields of a description that ListCertificates returns."""
    names = (
        "CertificateArn", "DomainName", "Status", "Type", "KeyAlgorithm", "RenewalEligibility", "NotBefore", "NotAfter",
        "CreatedAt", "IssuedAt", "ImportedAt",
    )  # fmt: skip
    return {
        **{name: shown[name] for name in names if name in shown},
        "SubjectAlternativeNameSummaries": shown["SubjectAlternativeNames"][:100],
        "HasAdditionalSubjectAlternativeNames": len(shown["SubjectAlternativeNames"]) > 100,
        "KeyUsages": [],
        "ExtendedKeyUsages": [],
        "ExportOption": export,
        "InUse": bool(shown["InUseBy"]),
    }


def delete_certificate(place: Place, request: dict[str, Any]) -> None:
    """DeleteCertificate: refused while a load balancer uses the certificate, and for some time after that."""
    certificate = find(place, request["CertificateArn"])
    if acm_model.users(place, certificate.arn):
        raise AwsError("ResourceInUseException", f"Certificate {certificate.arn} in account {place.account} is in use.")
    del acm_model.certificates(place)[certificate.arn]
