"""Releases that users do not notice: a request every 20 ms finds somebody who serves, whatever is changed and whenever a run ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from configuration import image
from gate import Gate
from harness import Site
from prober import Prober, address, ask
from test_killed import kill
from test_rollouts import flask, revision

pytestmark = [pytest.mark.needs("data-plane"), pytest.mark.unserved("these tests send requests themselves")]
#: Checks that find a target unhealthy as soon as AWS lets them: after 2 of them, 5 s apart.
FAST = {"health_interval": 5, "health_timeout": 2, "unhealthy_threshold": 2}


def released(site: Site, code: int = 0, path: str = "/", **changes: Any) -> tuple[list[str], str, str]:
    """Deploys a changed web service; returns the revisions that answered during it, and those before and after it."""
    before = revision(site)
    with Prober(site, path=path) as prober:
        flask(site, **changes)
        site.run("deploy", "staging", "--yes").ended(code)
    return prober.served(), before, revision(site)


def rules(site: Site) -> set[tuple[str, bool, int]]:
    """Group, direction and first port of all rules of security groups."""
    found = site.aws.ec2.describe_security_group_rules()["SecurityGroupRules"]
    return {(rule["GroupId"], rule["IsEgress"], rule.get("FromPort", -1)) for rule in found}


def checks(site: Site) -> tuple[str, str]:
    """The path that the load balancer checks of the first web service, and the status codes that are healthy."""
    groups = site.aws.elbv2.describe_target_groups()["TargetGroups"]
    group = next(one for one in groups if one["TargetGroupName"].startswith("staging-flask"))
    return str(group["HealthCheckPath"]), str(group["Matcher"]["HttpCode"])


def configure_checks(site: Site, **changes: str) -> None:
    """Have something else checked, and soon."""
    site.configure({"load_balancer": {**FAST, **changes}})


def deploy_and_configure_checks(site: Site, path: str) -> None:
    """Deploys an image that answers at the default path alone, then configures another path to be checked."""
    site.configure({"load_balancer": FAST})
    flask(site, image=image("v1.only-hello"))
    site.deploy()
    configure_checks(site, health_path=path)


def test_image_change_is_served_by_the_old_until_the_new_serves(staging: Site) -> None:
    seen, before, after = released(staging, image=image("second"))
    assert seen[0] == before and seen[-1] == after != before
    staging.finds_nothing()


def test_port_change_is_served_throughout(staging: Site) -> None:
    ports = {rule[2] for rule in rules(staging)}
    seen, before, after = released(staging, image=image("third"), port=8000)
    assert seen[0] == before and seen[-1] == after != before
    assert {rule[2] for rule in rules(staging)} == ports - {5050} | {8000}, "the old port is closed again"
    staging.finds_nothing()


def test_ports_are_exchanged_without_a_failed_request(site: Site) -> None:
    host = f"api.{site.config['hostname']}"
    api = {"kind": "web", "image": image("api"), "port": 8080, "hosts": [host]}
    site.configure({"services": {"api": api}})
    site.deploy()
    ports = rules(site)
    with Prober(site) as main, Prober(site, host) as prober:
        site.configure({"services": {"flask": {"port": 8080}, "api": {"port": 5050}}})
        site.deploy()
    assert (len(main.served()), len(prober.served())) == (2, 2)
    assert rules(site) == ports
    site.finds_nothing()


def test_port_change_is_waited_for_even_if_rollouts_are_not(staging: Site) -> None:
    before = revision(staging)
    with Prober(staging) as prober:
        flask(staging, image=image("unwatched"), port=8000)
        staging.run("deploy", "staging", "--yes", "--no-wait").ended()
    assert prober.served()[-1] == revision(staging) != before
    assert {rule[2] for rule in rules(staging)} & {5050, 8000} == {8000}
    staging.mend()


@pytest.mark.parametrize("end", ["fail", "unhealthy"])
def test_failing_image_changes_nothing_for_users(staging: Site, end: str) -> None:
    seen, before, after = released(staging, code=1, image=image(end))
    assert seen == [before] and after == before
    staging.mend()


@pytest.mark.parametrize("end", ["fail", "unhealthy"])
def test_failing_image_on_another_port_leaves_all_as_it_was(staging: Site, end: str) -> None:
    open_before = rules(staging)
    seen, before, after = released(staging, code=1, image=image(end), port=8001)
    assert seen == [before] and after == before
    assert rules(staging) == open_before, "the old port stays open, and the new one is closed again"
    staging.mend()
    assert rules(staging) == open_before


def test_other_path_is_checked_when_the_new_image_runs(site: Site) -> None:
    site.deploy()
    configure_checks(site, health_path="/health")
    seen, before, after = released(site, image=image("knows-health"))
    assert seen[0] == before and seen[-1] == after and checks(site)[0] == "/health"
    site.finds_nothing()


def test_path_that_only_the_new_image_answers_is_not_asked_of_the_old(site: Site) -> None:
    deploy_and_configure_checks(site, "/ready")
    seen, before, after = released(site, path="/hello", image=image("v2.only-hello_ready"))
    assert seen[0] == before and seen[-1] == after and checks(site)[0] == "/ready"
    site.finds_nothing()


def test_path_that_nobody_answers_is_not_kept(site: Site) -> None:
    deploy_and_configure_checks(site, "/nowhere")
    before = revision(site)
    with Prober(site, path="/hello") as prober:
        result = site.run("deploy", "staging", "--yes").ended(1)
    assert prober.served() == [before] and checks(site)[0] == "/hello"
    assert "no target of staging-flask-5050 passes the new checks" in result.err, result
    assert "tasks have to answer GET /nowhere with 200" in result.err, result


def test_other_matcher_is_tried_while_served(site: Site) -> None:
    site.deploy()
    before = revision(site)
    with Prober(site) as prober:
        configure_checks(site, health_matcher="200-299")
        site.deploy()
    assert prober.served() == [before] and checks(site)[1] == "200-299"
    site.finds_nothing()


def test_other_matcher_comes_with_the_new_image_while_served(site: Site) -> None:
    site.deploy()
    configure_checks(site, health_matcher="200,202")
    seen, before, after = released(site, image=image("next"))
    assert seen[0] == before and seen[-1] == after != before and checks(site)[1] == "200,202"
    site.finds_nothing()


def test_matcher_that_no_task_answers_is_not_kept(site: Site) -> None:
    site.deploy()
    before = revision(site)
    with Prober(site) as prober:
        configure_checks(site, health_matcher="204")
        result = site.run("deploy", "staging", "--yes").ended(1)
    assert set(prober.served()) == {before} and checks(site)[1] == "200"
    assert "tasks have to answer GET /hello with 204" in result.err, result


def test_host_is_added_and_removed_without_a_failed_request(staging: Site) -> None:
    host, other = f"api.{staging.config['hostname']}", {"kind": "web", "image": image("api"), "port": 8080}
    with Prober(staging) as main, Prober(staging, host) as prober:
        staging.configure({"services": {"api": {**other, "hosts": [host]}}})
        staging.deploy()
        assert ask(prober.where, host, "/")[0].startswith("staging-api:"), "it serves its host"
        staging.configure({"services": {"api": {"hosts": [host, f"v2.{host}"]}}})
        staging.deploy()
        staging.configure({"services": {"api": None}})
        staging.deploy()
    # Before and after, the first web service answers for every host.
    assert prober.services() == ["flask", "api", "flask"]
    assert main.services() == ["flask"]
    staging.finds_nothing()


def test_service_that_does_not_start_takes_no_requests(staging: Site) -> None:
    host = f"api.{staging.config['hostname']}"
    api = {"kind": "web", "image": image("fail"), "port": 8080, "hosts": [host], "breaker_threshold": 1}
    with Prober(staging, host) as prober:
        staging.configure({"services": {"api": api}})
        staging.run("deploy", "staging", "--yes").ended(1)
    assert prober.services() == ["flask"]
    staging.configure({"services": {"api": {"image": image("good")}}})
    staging.deploy()
    assert ask(address(staging), host, "/")[0].startswith("staging-api:")
    staging.configure({"services": {"api": None}})
    staging.mend()


def test_subnet_of_the_load_balancer_is_replaced_while_served(staging: Site) -> None:
    (old,) = staging.world.balancers().values()
    with Prober(staging) as prober:
        staging.configure({"network": {"balancer_subnet": "10.0.3.0/24"}})
        staging.deploy()
    prober.served()
    (new,) = staging.world.balancers().values()
    subnets = {subnet["CidrBlock"]: key for key, subnet in staging.world.subnets().items()}
    assert set(subnets) == {"10.0.1.0/24", "10.0.3.0/24"}
    assert {zone["SubnetId"] for zone in new["AvailabilityZones"]} == set(subnets.values())
    assert new["LoadBalancerArn"] == old["LoadBalancerArn"], "a load balancer can change its subnets"
    staging.finds_nothing()


def changes_of_a_port_change(new_site: Callable[[], Site]) -> list[str]:
    """The calls of a port change that change something, in order."""
    site = new_site()
    site.deploy()
    since = site.mark()
    flask(site, image=image("next"), port=8000)
    site.deploy()
    return [call for call in site.mutations(since) if not call.startswith(("s3:", "dynamodb:"))]


@pytest.mark.parametrize("when", ["before", "after"])
def test_port_change_that_is_killed_at_any_change_is_served_throughout(new_site: Callable[[], Site], url: str, when: str) -> None:
    calls = changes_of_a_port_change(new_site)
    assert {"ecs:UpdateService", "ec2:RevokeSecurityGroupIngress"} <= set(calls), calls
    site = new_site()
    site.deploy()
    for number, call in enumerate(sorted(set(calls))):
        with Gate(url) as gate, Prober(site) as prober:
            flask(site, image=image(f"next-{number}"), port=8000 + number)
            kill(site, gate, call, when)
            site.run("deploy", "staging", "--yes").ended()
        assert prober.served()[-1] == revision(site), call
        site.finds_nothing()
