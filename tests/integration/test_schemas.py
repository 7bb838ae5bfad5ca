"""Published schemas: they accept what the tool reads and writes, and refuse what the tool refuses."""

from __future__ import annotations

import copy
import json
import tomllib
from typing import Any

import fastjsonschema
import pytest
import schemas
from configuration import image
from endpoint import ROOT
from harness import TestWorkspace
from schemas import SCHEMAS, refuses

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEJrSessionTokenForTests"
#: Command that prints each document. A command that fails prints the document `error` instead.
QUERIES = {
    "doctor": "doctor staging",
    "drift": "drift staging",
    "explain": "explain PB0501",
    "fmt": "fmt",
    "graph": "graph staging",
    "history": "history staging",
    "output": "output staging",
    "state_list": "state list staging",
    "state_versions": "state versions staging",
    "status": "status staging",
    "tasks": "tasks staging",
    "validate": "validate",
    "workspace_list": "workspace list",
}


def test_schema_command_prints_the_published_schemas(workspace: TestWorkspace) -> None:
    for name in ("plan", "events", "documents"):
        assert workspace.run("schema", name).expect_exit().out == (SCHEMAS / f"{name}.json").read_text(encoding="utf-8")
    printed = workspace.run("schema", "config").expect_exit().out
    assert printed == (SCHEMAS / "pb_deploy.json").read_text(encoding="utf-8"), (
        "the keys were changed: pb-deploy schema config > docs/schema/pb_deploy.json"
    )


def test_saved_plans_match_the_schema_and_contain_no_secrets(workspace: TestWorkspace) -> None:
    credentials = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}

    def plan(*arguments: str) -> dict[str, Any]:
        workspace.run("plan", "staging", "--out", "a.plan", *arguments, env=dict(credentials)).expect_exit()
        document = json.loads((workspace.folder / "a.plan").read_text(encoding="utf-8"))
        schemas.plan()(document)
        assert document == workspace.run("show", "a.plan", "--json").expect_exit().json()
        text = (workspace.folder / "a.plan").read_text(encoding="utf-8")
        assert SECRET not in text and TOKEN not in text
        return document

    first = plan()
    assert plan("--target", "net/vpc")["part"] == {"targets": ["net/vpc"]}
    applied = workspace.run("deploy", "staging", "--yes", "--json", env=dict(credentials)).expect_exit()
    stored = json.dumps(workspace.state_object())
    assert not [word for word in (SECRET, TOKEN) if word in applied.text + stored]
    workspace.configure({"services": {"flask": {"image": image("next"), "port": 6060}}})
    actions = {step["action"]["do"] for step in plan("--replace", "fargate/celery")["plan"]["steps"]}
    assert {"no_op", "create", "update", "replace"} & actions >= {"no_op", "update", "replace"}
    workspace.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=1)
    assert plan("--refresh-only")["drift"]
    assert plan("--destroy")["operation"] == "destroy"
    for change in ({"format": 2}, {"more": 1}, {"operation": "else"}, {"plan": {}}):
        assert refuses(schemas.plan(), {**first, **change}), change


def test_configuration_of_the_project_matches_the_schema(workspace: TestWorkspace) -> None:
    text = (ROOT / "pb_deploy.toml").read_text(encoding="utf-8")
    schemas.config()(tomllib.loads(text))
    schemas.config()(workspace.config)


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
        {"services": {"celery": {"count": -1}}},
        {"services": {"celery": {"stop_timeout": 121}}},
        {"services": {"flask": {"min_healthy_percent": 200}}},
        {"services": {"flask": {"secrets": {"KEY": "arn:aws:s3:::bucket"}}}},
        {"logs": {"retention_days": 31}},
        {"logs": {"mode": "async"}},
        {"redis": {"port": 70000}},
        {"redis": {"node_type": "db.t3.small"}},
        {"network": {"cidr": "10.0.0.0/8"}},
        {"load_balancer": {"health_matcher": "600"}},
        {"load_balancer": {"ingress_cidrs": ["everyone"]}},
        {"state": {"bucket": ""}},
        {"allowed_account_ids": ["12345678901"]},
        {"stack": "a" * 41},
        {"workspace": {"Prod": {}}},
    ],
)
def test_configuration_schema_refuses_what_validate_refuses(workspace: TestWorkspace, changes: dict[str, Any]) -> None:
    before = copy.deepcopy(workspace.config)
    workspace.configure(changes)
    assert refuses(schemas.config(), workspace.config)
    workspace.run("validate").expect_exit(1)
    workspace.config = before


def test_documents_match_their_schemas(workspace: TestWorkspace) -> None:
    workspace.deploy()
    workspace.aws.ecs.update_service(cluster="staging-ecs-cluster", service="staging-celery", desiredCount=1)
    results = {name: workspace.run(*command.split(), "--json") for name, command in QUERIES.items()}
    for name, result in results.items():
        schemas.document(name)(result.json())
    assert results["drift"].json()["drift"] and results["status"].json()["services"] and results["tasks"].json()
    error = workspace.run("plan", "nowhere", "--json").expect_exit(64)
    schemas.document("error")(json.loads(error.err))
    workspace.config_file.rename(workspace.folder / "other.toml")
    schemas.document("init")(workspace.run("init", "--json").expect_exit().json())
    assert {*QUERIES, "error", "init"} == set(schemas.documents())


def test_event_schema_refuses_unknown_fields() -> None:
    line = {"event": "skipped", "address": "net/vpc", "action": {"do": "create"}, "because": "a reason"}
    schemas.event(line)
    for change in ({"reason": "a reason"}, {"because": None}, {"action": {"do": "make"}}, {"action": {}}):
        with pytest.raises(fastjsonschema.JsonSchemaException):
            schemas.event({**line, **change})
