"""Deploying again finds nothing to do, and makes no call that changes anything."""

from __future__ import annotations

import pytest
from harness import Site
from inventory import steady

pytestmark = pytest.mark.sample


def test_deploying_again_changes_nothing(staging: Site) -> None:
    since, before = staging.mark(), steady(staging.world.everything())
    result = staging.deploy()
    assert "No changes" in result.err
    assert result.out == "http://staging.ospcapi.org\n"
    assert staging.mutations(since) == [], "not even the lease is taken"
    assert steady(staging.world.everything()) == before
    staging.settle()


def test_a_plan_has_no_changes(staging: Site) -> None:
    since = staging.mark()
    staging.run("plan", "staging", "--detailed-exitcode").ended(0)
    plan = staging.plan()
    assert plan.changes == {}
    assert {step["action"]["do"] for step in plan.steps.values()} == {"no_op"}
    assert len(plan.steps) == 33
    assert staging.mutations(since) == []
    staging.settle()


def test_a_plan_changes_nothing_and_tells_what_it_would(site: Site) -> None:
    site.run("plan", "staging", "--detailed-exitcode").ended(2)
    result = site.run("plan", "staging").ended(0)
    assert "Plan: 33 to add, 0 to change, 0 to replace, 0 to destroy." in result.out
    assert "(known after apply)" in result.out and '"10.0.0.0/16"' in result.out
    assert site.mutations() == [] and site.world.remains() == {}


def test_destroying_nothing_is_nothing_to_do(site: Site) -> None:
    result = site.destroy()
    assert "Nothing to destroy" in result.err
    assert site.mutations() == []


def test_it_asks_for_what_it_needs_and_no_more(staging: Site) -> None:
    since = staging.mark()
    staging.plan()
    calls = staging.calls(since)
    assert len(calls) <= 60, f"{len(calls)} calls for a plan of 33 resources: {sorted(calls)}"
    staging.settle()
