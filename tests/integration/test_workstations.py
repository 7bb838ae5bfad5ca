"""Endpoints of single services, and profiles of all kinds, as they are on the workstations of users."""

from __future__ import annotations

import json
from typing import Any

import pytest
from corporate_network import ForwardProxy, MountedEndpoint
from fault_proxy import FaultProxy
from harness import Result, TestWorkspace

#: The services that a plan calls, by the names of the AWS CLI in a `services` section.
SERVICES = (
    "acm", "cloudwatch_logs", "dynamodb", "ec2", "ecr", "ecs", "elasticache", "elastic_load_balancing_v2", "iam",
    "resource_groups_tagging_api", "route_53", "s3", "service_quotas", "sts",
)  # fmt: skip
DENIED = b"""<ErrorResponse><Error><Code>AccessDenied</Code><Message>User ana is not authorized to perform:
sts:AssumeRole</Message></Error><RequestId>1</RequestId></ErrorResponse>"""
#: Removes the access keys from the environment, so that the profile supplies the credentials.
NO_KEYS: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


def aws_config(workspace: TestWorkspace, text: str) -> dict[str, str | None]:
    """Writes `~/.aws/config` and returns the variable that selects it."""
    file = workspace.folder / "aws-config"
    file.write_text(text, encoding="utf-8")
    return {"AWS_CONFIG_FILE": str(file)}


def program(workspace: TestWorkspace, name: str, script: str) -> str:
    """Writes a program and returns a PATH on which it comes first."""
    folder = workspace.folder / "bin"
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return f"{folder}:{workspace.environment()['PATH']}"


def process_credentials(workspace: TestWorkspace, **more: str) -> str:
    """Returns credentials of the workspace's account in the form of `credential_process`."""
    return json.dumps({"Version": 1, "AccessKeyId": workspace.account, "SecretAccessKey": "test", **more})


def plan(workspace: TestWorkspace, code: int, env: dict[str, str | None], *options: str) -> Result:
    """Plans with these changes to the environment."""
    return workspace.run("plan", "staging", *options, env=env).expect_exit(code)


@pytest.mark.parametrize("separator", ["_", "-"])
def test_services_section_in_both_spellings_is_used(workspace: TestWorkspace, separator: str) -> None:
    services = "".join(f"{name.replace('_', separator)} =\n  endpoint_url = {workspace.url}\n" for name in SERVICES)
    env = aws_config(workspace, f"[profile local]\nservices = all\n\n[services all]\n{services}")
    with ForwardProxy(lambda _: None) as proxy:
        env |= {"AWS_ENDPOINT_URL": None, "AWS_PROFILE": "local", "HTTPS_PROXY": proxy.url}
        since = workspace.mark()
        workspace.run("plan", "staging", env=env).expect_exit()
        assert proxy.connects == [], "no call goes to AWS itself"
        assert len(workspace.calls(since)) > 20


def test_endpoint_variables_of_services_are_used(workspace: TestWorkspace) -> None:
    env: dict[str, str | None] = {f"AWS_ENDPOINT_URL_{name.upper()}": workspace.url for name in SERVICES}
    with ForwardProxy(lambda _: None) as proxy:
        env |= {"AWS_ENDPOINT_URL": None, "HTTPS_PROXY": proxy.url}
        workspace.run("plan", "staging", env=env).expect_exit()
        assert proxy.connects == []
        del env["AWS_ENDPOINT_URL_ROUTE_53"]
        workspace.run("plan", "staging", env=env).expect_exit(1)
        assert set(proxy.connects) == {"route53.amazonaws.com"}


def test_plan_without_https_does_without_certificate_manager(workspace: TestWorkspace) -> None:
    services = [name for name in SERVICES if name != "acm"]
    env: dict[str, str | None] = {f"AWS_ENDPOINT_URL_{name.upper()}": workspace.url for name in services}
    with ForwardProxy(lambda _: None) as proxy:
        env |= {"AWS_ENDPOINT_URL": None, "HTTPS_PROXY": proxy.url}
        workspace.run("plan", "staging", env=env).expect_exit()
        assert set(proxy.connects) == {"acm.us-east-2.amazonaws.com"}
        workspace.configure({"https": {}})
        result = workspace.run("plan", "staging", env=env).expect_exit(1)
        assert "acm:ListCertificates" in result.text


@pytest.mark.parametrize("place", ["variable", "profile"])
def test_ignored_endpoints_lead_to_aws(workspace: TestWorkspace, place: str) -> None:
    with ForwardProxy(lambda _: None) as proxy:
        env: dict[str, str | None] = {"HTTPS_PROXY": proxy.url}
        if place == "variable":
            env["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"
        else:
            env |= aws_config(workspace, "[default]\nignore_configured_endpoint_urls = true\n")
        since = workspace.mark()
        plan(workspace, 1, env)
        assert workspace.calls(since) == []
        assert proxy.connects and all(host.endswith(".amazonaws.com") for host in proxy.connects)
        plan(workspace, 0, env, "--endpoint-url", workspace.url)


def test_endpoint_under_a_path_is_used_for_buckets(workspace: TestWorkspace) -> None:
    with MountedEndpoint(workspace.url, "/gateway/aws") as endpoint:
        for url in (endpoint.url, f"{endpoint.url}/"):
            workspace.run("plan", "staging", url=url).expect_exit()
        assert endpoint.misses == []
        workspace.run("deploy", "staging", "--yes", "--target", "net/vpc", url=endpoint.url).expect_exit()
        assert endpoint.misses == [], "objects are written under the path, too"


@pytest.mark.parametrize("value", ["localhost:4566", "ftp://localhost", "http://localhost/?region=us-east-2"])
def test_invalid_endpoint_names_its_setting(workspace: TestWorkspace, value: str) -> None:
    result = plan(workspace, 1, {"AWS_ENDPOINT_URL_ROUTE_53": value})
    assert f"invalid URL `{value}` (AWS_ENDPOINT_URL_ROUTE_53)" in result.err, result
    assert "hint: set AWS_ENDPOINT_URL_ROUTE_53 to a URL" in result.err


def test_login_profile_uses_the_aws_cli(workspace: TestWorkspace) -> None:
    env = NO_KEYS | aws_config(workspace, "[profile team]\nlogin_session = arn:aws:iam::111111111111:user/ana\n")
    arguments = "configure export-credentials --profile team --format process"
    env["PATH"] = program(workspace, "aws", f"test \"$*\" = '{arguments}' && echo '{process_credentials(workspace)}'")
    plan(workspace, 0, env, "--profile", "team")
    plan(workspace, 0, {**env, "AWS_PROFILE": "team"})
    program(workspace, "aws", "echo 'Your session has expired.' >&2; exit 255")
    result = plan(workspace, 1, env, "--profile", "team")
    assert "error[PB0201]" in result.err and "Your session has expired." in result.err, result
    assert "sign in with `aws login --profile team`" in result.err


def test_expired_sso_session_names_the_command(workspace: TestWorkspace) -> None:
    sso = "sso_account_id = 111111111111\nsso_role_name = Admin\n"
    session = "sso_start_url = https://example.awsapps.com/start\nsso_region = us-east-2\n"
    env = NO_KEYS | aws_config(
        workspace,
        f"[profile team]\nsso_session = corp\n{sso}\n[sso-session corp]\n{session}sso_registration_scopes = sso\n"
        f"[profile old]\n{session}{sso}\n"
        "[profile role]\nrole_arn = arn:aws:iam::111111111111:role/deploy\nsource_profile = team\n",
    )
    for profile, signs_in in (("team", "team"), ("old", "old"), ("role", "team")):
        result = plan(workspace, 1, env, "--profile", profile)
        assert "error[PB0201]" in result.err, result
        assert f"hint: sign in with `aws sso login --profile {signs_in}`" in result.err, result


def test_mfa_profile_is_explained(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    keys = f"[profile base]\naws_access_key_id = {workspace.account}\naws_secret_access_key = test\n"
    role = f"role_arn = arn:aws:iam::{workspace.account}:role/deploy\nsource_profile = base\n"
    mfa = f"mfa_serial = arn:aws:iam::{workspace.account}:mfa/ana\nduration_seconds = 14400\n"
    env = NO_KEYS | aws_config(workspace, f"{keys}[profile team]\n{role}{mfa}")
    refusal = proxy.refuse("sts:AssumeRole", 403, DENIED, times=5)
    result = plan(workspace, 1, {**env, "AWS_ENDPOINT_URL": proxy.url}, "--profile", "team")
    assert refusal.reached.is_set()
    assert "error[PB0201]" in result.err and "needs an MFA code" in result.err, result
    assert 'eval "$(aws configure export-credentials --profile team --format env)"' in " ".join(result.err.split())
    document = workspace.run("doctor", "staging", "--profile", "team", "--json", env=env).json()
    warnings = [check for check in document["checks"] if check["name"] == "credentials"]
    assert [check["verdict"] for check in warnings] == ["warning", "warning"], document
    assert "`mfa_serial` of profile team has no effect" in warnings[0]["found"]
    assert "`duration_seconds` of profile team has no effect" in warnings[1]["found"]
    assert all("export-credentials --profile team" in check["hint"] for check in warnings)
    document = workspace.run("doctor", "staging", "--profile", "base", "--json", env=env).json()
    assert "credentials" not in {check["name"] for check in document["checks"]}


def test_expired_process_credentials_are_refused(workspace: TestWorkspace) -> None:
    def with_expiry(**expiry: str) -> dict[str, str | None]:
        credentials = process_credentials(workspace, **expiry)
        return NO_KEYS | aws_config(workspace, f"[profile vault]\ncredential_process = echo '{credentials}'\n")

    plan(workspace, 0, with_expiry(), "--profile", "vault")
    plan(workspace, 0, with_expiry(Expiration="2999-01-01T00:00:00Z"), "--profile", "vault")
    since = workspace.mark()
    result = plan(workspace, 1, with_expiry(Expiration="2020-01-01T00:00:00Z"), "--profile", "vault")
    assert "the credentials of profile vault expired at 2020-01-01T00:00:00Z" in result.err, result
    assert "hint: run the command of `credential_process` in profile vault by itself" in result.err
    assert workspace.calls(since) == [], "AWS would refuse each call"


def test_failing_credential_process_shows_its_error(workspace: TestWorkspace) -> None:
    env = NO_KEYS | aws_config(workspace, "[default]\ncredential_process = echo 'vault is locked' >&2; exit 3\n")
    result = plan(workspace, 1, env)
    assert "vault is locked" in result.err and "credential_process" in result.err, result


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException"])
def test_expired_session_token_names_the_ways_out(workspace: TestWorkspace, proxy: FaultProxy, code: str) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>expired</Message></Error></ErrorResponse>".encode()
    proxy.refuse("sts:GetCallerIdentity", 403, body, times=9)
    result = workspace.run("history", "staging", url=proxy.url).expect_exit(1)
    assert "error[PB0201]" in result.err and "the session has expired; sign in again" in result.err, result


def test_session_token_of_any_length_is_sent(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    token = "0123456789abcdef" * 1024
    lengths: set[int] = set()

    def record(_method: str, _target: str, headers: dict[str, Any], *_: Any) -> None:
        lengths.add(len({name.lower(): value for name, value in headers.items()}["x-amz-security-token"]))

    proxy.on_response = record  # type: ignore[method-assign]
    workspace.run("plan", "staging", url=proxy.url, env={"AWS_SESSION_TOKEN": token}).expect_exit()
    assert lengths == {len(token)}
