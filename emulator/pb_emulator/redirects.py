"""Redirect actions of listeners and rules: valid parts, no loop, and no redirect from HTTPS to HTTP."""

from __future__ import annotations

import re
from typing import Any

from moto.elbv2.models import ELBv2Backend

from .errors import AwsError
from .patching import wrap

STATUS_CODES = ("HTTP_301", "HTTP_302")
PROTOCOLS = ("HTTP", "HTTPS", "#{protocol}")
#: Maximum length of the host, the path and the query. (API: RedirectActionConfig)
MAX_LENGTH = 128
KEYWORD = re.compile(r"#\{([^}]*)\}")
KEYWORDS = {
    "Protocol": {"protocol"},
    "Host": {"host"},
    "Port": {"port"},
    "Path": {"host", "path", "port"},
    "Query": {"protocol", "host", "port", "path", "query"},
}


def install_rules() -> None:
    """Adds the rules to the operations on listener rules; `listeners_https` checks the default actions."""

    @wrap(ELBv2Backend)
    def create_rule(original: Any, self: Any, **wanted: Any) -> Any:
        check(listener_of(self, wanted["listener_arn"]), wanted["actions"])
        return original(self, **wanted)

    @wrap(ELBv2Backend)
    def modify_rule(original: Any, self: Any, **wanted: Any) -> Any:
        listeners = [listener for balancer in self.load_balancers.values() for listener in balancer.listeners.values()]
        for listener in listeners:
            if any(rule.arn == wanted["rule_arn"] for rule in listener.rules.values()):
                check(listener, wanted["actions"] or [])
        return original(self, **wanted)


def listener_of(elb: Any, arn: str) -> Any:
    """Returns a listener, or raises an error if it does not exist."""
    return elb.describe_listeners(None, [arn])[0]


def check(listener: Any, actions: list[dict[str, Any]]) -> None:
    """Checks the redirects among the actions of a listener's rule."""
    check_actions(listener.protocol, int(listener.port), actions)


def check_actions(protocol: str, port: int, actions: list[dict[str, Any]]) -> None:
    """Checks the redirects among the actions of a listener with this protocol and port."""
    for action in actions:
        if action["Type"] == "redirect":
            check_redirect(protocol, port, action.get("RedirectConfig"))


def check_redirect(protocol: str, port: int, config: dict[str, Any] | None) -> None:
    """Checks the settings of a redirect; omitted parts of the URL keep their values."""
    if not config:
        raise invalid("For actions of type 'redirect', you must specify the following fields: 'RedirectConfig'")
    if config.get("StatusCode") not in STATUS_CODES:
        raise AwsError("ValidationError", f"The redirect status code must be one of {', '.join(STATUS_CODES)}")
    parts = {
        "Protocol": config.get("Protocol") or "#{protocol}", "Host": config.get("Host") or "#{host}",
        "Port": str(config.get("Port") or "#{port}"), "Path": config.get("Path") or "/#{path}",
        "Query": config.get("Query", "#{query}"),
    }  # fmt: skip
    for name, text in parts.items():
        if set(KEYWORD.findall(text)) - KEYWORDS[name]:
            raise invalid(f"The redirect {name.lower()} '{text}' contains a keyword that is not valid")
        if len(text) > MAX_LENGTH:
            raise AwsError("ValidationError", f"The redirect {name.lower()} is longer than {MAX_LENGTH} characters")
    if parts["Protocol"] not in PROTOCOLS:
        raise AwsError("ValidationError", f"The redirect protocol must be one of {', '.join(PROTOCOLS)}")
    if parts["Port"] != "#{port}" and not (parts["Port"].isdigit() and 1 <= int(parts["Port"]) <= 65535):
        raise AwsError("ValidationError", "The redirect port must be a number from 1 to 65535 or '#{port}'")
    if not parts["Path"].startswith("/"):
        raise AwsError("ValidationError", "The redirect path must start with '/'")
    if protocol == "HTTPS" and parts["Protocol"] == "HTTP":
        raise invalid("A redirect from HTTPS to HTTP is not valid")
    keeps_protocol = parts["Protocol"] in ("#{protocol}", protocol)
    keeps_port = parts["Port"] in ("#{port}", str(port))
    if keeps_protocol and keeps_port and parts["Host"] == "#{host}" and parts["Path"] == "/#{path}":
        raise invalid("The redirect configuration is not valid because it creates a loop.")


def invalid(message: str) -> AwsError:
    """Returns the error for an action that AWS refuses."""
    return AwsError("InvalidLoadBalancerAction", message)
