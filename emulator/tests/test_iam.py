"""Tests of IAM's simulation of policies."""

from __future__ import annotations

import json

from conftest import Aws

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def test_simulation_needs_arn_with_path(aws: Aws) -> None:
    iam = aws.iam
    role = iam.create_role(RoleName="deploy", Path="/team/", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    actions = ["ec2:CreateVpc", "iam:PassRole"]
    results = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=actions)["EvaluationResults"]
    assert [(result["EvalActionName"], result["EvalDecision"]) for result in results] == [
        (name, "allowed") for name in actions
    ]
    simulate = iam.simulate_principal_policy
    for arn, code in (
        (role.replace("/team", ""), "NoSuchEntity"),
        (f"arn:aws:sts::{aws.account}:assumed-role/deploy/ana", "InvalidInput"),
        (f"arn:aws:iam::{aws.account}:root", "InvalidInput"),
    ):
        assert aws.code(simulate, PolicySourceArn=arn, ActionNames=actions) == code, arn


def test_caller_without_user_can_be_simulated(aws: Aws) -> None:
    caller = aws.sts.get_caller_identity()["Arn"]
    assert aws.iam.simulate_principal_policy(PolicySourceArn=caller, ActionNames=["ec2:CreateVpc"])
