"""Credentials that the AWS CLI exports, with the command that a message prints for settings that the SDK ignores."""

from __future__ import annotations

from fault_proxy import FaultProxy
from harness import TestWorkspace
from printed_commands import Shell
from test_workstations import NO_KEYS, aws_config


def test_exported_credentials_of_a_long_session_work(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    keys = f"[profile base]\naws_access_key_id = {workspace.account}\naws_secret_access_key = test\n"
    role = f"role_arn = arn:aws:iam::{workspace.account}:role/deploy\nsource_profile = base\n"
    env = NO_KEYS | aws_config(workspace, f"{keys}[profile team]\n{role}duration_seconds = 14400\n")
    document = workspace.run("doctor", "staging", "--profile", "team", "--json", env=env).json()
    (hint,) = [check["hint"] for check in document["checks"] if check["name"] == "credentials"]
    begin = hint.index("eval ")
    command = hint[begin : hint.index(", then run pb-deploy", begin)]
    assert command == 'eval "$(aws configure export-credentials --profile team --format env)"'
    # A session in the account of the workspace, which the endpoint tells from the key.
    session = (
        f"<AccessKeyId>{workspace.account}</AccessKeyId><SecretAccessKey>test</SecretAccessKey>"
        "<SessionToken>token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>"
    )
    result = f"<AssumeRoleResult><Credentials>{session}</Credentials></AssumeRoleResult>"
    answer = f"<AssumeRoleResponse>{result}</AssumeRoleResponse>".encode()
    assumed = proxy.refuse("sts:AssumeRole", 200, answer, body_contains=b"DurationSeconds=14400")
    shell = Shell(workspace)
    environment = {**env, "AWS_ENDPOINT_URL": proxy.url, "AWS_DEFAULT_REGION": workspace.aws.region}
    shell.run(f'{command} && test "$AWS_SESSION_TOKEN" = token && pb-deploy plan staging', env=environment)
    assert assumed.reached.is_set(), "the AWS CLI assumed the role for four hours"
