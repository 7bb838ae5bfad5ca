"""Workspaces do not touch each other; two runs of one workspace are kept apart."""

from __future__ import annotations

import pytest
from gate import Gate
from harness import Site, until
from inventory import tags_of

pytestmark = pytest.mark.sample


def test_staging_and_production_deploy_at_the_same_time(site: Site) -> None:
    runs = {name: site.start("deploy", name, "--yes") for name in ("staging", "production")}
    for name, running in runs.items():
        result = running.result().ended()
        assert result.out == ("http://ospcapi.org\n" if name == "production" else "http://staging.ospcapi.org\n")
    assert {t["VpcId"] for t in site.world.vpcs().values()} and len(site.world.vpcs()) == 2
    assert sorted(site.world.records()) == ["ospcapi.org. A", "staging.ospcapi.org. A"]
    for name in runs:
        site.finds_nothing(name)


def test_staging_goes_and_production_stays(site: Site) -> None:
    for running in [site.start("deploy", name, "--yes") for name in ("staging", "production")]:
        running.result().ended()
    site.destroy("staging")
    for kind in site.world.KINDS:
        for thing in getattr(site.world, kind)().values():
            assert tags_of(thing).get("pb-deploy:workspace", "production") == "production", thing
    site.finds_nothing("production")


@pytest.mark.parametrize("command", ["deploy", "destroy"])
def test_the_second_run_of_a_workspace_is_told_who_holds_it(site: Site, gate: Gate, command: str) -> None:
    stop = gate.hold_before("elasticache:CreateReplicationGroup")
    first = site.start("deploy", "staging", "--yes", url=gate.url, env={"USER": "ana"})
    stop.wait()
    since = site.mark()
    second = site.run(command, "staging", "--yes").ended(3)
    pid = first.process.pid
    assert f"held by ana@test-host, pid {pid} (deploy since " in second.err, second
    assert "nothing was changed" in second.err and "unlock" in second.err
    assert site.lock_id() in second.err
    assert not [call for call in site.writes(since) if ":Delete" in call], "the second one wrote"
    gate.open_all()
    first.result().ended()
    site.finds_nothing()


def test_a_second_run_can_wait(site: Site, gate: Gate) -> None:
    stop = gate.hold_before("elasticache:CreateReplicationGroup")
    first = site.start("deploy", "staging", "--yes", url=gate.url)
    stop.wait()
    second = site.start("deploy", "staging", "--yes", "--lock-timeout", "60")
    while "locked by" not in second.so_far().err:
        assert second.process.poll() is None, second.so_far()
    stop.let_go()
    first.result().ended()
    second.result().ended()
    site.finds_nothing()


def test_unlock_takes_the_lock_from_its_holder_who_then_writes_nothing_more(site: Site, gate: Gate) -> None:
    stop = gate.hold_before("elasticache:CreateReplicationGroup")
    first = site.start("deploy", "staging", "--yes", url=gate.url)
    stop.wait()
    wrong = site.run("unlock", "staging", "00000000-0000-0000-0000-000000000000").ended(1)
    assert "does not hold the lease" in wrong.err
    held = site.lock_id()
    since = site.mark()
    assert "staging is unlocked" in site.run("unlock", "staging", held).ended().err
    assert "nobody holds the lease" in site.run("unlock", "staging", "anything").ended(1).err
    assert site.run("status", "staging", "--json").ended().json()["lock"] is None
    # That second unlock, and the holder's next heartbeat, which may have come before all of these had ended.
    until(lambda: site.refusals(since).count("dynamodb:UpdateItem") == 2)
    since = site.mark()
    stop.let_go()
    lost = first.result().ended(3)
    assert "taken away with `unlock`" in lost.err, lost
    # The process may have ended before its call, which is still on its way, is done; no other call may follow.
    assert set(site.mutations(since)) <= {"elasticache:CreateReplicationGroup"}
    until(lambda: "staging-jobqr" in site.world.replication_groups())
    site.deploy()
    assert site.world.counts()["replication_groups"] == 1
    site.finds_nothing()
