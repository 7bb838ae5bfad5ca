"""The data plane: tasks and listeners answer according to the rules, target health and security groups of the account.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from conftest import App, control, wait_until


class Client:
    """A client that sends requests to the listeners of an account."""

    def __init__(self, app: App) -> None:
        self.app, self.place = app, {"account": app.aws.account, "region": app.aws.region}
        control(app.aws.url, "POST", "data-plane", self.place)

    def address(self, port: int = 80) -> str:
        """Waits for the listener on a port, and returns its address."""
        query = "&".join(f"{name}={value}" for name, value in self.place.items())

        def found() -> Any:
            listeners = control(self.app.aws.url, "GET", f"listeners?{query}")["listeners"]
            return next((known["Address"] for known in listeners if known["Port"] == port), None)

        return str(wait_until(found))

    def get(self, path: str = "/", host: str = "example.org") -> tuple[int, Any, dict[str, str]]:
        """Sends a GET request, and returns status, body and headers."""
        connection = http.client.HTTPConnection(self.address(), timeout=10)
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read().decode()
        shown = json.loads(body) if answer.headers.get("Content-Type") == "application/json" else body
        return answer.status, shown, dict(answer.headers)

    def revision(self, path: str = "/", host: str = "example.org") -> str:
        """Sends a GET request that must succeed, and returns the revision that answered."""
        status, body, _ = self.get(path, host)
        assert status == 200, (status, body)
        return str(body["revision"])


@pytest.fixture
def client(app: App) -> Client:
    """A client of an account that has no listeners yet."""
    return Client(app)


def create_service_behind(app: App, image: str = "app:1", name: str = "web", group: str = "", **settings: Any) -> str:
    """Creates a service behind a target group, and returns the group's ARN."""
    group = group or app.web()[1]
    pair = [{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}]
    definition = app.definition(image, family=name)
    app.create(definition, name, loadBalancers=pair, desiredCount=1, **settings)
    return group


def health(app: App, group: str) -> list[tuple[str, str | None]]:
    """Returns state and reason of each target in a group."""
    found = app.aws.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return [(one["TargetHealth"]["State"], one["TargetHealth"].get("Reason")) for one in found]


def listener_of(app: App) -> dict[str, Any]:
    """Returns the only listener of the account."""
    balancer = app.aws.elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    return app.aws.elbv2.describe_listeners(LoadBalancerArn=balancer)["Listeners"][0]


def forward(**weights: int) -> list[dict[str, Any]]:
    """Returns a forward action for target groups, given by ARN and weight."""
    pairs = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": pairs}}]


def test_request_is_answered_by_running_revision(app: App, client: Client) -> None:
    create_service_behind(app)
    app.steady()
    assert client.revision() == "web:1"
    app.ecs.update_service(cluster="c", service="web", taskDefinition=app.definition("app:2"))
    seen: list[str] = []
    while seen[-3:] != ["web:2"] * 3:
        seen.append(client.revision())
    assert seen[0] == "web:1" and sorted(seen) == seen, "the old one serves until the new one does"
    app.steady()


def test_target_group_mixes_container_ports(app: App, client: Client) -> None:
    group = create_service_behind(app)
    app.steady()
    ports = {"portMappings": [{"containerPort": 9000}]}
    pair = [{"targetGroupArn": group, "containerName": "app", "containerPort": 9000}]
    app.ecs.update_service(
        cluster="c", service="web", taskDefinition=app.definition("app:2", container=ports), loadBalancers=pair
    )
    seen: list[str] = []
    while seen[-3:] != ["web:2"] * 3:
        seen.append(client.revision())
    assert seen[0] == "web:1"
    app.steady()
    wait_until(lambda: health(app, group) == [("healthy", None)])


def test_listener_rules_apply_by_priority(app: App, client: Client) -> None:
    create_service_behind(app)
    elb, listener = app.aws.elbv2, listener_of(app)["ListenerArn"]
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418", "MessageBody": "tea"}}
    moved = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    for priority, field, value, action in (
        (30, "path-pattern", "/v1/*", {"Type": "redirect", "RedirectConfig": moved}),
        (20, "host-header", "api.*", fixed),
    ):
        elb.create_rule(
            ListenerArn=listener, Priority=priority, Actions=[action], Conditions=[{"Field": field, "Values": [value]}]
        )
    app.steady()
    assert client.revision("/other") == "web:1"
    assert client.get("/v1/x", "API.example.org")[:2] == (418, "tea")
    status, _, headers = client.get("/v1/x?y=1")
    assert (status, headers["Location"]) == (301, "https://example.org:443/v1/x?y=1")


def test_target_group_of_weight_zero_gets_no_requests(app: App, client: Client) -> None:
    first = create_service_behind(app)
    second = app.net.target_group("other")
    listener = listener_of(app)["ListenerArn"]
    app.aws.elbv2.modify_listener(ListenerArn=listener, DefaultActions=forward(**{first: 1, second: 0}))
    create_service_behind(app, name="other", group=second)
    app.steady()
    app.steady("other")
    assert {client.revision() for _ in range(20)} == {"web:1"} and health(app, second) == [("healthy", None)]
    app.aws.elbv2.modify_listener(ListenerArn=listener, DefaultActions=forward(**{first: 0, second: 1}))
    assert {client.revision() for _ in range(20)} == {"other:1"}


def test_empty_target_group_gets_its_share(app: App, client: Client) -> None:
    first = create_service_behind(app)
    app.steady()
    empty = app.net.target_group("empty")
    arn = listener_of(app)["ListenerArn"]
    app.aws.elbv2.modify_listener(ListenerArn=arn, DefaultActions=forward(**{first: 1, empty: 1}))
    assert {client.get()[0] for _ in range(60)} == {200, 503}


def test_target_blocked_by_security_group_is_unhealthy(app: App, client: Client) -> None:
    group = create_service_behind(app)
    app.steady()
    any_source = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    http = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    app.aws.ec2.authorize_security_group_ingress(GroupId=app.net.group, IpPermissions=http)
    app.aws.ec2.revoke_security_group_ingress(GroupId=app.net.group, IpPermissions=any_source)
    assert client.get()[0] == 504
    wait_until(lambda: ("unhealthy", "Target.Timeout") in health(app, group))


def test_load_balancer_without_ingress_rule_is_unreachable(app: App, client: Client) -> None:
    create_service_behind(app)
    app.steady()
    assert client.revision() == "web:1"
    any_source = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    app.aws.ec2.revoke_security_group_ingress(GroupId=app.net.group, IpPermissions=any_source)
    query = "&".join(f"{name}={value}" for name, value in client.place.items())
    assert control(app.aws.url, "GET", f"listeners?{query}")["listeners"] == []


def test_requests_fail_open_when_no_target_is_healthy(app: App, client: Client) -> None:
    group = create_service_behind(app, "app:only-status")
    wait_until(lambda: health(app, group) == [("unhealthy", "Target.ResponseCodeMismatch")])
    app.aws.elbv2.modify_target_group(TargetGroupArn=group, HealthCheckPath="/status")
    app.steady()
    assert client.revision("/status") == "web:1" and client.get("/")[0] == 404
    app.aws.elbv2.modify_target_group(TargetGroupArn=group, HealthCheckPath="/")
    wait_until(lambda: ("unhealthy", "Target.ResponseCodeMismatch") in health(app, group))
    assert client.get("/status")[0] == 200
    # The scheduler first starts a successor of the unhealthy task, and stops the unhealthy task once it knows the
    # health of both.
    first = app.ecs.list_tasks(cluster="c", serviceName="web")["taskArns"]
    wait_until(lambda: set(first).isdisjoint(app.ecs.list_tasks(cluster="c", serviceName="web")["taskArns"]))
    assert client.get("/status")[0] == 200


def test_matcher_decides_target_health(app: App) -> None:
    group = create_service_behind(app)
    app.steady()
    app.aws.elbv2.modify_target_group(TargetGroupArn=group, Matcher={"HttpCode": "204,300-399"})
    wait_until(lambda: ("unhealthy", "Target.ResponseCodeMismatch") in health(app, group))
    app.aws.elbv2.modify_target_group(TargetGroupArn=group, Matcher={"HttpCode": "100-299"})
    wait_until(lambda: health(app, group) == [("healthy", None)])


def test_draining_target_gets_no_requests(app: App, client: Client) -> None:
    group = create_service_behind(app)
    app.steady()
    app.ecs.update_service(cluster="c", service="web", desiredCount=0)
    wait_until(lambda: health(app, group) == [("draining", "Target.DeregistrationInProgress")])
    assert client.get()[0] == 503
    wait_until(lambda: health(app, group) == [])
