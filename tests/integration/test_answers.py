"""What the tool answers: status, output, state, workspaces; as text and as JSON; with colour where it belongs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from configuration import image
from harness import TestWorkspace

ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def done(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """A deployed staging that the tests of this file only ask."""
    workspace = new_workspace()
    workspace.deploy()
    return workspace


@pytest.mark.needs("target-health")
def test_status_shows_services_health_address_and_lock(done: TestWorkspace) -> None:
    text = done.run("status", "staging").expect_exit().out
    assert text.startswith("staging  33 resources  http://staging.ospcapi.org\n")
    assert "1 of 1 running, 0 pending  COMPLETED  staging-flask:1" in text
    assert "4 of 4 running, 0 pending  COMPLETED  staging-celery:1" in text
    assert "healthy" in text and "not locked" in text


@pytest.mark.needs("target-health")
def test_status_as_json(done: TestWorkspace) -> None:
    status = done.run("status", "staging", "--json").expect_exit().json()
    assert (status["workspace"], status["url"], status["deployed"]) == ("staging", "http://staging.ospcapi.org", True)
    assert (status["unfinished"], status["lock"]) == (None, None)
    services = {service["name"]: service for service in status["services"]}
    assert {n: (s["desired"], s["running"], s["rollout"]) for n, s in services.items()} == {
        "staging-flask": (1, 1, "COMPLETED"),
        "staging-celery": (4, 4, "COMPLETED"),
    }
    assert [target["state"] for target in status["targets"]] == ["healthy"]


def test_status_of_what_is_not_deployed(workspace: TestWorkspace) -> None:
    assert "not deployed" in workspace.run("status", "staging").expect_exit().out
    status = workspace.run("status", "staging", "--json").expect_exit().json()
    assert (status["deployed"], status["services"], status["url"]) == (False, [], None)


def test_output(done: TestWorkspace) -> None:
    outputs = done.run("output", "staging", "--json").expect_exit().json()
    (balancer,) = done.inventory.balancers().values()
    (group,) = done.inventory.replication_groups().values()
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    (repository,) = done.inventory.repositories().values()
    assert outputs == {
        "url": "http://staging.ospcapi.org",
        "load_balancer": balancer["DNSName"],
        "queue": f"{endpoint['Address']}:6400",
        "repository": repository["repositoryUri"],
        "cluster": "staging-ecs-cluster",
        "vpc": next(iter(done.inventory.vpcs())),
    }
    text = done.run("output", "staging").expect_exit().out
    assert dict(line.split(" = ") for line in text.splitlines()) == outputs
    assert done.run("output", "staging", "url").expect_exit().out == "http://staging.ospcapi.org\n"
    assert done.run("output", "staging", "url", "--json").expect_exit().json() == "http://staging.ospcapi.org"
    assert 'there is no output "ulr"' in done.run("output", "staging", "ulr").expect_exit(64).err


def test_output_of_what_is_not_deployed(done: TestWorkspace) -> None:
    result = done.run("output", "production").expect_exit(1)
    assert "it is not deployed" in result.err and result.out == ""


def test_state_show(done: TestWorkspace) -> None:
    state = done.run("state", "show", "staging", "--json").expect_exit().json()
    assert state == done.state_object()["snapshot"]
    addresses = {address for address, _ in done.inventory.owned()}
    assert set(state["resources"]) == addresses | {"edge/record"}
    text = done.run("state", "show", "staging").expect_exit().out
    assert text.startswith(f"lineage {state['lineage']}  serial {state['serial']}")
    for address, identity in done.inventory.owned():
        if address == "net/vpc":
            assert identity in text


def test_workspaces(workspace: TestWorkspace) -> None:
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


def test_the_real_configuration_is_valid(workspace: TestWorkspace) -> None:
    from endpoint import ROOT

    workspace.run("validate", "--config", str(ROOT / "pb_deploy.toml")).expect_exit()


def test_questions_change_nothing(done: TestWorkspace) -> None:
    since = done.mark()
    for command in (["status", "staging"], ["output", "staging"], ["state", "show", "staging"], ["workspace", "list"]):
        done.run(*command).expect_exit()
    assert done.mutations(since) == []


def test_a_deploy_in_json_lines(workspace: TestWorkspace) -> None:
    result = workspace.run("deploy", "staging", "--yes", "--json").expect_exit()
    lines = result.lines()
    events = [line["event"] for line in lines]
    assert events[0] == "plan" and events[-1] == "finished"
    assert {"started", "made", "waiting", "done", "recorded"} <= set(events)
    done = {line["address"] for line in lines if line["event"] == "done"}
    checks = {check["address"] for check in lines[0]["checks"]}
    assert len(done - checks) == 33 and done - checks == {step["address"] for step in lines[0]["steps"]}
    assert checks == {"edge/flask_health"} and checks <= done
    assert lines[-1]["complete"] is True
    assert lines[-1]["outputs"]["url"] == "http://staging.ospcapi.org"
    again = workspace.run("deploy", "staging", "--yes", "--json").expect_exit().lines()
    assert again[-1]["complete"] is True and "started" not in [line["event"] for line in again]


@pytest.mark.needs("ecs-breaker")
def test_a_failed_deploy_in_json_lines(workspace: TestWorkspace) -> None:
    workspace.configure({"services": {"flask": {"image": image("fail"), "breaker_threshold": 3}}})
    lines = workspace.run("deploy", "staging", "--yes", "--json").expect_exit(1).lines()
    (failed,) = [line for line in lines if line["event"] == "failed"]
    assert failed["address"] == "fargate/flask" and failed["failure"]["class"] == "failed"
    assert lines[-1] == {**lines[-1], "event": "finished", "complete": False}


def test_an_error_in_json(workspace: TestWorkspace) -> None:
    result = workspace.run("plan", "stagin", "--json").expect_exit(64)
    error = json.loads(result.err)
    assert "stagin" in error["error"] and error["exit"] == 64
    assert result.out == ""


@pytest.mark.parametrize("arguments", [[], ["--no-color"], ["--verbose"]])
@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}])
def test_without_a_terminal_there_are_no_escape_codes(
    done: TestWorkspace, arguments: list[str], env: dict[str, str]
) -> None:
    for command in (["plan", "staging"], ["status", "staging"], ["plan", "nowhere"]):
        result = done.run(*command, *arguments, env=dict(env))
        assert ESCAPE not in result.text


def test_in_a_terminal_there_is_colour_unless_it_is_unwanted(done: TestWorkspace) -> None:
    coloured = done.in_terminal("status", "staging", answer="")
    assert coloured.code == 0 and ESCAPE in coloured.out
    assert ESCAPE not in done.in_terminal("status", "staging", "--no-color", answer="").out


def test_help_tells_the_exit_codes(workspace: TestWorkspace) -> None:
    text = workspace.run("--help").expect_exit().out
    for line in ("0    done", "1    failed", "2    the plan has changes", "3    locked by another", "64   usage",
                 "130  interrupted"):  # fmt: skip
        assert line in text
    assert workspace.run("--version").expect_exit().out.startswith("pb-deploy ")
