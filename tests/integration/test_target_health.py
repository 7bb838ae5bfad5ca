"""Target health: a run succeeds only if the load balancer's targets are healthy, and all commands agree on it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from configuration import image
from fault_proxy import UNLIMITED, FaultProxy
from harness import Result, TestWorkspace, until

HEALTH_CALL = "elasticloadbalancing:DescribeTargetHealth"
UNHEALTHY = "no target of staging-flask is healthy (1 needed)"


def health_response(state: str) -> bytes:
    """Returns a DescribeTargetHealth response with one target."""
    health = f"<TargetHealth><State>{state}</State><Description>Health checks failed.</Description></TargetHealth>"
    member = f"<member><Target><Id>10.0.1.9</Id><Port>5050</Port></Target>{health}</member>"
    descriptions = f"<TargetHealthDescriptions>{member}</TargetHealthDescriptions>"
    space = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
    result = f"<DescribeTargetHealthResult>{descriptions}</DescribeTargetHealthResult>"
    return f'<DescribeTargetHealthResponse xmlns="{space}">{result}</DescribeTargetHealthResponse>'.encode()


def configure_flask(workspace: TestWorkspace, **changes: Any) -> None:
    """Changes the web service's configuration and sets its circuit breaker threshold to 1."""
    workspace.configure({"services": {"flask": {"breaker_threshold": 1, **changes}}})


def deploy(workspace: TestWorkspace, proxy: FaultProxy, *arguments: str) -> Result:
    """Deploys through the proxy, with a short wait timeout."""
    return workspace.run("deploy", "staging", "--yes", "--wait-timeout", "2", *arguments, url=proxy.url)


@pytest.fixture
def unhealthy(staging: TestWorkspace, proxy: FaultProxy) -> TestWorkspace:
    """Returns a deployed staging workspace whose target the proxy reports as unhealthy."""
    proxy.refuse(HEALTH_CALL, 200, health_response("unhealthy"), times=UNLIMITED)
    return staging


def test_deploy_waits_until_the_targets_are_healthy(staging: TestWorkspace, proxy: FaultProxy) -> None:
    proxy.refuse(HEALTH_CALL, 200, health_response("initial"), times=UNLIMITED)
    configure_flask(staging, image=image("reached"))
    run = staging.start("deploy", "staging", "--yes", url=proxy.url)
    until(lambda: "edge/flask_health: checking: no target is healthy (1 needed)" in run.output_so_far().err)
    output_so_far = run.output_so_far()
    assert "Deployed" not in output_so_far.err and output_so_far.out == "", output_so_far
    proxy.release_all()
    result = run.result().expect_exit()
    assert "edge/flask_health: passed" in result.err and "Deployed staging" in result.err, result
    staging.assert_no_changes()


def test_unhealthy_targets_fail_each_deploy_until_healthy(unhealthy: TestWorkspace, proxy: FaultProxy) -> None:
    configure_flask(unhealthy, image=image("unreached"))
    first = deploy(unhealthy, proxy).expect_exit(1)
    assert "no target is healthy" in first.err and first.out == "", first
    assert "target 10.0.1.9:5050: unhealthy: Health checks failed" in first.err and "Deployed" not in first.err, first
    assert "Nothing is left to apply" in first.err and "pb-deploy logs staging flask" in first.err, first
    # All steps have succeeded and are recorded.
    assert "intents" not in unhealthy.state_object()["snapshot"]
    since = unhealthy.mark()
    again = deploy(unhealthy, proxy).expect_exit(1)
    assert "No changes. All 33 resources match the configuration." in again.err, again
    assert "1 check is failing:" in again.err and UNHEALTHY in again.err and again.out == "", again
    assert "Not healthy: staging is as configured, but 1 check fails" in again.err, again
    assert "target 10.0.1.9:5050: unhealthy: Health checks failed" in again.err, again
    assert unhealthy.mutations(since) == [], "neither the lock nor the state is written"
    proxy.release_all()
    healthy = deploy(unhealthy, proxy).expect_exit()
    assert "No changes" in healthy.err and "failing" not in healthy.err and healthy.out, healthy
    unhealthy.assert_no_changes()


def test_plan_status_and_wait_agree_about_unhealthy_targets(unhealthy: TestWorkspace, proxy: FaultProxy) -> None:
    plan = unhealthy.run("plan", "staging", "--detailed-exitcode", url=proxy.url).expect_exit(2)
    assert "No changes. All 33 resources match the configuration." in plan.out and "1 check is failing:" in plan.out, (
        plan
    )
    assert UNHEALTHY in plan.out and "10.0.1.9:5050" in plan.out, plan
    unhealthy.run("plan", "staging", url=proxy.url).expect_exit(0)
    markdown = unhealthy.run("plan", "staging", "--markdown", url=proxy.url).expect_exit().out
    assert f"**Failing check** `edge/flask_health`: {UNHEALTHY}" in markdown, markdown
    document = unhealthy.run("plan", "staging", "--json", url=proxy.url).expect_exit().json()
    (check,) = document["plan"]["checks"]
    assert (check["address"], check["kind"], check["due"]) == ("edge/flask_health", "elbv2.healthy_targets", True)
    assert check["verdict"]["is"] == "fails" and "fargate/flask" in check["about"], check
    status = unhealthy.run("status", "staging", url=proxy.url).expect_exit().out
    assert f"failing: edge/flask_health: {UNHEALTHY}" in status and "33 resources" in status, status
    (failing,) = unhealthy.run("status", "staging", "--json", url=proxy.url).expect_exit().json()["failing"]
    assert (failing["address"], failing["message"]) == ("edge/flask_health", UNHEALTHY)
    waited = unhealthy.run("wait", "staging", "--wait-timeout", "2", url=proxy.url).expect_exit(1)
    assert "no target is healthy" in waited.err and "the latest" not in waited.err, waited
    proxy.release_all()
    unhealthy.run("plan", "staging", "--detailed-exitcode", url=proxy.url).expect_exit(0)
    assert "failing" not in unhealthy.run("status", "staging", url=proxy.url).expect_exit().out
    assert "the latest" in unhealthy.run("wait", "staging", url=proxy.url).expect_exit().err


def test_unchanged_deploy_waits_one_health_period(staging: TestWorkspace, proxy: FaultProxy) -> None:
    health = {"health_interval": 5, "health_timeout": 2, "healthy_threshold": 2, "unhealthy_threshold": 2}
    staging.configure({"load_balancer": health})
    staging.deploy()
    proxy.refuse(HEALTH_CALL, 200, health_response("unhealthy"), times=UNLIMITED)
    began = time.monotonic()
    result = staging.run("deploy", "staging", "--yes", url=proxy.url).expect_exit(1)
    assert "no target is healthy after 12 s (1 needed)" in result.err and time.monotonic() - began >= 12, result
    proxy.release_all()
    proxy.refuse(HEALTH_CALL, 200, health_response("initial"), times=4)
    staging.run("deploy", "staging", "--yes", url=proxy.url).expect_exit(0)


def test_deploy_without_waiting_judges_the_current_health(unhealthy: TestWorkspace, proxy: FaultProxy) -> None:
    began = time.monotonic()
    result = unhealthy.run("deploy", "staging", "--yes", "--no-wait", url=proxy.url).expect_exit(1)
    assert UNHEALTHY in result.err and time.monotonic() - began < 10, result
    configure_flask(unhealthy, image=image("unwaited"))
    started = unhealthy.run("deploy", "staging", "--yes", "--no-wait", url=proxy.url).expect_exit(0)
    assert "Started staging" in started.err and "Rollouts may still be in progress" in started.err, started


def test_target_option_checks_only_its_own_service(unhealthy: TestWorkspace, proxy: FaultProxy) -> None:
    deploy(unhealthy, proxy, "--target", "fargate/celery").expect_exit(0)
    result = deploy(unhealthy, proxy, "--target", "fargate/flask").expect_exit(1)
    assert UNHEALTHY in result.err, result


def test_saved_plan_fails_while_its_check_fails(unhealthy: TestWorkspace, proxy: FaultProxy) -> None:
    unhealthy.run("plan", "staging", "--out", "plan.json", url=proxy.url).expect_exit()
    since = unhealthy.mark()
    result = unhealthy.run("apply", "plan.json", "--yes", url=proxy.url).expect_exit(1)
    assert "no target is healthy" in result.err and unhealthy.writes(since) == [], result
    unhealthy.run("plan", "staging", "--out", "plan.json", url=proxy.url).expect_exit()
    proxy.release_all()
    unhealthy.run("apply", "plan.json", "--yes", url=proxy.url).expect_exit(0)


def test_restart_scale_and_rollback_fail_on_unhealthy_targets(unhealthy: TestWorkspace, proxy: FaultProxy) -> None:
    configure_flask(unhealthy, image=image("next"))
    deploy(unhealthy, proxy).expect_exit(1)
    (row,) = [row for row in history(unhealthy) if row["in_use"]]
    assert "no target is healthy" in row["outcome"], row
    for command in (["restart", "staging", "flask"], ["scale", "staging", "flask=2"], ["rollback", "staging"]):
        result = unhealthy.run(*command, "--yes", "--wait-timeout", "4", url=proxy.url).expect_exit(1)
        assert "edge/flask_health: failed: " in result.err and "no target is healthy" in result.err, result
        assert "Done" not in result.err, result
    unhealthy.run("restart", "staging", "celery", "--yes", "--wait-timeout", "8", url=proxy.url).expect_exit()


def history(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """Returns the web service's revisions from the output of `history`."""
    return workspace.run("history", "staging", "--json").expect_exit().json()[0]["revisions"]


def test_checks_are_events_and_never_resources(unhealthy: TestWorkspace, proxy: FaultProxy) -> None:
    configure_flask(unhealthy, image=image("recorded"))
    lines = deploy(unhealthy, proxy, "--json").expect_exit(1).events()
    (failed,) = [line for line in lines if line["event"] == "failed"]
    assert (failed["address"], failed["action"]) == ("edge/flask_health", {"do": "check"}), failed
    assert failed["failure"]["details"] == ["target 10.0.1.9:5050: unhealthy: Health checks failed"], failed
    assert lines[-1]["event"] == "finished" and lines[-1]["complete"] is False
    proxy.release_all()
    assert "edge/flask_health" not in unhealthy.run("state", "list", "staging").expect_exit().out
    assert "edge/flask_health" not in unhealthy.state_object()["snapshot"]["resources"]
    unknown = unhealthy.run("forget", "staging", "edge/flask_health", "--yes")
    assert unknown.code not in (0, 2), unknown
    # Older versions recorded exactly these resources, too, so a deploy does not change their snapshots either.
    since = unhealthy.mark()
    assert "No changes. All 33 resources" in unhealthy.run("deploy", "staging", "--yes").expect_exit().err
    assert unhealthy.mutations(since) == []
