"""What needs no AWS: the first configuration, its usual form, the graph; and the documents in docs/."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from configuration import image
from endpoint import ROOT
from harness import TestWorkspace

NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def here(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """A folder; nothing in AWS is needed."""
    return new_workspace()


def test_a_first_configuration_from_nothing(here: TestWorkspace) -> None:
    result = here.run("init", "--config", "new.toml", "--hostname", "api.example.com").expect_exit()
    assert result.out == "new.toml\n"
    assert "set these before the first deploy: region, state.bucket, state.lock_table" in result.err
    text = (here.folder / "new.toml").read_text(encoding="utf-8")
    assert "# How many tasks." in text and "ospc" not in text
    here.run("validate", "--config", "new.toml").expect_exit()
    here.run("fmt", "--check", "--config", "new.toml").expect_exit()
    again = here.run("init", "--config", "new.toml").expect_exit(1)
    assert "is there already, and is left alone" in again.err
    assert (here.folder / "new.toml").read_text(encoding="utf-8") == text


def test_a_first_configuration_from_terraform(here: TestWorkspace) -> None:
    folder = here.folder / "terraform"
    folder.mkdir()
    (folder / "main.tf").write_text(
        'provider "aws" {\n  region = "${var.region}"\n}\n\nterraform {\n  backend "s3" {\n    bucket = "our-state"\n'
        '    key = "terraform.tfstate"\n    dynamodb_table = "our-locks"\n    region = "us-east-2"\n    encrypt = true\n  }\n}\n',
        encoding="utf-8",
    )
    (folder / "terraform.tfvars").write_text(
        '# ours\nregion = "us-west-2"\napi_hostname = "api.example.com"\nzone = "example.com"\nflask_ecr_tag = "web-7"\n'
        'celery_count = "12"\nflask_count = 2\n\ntags = {\n  team = "web"\n  "cost:center" = "7"\n}\n'
        'celery_environment = { DEBUG = "0" }\nssh_key = "x"\nflask_cpu = var.size\n',
        encoding="utf-8",
    )
    result = here.run("init", "--config", "moved.toml", "--from", "terraform/terraform.tfvars").expect_exit()
    assert "left out, there is no key for it: ssh_key (line 14)" in result.err
    assert "flask_cpu (line 15)" in result.err and "set these" not in result.err
    config = tomllib.loads((here.folder / "moved.toml").read_text(encoding="utf-8"))
    assert (config["region"], config["hostname"], config["zone"]) == ("us-west-2", "api.example.com", "example.com")
    assert config["state"] == {"bucket": "our-state", "lock_table": "our-locks"}
    assert config["services"]["flask"] == {"tag": "web-7", "count": 2}
    assert config["services"]["celery"] == {"count": 12, "environment": {"DEBUG": "0"}}
    assert config["tags"] == {"team": "web", "cost:center": "7"}
    here.run("validate", "--config", "moved.toml").expect_exit()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("region = \n", "bad.tfvars:1:"),
        ('region = "nowhere"\n', "invalid region"),
    ],
)
def test_variables_that_make_no_configuration(here: TestWorkspace, text: str, why: str) -> None:
    (here.folder / "bad.tfvars").write_text(text, encoding="utf-8")
    result = here.run("init", "--config", "bad.toml", "--from", "bad.tfvars").expect_exit(1)
    assert why in result.err and not (here.folder / "bad.toml").exists()


def test_the_usual_form(here: TestWorkspace) -> None:
    file = here.folder / "form.toml"
    untidy = '# why\nregion="us-east-2"   # there\n\n\n\n[state]\nbucket =  "b"\n'
    file.write_text(untidy, encoding="utf-8")
    assert here.run("fmt", "--check", "--config", "form.toml").expect_exit(1).out == "form.toml\n"
    assert file.read_text(encoding="utf-8") == untidy
    here.run("fmt", "--config", "form.toml").expect_exit()
    assert file.read_text(encoding="utf-8") == '# why\nregion = "us-east-2" # there\n\n[state]\nbucket = "b"\n'
    assert here.run("fmt", "--config", "form.toml").expect_exit().out == ""
    file.write_text("region: x\n", encoding="utf-8")
    assert "form.toml:1:" in here.run("fmt", "--config", "form.toml").expect_exit(1).err


def test_the_graph_needs_no_credentials(here: TestWorkspace) -> None:
    document = here.run("graph", "staging", "--json", env=dict(NOWHERE)).expect_exit().json()
    edges = {(edge["from"], edge["to"]) for edge in document["edges"]}
    assert ("net/tasks_subnet", "net/vpc") in edges and ("edge/listener", "edge/balancer") in edges
    assert {address for edge in edges for address in edge} <= set(document["nodes"]) and len(document["nodes"]) == 34
    # 33 resources, and the check that the targets are healthy, on which nothing depends.
    assert ("edge/flask_health", "fargate/flask") in edges and "edge/flask_health" not in {to for _, to in edges}
    dot = here.run("graph", "staging", env=dict(NOWHERE)).expect_exit().out
    assert dot.startswith('digraph "staging" {') and '"net/tasks_subnet" -> "net/vpc";' in dot
    assert dot.count("->") == len(edges)
    mermaid = here.run("graph", "staging", "--format", "mermaid", env=dict(NOWHERE)).expect_exit().out
    assert mermaid.startswith("flowchart RL\n") and "net_tasks_subnet --> net_vpc" in mermaid
    assert here.calls() == []


def commands(text: str) -> list[list[str]]:
    """Each call of the tool in a script."""
    found = re.findall(r"^\s*(?:run: |code=0; )?pb-deploy ([^|>\n]+)", text, re.MULTILINE)
    return [shlex.split(command.replace('"$WORKSPACE"', "staging")) for command in found]


def test_the_workflow_does_what_it_says(workspace: TestWorkspace) -> None:
    workflow = yaml.safe_load((DOCS / "ci" / "github-actions.yml").read_text(encoding="utf-8"))
    scripts = {
        name: [command for step in job["steps"] for command in commands(step.get("run", ""))]
        for name, job in workflow["jobs"].items()
    }
    assert {name: [command[0] for command in found] for name, found in scripts.items()} == {
        "plan": ["validate", "fmt", "plan", "show"],
        "apply": ["apply"],
        "drift": ["drift"],
    }
    workspace.run("fmt").expect_exit()
    codes = {"plan": 2}
    for command in scripts["plan"]:
        result = workspace.run(*command).expect_exit(codes.get(command[0], 0))
    assert result.out.startswith("### To deploy `staging`\n") and "| `+` | `net/vpc` | ec2.vpc |" in result.out
    assert "**Plan: 33 to add" in result.out and result.out.count("```") == 2
    for command in scripts["apply"] + scripts["drift"]:
        workspace.run(*command).expect_exit()
    assert workflow["jobs"]["apply"]["permissions"]["id-token"] == "write"


def test_every_command_of_the_table_exists(here: TestWorkspace) -> None:
    text = (DOCS / "terraform.md").read_text(encoding="utf-8")
    rows = [row.split("|")[2] for row in text.splitlines() if row.startswith("| `") or row.startswith("| no ")]
    named = {
        tuple(re.findall(r"^[a-z-]+(?: [a-z]+)?", code)) for row in rows for code in re.findall(r"`([a-z][^`]*)`", row)
    }
    words = {word[0] for word in named if word}
    assert {"plan", "drift", "state rm", "force-unlock"} <= {" ".join(word.split()[:2]) for word in words}
    for word in sorted(words - {"ignore"}):
        if not word.startswith(("ignore", "terraform")):
            here.run(*word.split(), "--help").expect_exit()


def in_sources() -> set[str]:
    """The events that the sources name."""
    engine = (ROOT / "crates" / "engine" / "src" / "event.rs").read_text(encoding="utf-8")
    events = re.findall(
        r"^    ([A-Z][a-z]+)(?: \{|,)$", engine.split("pub enum Event")[1].split("\n}")[0], re.MULTILINE
    )
    found = {event.lower() for event in events}
    for file in (ROOT / "crates" / "orchestrator" / "src").rglob("*.rs"):
        pairs = re.findall(r'\.json\(\s*"(\w+)"|"event": "(\w+)"', file.read_text(encoding="utf-8"))
        found |= {one or other for one, other in pairs}
    return found


def test_every_document_is_documented(workspace: TestWorkspace) -> None:
    text = (DOCS / "json.md").read_text(encoding="utf-8").split("## Events of a run")[0]
    rows = {
        code: row
        for first, row in re.findall(r"^\| ([^|]*) \| (.*) \|$", text, re.MULTILINE)
        for code in re.findall(r"`([^`]+)`", first)
    }
    workspace.deploy()
    for command in (
        ["status", "staging"], ["history", "staging"], ["tasks", "staging"], ["doctor", "staging"], ["validate"],
        ["workspace", "list"], ["state", "versions", "staging"], ["drift", "staging"], ["graph", "staging"],
        ["fmt", "--check"],
    ):  # fmt: skip
        document = workspace.run(*command, "--json").json()
        name = next(row for row in rows if " ".join(command).startswith(row))
        assert set(keys(document)) <= set(re.findall(r"`(\w+)`", rows[name])), name


def keys(document: Any) -> set[str]:
    """The fields of a document, and of what is listed in it; what stands under a name of somebody's choice is left out."""
    if isinstance(document, list):
        return set().union(*(keys(item) for item in document))
    if not isinstance(document, dict):
        return set()
    listed = [value for key, value in document.items() if key in ("checks", "revisions", "lock")]
    return set(document) | keys(listed)


def test_every_event_is_documented(workspace: TestWorkspace) -> None:
    text = (DOCS / "json.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", text.split("## Events of a run")[1], re.MULTILINE))
    lines = workspace.run("deploy", "staging", "--yes", "--json").expect_exit().lines()
    lines += workspace.run("deploy", "staging", "--yes", "--refresh-only", "--json").expect_exit().lines()
    lines += workspace.run("forget", "staging", "fargate/logs", "--yes", "--json").expect_exit().lines()
    lines += (
        workspace.run("adopt", "staging", "fargate/logs=staging-pb_workers", "--yes", "--json").expect_exit().lines()
    )
    lines += workspace.run("run", "staging", "--json", "--", "true").expect_exit().lines()
    workspace.configure(
        {"services": {"flask": {"image": image("fail"), "breaker_threshold": 3}, "celery": {"count": 2}}}
    )
    lines += workspace.run("deploy", "staging", "--yes", "--json").expect_exit(1).lines()
    assert {line["event"] for line in lines} >= {"plan", "started", "done", "failed", "recorded", "finished"}
    workspace.configure(
        {"services": {"flask": {"image": None, "tag": "soon"}, "celery": {"image": None, "tag": "later"}}}
    )
    lines += workspace.run("deploy", "production", "--yes", "--json").expect_exit(4).lines()
    named = {line["event"] for line in lines} | in_sources()
    assert named <= set(rows), "each event has a row"
    assert set(rows) <= named, "each row is an event"
    for line in lines:
        fields = set(re.findall(r"`(\w+)`", rows[line["event"]]))
        assert set(line) - {"event"} <= fields, line
