"""Configurations as dictionaries, and as the TOML that the tool reads."""

from __future__ import annotations

import copy
import json
import tomllib
from typing import Any

from endpoint import ROOT

Table = dict[str, Any]


def real(account: str) -> Table:
    """The deployment of this repository, with a state bucket of the account's own: names of buckets are global."""
    config = tomllib.loads((ROOT / "pb_deploy.toml").read_text(encoding="utf-8"))
    config["state"]["bucket"] = f"state-{account}"
    # A test that waits for what never comes should end before the harness ends it.
    config["deploy"] = {"wait_timeout": 60}
    # Of a registry that the endpoint does not have: nothing has to be pushed before a deploy.
    for name in ("flask", "celery"):
        config.setdefault("services", {}).setdefault(name, {})["image"] = image(name)
    return config


def image(tag: str) -> str:
    """An image that is there; the endpoint's tasks do what the tag says (`fail`, `unhealthy`, `oom`, ...)."""
    return f"registry.example/app:{tag}"


def merged(config: Table, changes: Table) -> Table:
    """The configuration with changes; a value of None takes a key out."""
    result = copy.deepcopy(config)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def toml(table: Table, path: str = "") -> str:
    """The configuration as TOML: the values of a table, then the tables in it."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    lines = [f"[{path}]"] if path else []
    lines += [f"{name(key)} = {inline(value)}" for key, value in table.items() if key not in inner]
    parts = ["\n".join(lines)] + [
        toml(value, f"{path}.{name(key)}" if path else name(key)) for key, value in inner.items()
    ]
    return "\n".join(part for part in parts if part) + "\n"


def name(key: str) -> str:
    """A key, in quotes where it needs them."""
    bare = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
    return key if bare else json.dumps(key)


def inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name(key)} = {inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(inline(item) for item in value) + "]"
    return json.dumps(value)
