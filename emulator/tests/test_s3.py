"""Regions of buckets, encryption that a bucket policy requires, and stores that ignore conditions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import Aws, control


def bucket_of(aws: Aws, region: str) -> str:
    """Creates a bucket in a region."""
    name = f"at-{region}-{aws.account}"
    there = Aws(aws.url, aws.account, region)
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    there.s3.create_bucket(Bucket=name, **place)
    there.s3.put_object(Bucket=name, Key="k", Body=b"1")
    return name


def refused(call: Any, **parameters: Any) -> tuple[int, str, str]:
    """Returns status, error code and bucket region of a refused call."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    named_region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", "")
    return int(answer["ResponseMetadata"]["HTTPStatusCode"]), str(answer["Error"]["Code"]), named_region


@pytest.mark.parametrize(
    ("region", "asked", "status", "code", "named_region"),
    [
        ("us-east-2", "eu-west-1", 301, "PermanentRedirect", "us-east-2"),
        ("us-east-1", "us-east-2", 301, "PermanentRedirect", "us-east-1"),
        ("us-east-2", "us-east-1", 400, "AuthorizationHeaderMalformed", "us-east-2"),
        ("ap-east-1", "us-east-2", 400, "IllegalLocationConstraintException", ""),
    ],
)
def test_request_in_wrong_region_names_bucket_region(
    aws: Aws, region: str, asked: str, status: int, code: str, named_region: str
) -> None:
    name, s3 = bucket_of(aws, region), Aws(aws.url, aws.account, asked).s3
    # Without this, boto3 would follow the redirect.
    s3.meta.events.register("before-call.s3", lambda params, **_: params["context"]["s3_redirect"].update(redirected=True))
    for call, more in (
        (s3.get_object, {"Key": "k"}), (s3.put_object, {"Key": "k"}), (s3.delete_object, {"Key": "k"}),
        (s3.list_object_versions, {}), (s3.get_bucket_versioning, {}), (s3.delete_bucket, {}),
    ):  # fmt: skip
        assert refused(call, Bucket=name, **more) == (status, code, named_region)
    assert refused(s3.head_bucket, Bucket=name) == (status, str(status), region)
    assert (s3.get_bucket_location(Bucket=name)["LocationConstraint"] or "us-east-1") == region
    assert name in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    place = {} if asked == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": asked}}
    assert refused(s3.create_bucket, Bucket=name, **place)[:2] == (409, "BucketAlreadyOwnedByYou")
    assert Aws(aws.url, aws.account, region).s3.get_object(Bucket=name, Key="k")["Body"].read() == b"1"


def test_if_match_on_missing_object_is_refused(aws: Aws) -> None:
    name = bucket_of(aws, "us-east-2")
    absent = {"Bucket": name, "Key": "absent", "Body": b"1", "IfMatch": '"' + "0" * 32 + '"'}
    assert aws.code(aws.s3.put_object, **absent) == "NoSuchKey"
    assert aws.code(aws.s3.put_object, **{**absent, "Key": "k"}) == "PreconditionFailed"


def test_store_ignoring_conditions_accepts_every_write(aws: Aws) -> None:
    name = bucket_of(aws, "us-east-2")
    control(aws.url, "POST", "s3", {"bucket": name, "without_conditions": True})
    aws.s3.put_object(Bucket=name, Key="k", Body=b"2", IfNoneMatch="*")
    aws.s3.put_object(Bucket=name, Key="other", Body=b"2", IfMatch='"' + "0" * 32 + '"')
    assert aws.s3.get_object(Bucket=name, Key="k")["Body"].read() == b"2"
    control(aws.url, "POST", "s3", {"bucket": name, "without_conditions": False})
    assert aws.code(aws.s3.put_object, Bucket=name, Key="k", Body=b"3", IfNoneMatch="*") == "PreconditionFailed"


def test_policy_that_requires_kms_refuses_other_uploads(aws: Aws) -> None:
    name = bucket_of(aws, "us-east-2")
    key = "arn:aws:kms:us-east-2:123456789012:alias/states"
    header = "s3:x-amz-server-side-encryption"
    conditions = [
        {"StringNotEquals": {header: "aws:kms"}},
        {"StringNotEqualsIfExists": {f"{header}-aws-kms-key-id": key}},
    ]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{name}/*"}
    statements = [{**deny, "Condition": condition} for condition in conditions]
    aws.s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    for encryption in (
        {}, {"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/other"},
    ):  # fmt: skip
        assert refused(aws.s3.put_object, Bucket=name, Key="k", **encryption)[:2] == (403, "AccessDenied")
    aws.s3.put_object(Bucket=name, Key="k", Body=b"2", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert aws.s3.get_object(Bucket=name, Key="k")["Body"].read() == b"2"


def test_policy_that_requires_an_encryption_header(aws: Aws) -> None:
    name = bucket_of(aws, "us-east-2")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{name}/*"}
    statement = {**deny, "Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}}}
    aws.s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    assert refused(aws.s3.put_object, Bucket=name, Key="k")[:2] == (403, "AccessDenied")
    aws.s3.put_object(Bucket=name, Key="k", ServerSideEncryption="AES256")
