"""Capacity for cache nodes, and the events that report its lack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from .elasticache_model import Event, cache_state
from .patching import Place


def describe(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeEvents: returns the events of the last `Duration` minutes (default: 60), newest first."""
    since = datetime.now(UTC) - timedelta(minutes=int(request.get("Duration") or 60))
    source, kind = request.get("SourceIdentifier"), request.get("SourceType")
    found = [
        event for event in cache_state(place).events
        if event.at >= since and source in (None, event.source) and kind in (None, event.kind)
    ]  # fmt: skip
    return {"Events": [event_response(event) for event in reversed(found)]}


def event_response(event: Event) -> dict[str, Any]:
    """Returns an event in the form of ElastiCache's responses."""
    return {"SourceIdentifier": event.source, "SourceType": event.kind, "Message": event.message, "Date": event.at}
