"""Renamed service keys: `state mv` moves the resources to their new addresses without recreating or renaming them."""

from __future__ import annotations

from typing import Any

from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace
from test_adopt import TAGGING, ids_by_address, without_ownership_tags

API: dict[str, Any] = {"kind": "web", "paths": ["/v1/*"], "port": 8000, "image": image("app")}
MOVED = {
    "fargate/api": "fargate/backend",
    "fargate/api_task": "fargate/backend_task",
    "edge/api_targets": "edge/backend_targets",
    "edge/api_rule": "edge/backend_rule",
}


def deploy_and_rename(workspace: TestWorkspace) -> dict[str, str]:
    """Deploys a service, renames its key in the configuration, and returns the recorded ids by old address."""
    workspace.configure({"services": {"api": API}})
    workspace.deploy()
    ids = ids_by_address(workspace)
    workspace.configure({"services": {"api": None, "backend": API}})
    return ids


def test_state_mv_moves_service_without_recreating_it(workspace: TestWorkspace) -> None:
    ids = deploy_and_rename(workspace)
    planned = workspace.plan().changes
    assert {planned[old] for old in MOVED} == {"delete"} and {planned[new] for new in MOVED.values()} == {"create"}
    since, before = workspace.mark(), without_ownership_tags(workspace.inventory.everything())
    shown = workspace.run("state", "mv", "staging", "api", "backend", "--dry-run").expect_exit()
    assert "0 to add, 4 to change, 0 to replace, 0 to destroy" in shown.err, shown
    assert workspace.mutations(since) == []
    workspace.run("state", "mv", "staging", "api", "backend").expect_exit(64)
    assert workspace.mutations(since) == [], "nothing is changed without approval"

    lines = workspace.run("state", "mv", "staging", "api", "backend", "--yes", "--json").expect_exit().events()
    (plan,) = [line for line in lines if line["event"] == "plan"]
    assert {step["from"]: step["address"] for step in plan["plan"]["steps"]} == MOVED
    assert {step["action"]["do"] for step in plan["plan"]["steps"]} == {"move"}
    assert (lines[-1]["event"], lines[-1]["complete"]) == ("finished", True)
    assert {call.split(":")[1] for call in workspace.writes(since)} <= TAGGING
    assert without_ownership_tags(workspace.inventory.everything()) == before
    assert ids_by_address(workspace) == {MOVED.get(address, address): identity for address, identity in ids.items()}

    # The service keeps its ECS name, which contains the old key.
    services = {service["name"]: service for service in workspace.run("status", "staging", "--json").json()["services"]}
    assert services["staging-api"]["running"] == 1 and "staging-backend" not in services
    assert set(workspace.plan().changes.values()) == {"update"}
    workspace.deploy()
    after = ids_by_address(workspace)
    assert after["fargate/backend"] == ids["fargate/api"] and after["edge/backend_targets"] == ids["edge/api_targets"]
    history = {
        service["service"]: service["revisions"] for service in workspace.run("history", "staging", "--json").json()
    }
    revisions = {row["revision"]: row for row in history["backend"]}
    assert set(revisions) == {"staging-api:1", "staging-api:2"} and revisions["staging-api:2"]["in_use"]
    assert all(row["operation"] == "deploy" for row in revisions.values()), "the releases of the old key are kept"
    assert "tester" in str(revisions["staging-api:1"]["who"])
    workspace.assert_no_changes()
    workspace.configure({"services": {"backend": {"image": image("fail"), "breaker_threshold": 3}}})
    workspace.deploy(code=1)
    (last,) = workspace.run("status", "staging", "--json").expect_exit().json()["unserved"]
    assert (last["service"], last["revision"]) == ("staging-api", "staging-api:3"), (
        "a failed release of the renamed service is shown, too"
    )
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_killed_state_mv_is_finished_by_same_command(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    ids = deploy_and_rename(workspace)
    stop = proxy.hold_before("elasticloadbalancing:AddTags")
    running = workspace.start("state", "mv", "staging", "api", "backend", "--yes", url=proxy.url)
    stop.wait()
    running.kill()
    proxy.release_all()
    assert workspace.state_object()["snapshot"]["intents"]["operation"] == "move"
    workspace.run("state", "mv", "staging", "api", "backend", "--yes", "--lock-timeout", "60").expect_exit()
    assert ids_by_address(workspace) == {MOVED.get(address, address): identity for address, identity in ids.items()}
    assert "intents" not in workspace.state_object()["snapshot"]
    assert set(workspace.plan().changes.values()) == {"update"}


def test_state_mv_with_invalid_addresses_is_refused(staging: TestWorkspace) -> None:
    since = staging.mark()
    for code, pair, message in [
        (1, ("fargate/flask", "fargate/web"), "no resource is configured at fargate/web"),
        (1, ("fargate/flask", "fargate/celery"), "fargate/celery already has a managed resource"),
        (1, ("fargate/nothing", "fargate/celery"), "no managed resource at this address"),
        (64, ("api", "backend"), 'service "api" has no resources'),
        (64, ("api", "fargate/backend"), "mix an address and a service key"),
        (64, ("fargate/", "fargate/backend"), "fargate/"),
    ]:
        result = staging.run("state", "mv", "staging", *pair, "--yes").expect_exit(code)
        assert message in result.err, result
    assert staging.writes(since) == []
    staging.assert_no_changes()


def test_state_mv_to_service_without_image_is_refused(workspace: TestWorkspace) -> None:
    deploy_and_rename(workspace)
    workspace.configure({"services": {"backend": {"image": None, "tag": "not-pushed"}}})
    refused = workspace.run("state", "mv", "staging", "fargate/api", "fargate/backend", "--yes").expect_exit(1)
    assert "its image is not pushed yet" in refused.err
    remaining = (
        workspace.run("state", "mv", "staging", "edge/api_rule", "edge/backend_rule", "--dry-run", "--json")
        .expect_exit()
        .events()
    )
    assert [step["action"]["do"] for step in remaining[0]["plan"]["steps"]] == ["move"], (
        "all other resources can be moved"
    )
