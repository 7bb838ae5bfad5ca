"""The certificates of listeners: the default one, which moto stores, and the further ones, which clients select by
server name.
"""

from __future__ import annotations

from typing import Any

from moto.elbv2.models import elbv2_backends

from .patching import Place, attached_state


def further(listener: Any) -> list[str]:
    """Returns the ARNs of a listener's further certificates; the caller may change the list."""
    found: list[str] = attached_state(listener, "further_certificates", list)
    return found


def all_of(listener: Any) -> list[str]:
    """Returns the ARNs of all certificates of a listener, the default one first."""
    return [*listener.certificates, *further(listener)]


def users_by_certificate(place: Place) -> dict[str, set[str]]:
    """Returns the ARNs of the load balancers that use a certificate, by the certificate's ARN."""
    found: dict[str, set[str]] = {}
    backends = elbv2_backends[place.account]
    if not dict.__contains__(backends, place.region):
        return found
    for balancer in backends[place.region].load_balancers.values():
        for listener in balancer.listeners.values():
            for arn in all_of(listener):
                found.setdefault(arn, set()).add(balancer.arn)
    return found
