"""Probes for the control endpoints of our emulator."""

from __future__ import annotations

from typing import Any

from endpoint import Aws, control


class Missing(Exception):
    """A capability that the endpoint lacks because it behaves differently from AWS."""


def require_control(aws: Aws, path: str, body: dict[str, Any]) -> None:
    """Raises `Missing` unless the endpoint has this control endpoint of our emulator."""
    try:
        control(aws.url, path, body)
    except (OSError, ValueError) as error:
        raise Missing(f"there is no such control endpoint: {error}") from error


def s3_stand_in(aws: Aws) -> None:
    """Checks that the endpoint can imitate a store that ignores conditional writes."""
    require_control(aws, "s3", {"bucket": f"stand-in-{aws.account}", "without_conditions": True})


def paused_rollouts(aws: Aws) -> None:
    """Checks that the progress of services and tasks can be paused."""
    require_control(aws, "rollouts", {"account": aws.account, "paused": False})


def cache_capacity(aws: Aws) -> None:
    """Checks that the creation of a queue can be made to fail because there is no capacity for its nodes."""
    require_control(aws, "cache-capacity", {"account": aws.account, "available": True})


def cache_control(aws: Aws) -> None:
    """Checks that the offered engine versions can be limited, and a queue be held in a state."""
    require_control(aws, "cache-versions", {"account": aws.account, "hidden": {}})


def queued_jobs(aws: Aws) -> None:
    """Checks that jobs can be put into a queue, and that one-off tasks count them."""
    require_control(aws, "queued-jobs", {"account": aws.account, "region": aws.region, "group": "none", "jobs": {}})


def data_plane(aws: Aws) -> None:
    """Checks that listeners and web tasks answer requests."""
    require_control(aws, "data-plane", {"account": aws.account, "region": aws.region})
