"""Validators compiled from the repository's JSON schemas."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import fastjsonschema
from endpoint import ROOT

SCHEMAS = ROOT / "docs" / "schema"
Validate = Callable[[Any], Any]


def load(name: str) -> Any:
    """Reads a schema; relative references, such as `plan.json#/definitions/step`, name files in the same folder."""
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def compiled(schema: Any) -> Validate:
    """Returns the validator of a schema."""
    return fastjsonschema.compile(schema, handlers={"": load})


@functools.cache
def plan() -> Validate:
    """Returns the validator of a saved plan."""
    return compiled(load("plan.json"))


@functools.cache
def config() -> Validate:
    """Returns the validator of a configuration."""
    return compiled(load("pb_deploy.json"))


@functools.cache
def _definition(file: str, name: str) -> Validate:
    definitions = load(file)["definitions"]
    return compiled({"definitions": definitions, **definitions[name]})


def document(name: str) -> Validate:
    """Returns the validator of the document that a read-only command prints, such as `state_list`."""
    return _definition("documents.json", name)


def event(line: dict[str, Any]) -> None:
    """Checks one line of a run's JSON output against its schema."""
    names = {entry["$ref"].rsplit("/", 1)[-1] for entry in load("events.json")["oneOf"]}
    assert line["event"] in names, f"an event that is missing from the schema: {line}"
    _definition("events.json", line["event"])(line)


def events(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Checks all lines of a run's JSON output: their schemas, numbers and times. Returns them."""
    elapsed = 0
    for number, line in enumerate(lines, start=1):
        event(line)
        assert line["sequence"] == number, line
        assert line["elapsed_ms"] >= elapsed, line
        elapsed = line["elapsed_ms"]
    return lines


def documents() -> list[str]:
    """Returns the names of all documents."""
    return sorted(load("documents.json")["definitions"])


def refuses(validate: Validate, value: Any) -> bool:
    """Returns whether a validator refuses a value."""
    try:
        validate(value)
    except fastjsonschema.JsonSchemaException:
        return True
    return False
