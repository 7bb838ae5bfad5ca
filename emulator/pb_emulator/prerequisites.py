"""Prerequisites of a first deploy: state bucket, lock table, hosted zone and task execution role."""

from __future__ import annotations

import json
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.elbv2.models import FakeTargetGroup, elbv2_backends
from moto.iam.models import iam_backends
from moto.route53.models import route53_backends
from moto.s3.models import s3_backends

from . import ecr_images, quotas
from .wire import DEFAULT_ACCOUNT, DEFAULT_REGION

EXECUTION_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def ensure(wanted: dict[str, Any]) -> dict[str, Any]:
    """Creates the requested prerequisites that do not exist yet; the README lists the keys."""
    known = {
        "bucket", "table", "zone", "role", "stand_in_images", "vcpus", "quotas", "target_groups", "region", "account",
    }  # fmt: skip
    if set(wanted) - known:
        raise ValueError(f"unknown prerequisites: {', '.join(sorted(set(wanted) - known))}")
    account, region = wanted.get("account") or DEFAULT_ACCOUNT, wanted.get("region") or DEFAULT_REGION
    made: dict[str, Any] = {"account": account, "region": region}
    if wanted.get("bucket"):
        made["bucket"] = ensure_bucket(account, region, wanted["bucket"])
    if wanted.get("table"):
        made["table"] = ensure_table(account, region, wanted["table"])
    if wanted.get("zone"):
        made["zone"] = ensure_zone(account, wanted["zone"])
    if wanted.get("role"):
        made["role"] = ensure_role(account, wanted["role"])
    if wanted.get("stand_in_images"):
        ecr_images.use_stand_ins(account, region)
        made["stand_in_images"] = True
    if wanted.get("vcpus"):
        quotas.apply(account, region, quotas.VCPUS[1], float(wanted["vcpus"]))
        made["vcpus"] = wanted["vcpus"]
    for code, value in wanted.get("quotas", {}).items():
        quotas.apply(account, region, code, float(value))
        made["quotas"] = wanted["quotas"]
    if wanted.get("target_groups"):
        made["target_groups"] = ensure_target_groups(account, region, int(wanted["target_groups"]))
    return made


def ensure_target_groups(account: str, region: str, count: int) -> int:
    """Creates `count` unused target groups, named `spare-0`, `spare-1` and so on."""
    elb = elbv2_backends[account][region]
    there = {group.name for group in elb.target_groups.values()}
    for number in range(count):
        name = f"spare-{number}"
        if name not in there:
            group = FakeTargetGroup(name, account, region, vpc_id="", protocol="HTTP", port="80", target_type="lambda")
            elb.target_groups[group.arn] = group
    return count


def ensure_bucket(account: str, region: str, name: str) -> str:
    """Creates a versioned bucket, unless this account has it."""
    s3 = s3_backends[account]["aws"]
    owner = s3_backends.bucket_accounts.get(name)
    if owner and owner[1] != account:
        raise ValueError(f"the bucket name {name} belongs to account {owner[1]}: bucket names are global")
    if name not in s3.buckets:
        s3.create_bucket(name, region)
        s3.put_bucket_versioning(name, "Enabled")
    return name


def ensure_table(account: str, region: str, name: str) -> str:
    """Creates a table with on-demand billing and the hash key that Terraform uses for locks."""
    dynamodb = dynamodb_backends[account][region]
    if name not in dynamodb.tables:
        dynamodb.create_table(
            name,
            schema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
            attr=[{"AttributeName": "LockID", "AttributeType": "S"}],
            billing_mode="PAY_PER_REQUEST",
            throughput=None,
            global_indexes=[],
            indexes=[],
            streams=None,
            sse_specification=None,
            tags=[],
            deletion_protection_enabled=False,
            warm_throughput=None,
        )
    return name


def ensure_zone(account: str, name: str) -> str:
    """Creates a public hosted zone, and returns its id."""
    route53, full = route53_backends[account]["aws"], name.rstrip(".").lower() + "."
    for zone in route53.zones.values():
        if zone.name == full and not zone.private_zone:
            return str(zone.id).rsplit("/", 1)[-1]
    made = route53.create_hosted_zone(full, private_zone=False, caller_reference=f"precondition-{full}")
    return str(made.id).rsplit("/", 1)[-1]


def ensure_role(account: str, name: str) -> str:
    """Creates a role that ECS tasks can assume and that has the task execution policy, and returns its ARN."""
    iam = iam_backends[account]["aws"]
    role = next((known for known in iam.roles.values() if known.name == name), None)
    if role is None:
        role = iam.create_role(
            role_name=name,
            assume_role_policy_document=json.dumps(TRUST),
            path="/",
            permissions_boundary=None,
            description="Task execution role",
            tags=[],
            max_session_duration="3600",
        )
    iam.attach_role_policy(EXECUTION_POLICY, name)
    return str(role.arn)
