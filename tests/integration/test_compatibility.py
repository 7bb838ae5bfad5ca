"""Snapshots, saved plans and JSON output of released versions, which remain readable and match the schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import schemas
from harness import TestWorkspace

FIXTURES = Path(__file__).parent / "fixtures"
STATES = sorted(FIXTURES.glob("*/*.json"), key=lambda file: file.name)
DOCUMENTS = sorted(FIXTURES.glob("*/documents/*.json"), key=lambda file: file.name)
EVENTS = sorted(FIXTURES.glob("*/events/*.jsonl"), key=lambda file: file.name)
PLANS = sorted(FIXTURES.glob("*/*.plan"), key=lambda file: file.name)


def is_subset(old: Any, new: Any) -> bool:
    """Returns whether a new document has all fields of an old one with the same values, and possibly further fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and is_subset(value, new[key]) for key, value in old.items())
    return old == new


def test_fixtures_of_first_version_exist() -> None:
    assert (len(STATES), len(PLANS), len(DOCUMENTS), len(EVENTS)) == (5, 5, 17, 9)


@pytest.mark.parametrize("file", STATES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_old_snapshot_loads(workspace: TestWorkspace, file: Path) -> None:
    workspace.put_state(file.read_bytes())
    old = json.loads(file.read_text(encoding="utf-8"))["snapshot"]
    listed = workspace.run("state", "list", "staging", "--json").expect_exit().json()
    assert listed == sorted(old["resources"])
    assert workspace.run("state", "show", "staging", "net/vpc").expect_exit().json() == old["resources"]["net/vpc"]
    workspace.run("history", "staging").expect_exit()
    assert workspace.plan().steps, "the resources do not exist in this account, so the plan creates all of them"


@pytest.mark.parametrize("file", PLANS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_old_saved_plan_loads_and_stays_bound(workspace: TestWorkspace, file: Path) -> None:
    old = json.loads(file.read_text(encoding="utf-8"))
    assert is_subset(old, workspace.run("show", str(file), "--json").expect_exit().json())
    assert workspace.run("show", str(file)).expect_exit().out
    refused = workspace.run("apply", str(file)).expect_exit(1).err
    assert old["bound"]["account"] in refused and workspace.account in refused, refused
    assert workspace.writes() == []


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.stem)
def test_old_documents_fit_the_schemas(file: Path) -> None:
    schemas.document(file.stem.split(".")[0])(json.loads(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", EVENTS, ids=lambda file: file.stem)
def test_old_events_fit_the_schemas(file: Path) -> None:
    for line in file.read_text(encoding="utf-8").splitlines():
        schemas.event(json.loads(line))


def test_recorded_documents_and_events_cover_the_schemas() -> None:
    lines = [json.loads(line) for file in EVENTS for line in file.read_text(encoding="utf-8").splitlines()]
    # `explain` is newer than the recorded documents.
    assert {file.stem.split(".")[0] for file in DOCUMENTS} == set(schemas.documents()) - {"explain"}
    missing = {entry["$ref"].rsplit("/", 1)[-1] for entry in schemas.load("events.json")["oneOf"]} - {
        e["event"] for e in lines
    }
    # The first version wrote the task log of `run` to stdout as it was, not in `log` events.
    assert missing == {"log"}
