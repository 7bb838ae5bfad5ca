"""Changes of listener rules without a failed request: a service that owns the host or path answers each request."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest
from configuration import Table, image
from fault_proxy import FaultProxy
from harness import TestWorkspace
from prober import Prober

pytestmark = [pytest.mark.needs("data-plane"), pytest.mark.unserved("these tests send requests themselves")]


def web_service(**changes: Any) -> Table:
    """Returns the configuration of a web service."""
    return {"kind": "web", "image": image("app"), "port": 8080, **changes}


def deploy(workspace: TestWorkspace, **services: Table | None) -> None:
    """Deploys changed services."""
    workspace.configure({"services": services})
    workspace.deploy()


def deploy_slowly(workspace: TestWorkspace, proxy: FaultProxy, key: str, **services: Table | None) -> None:
    """Deploys changed services, and delays the change of one service's rule by a second."""
    rule = workspace.state_object()["snapshot"]["resources"][f"edge/{key}_rule"]["attrs"]["arn"]
    held = proxy.hold_before("elasticloadbalancing:ModifyRule", body_contains=quote(rule, safe="").encode())
    workspace.configure({"services": services})
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    held.wait()
    time.sleep(1)
    held.release()
    running.result().expect_exit()


def full_host(workspace: TestWorkspace, host: str) -> str:
    """Returns the full name of a host in staging."""
    return f"{host}.staging.{workspace.config['hostname']}"


def test_path_of_removed_service_returns_to_the_default(staging: TestWorkspace) -> None:
    with Prober(staging) as main, Prober(staging, path="/v1/x") as prober:
        deploy(staging, pages=web_service(paths=["/v1/*"]))
        prober.until_answered_by("pages")
        deploy(staging, pages=None)
        prober.until_answered_by("flask")
    assert prober.services() == ["flask", "pages", "flask"]
    assert main.services() == ["flask"]
    staging.assert_no_changes()


def test_rule_path_change_fails_no_request(staging: TestWorkspace) -> None:
    deploy(staging, pages=web_service(paths=["/v1/*"]))
    with Prober(staging, path="/v1/x") as old, Prober(staging, path="/v2/x") as new:
        deploy(staging, pages={"paths": ["/v1/*", "/v2/*"]})
        new.until_answered_by("pages")
        deploy(staging, pages={"paths": ["/v2/*"]})
        old.until_answered_by("flask")
    assert old.services() == ["pages", "flask"]
    assert new.services() == ["flask", "pages"]
    staging.assert_no_changes()


def test_rule_priority_exchange_fails_no_request(staging: TestWorkspace) -> None:
    host = full_host(staging, "api")
    deploy(staging, api=web_service(hosts=["api"], priority=10), pages=web_service(paths=["/v1/*"], priority=20))
    with Prober(staging, host) as api, Prober(staging, path="/v1/x") as pages, Prober(staging, host, "/v1/x") as both:
        deploy(staging, api={"priority": 20}, pages={"priority": 10})
        both.until_answered_by("pages")
    assert both.services() == ["api", "pages"]
    assert (api.services(), pages.services()) == (["api"], ["pages"])
    staging.assert_no_changes()


def test_rule_reordering_by_path_length_fails_no_request(staging: TestWorkspace) -> None:
    deploy(staging, admin=web_service(paths=["/admin/*"]), reports=web_service(paths=["/admin/reports/*"]))
    with Prober(staging, path="/admin/x") as admin, Prober(staging, path="/admin/reports/x") as both:
        # Longer paths take precedence, so the two rules swap their priorities.
        deploy(staging, reports={"paths": ["/a"]})
        both.until_answered_by("admin")
    assert both.services() == ["reports", "admin"]
    assert admin.services() == ["admin"]
    staging.assert_no_changes()


def test_moved_host_is_answered_by_the_old_or_new_service(staging: TestWorkspace, proxy: FaultProxy) -> None:
    deploy(staging, api=web_service(hosts=["api", "v2"]), admin=web_service(hosts=["admin"]))
    with Prober(staging, full_host(staging, "api")) as stays, Prober(staging, full_host(staging, "v2")) as moves:
        deploy_slowly(staging, proxy, "admin", api={"hosts": ["api"]}, admin={"hosts": ["admin", "v2"]})
        moves.until_answered_by("admin")
    assert moves.services() == ["api", "admin"]
    assert stays.services() == ["api"]
    staging.assert_no_changes()


def test_host_moves_to_a_new_service_once_it_serves(staging: TestWorkspace) -> None:
    deploy(staging, api=web_service(hosts=["api", "v2"]))
    with Prober(staging, full_host(staging, "v2")) as moves:
        deploy(staging, api={"hosts": ["api"]}, next=web_service(hosts=["v2"]))
        moves.until_answered_by("next")
    assert moves.services() == ["api", "next"]
    staging.assert_no_changes()


def test_host_stays_with_its_service_if_the_new_one_fails(staging: TestWorkspace) -> None:
    deploy(staging, api=web_service(hosts=["api", "v2"]))
    with Prober(staging, full_host(staging, "v2")) as prober:
        bad = web_service(hosts=["v2"], image=image("fail"), breaker_threshold=1)
        staging.configure({"services": {"api": {"hosts": ["api"]}, "next": bad}})
        staging.deploy(code=1)
    assert prober.services() == ["api"]
    staging.restore()


@pytest.mark.parametrize("rule", [{"hosts": ["v2"]}, {"paths": ["/v2/*"]}], ids=["host", "path"])
def test_rule_of_removed_service_moves_to_its_successor(staging: TestWorkspace, rule: Table) -> None:
    deploy(staging, api=web_service(**rule))
    with Prober(staging, full_host(staging, "v2"), "/v2/x") as prober:
        deploy(staging, api=None, next=web_service(**rule))
        prober.until_answered_by("next")
    assert prober.services() == ["api", "next"]
    staging.assert_no_changes()


def test_exchanged_hosts_are_never_answered_by_the_default(staging: TestWorkspace, proxy: FaultProxy) -> None:
    deploy(staging, api=web_service(hosts=["api"]), admin=web_service(hosts=["admin"]))
    with Prober(staging, full_host(staging, "api")) as one, Prober(staging, full_host(staging, "admin")) as other:
        deploy_slowly(staging, proxy, "admin", api={"hosts": ["admin"]}, admin={"hosts": ["api"]})
        one.until_answered_by("admin"), other.until_answered_by("api")
    for seen, (first, last) in ((one.services(), ("api", "admin")), (other.services(), ("admin", "api"))):
        assert (seen[0], seen[-1], set(seen)) == (first, last, {first, last}), seen
    staging.assert_no_changes()
