"""Configurations as dictionaries, and their TOML."""

from __future__ import annotations

import copy
import json
import tomllib
from typing import Any

from endpoint import ROOT

Table = dict[str, Any]


def repository_configuration(account: str) -> Table:
    """Returns the configuration of this repository with a state bucket of its own: bucket names are global."""
    config = tomllib.loads((ROOT / "pb_deploy.toml").read_text(encoding="utf-8"))
    config["state"]["bucket"] = f"state-{account}"
    # The tool gives up before the harness kills it.
    config["deploy"] = {"wait_timeout": 60}
    # Images of an external registry: nothing has to be pushed before a deploy.
    for name in ("flask", "celery"):
        config.setdefault("services", {}).setdefault(name, {})["image"] = image(name)
    return config


def image(tag: str) -> str:
    """Returns an image that exists. Its tag sets how its tasks behave (`fail`, `unhealthy`, `oom`, ...)."""
    return f"registry.example/app:{tag}"


def merged(config: Table, changes: Table) -> Table:
    """Returns the configuration with changes; a value of None removes its key."""
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
    """Returns a table as TOML: its values, then its subtables."""
    tables = {key: value for key, value in table.items() if isinstance(value, dict)}
    lines = [f"[{path}]"] if path else []
    lines += [f"{toml_key(key)} = {toml_value(value)}" for key, value in table.items() if key not in tables]
    sections = ["\n".join(lines)] + [
        toml(value, f"{path}.{toml_key(key)}" if path else toml_key(key)) for key, value in tables.items()
    ]
    return "\n".join(section for section in sections if section) + "\n"


def toml_key(key: str) -> str:
    """Returns a key, quoted if necessary."""
    bare = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
    return key if bare else json.dumps(key)


def toml_value(value: Any) -> str:
    """Returns a value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return json.dumps(value)
