"""Timings of the emulator: one table of seconds, set when the server starts.

`deregistration_share` is not a time but the share of a target group's deregistration delay for which a target drains.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

#: Default times, which are short: a complete deploy takes seconds, but every waiting state is still visible.
DEFAULT: dict[str, float] = {
    "network_pending": 0.0,
    "ec2_visible": 0.0,
    "alb_provisioning": 0.4,
    "cache_creating": 0.5,
    "cache_modifying": 0.4,
    "cache_deleting": 0.4,
    "service_steady": 0.4,
    "service_draining": 0.3,
    "task_failing": 0.1,
    "task_stopping": 0.1,
    "log_ingestion": 0.3,
    "target_changing": 0.4,
    "deregistration_share": 0.005,
    "record_insync": 0.3,
    "interfaces_linger": 0.3,
    "certificate_records": 0.2,
    "certificate_issuing": 0.5,
    "certificate_in_use": 0.3,
}

#: Typical times on AWS, as published by AWS or reported by users.
AWS: dict[str, float] = {
    "network_pending": 2.0,
    "ec2_visible": 0.0,
    "alb_provisioning": 150.0,
    "cache_creating": 390.0,
    "cache_modifying": 300.0,
    "cache_deleting": 330.0,
    "service_steady": 90.0,
    "service_draining": 60.0,
    "task_failing": 30.0,
    "task_stopping": 30.0,
    "log_ingestion": 5.0,
    "target_changing": 30.0,
    "deregistration_share": 1.0,
    "record_insync": 35.0,
    "interfaces_linger": 180.0,
    "certificate_records": 5.0,
    "certificate_issuing": 300.0,
    "certificate_in_use": 60.0,
}

_seconds: dict[str, float] = dict(DEFAULT)


def now() -> float:
    """Returns the current time, in seconds, of the clock by which all states advance."""
    return time.monotonic()


def seconds(name: str) -> float:
    """Returns the duration with this name, in seconds."""
    return _seconds[name]


def table() -> dict[str, float]:
    """Returns a copy of the current durations by name."""
    return dict(_seconds)


def configure(values: Mapping[str, float]) -> None:
    """Overrides durations of the default table with `values`; an unknown name is an error."""
    unknown = sorted(set(values) - set(DEFAULT))
    if unknown:
        raise ValueError(f"unknown durations: {', '.join(unknown)}; known: {', '.join(DEFAULT)}")
    _seconds.clear()
    _seconds.update(DEFAULT)
    _seconds.update({name: float(value) for name, value in values.items()})


def parse(text: str) -> dict[str, float]:
    """Parses a --pace value: `aws`, `aws:FACTOR`, a factor for the default table, or the path of a JSON file with
    seconds by name.
    """
    if text == "aws" or text.startswith("aws:"):
        factor = float(text.partition(":")[2] or "1")
        return {name: value * factor for name, value in AWS.items()}
    try:
        factor = float(text)
    except ValueError:
        return json.loads(Path(text).read_text(encoding="utf-8"))
    return {name: value * factor for name, value in DEFAULT.items()}
