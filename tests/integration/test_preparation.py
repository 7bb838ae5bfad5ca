"""An account that lacks prerequisites: one message names all of them and the command that creates them."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Result, TestWorkspace

COMMANDS = (("plan", "staging"), ("deploy", "staging", "--yes"))


@pytest.fixture
def empty(url: str, tmp_path: Path) -> Iterator[TestWorkspace]:
    """Yields a workspace in an empty account."""
    workspace = TestWorkspace(url, str(random.SystemRandom().randrange(10**11, 10**12)), tmp_path)
    yield workspace
    workspace.end()


def bootstrap_command(result: Result) -> list[str]:
    """Returns the arguments of the command in the last hint of a message."""
    hint = [line for line in result.text.splitlines() if "hint:" in line][-1]
    (command,) = [part for part in hint.split("`") if part.startswith("pb-deploy bootstrap ")]
    return shlex.split(command)[1:]


def test_empty_account_gets_one_message_with_one_command(empty: TestWorkspace) -> None:
    state = empty.config["state"]
    names = [state["bucket"], state["lock_table"], empty.config["roles"]["execution"], "`ospcapi.org`"]
    for command in COMMANDS:
        result = empty.run(*command).expect_exit(1)
        assert f"account {empty.account} is not prepared for a deploy in us-east-2" in result.err, result
        assert all(name in result.err for name in names), result
        assert result.err.count("hint:") == 1 and "aws s3 mb" not in result.err, result
        assert bootstrap_command(result) == ["bootstrap", "staging", "--zone"]
    document = empty.run("plan", "staging", "--json").expect_exit(1)
    assert "pb-deploy bootstrap staging --zone" in document.err and document.err.count("not_found") == 4, document
    found = empty.run("doctor", "staging").expect_exit(1)
    assert "this account is not prepared: run `pb-deploy bootstrap staging --zone`" in found.out, found
    assert "aws s3 mb" not in found.out and "create-table" not in found.out, found
    # The calls that simulate permissions change nothing.
    assert set(empty.mutations()) <= {"iam:SimulatePrincipalPolicy"}
    empty.run(*bootstrap_command(found), "--yes").expect_exit()
    empty.deploy()


def no_bucket(workspace: TestWorkspace) -> str:
    bucket = workspace.config["state"]["bucket"]
    for version in workspace.aws.s3.list_object_versions(Bucket=bucket).get("Versions", []):
        workspace.aws.s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    workspace.aws.s3.delete_bucket(Bucket=bucket)
    return f"bucket {bucket} not found"


def no_role(workspace: TestWorkspace) -> str:
    workspace.aws.iam.delete_role(RoleName=workspace.config["roles"]["execution"])
    return f'role "{workspace.config["roles"]["execution"]}" not found'


def no_zone(workspace: TestWorkspace) -> str:
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    workspace.aws.route53.delete_hosted_zone(Id=zone["Id"])
    return "no public hosted zone `ospcapi.org` in this account"


def no_table(workspace: TestWorkspace) -> str:
    workspace.aws.dynamodb.delete_table(TableName=workspace.config["state"]["lock_table"])
    return f"lock table {workspace.config['state']['lock_table']} not found"


@pytest.mark.parametrize("remove", [no_bucket, no_role, no_zone, no_table])
def test_one_missing_prerequisite_names_bootstrap(
    workspace: TestWorkspace, remove: Callable[[TestWorkspace], str]
) -> None:
    message = remove(workspace)
    result = workspace.run("deploy", "staging", "--yes").expect_exit(1)
    assert message in result.err and "PB0403" in result.err, result
    assert "is not prepared" not in result.err, "one missing resource may just be misspelled"
    command = bootstrap_command(result)
    assert command == ["bootstrap", "staging", *(["--zone"] if remove is no_zone else [])]
    advice = workspace.run("doctor", "staging").expect_exit(1).out.splitlines()[-1]
    assert f"run `pb-deploy {shlex.join(command)}`" in advice, advice
    workspace.run(*command, "--yes").expect_exit()
    workspace.deploy()


def test_missing_table_is_listed_with_the_others(workspace: TestWorkspace) -> None:
    messages = [no_role(workspace), no_table(workspace)]
    result = workspace.run("plan", "staging").expect_exit(1)
    assert all(message in result.err for message in messages), result
    assert bootstrap_command(result) == ["bootstrap", "staging"]


def test_zone_that_contains_the_hostname_is_named(workspace: TestWorkspace) -> None:
    workspace.configure({"hostname": "app.ospcapi.org", "zone": None})
    for command in COMMANDS:
        result = workspace.run(*command).expect_exit(1)
        assert "no public hosted zone `app.ospcapi.org`" in result.err, result
        assert 'set `zone = "ospcapi.org"`' in result.err and "bootstrap" not in result.err, result
    workspace.configure({"zone": "ospcapi.org"})
    workspace.deploy()
