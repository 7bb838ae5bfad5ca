"""Refusals of AWS whose messages do not show what to do: the hint does."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from fault_proxy import UNLIMITED, FaultProxy
from harness import TestWorkspace


@dataclass
class Refusal:
    """A call that AWS refuses, and texts of the hint."""

    call: str
    code: str
    message: str
    hint: tuple[str, ...]

    def response(self) -> bytes:
        """Returns the body of the response."""
        service = self.call.split(":")[0]
        if service == "ecs":
            return json.dumps({"__type": self.code, "message": self.message}).encode()
        error = f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>"
        root = (
            f"<Response><Errors>{error}</Errors></Response>"
            if service == "ec2"
            else f"<ErrorResponse>{error}</ErrorResponse>"
        )
        return root.encode()


REFUSALS = {
    "denied_by_organization": Refusal(
        "ec2:CreateVpc",
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: arn:aws:iam::111122223333:user/dev is not authorized to "
        "perform: ec2:CreateVpc with an explicit deny in a service control policy. Encoded authorization failure message: "
        "aBcD1234_-xyz",
        ("administrator of the organization", "`aws sts decode-authorization-message --encoded-message aBcD1234_-xyz`"),
    ),
    "zone_without_subnets": Refusal(
        "ec2:CreateSubnet",
        "InvalidParameterValue",
        "Value (us-east-2a) for parameter availabilityZone is invalid. Subnets can currently only be created in the "
        "following availability zones: us-east-2b, us-east-2c.",
        ("`zones` under `[network]`",),
    ),
    "account_without_load_balancers": Refusal(
        "elasticloadbalancing:CreateLoadBalancer",
        "OperationNotPermitted",
        "This AWS account currently does not support creating load balancers. For more information, please contact AWS "
        "Support.",
        ("AWS Support", "run the same command again"),
    ),
    "tag_policy": Refusal(
        "ecs:CreateCluster",
        "InvalidParameterException",
        "The tag policy does not allow the specified value for the following tag key: 'Environment'.",
        ("`[tags]`",),
    ),
    "no_capacity_for_the_queue": Refusal(
        "elasticache:CreateReplicationGroup",
        "InsufficientCacheClusterCapacity",
        "The requested cache node type cache.t3.small is not available in the specified Availability Zone us-east-2a.",
        ("no capacity", "`node_type` under `[redis]`"),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_is_explained_and_deploy_can_be_finished(
    workspace: TestWorkspace, proxy: FaultProxy, name: str
) -> None:
    refusal = REFUSALS[name]
    proxy.refuse(refusal.call, 403 if refusal.code.startswith("Unauth") else 400, refusal.response(), times=UNLIMITED)
    result = workspace.run("deploy", "staging", "--yes", url=proxy.url).expect_exit(1)
    summary = result.err[result.err.index("Deploy of staging failed") :]
    assert refusal.code in summary, result
    hint = next(line for line in summary.splitlines() if "hint:" in line)
    assert all(text in hint for text in refusal.hint), result
    workspace.deploy()
    workspace.destroy()
