"""Bad input, each with its message as recorded in `snapshots/`, its exit code, and no call that changes anything."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable

import pytest
from fault_proxy import FaultProxy
from harness import TestWorkspace
from messages import recorded

#: Longer than any of these commands may take: none of them waits for something that is not there.
SOON = 20.0

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

#: What stands in the file between what is needed and the workspaces.
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


def configure(workspace: TestWorkspace, more: str = "") -> None:
    """A small configuration, so that the lines that messages show stay where they are."""
    text = BASE.replace("ACCOUNT", workspace.account) + ("\n" + more if more else "") + WORKSPACES
    text = text.replace("[workspace.staging]\n", "") if "[workspace.staging." in more else text
    workspace.config_file.write_text(text, encoding="utf-8")


@pytest.fixture
def plain(workspace: TestWorkspace) -> TestWorkspace:
    """A workspace with the small configuration."""
    configure(workspace)
    return workspace


@pytest.fixture(scope="module")
def untouched(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """A workspace that all tests share in which nothing is called or changed."""
    return new_workspace()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_mistake_in_the_configuration(untouched: TestWorkspace, name: str) -> None:
    configure(untouched, CONFIGURATIONS[name])
    result = untouched.run("validate", timeout=SOON).expect_exit(1)
    recorded(name, untouched, result)
    again = untouched.run("plan", "staging", timeout=SOON).expect_exit(1)
    assert again.err == result.err, "every command says the same"
    assert untouched.calls() == [], "no call is made before the configuration is right"


def test_a_configuration_that_is_not_there(plain: TestWorkspace) -> None:
    plain.config_file.unlink()
    recorded("no configuration", plain, plain.run("plan", "staging", timeout=SOON).expect_exit(1))


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
def test_a_command_line_that_makes_no_sense(untouched: TestWorkspace, name: str, arguments: list[str]) -> None:
    configure(untouched)
    recorded(name, untouched, untouched.run(*arguments, timeout=SOON).expect_exit(64))
    assert untouched.calls() == []


def no_zone(workspace: TestWorkspace) -> None:
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    workspace.aws.route53.delete_hosted_zone(Id=zone["Id"])


def a_private_zone(workspace: TestWorkspace) -> None:
    no_zone(workspace)
    vpc = workspace.aws.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    workspace.aws.route53.create_hosted_zone(
        Name="ospcapi.org", CallerReference="private", VPC={"VPCRegion": workspace.aws.region, "VPCId": vpc},
        HostedZoneConfig={"PrivateZone": True, "Comment": "private"},
    )  # fmt: skip


def two_zones(workspace: TestWorkspace) -> None:
    workspace.aws.route53.create_hosted_zone(Name="ospcapi.org", CallerReference="second")


def no_bucket(workspace: TestWorkspace) -> None:
    workspace.aws.s3.delete_bucket(Bucket=f"state-{workspace.account}")


def no_table(workspace: TestWorkspace) -> None:
    workspace.aws.dynamodb.delete_table(TableName="ospc-terraform-state-lock-table")


def another_key(workspace: TestWorkspace) -> None:
    no_table(workspace)
    workspace.aws.dynamodb.create_table(
        TableName="ospc-terraform-state-lock-table", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
    )  # fmt: skip


def no_role(workspace: TestWorkspace) -> None:
    workspace.aws.iam.delete_role(RoleName="ecsTaskExecutionRole")


def several(workspace: TestWorkspace) -> None:
    no_zone(workspace)
    no_role(workspace)


MISSING: dict[str, Callable[[TestWorkspace], None]] = {
    "missing zone": no_zone,
    "private zone": a_private_zone,
    "two zones of one name": two_zones,
    "missing bucket": no_bucket,
    "missing table": no_table,
    "table with another key": another_key,
    "missing role": no_role,
    "several things missing": several,
}


@pytest.mark.parametrize("name", MISSING)
def test_what_a_deploy_needs_and_does_not_find(plain: TestWorkspace, name: str) -> None:
    MISSING[name](plain)
    zones = [zone["Id"].rsplit("/", 1)[-1] for zone in plain.aws.route53.list_hosted_zones()["HostedZones"]]
    result = plain.run("deploy", "staging", "--yes", timeout=SOON).expect_exit(1)
    text = {zone: f"ZONE{number}" for number, zone in enumerate(sorted(zones))}
    result.err = result.err[result.err.index("error:") :]
    recorded(name, plain, result, text)
    assert plain.writes() == [] and plain.inventory.remains() == {}


def test_the_zone_of_two_can_be_chosen(workspace: TestWorkspace) -> None:
    two_zones(workspace)
    zone = sorted(zone["Id"].rsplit("/", 1)[-1] for zone in workspace.aws.route53.list_hosted_zones()["HostedZones"])[1]
    workspace.configure({"zone_id": zone})
    assert workspace.plan().steps["edge/record"]["after"]["zone_id"] == zone


CREDENTIALS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


def test_no_credentials(plain: TestWorkspace) -> None:
    recorded("no credentials", plain, plain.run("plan", "staging", env={**CREDENTIALS}, timeout=SOON).expect_exit(1))


def test_no_credentials_where_the_instance_metadata_service_is_looked_for(plain: TestWorkspace) -> None:
    env = {**CREDENTIALS, "AWS_EC2_METADATA_DISABLED": None}
    assert "no AWS credentials" in plain.run("plan", "staging", env=env, timeout=SOON).expect_exit(1).err


def test_a_profile_that_is_not_there(plain: TestWorkspace) -> None:
    result = plain.run("plan", "staging", "--profile", "nobody", env={**CREDENTIALS}, timeout=SOON).expect_exit(1)
    recorded("no such profile", plain, result)


def test_a_profile_of_the_environment_that_is_not_there(plain: TestWorkspace) -> None:
    result = plain.run("plan", "staging", env={**CREDENTIALS, "AWS_PROFILE": "nobody"}, timeout=SOON).expect_exit(1)
    recorded("no such profile in the environment", plain, result)


def test_a_named_profile_comes_before_the_keys_of_the_environment(plain: TestWorkspace) -> None:
    profiles = plain.folder / "profiles"
    profiles.write_text(
        f"[workspace]\naws_access_key_id = {plain.account}\naws_secret_access_key = x\n", encoding="utf-8"
    )
    env: dict[str, str | None] = {"AWS_SHARED_CREDENTIALS_FILE": str(profiles), "AWS_ACCESS_KEY_ID": "000000000001"}
    result = plain.run("plan", "staging", "--profile", "workspace", env=env, timeout=SOON).expect_exit()
    assert f"account {plain.account}" in result.out + result.err
    recorded(
        "another profile", plain, plain.run("plan", "staging", "--profile", "sit", env=env, timeout=SOON).expect_exit(1)
    )


def test_another_account_than_allowed(plain: TestWorkspace) -> None:
    plain.config_file.write_text(
        'allowed_account_ids = ["000000000000"]\n' + plain.config_file.read_text(encoding="utf-8"), encoding="utf-8"
    )
    recorded("another account", plain, plain.run("plan", "staging", timeout=SOON).expect_exit(1))


def test_an_expired_token(plain: TestWorkspace, proxy: FaultProxy) -> None:
    body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    proxy.refuse("s3:GetObject", 400, body, times=100)
    recorded("expired token", plain, plain.run("plan", "staging", url=proxy.url, timeout=SOON).expect_exit(1))


def test_throttled_calls_are_tried_again(plain: TestWorkspace, proxy: FaultProxy) -> None:
    error = b"<Error><Code>RequestLimitExceeded</Code><Message>slow</Message></Error>"
    stop = proxy.refuse("ec2:DescribeVpcs", 503, b"<Response><Errors>" + error + b"</Errors></Response>", times=2)
    assert "Plan: 29 to add" in plain.run("plan", "staging", url=proxy.url).expect_exit().out
    assert stop.times == 0


def test_a_closed_port(plain: TestWorkspace) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        recorded("closed port", plain, plain.run("plan", "staging", url=url, timeout=SOON).expect_exit(1))


@pytest.mark.parametrize("how", ["option", "variable"])
def test_an_endpoint_without_a_url(plain: TestWorkspace, how: str) -> None:
    given = {"option": ["--endpoint-url", ""], "variable": []}[how]
    variables = {"AWS_ENDPOINT_URL": ""} if how == "variable" else {}
    result = plain.start(*given, "plan", "staging", env=variables).result().expect_exit(64)
    assert "the URL of the endpoint is empty" in result.err and "unset AWS_ENDPOINT_URL" in result.err, result


def envelope(**changes: object) -> bytes:
    """A snapshot with a right checksum; the checksum is taken with zeros in its place."""
    fields = {
        "format": 1, "checksum": "0" * 64, "stack": "pb-deploy", "workspace": "staging",
        "snapshot": {"lineage": "l", "serial": 1, "fence": 1, "resources": {}}, **changes,
    }  # fmt: skip
    text = json.dumps(fields, indent=2) + "\n"
    return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest(), 1).encode()


STATES: dict[str, Callable[[bytes, TestWorkspace], bytes]] = {
    "truncated state": lambda whole, _: whole[: len(whole) // 2],
    "empty state": lambda whole, _: b"",
    "changed state": lambda whole, _: whole.replace(b'"serial": 1', b'"serial": 9'),
    "state that is no json": lambda whole, _: b"hello",
    "state of a newer version": lambda whole, _: envelope(format=2),
    "state of another workspace": lambda whole, _: envelope(workspace="production"),
    "state of another stack": lambda whole, _: envelope(stack="other"),
    "state of terraform": lambda whole, _: b'{"version": 4, "terraform_version": "1.11.0", "serial": 1}',
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("command", ["plan", "deploy"])
def test_a_state_that_is_not_to_be_used(plain: TestWorkspace, name: str, command: str) -> None:
    plain.put_state(STATES[name](envelope(plain), plain))
    arguments = [command, "staging"] + (["--yes"] if command == "deploy" else [])
    result = plain.run(*arguments, timeout=SOON).expect_exit(1)
    recorded(name, plain, result)
    assert plain.mutations() == []


def test_a_whole_state_is_taken(plain: TestWorkspace) -> None:
    plain.put_state(envelope(plain))
    assert "Plan: 29 to add" in plain.run("plan", "staging").expect_exit().out


def test_without_a_terminal_nobody_is_asked(plain: TestWorkspace) -> None:
    for command in ("deploy", "destroy"):
        result = plain.run(command, "staging", timeout=SOON)
        if command == "destroy":
            assert "Nothing to destroy" in result.expect_exit(0).err
            continue
        result.expect_exit(64).err = result.err[result.err.index("error:") :]
        recorded("no terminal", plain, result)
    assert plain.mutations() == []


@pytest.mark.parametrize(
    ("name", "answer", "code"),
    [("production", "yes", 1), ("production", "production", 0), ("staging", "no", 1), ("staging", "yes", 0)],
)
def test_in_a_terminal_it_asks_and_production_wants_its_name(
    workspace: TestWorkspace, name: str, answer: str, code: int
) -> None:
    wanted = name if name == "production" else "yes"
    result = workspace.in_terminal("deploy", name, answer=answer)
    assert result.code == code, result
    assert "to deploy" in result.out and wanted in result.out
    if code:
        assert "not confirmed: nothing was changed" in result.out
        assert workspace.mutations() == [] and workspace.inventory.remains() == {}
    else:
        workspace.assert_no_changes(name)
