"""Snapshots and saved plans of released versions load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness import Site

FIXTURES = Path(__file__).parent / "fixtures"
STATES = sorted(FIXTURES.glob("*/*.json"), key=lambda file: file.name)
PLANS = sorted(FIXTURES.glob("*/*.plan"), key=lambda file: file.name)


def within(old: Any, new: Any) -> bool:
    """Tell whether everything of an old document is in a new one with the same value; the new one may have more fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and within(value, new[key]) for key, value in old.items())
    return old == new


def test_fixtures_of_first_version_exist() -> None:
    assert (len(STATES), len(PLANS)) == (5, 5)


@pytest.mark.parametrize("file", STATES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_old_snapshot_loads(site: Site, file: Path) -> None:
    site.put_state(file.read_bytes())
    old = json.loads(file.read_text(encoding="utf-8"))["snapshot"]
    listed = site.run("state", "list", "staging", "--json").ended().json()
    assert listed == sorted(old["resources"])
    assert site.run("state", "show", "staging", "net/vpc").ended().json() == old["resources"]["net/vpc"]
    site.run("history", "staging").ended()
    assert site.plan().steps, "the resources do not exist in this account, so all are planned"


@pytest.mark.parametrize("file", PLANS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_old_saved_plan_loads_and_stays_bound(site: Site, file: Path) -> None:
    old = json.loads(file.read_text(encoding="utf-8"))
    assert within(old, site.run("show", str(file), "--json").ended().json())
    assert site.run("show", str(file)).ended().out
    refused = site.run("apply", str(file)).ended(1).err
    assert old["bound"]["account"] in refused and site.account in refused, refused
    assert site.writes() == []
