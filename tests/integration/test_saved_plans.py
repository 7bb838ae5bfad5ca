"""A saved plan is applied once, in the world that it was made for; a lost snapshot loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from configuration import image
from harness import Site


def saved(site: Site, *arguments: str) -> str:
    """Save a plan; gives its name."""
    result = site.run("plan", "staging", "--out", "a.plan", *arguments).ended()
    assert "apply a.plan" in result.err
    return "a.plan"


def test_a_saved_plan_is_applied_once(site: Site) -> None:
    plan = saved(site)
    assert site.mutations() == [], "planning writes nothing"
    result = site.run("apply", plan).ended()
    assert result.out == "http://staging.ospcapi.org\n"
    site.finds_nothing()
    since = site.mark()
    again = site.run("apply", plan).ended(1)
    assert "it was applied already" in again.err
    assert site.writes(since) == []


def test_a_saved_plan_can_be_looked_at(site: Site) -> None:
    plan = saved(site)
    text = site.run("show", plan).ended().out
    assert text.startswith("To deploy staging") and "Plan: 33 to add" in text
    document = site.run("show", plan, "--json").ended().json()
    assert document == json.loads((site.folder / plan).read_text(encoding="utf-8"))
    assert (document["format"], document["operation"], document["bound"]["workspace"]) == (1, "deploy", "staging")


@pytest.mark.unserved("the plan that is applied deletes everything")
def test_a_saved_destroy(site: Site) -> None:
    site.deploy()
    site.run("apply", saved(site, "--destroy")).ended()
    assert site.world.remains() == {}


def configuration_changed(site: Site) -> None:
    site.configure({"logs": {"retention_days": 3}})


def drifted(site: Site) -> None:
    site.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=2)


def deployed(site: Site) -> None:
    site.configure({"logs": {"retention_days": 14}})
    site.deploy()
    site.configure({"logs": {"retention_days": None}})


@pytest.mark.parametrize(
    ("happened", "why"),
    [
        (configuration_changed, "the configuration was changed since"),
        (drifted, "what is in AWS was changed since"),
        (deployed, "something was deployed since"),
    ],
)
def test_a_saved_plan_is_refused_after(staging: Site, happened: Callable[[Site], Any], why: str) -> None:
    staging.configure({"services": {"celery": {"count": 5}}})
    plan = saved(staging)
    happened(staging)
    since = staging.mark()
    result = staging.run("apply", plan).ended(1)
    assert "the saved plan is refused, nothing was changed" in result.err and why in result.err, result
    assert staging.writes(since) == []
    staging.deploy()
    staging.finds_nothing()


def test_a_plan_of_another_account_is_refused(new_site: Callable[[], Site]) -> None:
    site, other = new_site(), new_site()
    (other.folder / "a.plan").write_bytes((site.folder / saved(site)).read_bytes())
    result = other.run("apply", "a.plan").ended(1)
    assert f"it was made for account {site.account}, and this is {other.account}" in result.err
    assert other.world.remains() == {}


def another_lineage(site: Site) -> None:
    """The state is lost and made anew, with as many writes."""
    forget(site)
    site.run("deploy", "staging", "--yes").ended()


def another_region(site: Site) -> None:
    site.configure({"region": "us-west-2", "network": {"zones": None}})


def workspace_gone(site: Site) -> None:
    site.configure({"workspace": {"staging": None}})


@pytest.mark.parametrize(
    ("happened", "code", "why"),
    [
        (another_lineage, 1, "the state is another one (its lineage differs)"),
        (another_region, 1, "it was made for region us-east-2, and this is us-west-2"),
        (workspace_gone, 64, "no workspace `staging`"),
    ],
)
def test_a_plan_of_another_place_is_refused(site: Site, happened: Callable[[Site], Any], code: int, why: str) -> None:
    site.deploy()
    site.configure({"logs": {"retention_days": 3}})
    plan = saved(site)
    happened(site)
    since = site.mark()
    result = site.run("apply", plan).ended(code)
    assert why in result.err, result
    assert site.writes(since) == []


def test_a_plan_that_somebody_edited_is_refused(staging: Site) -> None:
    before = staging.config.get("logs")
    staging.configure({"logs": {"retention_days": 5}})
    plan = staging.folder / saved(staging)
    document = json.loads(plan.read_text(encoding="utf-8"))
    (step,) = [step for step in document["plan"]["steps"] if step["action"]["do"] != "no_op"]
    step["changes"][0]["after"] = 3653
    plan.write_text(json.dumps(document), encoding="utf-8")
    since = staging.mark()
    assert "would do something else" in staging.run("apply", "a.plan").ended(1).err
    document["bound"]["workspace"] = "production"
    plan.write_text(json.dumps(document), encoding="utf-8")
    assert "the saved plan is refused" in staging.run("apply", "a.plan").ended(1).err
    assert staging.writes(since) == []
    staging.configure({"logs": before or {"retention_days": None}})
    staging.finds_nothing()


def test_what_is_no_plan_is_refused(site: Site) -> None:
    plan = site.folder / saved(site)
    document = json.loads(plan.read_text(encoding="utf-8"))
    for text, why in (
        ("{", "is not a saved plan"),
        ("{}", "is not a saved plan"),
        (json.dumps({**document, "format": 2}), "was written in format 2"),
        (json.dumps({**document, "more": 1}), "is not a saved plan"),
    ):
        plan.write_text(text, encoding="utf-8")
        assert why in site.run("apply", "a.plan").ended(1).err
    assert "cannot read" in site.run("apply", "nowhere.plan").ended(1).err
    assert site.mutations() == []


def forget(site: Site) -> None:
    """Lose the snapshot, with all of its versions."""
    bucket, s3 = site.config["state"]["bucket"], site.aws.s3
    for version in s3.list_object_versions(Bucket=bucket).get("Versions", []):
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    assert not s3.list_objects_v2(Bucket=bucket).get("Contents")


def test_a_lost_snapshot_changes_nothing(staging: Site) -> None:
    forget(staging)
    assert staging.plan().changes == {}
    since = staging.mark()
    staging.deploy()
    assert staging.writes(since) == [], "only the snapshot is written anew"
    assert len(staging.state_object()["snapshot"]["resources"]) == 33
    staging.finds_nothing()


def test_a_change_after_a_lost_snapshot_is_just_that(staging: Site) -> None:
    forget(staging)
    staging.configure({"services": {"celery": {"count": 3}}})
    assert staging.plan().changes == {"fargate/celery": "update"}
    since = staging.mark()
    staging.deploy()
    assert staging.writes(since) == ["ecs:UpdateService"]
    staging.finds_nothing()


def test_destroy_after_a_lost_snapshot_leaves_nothing(site: Site) -> None:
    site.deploy()
    forget(site)
    site.destroy()
    assert site.world.remains() == {}


def test_an_old_snapshot_is_as_good_as_none(staging: Site) -> None:
    bucket, s3 = staging.config["state"]["bucket"], staging.aws.s3
    old = s3.get_object(Bucket=bucket, Key=staging.state_key())["Body"].read()
    staging.configure({"services": {"flask": {"image": image("next")}}})
    staging.deploy()
    staging.put_state(old)
    assert staging.plan().changes == {}
    staging.finds_nothing()
