"""Certificates that ACM issues: validation by DNS records in public hosted zones, and the states that follow.

AWS rule: the validation record of a name is the same in all regions and certificates of an account; a wildcard has the
record of its parent domain.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.acm.models import TagHolder, acm_backends
from moto.route53.models import FakeZone

from . import certificate_authority, listener_certificates, route53, timings
from .patching import Place, attached_state

#: A failure that sets a status of its own; all others set the status FAILED.
TIMED_OUT = "VALIDATION_TIMED_OUT"
#: Failure that is found only after the validation of all names.
CAA_ERROR = "CAA_ERROR"


@dataclass(frozen=True)
class Outcome:
    """A deviation from the usual course that tests prescribe for the certificates of a name."""

    failure: str = ""
    pending: bool = False
    days_left: float | None = None
    renewal: str = ""
    renewal_reason: str = ""


#: Outcomes by account and name.
_outcomes: dict[tuple[str, str], Outcome] = {}


def prescribe(wanted: dict[str, Any]) -> None:
    """Prescribes the outcome for the certificates of a name; without an outcome, returns to the usual course."""
    given = dict(wanted)
    account, name = given.pop("account"), given.pop("name")
    _outcomes[account, name.lower()] = Outcome(**given)


def reset() -> None:
    """Returns all names to the usual course."""
    _outcomes.clear()


class Requested:
    """A certificate that ACM issues, with the attributes by which moto accesses its own certificates."""

    def __init__(self, place: Place, names: list[str], algorithm: str) -> None:
        self.place, self.names, self.algorithm = place, names, algorithm
        self.arn = place.arn("acm", f"certificate/{uuid.uuid4()}")
        self.type, self.status, self.failure = "AMAZON_ISSUED", "PENDING_VALIDATION", ""
        self.tags = TagHolder()
        self.cert_options = {"CertificateTransparencyLoggingPreference": "ENABLED", "Export": "DISABLED"}
        #: Moto adds users to this list, but never removes them; InUseBy does not depend on it.
        self.in_use_by: list[str] = []
        self.requested, self.created_at = timings.now(), datetime.now(UTC)
        self.issued_at: datetime | None = None
        #: Times at which the names were validated.
        self.validated: dict[str, float] = {}
        self.material: certificate_authority.Material | None = None
        self.days_left: float | None = None

    def check(self) -> None:
        """Does nothing: `advance` changes the state. Moto calls this for each certificate that it reads."""

    def outcomes(self) -> list[Outcome]:
        """Returns the outcomes that are prescribed for the names of the certificate."""
        found = [_outcomes.get((self.place.account, name)) for name in self.names]
        return [outcome for outcome in found if outcome]

    def advance(self) -> None:
        """Applies the changes of state that are due."""
        now = timings.now()
        if self.status == "PENDING_VALIDATION" and now >= self.requested + timings.seconds("certificate_records"):
            self.validate(now)
        if self.status in ("ISSUED", "EXPIRED"):
            self.set_validity()

    def validate(self, now: float) -> None:
        """Validates names whose records are published, then issues the certificate or lets it fail."""
        for name in self.names:
            outcome = _outcomes.get((self.place.account, name), Outcome())
            if name not in self.validated and not outcome.pending and is_published(self.place, name):
                self.validated[name] = now
        complete = len(self.validated) == len(self.names)
        failure = next((outcome.failure for outcome in self.outcomes() if outcome.failure), "")
        if failure and (complete or failure != CAA_ERROR):
            self.status, self.failure = (TIMED_OUT, "") if failure == TIMED_OUT else ("FAILED", failure)
        elif complete and now >= max(self.validated.values()) + timings.seconds("certificate_issuing"):
            self.status, self.issued_at = "ISSUED", datetime.now(UTC)
            self.material = certificate_authority.issue(self.names, self.algorithm)

    def set_validity(self) -> None:
        """Lets the certificate expire as prescribed."""
        days = next((outcome.days_left for outcome in self.outcomes() if outcome.days_left is not None), None)
        if days != self.days_left:
            self.days_left = days
            self.material = certificate_authority.issue(self.names, self.algorithm, days)
            self.status = "ISSUED" if days is None or days > 0 else "EXPIRED"

    def domain_status(self, name: str) -> str:
        """Returns the validation status of a name."""
        if name in self.validated:
            return "SUCCESS"
        return "PENDING_VALIDATION" if self.status == "PENDING_VALIDATION" else "FAILED"


def certificates(place: Place) -> dict[str, Any]:
    """Returns all certificates of an account and region, including imported ones, by ARN."""
    found: dict[str, Any] = acm_backends[place.account][place.region]._certificates
    return found


def advance(place: Place) -> None:
    """Applies the changes of state that are due in an account and region, and notes the users of certificates."""
    if not dict.__contains__(acm_backends[place.account], place.region):
        return
    for certificate in certificates(place).values():
        if isinstance(certificate, Requested):
            certificate.advance()
    seen, now = last_uses(place), timings.now()
    for arn, users in listener_certificates.users_by_certificate(place).items():
        seen.setdefault(arn, {}).update(dict.fromkeys(users, now))


def last_uses(place: Place) -> dict[str, dict[str, float]]:
    """Returns when a load balancer was last seen to use a certificate, by their ARNs."""
    found: dict[str, dict[str, float]] = attached_state(acm_backends[place.account][place.region], "last_uses", dict)
    return found


def users(place: Place, arn: str) -> list[str]:
    """Returns the load balancers that use a certificate, including those that used it until recently."""
    recent = timings.now() - timings.seconds("certificate_in_use")
    lagging = {user for user, at in last_uses(place).get(arn, {}).items() if at > recent}
    return sorted(listener_certificates.users_by_certificate(place).get(arn, set()) | lagging)


def validation_record(account: str, name: str) -> tuple[str, str]:
    """Returns the name and value of the validation record of a name."""
    base = name.removeprefix("*.")

    def digest(purpose: str) -> str:
        return hashlib.sha256(f"{purpose} {account} {base}".encode()).hexdigest()

    letters = "".join(chr(ord("a") + int(digit, 16)) for digit in digest("host")[:10])
    return f"_{digest('name')[:32]}.{base}.", f"_{digest('value')[:32]}.{letters}.acm-validations.aws."


def is_published(place: Place, name: str) -> bool:
    """Returns whether DNS returns the validation record of a name."""
    record, value = validation_record(place.account, name)
    for zone in answering_zones(place, route53.normalized_name(record)):
        found = route53.records(zone).get((route53.normalized_name(record), "CNAME", ""), {})
        if value.rstrip(".") in [known["Value"].lower().rstrip(".") for known in found.get("ResourceRecords", [])]:
            return True
    return False


def answering_zones(place: Place, name: str) -> list[FakeZone]:
    """Returns the public hosted zones of the account that DNS asks for a name: from the zone that is nearest to the
    root, DNS follows the NS records of subdomains; a zone to which none leads is never asked.
    """
    zones = [zone for zone in route53.zones_of(place).values() if not zone.private_zone and contains(zone, name)]
    asked = [zone for zone in zones if depth(zone) == min(map(depth, zones))]
    while asked:
        delegations = [
            (at, {value["Value"].lower().rstrip(".") for value in record.get("ResourceRecords", [])})
            for zone in asked
            for (at, kind, _), record in route53.records(zone).items()
            if kind == "NS" and at != route53.normalized_name(zone.name) and is_within(name, at)
        ]
        if not delegations:
            return asked
        at, servers = min(delegations, key=lambda found: len(found[0]))
        asked = [zone for zone in zones if route53.normalized_name(zone.name) == at and servers & name_servers(zone)]
    return []


def contains(zone: FakeZone, name: str) -> bool:
    """Returns whether a name lies in a zone."""
    return is_within(name, route53.normalized_name(zone.name))


def is_within(name: str, domain: str) -> bool:
    """Returns whether a name is a domain or lies in it."""
    return name == domain or name.endswith(f".{domain}")


def depth(zone: FakeZone) -> int:
    """Returns the number of labels of a zone's name."""
    return route53.normalized_name(zone.name).count(".")


def name_servers(zone: FakeZone) -> set[str]:
    """Returns the name servers in the NS record of a zone's own name."""
    name = route53.normalized_name(zone.name)
    record = route53.records(zone).get((name, "NS", ""), {})
    return {value["Value"].lower().rstrip(".") for value in record.get("ResourceRecords", [])}
