"""Output of read-only commands (status, output, state, workspace list) as text and JSON; color only in a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from configuration import image
from harness import TestWorkspace

ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def deployed(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a deployed staging workspace that the tests of this file only read."""
    workspace = new_workspace()
    workspace.deploy()
    return workspace


@pytest.mark.needs("target-health")
def test_status_shows_services_health_url_and_lock(deployed: TestWorkspace) -> None:
    text = deployed.run("status", "staging").expect_exit().out
    assert text.startswith("staging  33 resources  http://staging.ospcapi.org\n")
    assert "1 of 1 running, 0 pending  COMPLETED  staging-flask:1" in text
    assert "4 of 4 running, 0 pending  COMPLETED  staging-celery:1" in text
    assert "healthy" in text and "not locked" in text


@pytest.mark.needs("target-health")
def test_status_json_contains_services_and_targets(deployed: TestWorkspace) -> None:
    status = deployed.run("status", "staging", "--json").expect_exit().json()
    assert (status["workspace"], status["url"], status["deployed"]) == ("staging", "http://staging.ospcapi.org", True)
    assert (status["unfinished"], status["lock"]) == (None, None)
    services = {service["name"]: service for service in status["services"]}
    assert {n: (s["desired"], s["running"], s["rollout"]) for n, s in services.items()} == {
        "staging-flask": (1, 1, "COMPLETED"),
        "staging-celery": (4, 4, "COMPLETED"),
    }
    assert [target["state"] for target in status["targets"]] == ["healthy"]


def test_status_of_undeployed_workspace_shows_not_deployed(workspace: TestWorkspace) -> None:
    assert "not deployed" in workspace.run("status", "staging").expect_exit().out
    status = workspace.run("status", "staging", "--json").expect_exit().json()
    assert (status["deployed"], status["services"], status["url"]) == (False, [], None)


def test_output_prints_all_and_single_values(deployed: TestWorkspace) -> None:
    outputs = deployed.run("output", "staging", "--json").expect_exit().json()
    (balancer,) = deployed.inventory.balancers().values()
    (group,) = deployed.inventory.replication_groups().values()
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    (repository,) = deployed.inventory.repositories().values()
    assert outputs == {
        "url": "http://staging.ospcapi.org",
        "load_balancer": balancer["DNSName"],
        "queue": f"{endpoint['Address']}:6400",
        "repository": repository["repositoryUri"],
        "cluster": "staging-ecs-cluster",
        "vpc": next(iter(deployed.inventory.vpcs())),
    }
    text = deployed.run("output", "staging").expect_exit().out
    assert dict(line.split(" = ") for line in text.splitlines()) == outputs
    assert deployed.run("output", "staging", "url").expect_exit().out == "http://staging.ospcapi.org\n"
    assert deployed.run("output", "staging", "url", "--json").expect_exit().json() == "http://staging.ospcapi.org"
    assert 'has no output "ulr"' in deployed.run("output", "staging", "ulr").expect_exit(64).err


def test_output_of_undeployed_workspace_is_an_error(deployed: TestWorkspace) -> None:
    result = deployed.run("output", "production").expect_exit(1)
    assert "it is not deployed" in result.err and result.out == ""


def test_state_show_prints_snapshot(deployed: TestWorkspace) -> None:
    state = deployed.run("state", "show", "staging", "--json").expect_exit().json()
    assert state == deployed.state_object()["snapshot"]
    addresses = {address for address, _ in deployed.inventory.managed_resources()}
    assert set(state["resources"]) == addresses | {"edge/record"}
    text = deployed.run("state", "show", "staging").expect_exit().out
    assert text.startswith(f"lineage {state['lineage']}  serial {state['serial']}")
    for address, identity in deployed.inventory.managed_resources():
        if address == "net/vpc":
            assert identity in text


def test_workspace_list_shows_configured_workspaces(workspace: TestWorkspace) -> None:
    listed = workspace.run("workspace", "list", "--json").expect_exit().json()
    assert listed == [
        {"name": "production", "hostname": "ospcapi.org", "region": "us-east-2"},
        {"name": "staging", "hostname": "staging.ospcapi.org", "region": "us-east-2"},
        {"name": "default", "hostname": "default.ospcapi.org", "region": "us-east-2"},
    ] or [row["name"] for row in listed] == sorted(row["name"] for row in listed)
    assert {row["name"] for row in listed} == {"production", "staging", "default"}
    text = workspace.run("workspace", "list").expect_exit().out
    assert [line.split()[0] for line in text.splitlines()] == [row["name"] for row in listed]


def test_validate_makes_no_call(workspace: TestWorkspace) -> None:
    result = workspace.run("validate").expect_exit()
    assert "pb_deploy.toml: valid" in result.out
    answer = workspace.run("validate", "--json").expect_exit().json()
    assert answer["valid"] is True and set(answer["workspaces"]) == {"production", "staging", "default"}
    assert workspace.calls() == []


def test_repository_configuration_is_valid(workspace: TestWorkspace) -> None:
    from endpoint import ROOT

    workspace.run("validate", "--config", str(ROOT / "pb_deploy.toml")).expect_exit()


def test_read_only_commands_change_nothing(deployed: TestWorkspace) -> None:
    since = deployed.mark()
    for command in (["status", "staging"], ["output", "staging"], ["state", "show", "staging"], ["workspace", "list"]):
        deployed.run(*command).expect_exit()
    assert deployed.mutations(since) == []


def test_deploy_json_emits_events(workspace: TestWorkspace) -> None:
    result = workspace.run("deploy", "staging", "--yes", "--json").expect_exit()
    lines = result.events()
    events = [line["event"] for line in lines]
    assert events[0] == "plan" and events[-1] == "finished"
    assert {"started", "made", "waiting", "done", "recorded"} <= set(events)
    done_addresses = {line["address"] for line in lines if line["event"] == "done"}
    checks = {check["address"] for check in lines[0]["checks"]}
    assert len(done_addresses - checks) == 33 and done_addresses - checks == {
        step["address"] for step in lines[0]["steps"]
    }
    assert checks == {"edge/flask_health"} and checks <= done_addresses
    assert lines[-1]["complete"] is True
    assert lines[-1]["outputs"]["url"] == "http://staging.ospcapi.org"
    again = workspace.run("deploy", "staging", "--yes", "--json").expect_exit().events()
    assert again[-1]["complete"] is True and "started" not in [line["event"] for line in again]


@pytest.mark.needs("ecs-breaker")
def test_failed_deploy_json_emits_failure(workspace: TestWorkspace) -> None:
    workspace.configure({"services": {"flask": {"image": image("fail"), "breaker_threshold": 3}}})
    lines = workspace.run("deploy", "staging", "--yes", "--json").expect_exit(1).events()
    (failed,) = [line for line in lines if line["event"] == "failed"]
    assert failed["address"] == "fargate/flask" and failed["failure"]["class"] == "failed"
    assert lines[-1] == {**lines[-1], "event": "finished", "complete": False}


def test_error_with_json_option_is_json(workspace: TestWorkspace) -> None:
    result = workspace.run("plan", "stagin", "--json").expect_exit(64)
    error = json.loads(result.err)
    assert "stagin" in error["error"] and error["exit"] == 64
    assert result.out == ""


@pytest.mark.parametrize("arguments", [[], ["--no-color"], ["--verbose"]])
@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}])
def test_output_without_terminal_has_no_escape_codes(
    deployed: TestWorkspace, arguments: list[str], env: dict[str, str]
) -> None:
    for command in (["plan", "staging"], ["status", "staging"], ["plan", "nowhere"]):
        result = deployed.run(*command, *arguments, env=dict(env))
        assert ESCAPE not in result.text


def test_output_in_terminal_has_color_unless_disabled(deployed: TestWorkspace) -> None:
    colored = deployed.run_in_terminal("status", "staging", answer="")
    assert colored.code == 0 and ESCAPE in colored.out
    assert ESCAPE not in deployed.run_in_terminal("status", "staging", "--no-color", answer="").out


def test_help_lists_exit_codes(workspace: TestWorkspace) -> None:
    text = workspace.run("--help").expect_exit().out
    for line in ("0    done", "1    failed", "2    the plan has changes", "3    another run holds the lock",
                 "64   invalid usage",
                 "130  interrupted"):  # fmt: skip
        assert line in text
    assert workspace.run("--version").expect_exit().out.startswith("pb-deploy ")
