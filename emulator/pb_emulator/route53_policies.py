"""Route 53: record protections, and traffic policies whose instances create records."""

from __future__ import annotations

import json
import uuid
from typing import Any

from moto.route53.models import route53_backends
from moto.route53.responses import Route53
from moto.route53.urls import url_paths

from .errors import route53_error
from .patching import Place, attached_state, install
from .route53 import find_zone, normalized_name, protections_of, records

#: Paths that moto does not serve.
PATHS = (
    "hostedzone/(?P<zone_id>[^/]+)/rrsetprotection$",
    "hostedzone/(?P<zone_id>[^/]+)/rrsetprotection/delete$",
    "trafficpolicy$",
    "trafficpolicyinstance$",
    "trafficpolicyinstance/(?P<instance_id>[^/]+)$",
)
LOCATION = "https://route53.amazonaws.com/2013-04-01"


def install_rules() -> None:
    """Serves the calls."""
    for path in PATHS:
        url_paths[rf"{{0}}/(?P<api_version>[\d_-]+)/{path}"] = Route53.dispatch
    install(Route53, "CreateResourceRecordSetProtections", create_protections)
    install(Route53, "DeleteResourceRecordSetProtections", delete_protections)
    install(Route53, "ListResourceRecordSetProtections", list_protections)
    install(Route53, "CreateTrafficPolicy", create_policy)
    install(Route53, "CreateTrafficPolicyInstance", create_instance)
    install(Route53, "GetTrafficPolicyInstance", get_instance)
    install(Route53, "DeleteTrafficPolicyInstance", delete_instance)


def protection_keys(request: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns the protections of a request by name and type."""
    return {(normalized_name(one["RecordName"]), one["RecordType"]): one for one in request["Protections"]}


def create_protections(place: Place, request: dict[str, Any]) -> None:
    """CreateResourceRecordSetProtections: creates all protections of the request, or none."""
    known, wanted = protections_of(find_zone(place, request["HostedZoneId"])), protection_keys(request)
    existing = [key for key in wanted if key in known]
    if existing:
        code = "ProtectionAlreadyExists" if len(existing) == len(wanted) else "InvalidResourceRecordSetProtectionBatch"
        raise route53_error(code, f"There already is a protection for {existing}")
    known.update({key: one.get("Comment") or "" for key, one in wanted.items()})


def delete_protections(place: Place, request: dict[str, Any]) -> None:
    """DeleteResourceRecordSetProtections: deletes all protections of the request, or none."""
    known, wanted = protections_of(find_zone(place, request["HostedZoneId"])), protection_keys(request)
    missing = [key for key in wanted if key not in known]
    if missing:
        raise route53_error("InvalidResourceRecordSetProtectionBatch", f"There is no protection for {missing}")
    for key in wanted:
        del known[key]


def list_protections(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """ListResourceRecordSetProtections."""
    known = protections_of(find_zone(place, request["HostedZoneId"]))
    shown = [
        {"RecordName": name, "RecordType": kind, **({"Comment": comment} if comment else {})}
        for (name, kind), comment in sorted(known.items())
    ]
    return {"ResourceRecordSetProtections": shown}


def stored(place: Place, kind: str) -> dict[str, dict[str, Any]]:
    """Returns the traffic policies of an account, or their instances, by id."""
    found: dict[str, dict[str, Any]] = attached_state(route53_backends[place.account]["aws"], kind, dict)
    return found


def create_policy(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """CreateTrafficPolicy: accepts a policy that answers with a single value."""
    try:
        document = json.loads(request["Document"])
        endpoint = document["Endpoints"][document["StartEndpoint"]]
    except (ValueError, KeyError):
        raise NotImplementedError("traffic policies without a StartEndpoint are not emulated") from None
    if endpoint["Type"] != "value":
        raise NotImplementedError(f"endpoints of the type {endpoint['Type']} are not emulated")
    policy = {
        "Id": str(uuid.uuid4()),
        "Version": 1,
        "Name": request["Name"],
        "Type": document["RecordType"],
        "Document": request["Document"],
    }
    stored(place, "policies")[policy["Id"]] = {**policy, "value": endpoint["Value"]}
    return {"TrafficPolicy": policy, "Location": f"{LOCATION}/trafficpolicy/{policy['Id']}"}


def create_instance(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """CreateTrafficPolicyInstance: creates the record of a policy, which names the instance."""
    zone, policy = find_zone(place, request["HostedZoneId"]), stored(place, "policies").get(request["TrafficPolicyId"])
    if policy is None:
        raise route53_error("NoSuchTrafficPolicy", "No traffic policy found with the specified ID.")
    name, known = normalized_name(request["Name"]), records(zone)
    if any(at[0] == name for at in known):
        raise NotImplementedError("traffic policy instances at a name with other records are not emulated")
    instance = {
        "Id": str(uuid.uuid4()),
        "HostedZoneId": request["HostedZoneId"],
        "Name": name,
        "TTL": int(request["TTL"]),
        "State": "Applied",
        "Message": "",
        "TrafficPolicyId": policy["Id"],
        "TrafficPolicyVersion": policy["Version"],
        "TrafficPolicyType": policy["Type"],
    }
    stored(place, "instances")[instance["Id"]] = instance
    known[(name, policy["Type"], "")] = {
        "Name": name,
        "Type": policy["Type"],
        "TTL": instance["TTL"],
        "ResourceRecords": [{"Value": policy["value"]}],
        "TrafficPolicyInstanceId": instance["Id"],
    }
    return {"TrafficPolicyInstance": instance, "Location": f"{LOCATION}/trafficpolicyinstance/{instance['Id']}"}


def find_instance(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """Returns an instance, or raises an error if it does not exist."""
    found = stored(place, "instances").get(request["Id"])
    if found is None:
        raise route53_error("NoSuchTrafficPolicyInstance", "No traffic policy instance found with the specified ID.")
    return found


def get_instance(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """GetTrafficPolicyInstance."""
    return {"TrafficPolicyInstance": find_instance(place, request)}


def delete_instance(place: Place, request: dict[str, Any]) -> None:
    """DeleteTrafficPolicyInstance: also deletes the records that Route 53 created for the instance."""
    instance = find_instance(place, request)
    known = records(find_zone(place, instance["HostedZoneId"]))
    for key in [key for key, record in known.items() if record.get("TrafficPolicyInstanceId") == instance["Id"]]:
        del known[key]
    del stored(place, "instances")[instance["Id"]]
