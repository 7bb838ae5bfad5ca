"""Invalid input: each case prints its message recorded in `snapshots/`, exits with its code, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable

import pytest
from fault_proxy import FaultProxy
from harness import TestWorkspace
from messages import assert_recorded

#: Upper limit for the duration of each command, because no command may wait for a missing resource.
QUICK_TIMEOUT_SECONDS = 20.0

BASE = """\
region = "us-east-2"
hostname = "ospcapi.org"

[state]
bucket = "state-ACCOUNT"
lock_table = "ospc-terraform-state-lock-table"

[roles]
execution = "ecsTaskExecutionRole"
"""
WORKSPACES = """
[workspace.production]

[workspace.staging]
"""

#: Text that is inserted between the required keys and the workspaces of the configuration, by snapshot name.
CONFIGURATIONS = {
    "unknown key": "[redis]\nprot = 6400\n",
    "unknown key in a workspace": "[workspace.staging.services.celery]\ncuont = 2\n",
    "wrong type": '[services.celery]\ncount = "four"\n',
    "bad cidr": '[network]\ncidr = "10.0.0.0/33"\n',
    "cidr with host bits": '[network]\ncidr = "10.0.0.1/16"\n',
    "subnet outside of the vpc": '[network]\ntasks_subnet = "10.9.1.0/24"\n',
    "subnet too small for a load balancer": '[network]\nbalancer_subnet = "10.0.2.0/28"\n',
    "bad fargate size": "[services.flask]\ncpu = 1024\nmemory = 1024\n",
    "bad retention": "[logs]\nretention_days = 31\n",
    "name too long": "[workspace.a-workspace-with-a-long-name]\n",
    "stop timeout too long": "[services.celery]\nstop_timeout = 121\n",
    "several mistakes": '[redis]\nengine = "memcached"\nport = 0\n\n[load_balancer]\nhealth_path = "hello"\n',
    "not toml": "[redis\n",
    "reserved tag": '[tags]\n"pb-deploy:stack" = "mine"\n',
}


def configure(workspace: TestWorkspace, section: str = "") -> None:
    """Writes a minimal configuration whose line numbers do not change, because messages quote them."""
    text = BASE.replace("ACCOUNT", workspace.account) + ("\n" + section if section else "") + WORKSPACES
    text = text.replace("[workspace.staging]\n", "") if "[workspace.staging." in section else text
    workspace.config_file.write_text(text, encoding="utf-8")


@pytest.fixture
def minimal(workspace: TestWorkspace) -> TestWorkspace:
    """Returns a workspace with the minimal configuration."""
    configure(workspace)
    return workspace


@pytest.fixture(scope="module")
def untouched(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a workspace that is shared by the tests in which the tool makes no AWS calls."""
    return new_workspace()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_invalid_configuration_is_refused(untouched: TestWorkspace, name: str) -> None:
    configure(untouched, CONFIGURATIONS[name])
    result = untouched.run("validate", timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1)
    assert_recorded(name, untouched, result)
    plan_result = untouched.run("plan", "staging", timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1)
    assert plan_result.err == result.err, "validate and plan print the same error"
    assert untouched.calls() == [], "an invalid configuration is refused before any AWS call"


def test_missing_configuration_is_refused(minimal: TestWorkspace) -> None:
    minimal.config_file.unlink()
    assert_recorded(
        "no configuration", minimal, minimal.run("plan", "staging", timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1)
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("typo in a workspace", ["plan", "stagin"]),
        ("workspace like none", ["deploy", "mars", "--yes"]),
        ("no workspace", ["plan"]),
        ("unknown command", ["delpoy", "staging"]),
        ("unknown option", ["plan", "staging", "--now"]),
        ("bad region", ["plan", "staging", "--region", "nowhere"]),
    ],
)
def test_invalid_command_line_is_refused(untouched: TestWorkspace, name: str, arguments: list[str]) -> None:
    configure(untouched)
    assert_recorded(name, untouched, untouched.run(*arguments, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(64))
    assert untouched.calls() == []


def no_zone(workspace: TestWorkspace) -> None:
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    workspace.aws.route53.delete_hosted_zone(Id=zone["Id"])


def private_zone(workspace: TestWorkspace) -> None:
    no_zone(workspace)
    vpc = workspace.aws.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    workspace.aws.route53.create_hosted_zone(
        Name="ospcapi.org", CallerReference="private", VPC={"VPCRegion": workspace.aws.region, "VPCId": vpc},
        HostedZoneConfig={"PrivateZone": True, "Comment": "private"},
    )  # fmt: skip


def second_zone(workspace: TestWorkspace) -> None:
    workspace.aws.route53.create_hosted_zone(Name="ospcapi.org", CallerReference="second")


def no_bucket(workspace: TestWorkspace) -> None:
    workspace.aws.s3.delete_bucket(Bucket=f"state-{workspace.account}")


def no_table(workspace: TestWorkspace) -> None:
    workspace.aws.dynamodb.delete_table(TableName="ospc-terraform-state-lock-table")


def other_table_key(workspace: TestWorkspace) -> None:
    no_table(workspace)
    workspace.aws.dynamodb.create_table(
        TableName="ospc-terraform-state-lock-table", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
    )  # fmt: skip


def no_role(workspace: TestWorkspace) -> None:
    workspace.aws.iam.delete_role(RoleName="ecsTaskExecutionRole")


def no_zone_and_role(workspace: TestWorkspace) -> None:
    no_zone(workspace)
    no_role(workspace)


MISSING: dict[str, Callable[[TestWorkspace], None]] = {
    "missing zone": no_zone,
    "private zone": private_zone,
    "two zones of one name": second_zone,
    "missing bucket": no_bucket,
    "missing table": no_table,
    "table with another key": other_table_key,
    "missing role": no_role,
    "several things missing": no_zone_and_role,
}


@pytest.mark.parametrize("name", MISSING)
def test_deploy_with_missing_prerequisite_is_refused(minimal: TestWorkspace, name: str) -> None:
    MISSING[name](minimal)
    zones = [zone["Id"].rsplit("/", 1)[-1] for zone in minimal.aws.route53.list_hosted_zones()["HostedZones"]]
    result = minimal.run("deploy", "staging", "--yes", timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1)
    placeholders = {zone: f"ZONE{number}" for number, zone in enumerate(sorted(zones))}
    result.err = result.err[result.err.index("error[") :]
    assert_recorded(name, minimal, result, placeholders)
    assert minimal.writes() == [] and minimal.inventory.remains() == {}


def test_hosted_zone_is_selected_by_id(workspace: TestWorkspace) -> None:
    second_zone(workspace)
    zone = sorted(zone["Id"].rsplit("/", 1)[-1] for zone in workspace.aws.route53.list_hosted_zones()["HostedZones"])[1]
    workspace.configure({"zone_id": zone})
    assert workspace.plan().steps["edge/record"]["after"]["zone_id"] == zone


NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


def test_missing_credentials_are_refused(minimal: TestWorkspace) -> None:
    assert_recorded(
        "no credentials",
        minimal,
        minimal.run("plan", "staging", env={**NO_CREDENTIALS}, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1),
    )


def test_missing_credentials_are_refused_after_metadata_lookup(minimal: TestWorkspace) -> None:
    env = {**NO_CREDENTIALS, "AWS_EC2_METADATA_DISABLED": None}
    assert (
        "no AWS credentials"
        in minimal.run("plan", "staging", env=env, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1).err
    )


def test_missing_profile_is_refused(minimal: TestWorkspace) -> None:
    result = minimal.run(
        "plan", "staging", "--profile", "nobody", env={**NO_CREDENTIALS}, timeout=QUICK_TIMEOUT_SECONDS
    ).expect_exit(1)
    assert_recorded("no such profile", minimal, result)


def test_missing_profile_in_environment_is_refused(minimal: TestWorkspace) -> None:
    result = minimal.run(
        "plan", "staging", env={**NO_CREDENTIALS, "AWS_PROFILE": "nobody"}, timeout=QUICK_TIMEOUT_SECONDS
    ).expect_exit(1)
    assert_recorded("no such profile in the environment", minimal, result)


def test_profile_option_overrides_keys_in_environment(minimal: TestWorkspace) -> None:
    profiles = minimal.folder / "profiles"
    profiles.write_text(f"[site]\naws_access_key_id = {minimal.account}\naws_secret_access_key = x\n", encoding="utf-8")
    env: dict[str, str | None] = {"AWS_SHARED_CREDENTIALS_FILE": str(profiles), "AWS_ACCESS_KEY_ID": "000000000001"}
    result = minimal.run("plan", "staging", "--profile", "site", env=env, timeout=QUICK_TIMEOUT_SECONDS).expect_exit()
    assert f"account {minimal.account}" in result.out + result.err
    assert_recorded(
        "another profile",
        minimal,
        minimal.run("plan", "staging", "--profile", "sit", env=env, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1),
    )


def test_account_not_allowed_is_refused(minimal: TestWorkspace) -> None:
    minimal.config_file.write_text(
        'allowed_account_ids = ["000000000000"]\n' + minimal.config_file.read_text(encoding="utf-8"), encoding="utf-8"
    )
    assert_recorded(
        "another account", minimal, minimal.run("plan", "staging", timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1)
    )


def test_expired_token_is_reported(minimal: TestWorkspace, proxy: FaultProxy) -> None:
    body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    proxy.refuse("s3:GetObject", 400, body, times=100)
    assert_recorded(
        "expired token",
        minimal,
        minimal.run("plan", "staging", url=proxy.url, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1),
    )


def test_throttled_calls_are_retried(minimal: TestWorkspace, proxy: FaultProxy) -> None:
    error = b"<Error><Code>RequestLimitExceeded</Code><Message>slow</Message></Error>"
    stop = proxy.refuse("ec2:DescribeVpcs", 503, b"<Response><Errors>" + error + b"</Errors></Response>", times=2)
    assert "Plan: 29 to add" in minimal.run("plan", "staging", url=proxy.url).expect_exit().out
    assert stop.times == 0


def test_unreachable_endpoint_is_reported(minimal: TestWorkspace) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert_recorded(
            "closed port",
            minimal,
            minimal.run("plan", "staging", url=url, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1),
        )


@pytest.mark.parametrize("source", ["option", "variable"])
def test_empty_endpoint_url_is_refused(minimal: TestWorkspace, source: str) -> None:
    options = {"option": ["--endpoint-url", ""], "variable": []}[source]
    variables = {"AWS_ENDPOINT_URL": ""} if source == "variable" else {}
    result = minimal.start(*options, "plan", "staging", env=variables).result().expect_exit(64)
    assert "the endpoint URL is empty" in result.err and "unset AWS_ENDPOINT_URL" in result.err, result


def envelope(**changes: object) -> bytes:
    """Returns a snapshot with a valid checksum, computed over the text with zeros in place of the checksum."""
    fields = {
        "format": 1, "checksum": "0" * 64, "stack": "pb-deploy", "workspace": "staging",
        "snapshot": {"lineage": "l", "serial": 1, "fence": 1, "resources": {}}, **changes,
    }  # fmt: skip
    text = json.dumps(fields, indent=2) + "\n"
    return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest(), 1).encode()


STATES: dict[str, Callable[[bytes, TestWorkspace], bytes]] = {
    "truncated state": lambda valid, _: valid[: len(valid) // 2],
    "empty state": lambda valid, _: b"",
    "changed state": lambda valid, _: valid.replace(b'"serial": 1', b'"serial": 9'),
    "state that is no json": lambda valid, _: b"hello",
    "state of a newer version": lambda valid, _: envelope(format=2),
    "state of another workspace": lambda valid, _: envelope(workspace="production"),
    "state of another stack": lambda valid, _: envelope(stack="other"),
    "state of terraform": lambda valid, _: b'{"version": 4, "terraform_version": "1.11.0", "serial": 1}',
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("command", ["plan", "deploy"])
def test_invalid_state_is_refused(minimal: TestWorkspace, name: str, command: str) -> None:
    minimal.put_state(STATES[name](envelope(), minimal))
    arguments = [command, "staging"] + (["--yes"] if command == "deploy" else [])
    result = minimal.run(*arguments, timeout=QUICK_TIMEOUT_SECONDS).expect_exit(1)
    assert_recorded(name, minimal, result)
    assert minimal.mutations() == []


def test_valid_state_is_loaded(minimal: TestWorkspace) -> None:
    minimal.put_state(envelope())
    assert "Plan: 29 to add" in minimal.run("plan", "staging").expect_exit().out


def test_deploy_without_terminal_requires_yes(minimal: TestWorkspace) -> None:
    for command in ("deploy", "destroy"):
        result = minimal.run(command, "staging", timeout=QUICK_TIMEOUT_SECONDS)
        if command == "destroy":
            assert "Nothing to destroy" in result.expect_exit(0).err
            continue
        result.expect_exit(64).err = result.err[result.err.index("error[") :]
        assert_recorded("no terminal", minimal, result)
    assert minimal.mutations() == []


@pytest.mark.parametrize(
    ("name", "answer", "code"),
    [("production", "yes", 1), ("production", "production", 0), ("staging", "no", 1), ("staging", "yes", 0)],
)
def test_prompt_for_production_requires_workspace_name(
    workspace: TestWorkspace, name: str, answer: str, code: int
) -> None:
    expected_answer = name if name == "production" else "yes"
    result = workspace.run_in_terminal("deploy", name, answer=answer)
    assert result.code == code, result
    assert "to deploy" in result.out and expected_answer in result.out
    if code:
        assert "cancelled: nothing was changed" in result.out
        assert workspace.mutations() == [] and workspace.inventory.remains() == {}
    else:
        workspace.assert_no_changes(name)
