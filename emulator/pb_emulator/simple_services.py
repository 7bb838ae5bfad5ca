"""Rules of CloudWatch Logs and ECR, which need only a few."""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from typing import Any

from moto.logs.models import LogGroup, LogsBackend, logs_backends
from moto.logs.responses import LogsResponse

from .errors import AwsError
from .patching import Place, attached_state, install, wrap

RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
#: Stream prefix of the current FilterLogEvents request; moto ignores the parameter.
stream_prefix: ContextVar[str] = ContextVar("stream_prefix", default="")
LOG_GROUP_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")


def install_rules() -> None:
    """Requires that the retention is one of the listed numbers of days, and that a log group's name is valid."""

    install(LogsResponse, "PutAccountPolicy", put_account_policy)

    @wrap(LogGroup)
    def to_describe_dict(original: Any, self: Any) -> dict[str, Any]:
        policy = retention_policy(logs_backends[self.account_id][self.region])
        return {**original(self), **policy} if policy else original(self)

    @wrap(LogsBackend)
    def put_retention_policy(original: Any, self: Any, log_group_name: str, retention_in_days: Any) -> Any:
        if int(retention_in_days) not in RETENTION_DAYS:
            raise AwsError(
                "InvalidParameterException",
                f"Invalid retention value: {retention_in_days}. Valid values are: {list(RETENTION_DAYS)}",
            )
        return original(self, log_group_name, retention_in_days)

    @wrap(LogsBackend)
    def filter_log_events(
        original: Any, self: Any, log_group_name: str, log_stream_names: list[str], *args: Any, **kwargs: Any
    ) -> Any:
        prefix = stream_prefix.get()
        if prefix and log_group_name in self.groups:
            streams = self.groups[log_group_name].streams
            log_stream_names = [name for name in streams if name.startswith(prefix)] or ["no such stream"]
        return original(self, log_group_name, log_stream_names, *args, **kwargs)

    @wrap(LogsResponse, "filter_log_events")
    def filter_request(original: Any, self: Any) -> Any:
        stream_prefix.set(self._get_param("logStreamNamePrefix") or "")
        return original(self)

    @wrap(LogsBackend)
    def create_log_group(original: Any, self: Any, log_group_name: str, *args: Any, **kwargs: Any) -> Any:
        if not LOG_GROUP_NAME.fullmatch(log_group_name or ""):
            raise AwsError("InvalidParameterException", f"The log group name '{log_group_name}' is invalid.")
        return original(self, log_group_name, *args, **kwargs)


def retention_policy(backend: LogsBackend) -> dict[str, Any]:
    """Returns the fields that the account's retention policy sets in the description of each log group."""
    return attached_state(backend, "retention_policy", dict)


def put_account_policy(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """Sets the account's retention policy, whose retention hides the retention of each log group."""
    if request["policyType"] != "RETENTION_POLICY":
        raise NotImplementedError(f"policies of the type {request['policyType']} are not emulated")
    days = json.loads(request["policyDocument"])["retentionInDays"]
    policy = retention_policy(logs_backends[place.account][place.region])
    policy.update({"retentionInDays": int(days), "retentionPolicyName": request["policyName"]})
    return {"accountPolicy": {key: request[key] for key in ("policyName", "policyType", "policyDocument")}}
