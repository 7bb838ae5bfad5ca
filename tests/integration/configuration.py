"""Configurations as dictionaries, and their conversion to TOML."""

from __future__ import annotations

import copy
import json
import tomllib
from typing import Any

from endpoint import ROOT

Table = dict[str, Any]


def repository_configuration(account: str) -> Table:
    """Returns this repository's configuration with a separate state bucket for the account: bucket names are global."""
    config = tomllib.loads((ROOT / "pb_deploy.toml").read_text(encoding="utf-8"))
    config["state"]["bucket"] = f"state-{account}"
    # Shorter than the harness's timeout, so that the tool gives up before the harness kills it.
    config["deploy"] = {"wait_timeout": 60}
    # Images in an external registry: nothing needs to be pushed before a deploy.
    for name in ("flask", "celery"):
        config.setdefault("services", {}).setdefault(name, {})["image"] = image(name)
    return config


def image(tag: str) -> str:
    """Returns an image that exists. Its tag selects the behavior of its tasks (`fail`, `unhealthy`, `oom`, ...)."""
    return f"registry.example/app:{tag}"


def merged(config: Table, changes: Table) -> Table:
    """Returns the configuration with the changes applied; a value of None removes its key."""
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
    """Returns a table in TOML: its values, then its subtables."""
    tables = {key: value for key, value in table.items() if isinstance(value, dict)}
    lines = [f"[{path}]"] if path else []
    lines += [f"{toml_key(key)} = {toml_value(value)}" for key, value in table.items() if key not in tables]
    sections = ["\n".join(lines)] + [
        toml(value, f"{path}.{toml_key(key)}" if path else toml_key(key)) for key, value in tables.items()
    ]
    return "\n".join(section for section in sections if section) + "\n"


def toml_key(key: str) -> str:
    """Returns a key in TOML, quoted if necessary."""
    bare = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
    return key if bare else json.dumps(key)


def toml_value(value: Any) -> str:
    """Returns a value in TOML, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return json.dumps(value)
