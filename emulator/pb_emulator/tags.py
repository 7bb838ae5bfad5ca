"""Rules for tags, and conversions between the lists of pairs in API calls and dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .errors import AwsError

MAX_TAGS = 50


def check(tags: Mapping[str, str], code: str) -> None:
    """Checks the tags of a resource: at most 50 tags, 128 characters per key and 256 per value, and no `aws:` prefix.
    """
    if len(tags) > MAX_TAGS:
        raise AwsError(code, f"The tag limit of {MAX_TAGS} for a resource is exceeded.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128:
            raise AwsError(code, f"The tag key '{key[:140]}' must have 1 to 128 characters.")
        if len(value or "") > 256:
            raise AwsError(code, f"The value of the tag '{key}' is longer than 256 characters.")
        if key.lower().startswith("aws:"):
            raise AwsError(code, "Tag keys beginning with 'aws:' are reserved for system use.")


def from_pairs(pairs: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """Converts `Key`/`Value` or `key`/`value` pairs to a dictionary."""
    found: dict[str, str] = {}
    for pair in pairs or []:
        key = pair.get("Key", pair.get("key", ""))
        found[key or ""] = pair.get("Value", pair.get("value")) or ""
    return found


def upper_pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Returns tags as `Key`/`Value` pairs, the form of ElastiCache and EC2."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def lower_pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Returns tags as `key`/`value` pairs, the form of ECS."""
    return [{"key": key, "value": value} for key, value in tags.items()]
