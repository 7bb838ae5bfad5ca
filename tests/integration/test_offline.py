"""Commands that do not call AWS (`init`, `fmt`, `graph`), and agreement of the documents in `docs/` with the tool."""

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

NO_ENDPOINT = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def offline(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a workspace of which the tests use only the folder."""
    return new_workspace()


def test_init_without_source_writes_a_valid_configuration(offline: TestWorkspace) -> None:
    result = offline.run("init", "--config", "new.toml", "--hostname", "api.example.com").expect_exit()
    assert result.out == "new.toml\n"
    assert "Set these before the first deploy: region, state.bucket, state.lock_table" in result.err
    text = (offline.folder / "new.toml").read_text(encoding="utf-8")
    assert "# Number of tasks." in text and "ospc" not in text
    offline.run("validate", "--config", "new.toml").expect_exit()
    offline.run("fmt", "--check", "--config", "new.toml").expect_exit()
    again = offline.run("init", "--config", "new.toml").expect_exit(1)
    assert "already exists" in again.err
    assert (offline.folder / "new.toml").read_text(encoding="utf-8") == text


def test_init_from_terraform_variables_keeps_their_values(offline: TestWorkspace) -> None:
    folder = offline.folder / "terraform"
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
    result = offline.run("init", "--config", "moved.toml", "--from", "terraform/terraform.tfvars").expect_exit()
    assert "Left out because pb-deploy has no key for it: ssh_key (line 14)" in result.err
    assert "flask_cpu (line 15)" in result.err and "Set these" not in result.err
    config = tomllib.loads((offline.folder / "moved.toml").read_text(encoding="utf-8"))
    assert (config["region"], config["hostname"], config["zone"]) == ("us-west-2", "api.example.com", "example.com")
    assert config["state"] == {"bucket": "our-state", "lock_table": "our-locks"}
    assert config["services"]["flask"] == {"tag": "web-7", "count": 2}
    assert config["services"]["celery"] == {"count": 12, "environment": {"DEBUG": "0"}}
    assert config["tags"] == {"team": "web", "cost:center": "7"}
    offline.run("validate", "--config", "moved.toml").expect_exit()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("region = \n", "bad.tfvars:1:"),
        ('region = "nowhere"\n', "invalid region"),
    ],
)
def test_init_from_invalid_variables_writes_no_file(offline: TestWorkspace, text: str, message: str) -> None:
    (offline.folder / "bad.tfvars").write_text(text, encoding="utf-8")
    result = offline.run("init", "--config", "bad.toml", "--from", "bad.tfvars").expect_exit(1)
    assert message in result.err and not (offline.folder / "bad.toml").exists()


def test_fmt_rewrites_configuration_in_standard_form(offline: TestWorkspace) -> None:
    file = offline.folder / "form.toml"
    untidy = '# why\nregion="us-east-2"   # there\n\n\n\n[state]\nbucket =  "b"\n'
    file.write_text(untidy, encoding="utf-8")
    assert offline.run("fmt", "--check", "--config", "form.toml").expect_exit(1).out == "form.toml\n"
    assert file.read_text(encoding="utf-8") == untidy
    offline.run("fmt", "--config", "form.toml").expect_exit()
    assert file.read_text(encoding="utf-8") == '# why\nregion = "us-east-2" # there\n\n[state]\nbucket = "b"\n'
    assert offline.run("fmt", "--config", "form.toml").expect_exit().out == ""
    file.write_text("region: x\n", encoding="utf-8")
    assert "form.toml:1:" in offline.run("fmt", "--config", "form.toml").expect_exit(1).err


def test_graph_needs_no_credentials(offline: TestWorkspace) -> None:
    document = offline.run("graph", "staging", "--json", env=dict(NO_ENDPOINT)).expect_exit().json()
    edges = {(edge["from"], edge["to"]) for edge in document["edges"]}
    assert ("net/tasks_subnet", "net/vpc") in edges and ("edge/listener", "edge/balancer") in edges
    assert {address for edge in edges for address in edge} <= set(document["nodes"]) and len(document["nodes"]) == 34
    # The 34 nodes are 33 resources and the target health check. No node depends on the check.
    assert ("edge/flask_health", "fargate/flask") in edges and "edge/flask_health" not in {to for _, to in edges}
    dot = offline.run("graph", "staging", env=dict(NO_ENDPOINT)).expect_exit().out
    assert dot.startswith('digraph "staging" {') and '"net/tasks_subnet" -> "net/vpc";' in dot
    assert dot.count("->") == len(edges)
    mermaid = offline.run("graph", "staging", "--format", "mermaid", env=dict(NO_ENDPOINT)).expect_exit().out
    assert mermaid.startswith("flowchart RL\n") and "net_tasks_subnet --> net_vpc" in mermaid
    assert offline.calls() == []


def commands_in(text: str) -> list[list[str]]:
    """Returns the arguments of each `pb-deploy` command in a script."""
    calls = re.findall(r"^\s*(?:run: |code=0; )?pb-deploy ([^|>\n]+)", text, re.MULTILINE)
    return [shlex.split(command.replace('"$WORKSPACE"', "staging")) for command in calls]


def test_documented_workflow_runs_its_commands(workspace: TestWorkspace) -> None:
    workflow = yaml.safe_load((DOCS / "ci" / "github-actions.yml").read_text(encoding="utf-8"))
    scripts = {
        name: [command for step in job["steps"] for command in commands_in(step.get("run", ""))]
        for name, job in workflow["jobs"].items()
    }
    assert {name: [command[0] for command in script] for name, script in scripts.items()} == {
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


def test_commands_of_the_terraform_table_exist(offline: TestWorkspace) -> None:
    text = (DOCS / "terraform.md").read_text(encoding="utf-8").split("\n## Move a stack over")[0]
    rows = [row.split("|")[2] for row in text.splitlines() if row.startswith("| `") or row.startswith("| no ")]
    documented = {
        tuple(re.findall(r"^[a-z-]+(?: [a-z]+)?", code)) for row in rows for code in re.findall(r"`([a-z][^`]*)`", row)
    }
    words = {word[0] for word in documented if word}
    assert {"plan", "drift", "state rm", "force-unlock"} <= {" ".join(word.split()[:2]) for word in words}
    for word in sorted(words - {"ignore"}):
        if not word.startswith(("ignore", "terraform")):
            offline.run(*word.split(), "--help").expect_exit()


def events_in_sources() -> set[str]:
    """Returns the names of the events in the Rust sources."""
    engine = (ROOT / "crates" / "engine" / "src" / "model" / "event.rs").read_text(encoding="utf-8")
    variants = engine.split("pub enum Event")[1].split("\n}")[0]
    events = re.findall(r'(?:serde\(rename = "(\w+)"\)\]\n)?^    ([A-Z][a-z]+)(?: \{|,)$', variants, re.MULTILINE)
    names = {renamed or event.lower() for renamed, event in events}
    for file in (ROOT / "crates" / "orchestrator" / "src").rglob("*.rs"):
        pairs = re.findall(r'\.json\(\s*"(\w+)"|"event": "(\w+)"', file.read_text(encoding="utf-8"))
        names |= {one or other for one, other in pairs}
    return names


def test_json_documents_are_documented(workspace: TestWorkspace) -> None:
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
    """Returns the keys of a document and of its nested lists and tables, except below keys that users choose."""
    if isinstance(document, list):
        return set().union(*(keys(item) for item in document))
    if not isinstance(document, dict):
        return set()
    nested = [value for key, value in document.items() if key in ("checks", "revisions", "lock")]
    return set(document) | keys(nested)


def test_json_events_are_documented(workspace: TestWorkspace) -> None:
    text = (DOCS / "json.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", text.split("## Events of a run")[1], re.MULTILINE))
    lines = workspace.run("deploy", "staging", "--yes", "--json").expect_exit().events()
    lines += workspace.run("deploy", "staging", "--yes", "--refresh-only", "--json").expect_exit().events()
    lines += workspace.run("forget", "staging", "fargate/logs", "--yes", "--json").expect_exit().events()
    lines += (
        workspace.run("adopt", "staging", "fargate/logs=staging-pb_workers", "--yes", "--json").expect_exit().events()
    )
    lines += workspace.run("run", "staging", "--json", "--", "true").expect_exit().events()
    workspace.configure(
        {"services": {"flask": {"image": image("fail"), "breaker_threshold": 3}, "celery": {"count": 2}}}
    )
    lines += workspace.run("deploy", "staging", "--yes", "--json").expect_exit(1).events()
    assert {line["event"] for line in lines} >= {"plan", "started", "done", "failed", "recorded", "finished"}
    workspace.configure(
        {"services": {"flask": {"image": None, "tag": "soon"}, "celery": {"image": None, "tag": "later"}}}
    )
    lines += workspace.run("deploy", "production", "--yes", "--json").expect_exit(4).events()
    known = {line["event"] for line in lines} | events_in_sources()
    assert known <= set(rows), "each event has a row"
    assert set(rows) <= known, "each row is an event"
    for line in lines:
        fields = set(re.findall(r"`(\w+)`", rows[line["event"]]))
        assert set(line) - {"event", "sequence", "elapsed_ms", "run", "operation"} <= fields, line
