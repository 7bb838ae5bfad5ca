"""The check of permissions in `doctor`, for all kinds of callers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fault_proxy import FaultProxy
from harness import TestWorkspace

SSO_ROLE = "AWSReservedSSO_Admin_0123456789abcdef"
SSO_PATH = "/aws-reserved/sso.amazonaws.com/us-east-2/"


def permissions(workspace: TestWorkspace, proxy: FaultProxy, caller: str) -> dict[str, Any]:
    """Returns the check of the permissions of a caller."""
    body = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>{caller}</Arn><UserId>AROA1:ana</UserId><Account>{workspace.account}</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>"""
    proxy.refuse("sts:GetCallerIdentity", 200, body.encode(), times=9)
    document = workspace.run("doctor", "staging", "--json", url=proxy.url).json()
    proxy.release_all()
    (check,) = [check for check in document["checks"] if check["name"] == "permissions"]
    return dict(check)


def test_permissions_of_sso_session_are_simulated(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    caller = f"arn:aws:sts::{workspace.account}:assumed-role/{SSO_ROLE}/ana@example.org"
    missing = permissions(workspace, proxy, caller)
    assert missing["verdict"] == "unknown" and f"allow iam:GetRole for role {SSO_ROLE}" in missing["hint"], missing
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    workspace.aws.iam.create_role(RoleName=SSO_ROLE, Path=SSO_PATH, AssumeRolePolicyDocument=trust)
    administrator = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    workspace.aws.iam.put_role_policy(
        RoleName=SSO_ROLE,
        PolicyName="all",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": administrator}),
    )
    check = permissions(workspace, proxy, caller)
    assert check["verdict"] == "good" and "simulated actions are allowed" in check["found"], check


@pytest.mark.parametrize("caller", ["arn:aws:iam::{}:root", "arn:aws:sts::{}:federated-user/ana"])
def test_caller_without_policies_is_explained(workspace: TestWorkspace, proxy: FaultProxy, caller: str) -> None:
    arn = caller.format(workspace.account)
    check = permissions(workspace, proxy, arn)
    assert check["verdict"] == "unknown" and arn in check["found"] and check["hint"], check
