"""Credentials that expire while a run is working."""

from __future__ import annotations

import json

from fault_proxy import FaultProxy, Interception
from harness import TestWorkspace

MESSAGE = "The security token included in the request is expired"
JSON_SERVICES = {"dynamodb", "ecr", "ecs", "logs", "tagging"}


def expired(call: str) -> bytes:
    """Returns the response of a service to a call with an expired session token."""
    service = call.split(":")[0]
    if service in JSON_SERVICES:
        return json.dumps({"__type": "ExpiredTokenException", "message": MESSAGE}).encode()
    error = f"<Error><Code>ExpiredToken</Code><Message>{MESSAGE}</Message></Error>"
    if service == "ec2":
        return f"<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>".encode()
    return (error if service in ("s3", "route53") else f"<ErrorResponse>{error}</ErrorResponse>").encode()


class ExpiringProxy(FaultProxy):
    """A proxy that refuses each call because of expired credentials, from the first call of one operation on."""

    def __init__(self, upstream: str, since: str) -> None:
        super().__init__(upstream)
        self.since, self.refused = since, 0

    def take(self, call: str, body: bytes = b"") -> Interception | None:
        """Returns an interception that refuses the call once the credentials have expired."""
        if not self.refused and call != self.since:
            return None
        self.refused += 1
        return Interception(call, "refuse", (400, expired(call)))


def test_expired_run_ends_and_the_next_one_finishes(workspace: TestWorkspace) -> None:
    with ExpiringProxy(workspace.url, "ecs:CreateService") as proxy:
        result = workspace.run("deploy", "staging", "--yes", url=proxy.url).expect_exit(1)
        assert proxy.refused < 30, "expired credentials are not retried"
    assert "Deploy of staging failed" in result.err and ": ecs:CreateService: ExpiredTokenException" in result.err, (
        result
    )
    error, hint = result.err.rstrip().splitlines()[-2:]
    assert error.startswith("error[PB0201]: record the result: s3:PutObject: ExpiredToken"), result
    assert "sign in again" in hint and "run the same command again" in hint, result
    workspace.run("deploy", "staging", "--yes", "--lock-timeout", "60s").expect_exit()
    workspace.assert_no_changes()
    workspace.destroy()
