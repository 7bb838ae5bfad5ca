"""Proxies and private certificate authorities: the settings that the AWS CLI also reads."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from corporate_network import ForwardProxy, PrivateAuthority, TlsEndpoint, address_of
from harness import Result, TestWorkspace

#: Upper limit for the duration of a command that cannot connect. The SDK's own retries would take longer.
QUICK_TIMEOUT_SECONDS = 15.0
#: Names of the endpoints of AWS that a plan calls, as a corporate TLS proxy has them in its certificates.
AWS_NAMES = tuple(f"*.{name}amazonaws.com" for name in ("", "us-east-2.", "ecr.us-east-2.", "s3.us-east-2."))


@pytest.fixture
def authority(tmp_path: Path) -> PrivateAuthority:
    """Returns a private certificate authority."""
    return PrivateAuthority(tmp_path)


@pytest.fixture
def serve_tls(url: str) -> Iterator[Callable[[ssl.SSLContext], TlsEndpoint]]:
    """Starts endpoints with TLS."""
    endpoints: list[TlsEndpoint] = []

    def start(context: ssl.SSLContext) -> TlsEndpoint:
        endpoints.append(TlsEndpoint(url, context).__enter__())
        return endpoints[-1]

    yield start
    for endpoint in endpoints:
        endpoint.__exit__()


def plan(workspace: TestWorkspace, code: int, env: dict[str, str | None], *options: str) -> Result:
    """Plans with these changes to the environment."""
    return workspace.run("plan", "staging", *options, env=env, timeout=QUICK_TIMEOUT_SECONDS * 2).expect_exit(code)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("credentials", ["", "ana:p%40ss"])
def test_http_proxy_carries_every_call(workspace: TestWorkspace, variable: str, credentials: str) -> None:
    address = address_of(workspace.url)
    with ForwardProxy(lambda host: address if host == "aws.test" else None) as proxy:
        proxy.credentials = credentials.replace("%40", "@")
        value = f"http://{credentials}@{proxy.address}" if credentials else proxy.address
        since = workspace.mark()
        plan(workspace, 0, {"AWS_ENDPOINT_URL": "http://aws.test", variable: value})
        assert len(proxy.forwarded) == len(workspace.calls(since)) > 20
        assert proxy.unauthorized == 0 and proxy.connects == []


def test_https_proxy_and_ca_bundle_reach_aws_hosts(
    workspace: TestWorkspace, authority: PrivateAuthority, serve_tls: Callable[[ssl.SSLContext], TlsEndpoint]
) -> None:
    endpoint = serve_tls(authority.server_context(*AWS_NAMES))
    with ForwardProxy(lambda host: endpoint.address if host.endswith(".amazonaws.com") else None, "ana:hush") as proxy:
        env = {"AWS_ENDPOINT_URL": None, "HTTPS_PROXY": proxy.url, "AWS_CA_BUNDLE": str(authority.file)}
        since = workspace.mark()
        result = plan(workspace, 0, env)
        assert " to add" in result.out
        assert len(workspace.calls(since)) > 20
        bucket = workspace.config["state"]["bucket"]
        hosts = {f"{bucket}.s3.us-east-2.amazonaws.com", "sts.us-east-2.amazonaws.com", "route53.amazonaws.com",
                 "elasticloadbalancing.us-east-2.amazonaws.com"}  # fmt: skip
        assert hosts <= set(proxy.connects) and endpoint.refusals == 0
        since, before = workspace.mark(), len(proxy.connects)
        workspace.run("deploy", "staging", "--yes", env=env).expect_exit(0)
        connections, calls = len(proxy.connects) - before, len(workspace.calls(since))
        assert connections < calls, "connections through the proxy are reused"


def test_ca_bundle_of_profile_is_trusted(
    workspace: TestWorkspace, authority: PrivateAuthority, serve_tls: Callable[[ssl.SSLContext], TlsEndpoint]
) -> None:
    endpoint = serve_tls(authority.server_context("127.0.0.1"))
    config = workspace.folder / "aws-config"
    config.write_text(f"[default]\nca_bundle = {authority.file}\n", encoding="utf-8")
    plan(workspace, 0, {"AWS_ENDPOINT_URL": endpoint.url, "AWS_CONFIG_FILE": str(config)})
    other = PrivateAuthority(workspace.folder, "Another Authority")
    env = {"AWS_ENDPOINT_URL": endpoint.url, "AWS_CONFIG_FILE": str(config), "AWS_CA_BUNDLE": str(other.file)}
    result = plan(workspace, 1, env)
    assert "certificate of 127.0.0.1 is not accepted" in result.err, "the variable overrides the profile"
    assert "add the authority that issued this certificate to the file of AWS_CA_BUNDLE" in result.err, result
    other.file.write_bytes(authority.file.read_bytes() + other.file.read_bytes())
    plan(workspace, 0, env)


@pytest.mark.parametrize(
    ("names", "days", "hint"),
    [
        (("127.0.0.1",), 1, "set AWS_CA_BUNDLE (or"),
        (("127.0.0.1",), -1, "correct the clock of this machine"),
        (("localhost",), 1, "use the host name of the certificate"),
    ],
)
def test_refused_certificate_is_explained_without_retry(
    workspace: TestWorkspace, authority: PrivateAuthority, serve_tls: Callable[[ssl.SSLContext], TlsEndpoint],
    names: tuple[str, ...], days: int, hint: str,
) -> None:  # fmt: skip
    endpoint = serve_tls(authority.server_context(*names, days=days))
    trusted = None if "AWS_CA_BUNDLE" in hint else str(authority.file)
    since = workspace.mark()
    result = workspace.run("history", "staging", env={"AWS_ENDPOINT_URL": endpoint.url, "AWS_CA_BUNDLE": trusted})
    assert result.code == 1 and "error[PB0204]" in result.err and hint in result.err, result
    assert workspace.calls(since) == []
    # One connection checks that the endpoint exists; S3 and STS are called at the same time, once each.
    assert endpoint.connections <= 3, "a refused certificate is not retried"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/nonexistent/ca.pem", "No such file"),
        ("pb_deploy.toml", "contains no valid certificate in PEM form"),
    ],
)
def test_unusable_ca_bundle_is_refused(workspace: TestWorkspace, value: str, expected: str) -> None:
    result = plan(workspace, 1, {"AWS_CA_BUNDLE": value})
    assert f"{value} (AWS_CA_BUNDLE): " in result.err and expected in result.err, result
    assert "hint: set AWS_CA_BUNDLE to a PEM file" in result.err


def test_refusing_proxy_is_explained_without_password(workspace: TestWorkspace) -> None:
    with ForwardProxy(lambda _: None, "ana:right") as proxy:
        wrong = f"http://ana:hush@{proxy.address}"
        result = workspace.run(
            "history", "staging", env={"AWS_ENDPOINT_URL": None, "HTTPS_PROXY": wrong}, timeout=QUICK_TIMEOUT_SECONDS
        ).expect_exit(1)
        assert f"the proxy http://{proxy.address} (HTTPS_PROXY) does not connect to" in result.err, result
        assert "check the user and password in HTTPS_PROXY" in result.err and "NO_PROXY" in result.err
        assert proxy.unauthorized > 0 and "hush" not in result.text
        plain = {"AWS_ENDPOINT_URL": "http://aws.test", "HTTP_PROXY": wrong}
        result = workspace.run("history", "staging", env=plain, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1)
        assert "error[PB0204]" in result.err and "check the user and password in HTTP_PROXY" in result.err, result
        assert "hush" not in result.text


@pytest.mark.parametrize("value", ["socks5://ana:hush@proxy:1080", "http://ana:hush#1@proxy"])
def test_unusable_proxy_is_refused_without_password(workspace: TestWorkspace, value: str) -> None:
    result = plan(workspace, 1, {"HTTPS_PROXY": value})
    assert "read the proxy settings: HTTPS_PROXY has" in result.err and "percent-encoded" in result.err, result
    assert "ana:" not in result.text and "hush" not in result.text


@pytest.mark.parametrize("exception", ["no_proxy", "NO_PROXY"])
def test_no_proxy_host_is_reached_directly(workspace: TestWorkspace, exception: str) -> None:
    with ForwardProxy(lambda _: None) as proxy:
        # Addresses of this machine need no exception; a name that has no address shows that the proxy is not asked.
        plan(workspace, 0, {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url})
        env = {"AWS_ENDPOINT_URL": "http://aws.invalid", "HTTP_PROXY": proxy.url, exception: "10.0.0.0/8,*.invalid"}
        result = plan(workspace, 1, env)
        assert "cannot connect to http://aws.invalid" in result.err, result
        assert proxy.forwarded == [] and proxy.connects == []


def test_unresolved_host_is_explained_quickly(workspace: TestWorkspace) -> None:
    env: dict[str, str | None] = {"AWS_ENDPOINT_URL": None, "HTTPS_PROXY": "http://proxy.invalid:3128"}
    result = workspace.run("history", "staging", env=env, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1)
    assert "the host name proxy.invalid of the proxy (HTTPS_PROXY) has no address" in result.err, result
    assert "error[PB0204]" in result.err and "hint: check HTTPS_PROXY" in result.err
    options = ("--region", "us-west-9")
    result = workspace.run(
        "history", "staging", *options, env={"AWS_ENDPOINT_URL": None}, timeout=QUICK_TIMEOUT_SECONDS
    )
    assert result.expect_exit(1).err.count("us-west-9.amazonaws.com has no address") == 1, result
    for setting in ("--region", "--endpoint-url", "AWS_ENDPOINT_URL", "HTTPS_PROXY"):
        assert setting in result.err, f"the hint names {setting}"
