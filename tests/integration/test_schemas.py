"""The schemas in the repository fit what the tool reads and writes, and refuse what it refuses."""

from __future__ import annotations

import copy
import json
import tomllib
from typing import Any

import fastjsonschema
import pytest
from configuration import image
from endpoint import ROOT
from harness import Site

SCHEMAS = ROOT / "docs" / "schema"
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEJrSessionTokenForTests"


def load(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


is_plan = fastjsonschema.compile(load("plan.json"))
is_config = fastjsonschema.compile(load("pb_deploy.json"))


def refuses(validate: Any, document: Any) -> bool:
    try:
        validate(document)
    except fastjsonschema.JsonSchemaException:
        return True
    return False


def test_the_schemas_are_those_that_the_tool_shows(site: Site) -> None:
    assert site.run("schema", "plan").ended().out == (SCHEMAS / "plan.json").read_text(encoding="utf-8")
    shown = site.run("schema", "config").ended().out
    assert shown == (SCHEMAS / "pb_deploy.json").read_text(encoding="utf-8"), (
        "the keys were changed: pb-deploy schema config > docs/schema/pb_deploy.json"
    )


def test_every_sort_of_plan_fits_and_holds_no_secret(site: Site) -> None:
    keys = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}

    def plan(*arguments: str) -> dict[str, Any]:
        site.run("plan", "staging", "--out", "a.plan", *arguments, env=dict(keys)).ended()
        document = json.loads((site.folder / "a.plan").read_text(encoding="utf-8"))
        is_plan(document)
        assert document == site.run("show", "a.plan", "--json").ended().json()
        text = (site.folder / "a.plan").read_text(encoding="utf-8")
        assert SECRET not in text and TOKEN not in text
        return document

    first = plan()
    assert plan("--target", "net/vpc")["part"] == {"targets": ["net/vpc"]}
    applied = site.run("deploy", "staging", "--yes", "--json", env=dict(keys)).ended()
    stored = json.dumps(site.state_object())
    assert not [word for word in (SECRET, TOKEN) if word in applied.text + stored]
    site.configure({"services": {"flask": {"image": image("next"), "port": 6060}}})
    actions = {step["action"]["do"] for step in plan("--replace", "fargate/celery")["plan"]["steps"]}
    assert {"no_op", "create", "update", "replace"} & actions >= {"no_op", "update", "replace"}
    site.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=1)
    assert plan("--refresh-only")["drift"]
    assert plan("--destroy")["operation"] == "destroy"
    for change in ({"format": 2}, {"more": 1}, {"operation": "else"}, {"plan": {}}):
        assert refuses(is_plan, {**first, **change}), change


def test_the_documented_configuration_fits(site: Site) -> None:
    text = (ROOT / "pb_deploy.toml").read_text(encoding="utf-8")
    is_config(tomllib.loads(text))
    is_config(site.config)


@pytest.mark.parametrize(
    "changes",
    [
        {"regoin": "us-east-2"},
        {"redis": {"port": "6400"}},
        {"redis": {"engine": "memcached"}},
        {"workspace": {"staging": {"redis": {"prot": 1}}}},
        {"services": {"extra": {"count": 1}}},
        {"services": {"extra": {"kind": "cron"}}},
        {"network": {"egress": [{"prt": 443}]}},
        {"load_balancer": {"deletion_protection": "yes"}},
        {"tags": {"team": 1}},
    ],
)
def test_what_the_tool_refuses_the_schema_refuses(site: Site, changes: dict[str, Any]) -> None:
    before = copy.deepcopy(site.config)
    site.configure(changes)
    assert refuses(is_config, site.config)
    site.run("validate").ended(1)
    site.config = before
