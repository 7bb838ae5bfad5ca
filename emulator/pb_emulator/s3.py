"""Rules of S3: owner and region of a bucket, TLS in its policy; also stores that ignore conditional writes."""

from __future__ import annotations

import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import S3Response

from .patching import wrap
from .wire import CREDENTIAL

DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
DENIED_BY_POLICY = (
    "<Error><Code>AccessDenied</Code><Message>User is not authorized to perform: s3:PutObject with an explicit deny in "
    "a resource-based policy</Message></Error>"
)
#: Region of the global endpoint, which forwards a request to the bucket's region. The signature is not valid there.
DEFAULT_ENDPOINT_REGION = "us-east-1"
#: Regions launched after 20 March 2019: another region answers a request for a bucket in one of them with 400 instead
#: of a redirect. (Amazon S3 User Guide: Making requests over IPv4 and IPv6, Request redirection)
REGIONS_WITHOUT_REDIRECT = {
    "af-south-1", "ap-east-1", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7",
    "ca-west-1", "eu-central-2", "eu-south-1", "eu-south-2", "il-central-1", "me-central-1", "me-south-1", "mx-central-1",
}  # fmt: skip
#: Condition keys of bucket policies, and the headers of an upload that they refer to. (Amazon S3 user guide: Bucket
#: policy examples using condition keys)
ENCRYPTION_HEADERS = {
    "s3:x-amz-server-side-encryption": "x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id": "x-amz-server-side-encryption-aws-kms-key-id",
}
#: Buckets that behave like a store that is not Amazon's: it ignores If-Match and If-None-Match of writes, and strict
#: parsers reject its response about versioning.
_ignoring_conditions: set[str] = set()


def set_conditions_ignored(bucket: str, without: bool) -> None:
    """Makes the store of a bucket ignore conditions, or respect them again. The bucket need not exist yet."""
    _ignoring_conditions.add(bucket) if without else _ignoring_conditions.discard(bucket)


def reset() -> None:
    """Makes all stores respect conditions again."""
    _ignoring_conditions.clear()


def region_of(bucket: str) -> str | None:
    """Returns the region of a bucket, if it exists."""
    owner = s3_backends.bucket_accounts.get(bucket)
    found = s3_backends[owner[1]][owner[0]].buckets.get(bucket) if owner else None
    return str(found.region_name) if found else None


def wrong_region_response(request: Any, bucket: str, about_bucket: bool) -> tuple[int, dict[str, str], str] | None:
    """Returns S3's response to a request that was signed for a region other than the bucket's; None for all other
    requests.

    GetBucketLocation works in every region, and bucket names are global.
    """
    signed, region = CREDENTIAL.search(request.headers.get("Authorization", "")), region_of(bucket)
    if not signed or not region or signed.group(2) == region:
        return None
    query = set(request.args)
    if about_bucket and (request.method, query) == ("PUT", set()) or (request.method, query) == ("GET", {"location"}):
        return None
    asked, headers = signed.group(2), {"x-amz-bucket-region": region}
    if region in REGIONS_WITHOUT_REDIRECT:
        code = "IllegalLocationConstraintException"
        message = f"The {region} location constraint is incompatible for the region specific endpoint this request was sent to."
        status, more = 400, ""
    elif asked == DEFAULT_ENDPOINT_REGION:
        code, message = "AuthorizationHeaderMalformed", f"the region '{asked}' is wrong; expecting '{region}'"
        status, more = 400, f"<Region>{region}</Region>"
    else:
        code = "PermanentRedirect"
        message = "The bucket you are attempting to access must be addressed using the specified endpoint."
        status, more = 301, f"<Endpoint>s3.{region}.amazonaws.com</Endpoint><Bucket>{bucket}</Bucket>"
    if request.method == "HEAD":
        return status, headers, ""
    if region in REGIONS_WITHOUT_REDIRECT:
        headers = {}
    return status, headers, f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"


def list_of(value: Any) -> list[Any]:
    """Returns a value of a policy that can be a single item or a list, as a list."""
    return value if isinstance(value, list) else [value]


def denied_encryption(statement: dict[str, Any]) -> bool:
    """Returns whether a policy statement denies uploads because of their encryption headers."""
    keys = {key.lower() for condition in statement.get("Condition", {}).values() for key in condition}
    return statement.get("Effect") == "Deny" and bool(keys) and keys <= set(ENCRYPTION_HEADERS)


def is_upload_denied(policy: str | bytes | None, headers: dict[str, str]) -> bool:
    """Returns whether the policy of a bucket denies an upload with these headers because of its encryption.

    All conditions of a statement must be met for it to apply. (IAM user guide: IAM JSON policy elements: Condition
    operators)
    """
    sent = {name.lower(): value for name, value in headers.items()}
    for statement in list_of(json.loads(policy).get("Statement", [])) if policy else []:
        if not denied_encryption(statement):
            continue
        met = []
        for operator, condition in statement["Condition"].items():
            for key, values in condition.items():
                value, expected = sent.get(ENCRYPTION_HEADERS[key.lower()]), [str(item) for item in list_of(values)]
                if operator == "Null":
                    met.append((value is None) == (expected[0].lower() == "true"))
                elif operator == "StringNotEquals":
                    met.append(value not in expected)
                elif operator == "StringNotEqualsIfExists":
                    met.append(value is None or value not in expected)
                else:
                    raise NotImplementedError(f"condition operator {operator}")
        if all(met):
            return True
    return False


def denies_plain_http(statement: dict[str, Any]) -> bool:
    """Returns whether a policy statement denies requests without TLS."""
    secure = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    return statement.get("Effect") == "Deny" and secure in ("false", ["false"], False)


def install_rules() -> None:
    """Checks owner, region and required encryption of a bucket, gives responses the root element of S3, and treats
    requests to this endpoint as requests with TLS.
    """

    @wrap(S3Response)
    def _bucket_response(original: Any, self: Any, request: Any, full_url: str) -> Any:
        name = self.parse_bucket_name_from_url(request, full_url)
        expected = request.headers.get("x-amz-expected-bucket-owner")
        owner = s3_backends.bucket_accounts.get(name)
        if expected and owner and expected not in owner:
            return 403, {}, "" if request.method == "HEAD" else DENIED
        return wrong_region_response(request, name, True) or original(self, request, full_url)

    @wrap(S3Response)
    def _key_response(original: Any, self: Any, request: Any, full_url: str) -> Any:
        bucket = self.parse_bucket_name_from_url(request, full_url)
        return wrong_region_response(request, bucket, False) or original(self, request, full_url)

    @wrap(S3Response)
    def put_object(original: Any, self: Any) -> Any:
        if self.bucket_name in _ignoring_conditions:
            conditions = ("if-match", "if-none-match")
            self.headers = {name: value for name, value in self.headers.items() if name.lower() not in conditions}
        bucket = self.backend.head_bucket(self.bucket_name)
        if is_upload_denied(bucket.policy, self.headers):
            return 403, {}, DENIED_BY_POLICY
        return original(self)

    @wrap(S3Response)
    def get_bucket_versioning(original: Any, self: Any) -> Any:
        # Strict parsers require S3's name of the root element, which differs from moto's.
        status, headers, body = original(self)
        if self.bucket_name in _ignoring_conditions:
            return status, headers, body
        return status, headers, body.replace("GetBucketVersioningResponse", "VersioningConfiguration")

    @wrap(FakeBucket)
    def get_permission(original: Any, self: Any, action: str, resource: str) -> Any:
        policy = json.loads(self.policy) if self.policy else {}
        statements = list_of(policy.get("Statement", []))
        kept = [
            statement for statement in statements if not (denies_plain_http(statement) or denied_encryption(statement))
        ]
        if len(kept) == len(statements):
            return original(self, action, resource)
        if not kept:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps({**policy, "Statement": kept})).is_action_permitted(action, resource)
