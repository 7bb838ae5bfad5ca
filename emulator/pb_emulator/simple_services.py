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
#: Maximum number of logStreamNames in one FilterLogEvents request. (CloudWatch Logs API: FilterLogEvents)
STREAM_NAMES_MAX = 100
FILTER_PATTERN_MAX = 1024
#: Terms of a filter pattern: a quoted phrase, in which a backslash escapes a quote, or a word. (CloudWatch Logs user
#: guide: Filter pattern syntax)
FILTER_TERMS = re.compile(r'\s*(?:[-?]?(?:"(?:[^"\\]|\\.)*"|\w+)(?=\s|$)\s*)*')
#: Token of the page after the first one, which is empty.
FIRST_PAGE = "first-page"
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
        original: Any, self: Any, log_group_name: str, log_stream_names: list[str], start_time: int, end_time: int,
        limit: int | None, next_token: str | None, filter_pattern: str, interleaved: bool,
    ) -> Any:  # fmt: skip
        check_filter(filter_pattern or "")
        if filter_pattern and not next_token and log_group_name in self.groups:
            # A page may be empty although further pages are not.
            return [], FIRST_PAGE, []
        token = None if next_token == FIRST_PAGE else next_token
        prefix = stream_prefix.get()
        if prefix and log_group_name in self.groups:
            streams = self.groups[log_group_name].streams
            log_stream_names = [name for name in streams if name.startswith(prefix)] or ["no such stream"]
        return original(
            self, log_group_name, log_stream_names, start_time, end_time, limit, token, filter_pattern, interleaved
        )

    @wrap(LogsResponse, "filter_log_events")
    def filter_request(original: Any, self: Any) -> Any:
        prefix, names = self._get_param("logStreamNamePrefix") or "", self._get_param("logStreamNames") or []
        if prefix and names:
            raise AwsError("InvalidParameterException", "Both logStreamNames and logStreamNamePrefix are specified.")
        if len(names) > STREAM_NAMES_MAX:
            raise AwsError("InvalidParameterException", f"logStreamNames can have at most {STREAM_NAMES_MAX} items.")
        stream_prefix.set(prefix)
        return original(self)

    @wrap(LogsBackend)
    def create_log_group(original: Any, self: Any, log_group_name: str, *args: Any, **kwargs: Any) -> Any:
        if not LOG_GROUP_NAME.fullmatch(log_group_name or ""):
            raise AwsError("InvalidParameterException", f"The log group name '{log_group_name}' is invalid.")
        return original(self, log_group_name, *args, **kwargs)


def check_filter(pattern: str) -> None:
    """Checks a filter pattern: a term with other characters than letters, digits and underscores has to be quoted.
    Patterns for JSON and for fields separated by blanks, and regular expressions, are not checked.
    """
    if len(pattern) > FILTER_PATTERN_MAX:
        raise AwsError("InvalidParameterException", f"filterPattern can have at most {FILTER_PATTERN_MAX} characters.")
    if not pattern.startswith(("{", "[", "%")) and not FILTER_TERMS.fullmatch(pattern):
        raise AwsError("InvalidParameterException", f"Invalid character(s) in term '{pattern}'")


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
