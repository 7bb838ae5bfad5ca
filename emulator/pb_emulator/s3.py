"""Rules of S3: whose a bucket is, and what its policy says about TLS."""

from __future__ import annotations

import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import S3Response

from .patching import wrap

DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def about_plain_http(statement: dict[str, Any]) -> bool:
    """Whether a statement denies what comes without TLS."""
    secure = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    return statement.get("Effect") == "Deny" and secure in ("false", ["false"], False)


def install_rules() -> None:
    """An expected owner is checked; an answer has the root that S3 gives it; this endpoint counts as one with TLS."""

    @wrap(S3Response)
    def _bucket_response(original: Any, self: Any, request: Any, full_url: str) -> Any:
        name = self.parse_bucket_name_from_url(request, full_url)
        expected = request.headers.get("x-amz-expected-bucket-owner")
        owner = s3_backends.bucket_accounts.get(name)
        if expected and owner and expected not in owner:
            return 403, {}, "" if request.method == "HEAD" else DENIED
        return original(self, request, full_url)

    @wrap(S3Response)
    def get_bucket_versioning(original: Any, self: Any) -> Any:
        # The root has a name of its own, which strict readers look for.
        status, headers, body = original(self)
        return status, headers, body.replace("GetBucketVersioningResponse", "VersioningConfiguration")

    @wrap(FakeBucket)
    def get_permission(original: Any, self: Any, action: str, resource: str) -> Any:
        policy = json.loads(self.policy) if self.policy else {}
        statements = policy.get("Statement", [])
        statements = statements if isinstance(statements, list) else [statements]
        kept = [statement for statement in statements if not about_plain_http(statement)]
        if len(kept) == len(statements):
            return original(self, action, resource)
        if not kept:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps({**policy, "Statement": kept})).is_action_permitted(action, resource)
