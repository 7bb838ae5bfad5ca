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
