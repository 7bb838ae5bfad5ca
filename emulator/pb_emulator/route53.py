"""Route 53: stores records as they were written, and refuses the changes that AWS refuses."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.route53.models import FakeZone, Route53Backend, route53_backends
from moto.route53.responses import Route53

from . import timings
from .elbv2 import HOSTED_ZONES
from .errors import route53_error
from .patching import Place, attached_state, install, wrap

Key = tuple[str, str, str]
PLAIN = re.compile(r"[a-z0-9_.-]")


def zones_of(place: Place) -> dict[str, FakeZone]:
    """Returns the zones of an account."""
    return route53_backends[place.account]["aws"].zones


def normalized_name(name: str) -> str:
    """Returns a name in the form of Route 53's responses: lower case, trailing dot, octal escapes as in `\\052`."""
    decoded = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), name)
    lowered = decoded.lower().rstrip(".") + "."
    return "".join(letter if PLAIN.match(letter) else f"\\{ord(letter):03o}" for letter in lowered)


def zone_id(zone: FakeZone) -> str:
    """Returns the id of a zone without its path."""
    return str(zone.id).rsplit("/", 1)[-1]


def sort_key(name: str) -> list[str]:
    """Returns the sort key of a name: its labels from the right."""
    return list(reversed(name.rstrip(".").split(".")))


def records(zone: FakeZone) -> dict[Key, dict[str, Any]]:
    """Returns the records of a zone; initially those with which moto created it."""

    def initial() -> dict[Key, dict[str, Any]]:
        found: dict[Key, dict[str, Any]] = {}
        for known in zone.rrsets:
            name = normalized_name(known.name)
            values = [{"Value": value["Value"] if isinstance(value, dict) else value} for value in known.records]
            found[(name, known.type, "")] = {
                "Name": name,
                "Type": known.type,
                "TTL": int(known.ttl),
                "ResourceRecords": values,
            }
        return found

    return attached_state(zone, "records", initial)


def find_zone(place: Place, identity: str) -> FakeZone:
    """Returns a zone, or raises an error if it does not exist."""
    short = identity.rsplit("/", 1)[-1]
    found = zones_of(place).get(short)
    if found is None:
        raise route53_error("NoSuchHostedZone", f"No hosted zone found with ID: {short}")
    return found


def new_change(place: Place) -> dict[str, Any]:
    """Creates a change, which starts as PENDING."""
    identity = "C" + "".join(random.choices(string.ascii_uppercase + string.digits, k=20))
    changes: dict[str, dict[str, Any]] = attached_state(route53_backends[place.account]["aws"], "changes", dict)
    changes[identity] = {"at": timings.now(), "submitted": datetime.now(UTC)}
    return change_response(place, identity)


def change_response(place: Place, identity: str) -> dict[str, Any]:
    """Returns a change in the form of Route 53's responses; it is INSYNC some time after its creation."""
    changes: dict[str, dict[str, Any]] = attached_state(route53_backends[place.account]["aws"], "changes", dict)
    if identity not in changes:
        raise route53_error("NoSuchChange", f"Could not find resource with ID: {identity}")
    known = changes[identity]
    done = timings.now() >= known["at"] + timings.seconds("record_insync")
    return {"Id": f"/change/{identity}", "Status": "INSYNC" if done else "PENDING", "SubmittedAt": known["submitted"]}


def get_change(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """GetChange: returns a change with its current status."""
    return {"ChangeInfo": change_response(place, request["Id"].rsplit("/", 1)[-1])}


def normalized_record(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record in the form in which it is stored: without empty fields, and with normalised names."""
    kept = {key: value for key, value in record.items() if value not in (None, [], {})}
    kept["Name"] = normalized_name(record["Name"])
    if kept.get("AliasTarget"):
        alias = dict(kept["AliasTarget"])
        alias["DNSName"] = alias["DNSName"].lower().rstrip(".") + "."
        kept["AliasTarget"] = alias
    return kept


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a record that a DELETE must repeat, independent of the order of the values."""
    same = {key: value for key, value in record.items() if key != "ResourceRecords"}
    same["values"] = sorted(value["Value"] for value in record.get("ResourceRecords", []))
    return same


def invalid_batch(message: str) -> Exception:
    """Returns the error that refuses a whole batch."""
    return route53_error("InvalidChangeBatch", f"[{message}]")


def check_alias(place: Place, zone: FakeZone, record: dict[str, Any]) -> None:
    """Requires that an alias names the hosted zone of load balancers or a zone of this account, and has no other value.
    """
    alias = record["AliasTarget"]
    known = alias["HostedZoneId"] in HOSTED_ZONES.values() or alias["HostedZoneId"] in zones_of(place)
    if not known:
        raise invalid_batch(
            f"Tried to create an alias that targets {alias['DNSName']}, type {record['Type']} in zone"
            f" {alias['HostedZoneId']}, but the alias target name does not lie within the target zone"
        )
    if record.get("TTL") is not None or record.get("ResourceRecords"):
        raise route53_error(
            "InvalidInput",
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or"
            " TrafficPolicyInstanceId], but found more than one",
        )


def policy_of(record: dict[str, Any]) -> str:
    """Returns the routing policy of a record, by the field that sets it; `simple` without one."""
    fields = {
        "Weight": "weighted", "Region": "latency", "Failover": "failover", "GeoLocation": "geolocation",
        "GeoProximityLocation": "geoproximity", "MultiValueAnswer": "multivalue", "CidrRoutingConfig": "cidr",
    }  # fmt: skip
    return next((policy for field, policy in fields.items() if field in record), "simple")


def check_policy(known: dict[Key, dict[str, Any]], record: dict[str, Any], key: Key) -> None:
    """Requires that all records with one name and type have the same routing policy, and that a simple one is alone."""
    name, kind, identifier = key
    policy = policy_of(record)
    if (policy == "simple") == bool(identifier):
        raise route53_error(
            "InvalidInput",
            "Invalid request: Expected exactly one of [Weight, Region, Failover, GeoLocation, or MultiValueAnswer],"
            f" together with SetIdentifier, but found {'none' if identifier else 'no SetIdentifier'}",
        )
    others = [other for at, other in known.items() if at[:2] == key[:2] and at != key]
    if others and policy == "simple":
        raise invalid_batch(
            f"RRSet with DNS name {name}, type {kind} cannot be created as other RRSets exist with the same name and"
            " type."
        )
    if any(policy_of(other) != policy for other in others):
        raise invalid_batch(
            f"RRSet with DNS name {name}, type {kind}, SetIdentifier {identifier} cannot be created as a"
            f" non-{policy} set exists with the same name and type."
        )


def check_protection(zone: FakeZone, name: str, kind: str) -> None:
    """Requires that no protection covers the records with this name and type. The wording of AWS is not documented."""
    protections = protections_of(zone)
    if (name, kind) in protections:
        comment = protections[name, kind]
        raise invalid_batch(
            f"RRSet with DNS name {name}, type {kind} is protected by a resource record set protection"
            + (f": {comment}" if comment else "")
        )


def protections_of(zone: FakeZone) -> dict[tuple[str, str], str]:
    """Returns the comments of the protections of a zone, by name and type."""
    found: dict[tuple[str, str], str] = attached_state(zone, "protections", dict)
    return found


def protect(account: str, protection: dict[str, Any]) -> None:
    """Protects the records of a zone with this name and type; `"on": false` ends the protection."""
    zone = route53_backends[account]["aws"].zones[protection["zone"].rsplit("/", 1)[-1]]
    key = (normalized_name(protection["name"]), protection["type"])
    if protection.get("on", True):
        protections_of(zone)[key] = protection.get("comment", "")
    else:
        protections_of(zone).pop(key, None)


def apply_change(place: Place, zone: FakeZone, known: dict[Key, dict[str, Any]], change: dict[str, Any]) -> None:
    """Applies one change of a batch to the records `known`, or raises an error."""
    record = normalized_record(change["ResourceRecordSet"])
    name, kind = record["Name"], record["Type"]
    key = (name, kind, record.get("SetIdentifier") or "")
    zone_name = normalized_name(zone.name)
    if name != zone_name and not name.endswith(f".{zone_name}"):
        raise invalid_batch(f"RRSet with DNS name {name} is not permitted in zone {zone_name}")
    label = f"name='{name}', type='{kind}'"
    check_protection(zone, name, kind)
    if change["Action"] == "DELETE":
        if key not in known:
            raise invalid_batch(f"Tried to delete resource record set [{label}] but it was not found")
        if comparable(known[key]) != comparable(record):
            raise invalid_batch(
                f"Tried to delete resource record set [{label}] but the values provided do not match the current values"
            )
        if name == zone_name and kind in ("NS", "SOA"):
            raise invalid_batch(f"A HostedZone must contain exactly one {kind} record for the zone itself")
        del known[key]
        return
    if change["Action"] == "CREATE" and key in known:
        raise invalid_batch(f"Tried to create resource record set [{label}] but it already exists")
    if record.get("AliasTarget"):
        check_alias(place, zone, record)
    elif record.get("TTL") is None or not record.get("ResourceRecords"):
        raise route53_error(
            "InvalidInput",
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or"
            " TrafficPolicyInstanceId], but found none",
        )
    check_policy(known, record, key)
    for other_name, other_kind, _ in known:
        if other_name == name and other_kind != kind and "CNAME" in (kind, other_kind):
            raise invalid_batch(
                f"RRSet of type {kind} with DNS name {name} is not permitted because a conflicting RRSet of type"
                f" {other_kind} with the same DNS name already exists"
            )
    if kind == "CNAME" and name == zone_name:
        raise invalid_batch(f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {zone_name}")
    known[key] = record


def change_records(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ChangeResourceRecordSets: applies all changes of the batch, or none."""
    zone = find_zone(place, request["HostedZoneId"])
    current = records(zone)
    trial = dict(current)
    for change in request["ChangeBatch"]["Changes"]:
        apply_change(place, zone, trial, change)
    current.clear()
    current.update(trial)
    return {"ChangeInfo": new_change(place)}


def position(record: dict[str, Any]) -> tuple[list[str], str, str]:
    """Returns the position of a record in Route 53's order: by name, type and set identifier."""
    return sort_key(record["Name"]), record["Type"], record.get("SetIdentifier", "")


def list_records(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListResourceRecordSets: lists records in Route 53's order, from a name and type."""
    zone = find_zone(place, request["HostedZoneId"])
    start_name, start_type = request.get("StartRecordName"), request.get("StartRecordType") or ""
    if start_type and not start_name:
        raise route53_error("InvalidInput", "StartRecordName must be given with StartRecordType")
    found = sorted(records(zone).values(), key=position)
    if start_name:
        first = (sort_key(normalized_name(start_name)), start_type, request.get("StartRecordIdentifier") or "")
        found = [record for record in found if position(record) >= first]
    limit = int(request.get("MaxItems") or 300)
    answer: dict[str, Any] = {
        "ResourceRecordSets": found[:limit],
        "IsTruncated": len(found) > limit,
        "MaxItems": str(limit),
    }
    if len(found) > limit:
        answer["NextRecordName"], answer["NextRecordType"] = found[limit]["Name"], found[limit]["Type"]
        if "SetIdentifier" in found[limit]:
            answer["NextRecordIdentifier"] = found[limit]["SetIdentifier"]
    return answer


def zone_response(zone: FakeZone) -> dict[str, Any]:
    """Returns a hosted zone in the form of Route 53's responses."""
    config: dict[str, Any] = {"PrivateZone": bool(zone.private_zone)}
    if zone.comment:
        config["Comment"] = zone.comment
    return {
        "Id": f"/hostedzone/{zone_id(zone)}",
        "Name": normalized_name(zone.name),
        "CallerReference": zone.caller_reference,
        "Config": config,
        "ResourceRecordSetCount": len(records(zone)),
    }


def list_by_name(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListHostedZonesByName: lists all zones from the given name on, not only zones of this name."""
    found = sorted(zones_of(place).values(), key=lambda zone: (sort_key(normalized_name(zone.name)), zone_id(zone)))
    start, limit = request.get("DNSName"), int(request.get("MaxItems") or 100)
    if start:
        first = (sort_key(normalized_name(start)), (request.get("HostedZoneId") or "").rsplit("/", 1)[-1])
        found = [zone for zone in found if (sort_key(normalized_name(zone.name)), zone_id(zone)) >= first]
    answer: dict[str, Any] = {
        "HostedZones": [zone_response(zone) for zone in found[:limit]],
        "IsTruncated": len(found) > limit,
        "MaxItems": str(limit),
    }
    if start:
        answer["DNSName"] = normalized_name(start)
    if len(found) > limit:
        answer["NextDNSName"], answer["NextHostedZoneId"] = normalized_name(found[limit].name), zone_id(found[limit])
    return answer


def with_change(operation: str) -> None:
    """Makes an operation on zones return a change that starts as PENDING."""

    @wrap(Route53, operation)
    def changed(original: Callable[[Any], Any], self: Any) -> Any:
        answer = original(self)
        answer.result["ChangeInfo"] = new_change(Place(self.current_account, self.region))
        zone = answer.result.get("HostedZone")
        if zone is not None:
            answer.result["HostedZone"] = zone_response(zone)
        return answer


def install_rules() -> None:
    """Adds the rules to moto's Route 53."""
    install(Route53, "ChangeResourceRecordSets", change_records)
    install(Route53, "ListResourceRecordSets", list_records)
    install(Route53, "ListHostedZonesByName", list_by_name)
    install(Route53, "GetChange", get_change)
    with_change("create_hosted_zone")
    with_change("delete_hosted_zone")

    @wrap(Route53)
    def get_hosted_zone(original: Callable[[Any], Any], self: Any) -> Any:
        answer = original(self)
        answer.result["HostedZone"] = zone_response(answer.result["HostedZone"])
        return answer

    @wrap(Route53)
    def list_hosted_zones(original: Callable[[Any], Any], self: Any) -> Any:
        answer = original(self)
        answer.result["HostedZones"] = [zone_response(zone) for zone in answer.result["HostedZones"]]
        return answer

    @wrap(Route53Backend)
    def create_hosted_zone(original: Any, self: Any, name: str, *args: Any, **wanted: Any) -> FakeZone:
        reference = wanted.get("caller_reference")
        if any(zone.caller_reference == reference for zone in self.zones.values()):
            raise route53_error(
                "HostedZoneAlreadyExists",
                f"A hosted zone has already been created with the specified caller reference: {reference}",
            )
        return original(self, name, *args, **wanted)

    @wrap(Route53Backend)
    def delete_hosted_zone(original: Any, self: Any, id_: str) -> Any:
        zone = self.get_hosted_zone(id_)
        if protections_of(zone):
            raise route53_error(
                "HostedZoneNotEmpty", "The specified hosted zone contains resource record set protections."
            )
        if any(kind not in ("NS", "SOA") for _, kind, _ in records(zone)):
            raise route53_error(
                "HostedZoneNotEmpty",
                "The specified hosted zone contains non-required resource record sets and so cannot be deleted.",
            )
        return original(self, id_)
