"""Tests of IAM's simulation of policies."""

from __future__ import annotations

import json

from conftest import Aws

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def test_simulation_needs_arn_with_path(aws: Aws) -> None:
    iam = aws.iam
    role = iam.create_role(RoleName="deploy", Path="/team/", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    actions = ["ec2:CreateVpc", "iam:PassRole"]
    simulate = iam.simulate_principal_policy
    assert len(simulate(PolicySourceArn=role, ActionNames=actions)["EvaluationResults"]) == len(actions)
    for arn, code in (
        (role.replace("/team", ""), "NoSuchEntity"),
        (f"arn:aws:sts::{aws.account}:assumed-role/deploy/ana", "InvalidInput"),
        (f"arn:aws:iam::{aws.account}:root", "InvalidInput"),
    ):
        assert aws.code(simulate, PolicySourceArn=arn, ActionNames=actions) == code, arn


def test_caller_without_user_can_be_simulated(aws: Aws) -> None:
    caller = aws.sts.get_caller_identity()["Arn"]
    assert aws.iam.simulate_principal_policy(PolicySourceArn=caller, ActionNames=["ec2:CreateVpc"])


def test_simulation_evaluates_policies_of_a_role(aws: Aws) -> None:
    iam = aws.iam
    role = iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    secrets = [f"arn:aws:secretsmanager:us-east-2:{aws.account}:secret:{name}" for name in ("a", "b")]

    def decisions(*actions: str) -> list[str]:
        answer = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=list(actions), ResourceArns=secrets)
        return [str(result["EvalDecision"]) for result in answer["EvaluationResults"]]

    read, write = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"
    assert decisions(read, write) == ["implicitDeny"] * 4
    statements = [
        {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": secrets[0]},
        {"Effect": "Deny", "Action": write, "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName="deploy", PolicyName="secrets", PolicyDocument=document)
    assert decisions(read, write) == ["allowed", "implicitDeny", "explicitDeny", "explicitDeny"]


def put(aws: Aws, role: str, *statements: dict[str, object]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    aws.iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=document)


def boundary_policy(aws: Aws, action: str) -> str:
    """Creates a policy that allows an action, and returns its ARN."""
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return str(aws.iam.create_policy(PolicyName="boundary", PolicyDocument=document)["Policy"]["Arn"])


def test_simulation_applies_the_permissions_boundary(aws: Aws) -> None:
    arn = boundary_policy(aws, "s3:*")
    role = aws.iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=arn)["Role"]["Arn"]
    put(aws, "app", {"Effect": "Allow", "Action": ["s3:GetObject", "sqs:SendMessage"], "Resource": "*"})
    actions = ["s3:GetObject", "s3:PutObject", "sqs:SendMessage"]
    results = aws.iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=actions)["EvaluationResults"]
    within = [result["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"] for result in results]
    assert [result["EvalDecision"] for result in results] == ["allowed", "implicitDeny", "implicitDeny"]
    assert within == [True, True, False]


def test_simulation_names_missing_condition_values(aws: Aws) -> None:
    role = aws.iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    condition = {"StringEquals": {"aws:SourceVpce": "vpce-1"}}
    put(aws, "app", {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": condition})
    actions = ["s3:GetObject", "sqs:SendMessage"]
    results = aws.iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=actions)["EvaluationResults"]
    assert [result["EvalDecision"] for result in results] == ["implicitDeny"] * 2
    assert [result.get("MissingContextValues", []) for result in results] == [["aws:SourceVpce"], []]


def test_inline_policies_of_a_role_are_limited_together(aws: Aws) -> None:
    aws.iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    document["Statement"] *= 120  # type: ignore[operator]
    text = json.dumps(document, indent=4)
    assert len(json.dumps(document, separators=(",", ":"))) < 10_240 < len(text)
    aws.iam.put_role_policy(RoleName="app", PolicyName="one", PolicyDocument=text)
    aws.iam.put_role_policy(RoleName="app", PolicyName="one", PolicyDocument=text)
    call = {"RoleName": "app", "PolicyName": "two", "PolicyDocument": text}
    assert aws.code(aws.iam.put_role_policy, **call) == "LimitExceeded"


def test_permissions_boundary_must_exist(aws: Aws) -> None:
    missing = f"arn:aws:iam::{aws.account}:policy/missing"
    call = {"RoleName": "app", "AssumeRolePolicyDocument": TRUST, "PermissionsBoundary": missing}
    assert aws.code(aws.iam.create_role, **call) == "NoSuchEntity"
    aws.iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    put_boundary = aws.iam.put_role_permissions_boundary
    assert aws.code(put_boundary, RoleName="app", PermissionsBoundary=missing) == "NoSuchEntity"
    arn = boundary_policy(aws, "s3:*")
    put_boundary(RoleName="app", PermissionsBoundary=arn)
    assert aws.iam.get_role(RoleName="app")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn
