"""Commands for the state: those that change it hold the lease, use conditional writes, and can be undone."""

from __future__ import annotations

import json

import pytest
from fault_proxy import FaultProxy
from harness import TestWorkspace

pytestmark = pytest.mark.sample

CELERY = "fargate/celery"


def test_state_is_listed_shown_and_pulled(staging: TestWorkspace) -> None:
    stored = staging.state_object()
    addresses = sorted(stored["snapshot"]["resources"])
    assert staging.run("state", "list", "staging").expect_exit().out.splitlines() == addresses
    assert staging.run("state", "list", "staging", "--json").expect_exit().json() == addresses
    record = staging.run("state", "show", "staging", "net/vpc").expect_exit().json()
    assert record == stored["snapshot"]["resources"]["net/vpc"]
    assert "did you mean net/vpc?" in staging.run("state", "show", "staging", "net/vpcs").expect_exit(64).err
    body = staging.aws.s3.get_object(Bucket=staging.config["state"]["bucket"], Key=staging.state_key())["Body"].read()
    assert staging.run("state", "pull", "staging").expect_exit().out.encode() == body
    assert "no state yet" in staging.run("state", "pull", "production").expect_exit(1).err
    staging.mark_unchanged()


def test_removed_record_is_found_by_tags_and_can_be_restored(staging: TestWorkspace) -> None:
    before = staging.state_object()["snapshot"]
    staging.run("state", "rm", "staging", CELERY).expect_exit(64)
    since = staging.mark()
    result = staging.run("state", "rm", "staging", CELERY, "--yes").expect_exit()
    assert f"- {CELERY}" in result.err and staging.writes(since) == []
    after = staging.state_object()["snapshot"]
    assert set(before["resources"]) - set(after["resources"]) == {CELERY} and after["serial"] == before["serial"] + 1
    assert after["fence"] > before["fence"]
    assert staging.plan().changes == {}, "the resource is found by its ownership tags"
    (drift,) = staging.run("drift", "staging", "--json").expect_exit(2).json()["drift"]
    assert (drift["address"], drift["what"]) == (CELERY, "appeared")
    (hint,) = [line for line in result.err.splitlines() if line.startswith("To undo: pb-deploy ")]
    staging.run(*hint.removeprefix("To undo: pb-deploy ").split(), "--yes").expect_exit()
    assert staging.state_object()["snapshot"]["resources"] == before["resources"]
    staging.assert_no_changes()


def test_edited_state_is_pushed(staging: TestWorkspace) -> None:
    file = staging.folder / "state.json"
    file.write_text(staging.run("state", "pull", "staging").expect_exit().out, encoding="utf-8")
    document = json.loads(file.read_text(encoding="utf-8"))
    assert "Nothing to change" in staging.run("state", "push", "staging", "state.json", "--yes").expect_exit().err

    def push(code: int, *more: str, **changes: object) -> str:
        edited = {**document, "snapshot": {**document["snapshot"], **changes}}
        file.write_text(json.dumps(edited), encoding="utf-8")
        return staging.run("state", "push", "staging", "state.json", "--yes", *more).expect_exit(code).err

    since = staging.mark()
    assert "the file has lineage other" in push(1, lineage="other")
    assert "the file has serial 0" in push(1, serial=0)
    assert "is intact, but this version cannot read it" in push(1, more=1)
    assert staging.mutations(since) == []
    err = push(0, outputs={"url": "http://elsewhere.example"})
    assert "outputs" in err and staging.writes(since) == []
    assert staging.run("output", "staging", "url").expect_exit().out == "http://elsewhere.example\n"
    now = staging.state_object()["snapshot"]
    assert now["serial"] == document["snapshot"]["serial"] + 1
    push(0, "--force", serial=0)
    assert staging.state_object()["snapshot"]["serial"] == now["serial"] + 1, "a serial never decreases"
    staging.assert_no_changes()


def test_state_of_another_workspace_is_not_pushed(staging: TestWorkspace) -> None:
    (staging.folder / "state.json").write_text(
        staging.run("state", "pull", "staging").expect_exit().out, encoding="utf-8"
    )
    result = staging.run("state", "push", "production", "state.json", "--yes", "--force").expect_exit(1)
    assert 'expected stack "pb-deploy", workspace "production"' in result.err
    staging.mark_unchanged()


def test_state_change_is_refused_while_the_lock_is_held(staging: TestWorkspace, proxy: FaultProxy) -> None:
    staging.configure({"services": {"celery": {"count": 2}}})
    held = proxy.hold_before("ecs:UpdateService")
    running = staging.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    assert "is locked by" in staging.run("state", "rm", "staging", CELERY, "--yes").expect_exit(3).err
    assert CELERY in staging.state_object()["snapshot"]["resources"]
    proxy.release_all()
    running.result().expect_exit()
    staging.configure({"services": {"celery": {"count": None}}})
    staging.deploy()
    staging.assert_no_changes()
