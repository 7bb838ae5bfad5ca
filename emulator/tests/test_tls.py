"""The data plane of HTTPS listeners: TLS, the choice of the certificate, redirects from HTTP, and the HSTS header."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import App, control, wait_until
from test_acm import NAME, issued, prescribe, zone
from test_data_plane import Client, create_service_behind
from test_https import HSTS, POLICY, redirecting, using


class Browser:
    """curl as a client of a load balancer with an HTTP and an HTTPS listener; it trusts only the emulator's authority."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app, self.aws, self.client = app, app.aws, Client(app)
        self.group = create_service_behind(app)
        self.balancer = self.aws.elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
        self.http = self.aws.elbv2.describe_listeners(LoadBalancerArn=self.balancer)["Listeners"][0]["ListenerArn"]
        self.zone = zone(self.aws)
        self.certificate = issued(self.aws, NAME, zone_id=self.zone)
        self.https = self.aws.elbv2.create_listener(
            LoadBalancerArn=self.balancer, Protocol="HTTPS", Port=443, SslPolicy=POLICY, **using(self.certificate),
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )["Listeners"][0]["ListenerArn"]  # fmt: skip
        self.ca = folder / "ca.pem"
        self.ca.write_text(control(self.aws.url, "GET", "ca")["certificate"], encoding="ascii")
        app.steady()

    def curl(self, url: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Requests a URL whose host leads to the load balancer."""
        command = ["curl", "-sS", "-D", "-", "--max-time", "10", "--cacert", str(self.ca), *options]
        for port in (80, 443):
            command += ["--connect-to", f":{port}:{self.client.address(port)}"]
        command.append(url)
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def get(self, url: str, *options: str) -> tuple[int, dict[str, str], str]:
        """Requests a URL successfully, and returns status, headers and body of the last response."""
        done = self.curl(url, *options)
        assert done.returncode == 0, done.stderr
        *_, head, body = done.stdout.replace("\r\n", "\n").split("\n\n")
        status, *lines = head.splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(status.split()[1]), headers, body

    def served(self, name: str) -> set[str]:
        """Returns the names in the certificate that a client with this server name gets."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.check_hostname = False
        host, port = self.client.address(443).split(":")
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name or None) as connection,
        ):
            found: Any = connection.getpeercert()
        return {value for _, value in found["subjectAltName"]}


@pytest.fixture
def browser(app: App, tmp_path: Path) -> Browser:
    """A client of an account that no other test uses."""
    return Browser(app, tmp_path)


def test_https_listener_serves_requests_over_tls_1_3(browser: Browser) -> None:
    status, headers, body = browser.get(f"https://{NAME}/hello", "--tlsv1.3")
    shown = json.loads(body)
    assert (status, shown["revision"], shown["path"]) == (200, "web:1", "/hello")
    assert shown["forwarded_proto"] == "https" and "strict-transport-security" not in headers
    assert json.loads(browser.get(f"http://{NAME}/")[2])["forwarded_proto"] == "http"
    assert browser.get(f"https://{NAME}/", "--tlsv1.2", "--tls-max", "1.2")[0] == 200
    assert browser.curl("https://www.example.org/").returncode == 60, "the certificate is not valid for this name"
    listed = browser.client.place
    query = f"account={listed['account']}&region={listed['region']}"
    found = {
        one["Port"]: one["Protocol"] for one in control(browser.aws.url, "GET", f"listeners?{query}")["listeners"]
    }
    assert found == {80: "HTTP", 443: "HTTPS"}


def test_security_policy_limits_tls_versions(browser: Browser) -> None:
    policy = "ELBSecurityPolicy-TLS13-1-3-2021-06"
    browser.aws.elbv2.modify_listener(ListenerArn=browser.https, SslPolicy=policy)
    assert browser.curl(f"https://{NAME}/", "--tls-max", "1.2").returncode == 35
    assert browser.get(f"https://{NAME}/")[0] == 200
    policy = "ELBSecurityPolicy-FS-1-2-Res-2020-10"
    browser.aws.elbv2.modify_listener(ListenerArn=browser.https, SslPolicy=policy)
    assert browser.curl(f"https://{NAME}/", "--tlsv1.3").returncode == 35
    assert browser.get(f"https://{NAME}/")[0] == 200


def test_redirect_names_address_that_client_used(browser: Browser) -> None:
    browser.aws.elbv2.create_rule(
        ListenerArn=browser.http, Priority=1, Actions=redirecting(),
        Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
    )  # fmt: skip
    status, headers, _ = browser.get(f"http://{NAME}/a/b?c=d&e=f")
    assert (status, headers["location"]) == (301, f"https://{NAME}:443/a/b?c=d&e=f")
    assert browser.get(f"http://{NAME}")[1]["location"] == f"https://{NAME}:443/"
    status, _, body = browser.get(f"http://{NAME}/a/b?c=d", "--location")
    assert (status, json.loads(body)["path"]) == (200, "/a/b?c=d")


def test_hsts_header_is_added_to_responses_over_https(browser: Browser) -> None:
    value = "max-age=31536000"
    attributes = [{"Key": HSTS, "Value": value}]
    browser.aws.elbv2.modify_listener_attributes(ListenerArn=browser.https, Attributes=attributes)
    assert browser.get(f"https://{NAME}/")[1]["strict-transport-security"] == value
    assert "strict-transport-security" not in browser.get(f"http://{NAME}/")[1]
    fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    browser.aws.elbv2.modify_listener(ListenerArn=browser.https, DefaultActions=fixed)
    status, headers, _ = browser.get(f"https://{NAME}/")
    assert (status, headers["strict-transport-security"]) == (404, value)


def test_certificate_is_selected_by_server_name(browser: Browser) -> None:
    aws, names = browser.aws, {}
    for wanted in (("*.example.org",), ("www.example.org", "api.example.org")):
        names[wanted] = issued(aws, *wanted, zone_id=browser.zone)
        aws.elbv2.add_listener_certificates(ListenerArn=browser.https, **using(names[wanted]))
    assert browser.served("other.example.org") == {"*.example.org"}
    assert browser.served("a.b.example.org") == browser.served("") == browser.served("example.net") == {NAME}
    curve = issued(aws, "api.example.org", zone_id=browser.zone, KeyAlgorithm="EC_prime256v1")
    aws.elbv2.add_listener_certificates(ListenerArn=browser.https, **using(curve))
    assert browser.served("api.example.org") == {"api.example.org"}, "a certificate with an ECDSA key is preferred"


def test_new_certificate_is_served_at_once(browser: Browser) -> None:
    second = issued(browser.aws, NAME, "www.example.org", zone_id=browser.zone)
    assert browser.curl("https://www.example.org/").returncode == 60
    browser.aws.elbv2.modify_listener(ListenerArn=browser.https, **using(second))
    assert browser.get("https://www.example.org/")[0] == 200
    prescribe(browser.aws, days_left=-1)
    assert browser.curl(f"https://{NAME}/").returncode == 60, "the certificate has expired"
    prescribe(browser.aws)
    browser.aws.elbv2.modify_listener(ListenerArn=browser.https, Protocol="HTTP")
    assert browser.curl(f"https://{NAME}/").returncode == 35
    assert browser.client.get()[0] == 200


def test_listener_is_reachable_only_through_security_group(browser: Browser) -> None:
    query = f"account={browser.aws.account}&region={browser.aws.region}"

    def ports() -> list[int]:
        listeners = control(browser.aws.url, "GET", f"listeners?{query}")["listeners"]
        return sorted(known["Port"] for known in listeners)

    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    http = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    wait_until(lambda: ports() == [80, 443])
    group = browser.app.net.group
    browser.aws.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=everything)
    browser.aws.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=http)
    assert ports() == [80]


def test_slow_handshake_does_not_delay_others(browser: Browser) -> None:
    host, port = browser.client.address(443).split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(5)]
    assert browser.get(f"https://{NAME}/")[0] == 200
    for connection in silent:
        connection.close()
