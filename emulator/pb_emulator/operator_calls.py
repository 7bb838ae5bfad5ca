"""Calls that pb-deploy never makes itself, but names in its messages: quota increases, deletion protection of logs,
decoding of denials.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from moto.logs.models import LogGroup, LogsBackend, logs_backends
from moto.logs.responses import LogsResponse
from moto.servicequotas.responses import ServiceQuotasResponse
from moto.sts.responses import TokenResponse

from . import quotas, route53_policies
from .errors import AwsError
from .patching import Place, attached_state, install, wrap


def install_rules() -> None:
    """Serves the calls. A log group with deletion protection cannot be deleted."""
    install(LogsResponse, "PutLogGroupDeletionProtection", put_log_group_deletion_protection)
    install(ServiceQuotasResponse, "RequestServiceQuotaIncrease", request_service_quota_increase)
    install(TokenResponse, "DecodeAuthorizationMessage", decode_authorization_message)
    route53_policies.install_rules()

    @wrap(LogGroup)
    def to_describe_dict(original: Any, self: Any) -> dict[str, Any]:
        return {**original(self), "deletionProtectionEnabled": protection(self)["on"]}

    @wrap(LogsBackend)
    def delete_log_group(original: Any, self: Any, log_group_name: str) -> Any:
        group = self.groups.get(log_group_name)
        if group is not None and protection(group)["on"]:
            raise AwsError("ValidationException", f"Log group {log_group_name} has deletion protection enabled.")
        return original(self, log_group_name)


def protection(group: LogGroup) -> dict[str, bool]:
    """Returns whether deletion protection is on for a log group."""
    return attached_state(group, "protection", lambda: {"on": False})


def put_log_group_deletion_protection(place: Place, request: dict[str, Any]) -> None:
    """Turns the deletion protection of a log group, named by its name or ARN, on or off."""
    name = request["logGroupIdentifier"].rpartition(":log-group:")[2]
    group = logs_backends[place.account][place.region].groups.get(name)
    if group is None:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    protection(group)["on"] = bool(request["deletionProtectionEnabled"])


def request_service_quota_increase(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """Requests the increase of a quota, which is granted at once."""
    quota, value = (request["ServiceCode"], request["QuotaCode"]), float(request["DesiredValue"])
    if quota not in quotas.DEFAULTS:
        raise AwsError("NoSuchResourceException", "The request failed because the specified service does not exist.")
    if value <= quotas.limit(place.account, place.region, quota):
        raise AwsError("IllegalArgumentException", "The desired value must be greater than the current value.")
    quotas.apply(place.account, place.region, quota[1], value)
    return {
        "RequestedQuota": {"ServiceCode": quota[0], "QuotaCode": quota[1], "DesiredValue": value, "Status": "PENDING"}
    }


def decode_authorization_message(_place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DecodeAuthorizationMessage: returns the details of a denial, a JSON text. AWS encrypts them; here, they are encoded
    in base64 for URLs, without padding.
    """
    encoded = request["EncodedMessage"]
    try:
        text = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        json.loads(text)
    except (binascii.Error, ValueError):
        raise AwsError("InvalidAuthorizationMessageException", "Message is not valid") from None
    return {"DecodedMessage": text}
