"""What keeps a run from the wrong state: a lock table that lost its fence, a store without conditions, another place.

A guard holds however often the same command is tried.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from endpoint import Aws, control
from harness import Result, Site

OTHER_REGION = "eu-west-1"


def item_of(site: Site) -> dict[str, Any]:
    """The item of staging's lock, as it is in the table."""
    config = site.config["state"]
    key = {"LockID": {"S": f"pb-deploy:{config['bucket']}/{site.state_key()}"}}
    answer = site.aws.dynamodb.get_item(TableName=config["lock_table"], Key=key, ConsistentRead=True)
    return dict(answer.get("Item", {}))


def lose_fence(site: Site, left: int | None) -> None:
    """The item is gone, as after the table was created again; or it is back at an older fence."""
    table, item = site.config["state"]["lock_table"], item_of(site)
    if left is None:
        site.aws.dynamodb.delete_item(TableName=table, Key={"LockID": item["LockID"]})
    else:
        site.aws.dynamodb.put_item(TableName=table, Item={"LockID": item["LockID"], "fence": {"N": str(left)}})


def deployed(site: Site) -> dict[str, Any]:
    """The snapshot of staging, deployed with a fence that no few tries come to."""
    site.deploy()
    config, item = site.config["state"], item_of(site)
    item["fence"] = {"N": "30"}
    site.aws.dynamodb.put_item(TableName=config["lock_table"], Item=item)
    site.run("state", "rm", "staging", "fargate/celery", "--yes").ended()
    site.deploy()
    return dict(site.state_object()["snapshot"])


def is_refused(result: Result, fence: int) -> None:
    """It says what is wrong and what to do."""
    result.ended(1)
    assert f"written under fence {fence}" in result.err, result
    assert "state.lock_table" in result.err and "pb-deploy state restore" in result.err, result


@pytest.mark.parametrize("left", [None, 20])
def test_fence_that_was_lost_is_refused_fifty_times(site: Site, left: int | None) -> None:
    fence = deployed(site)["fence"]
    assert fence > 30
    lose_fence(site, left)
    before, since = item_of(site), site.mark()
    commands = (
        ("restart", "staging", "celery", "--yes"),
        ("scale", "staging", "celery=2", "--yes"),
        ("state", "rm", "staging", "fargate/celery", "--yes"),
        ("state", "restore", "staging", "no-such-version", "--yes"),
        ("forget", "staging", "fargate/logs", "--yes"),
    )
    for number in range(50):
        command = commands[number % len(commands)]
        result = site.run(*command)
        if "restore" in command:
            assert "has no version no-such-version" in result.ended(1).err
        else:
            is_refused(result, fence)
        assert item_of(site) == before, f"try {number + 1}, {command[0]}: a refusal changed the item"
    assert site.writes(since) == [] and site.state_object()["snapshot"]["fence"] == fence
    table, err = site.config["state"]["lock_table"], site.run("restart", "staging", "--yes").ended(1).err
    assert f"the lock table {table} has come to {left or 0} only" in err

    newest = site.run("state", "versions", "staging", "--json").ended().json()[0]["id"]
    site.run("state", "restore", "staging", newest, "--yes").ended()
    assert int(item_of(site)["fence"]["N"]) == site.state_object()["snapshot"]["fence"] > fence
    site.run("restart", "staging", "celery", "--yes").ended()
    site.finds_nothing()


def test_restore_that_cannot_write_opens_no_way_round_the_fence(site: Site, gate: Any) -> None:
    fence = deployed(site)["fence"]
    lose_fence(site, None)
    newest = site.run("state", "versions", "staging", "--json").ended().json()[0]["id"]
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    gate.refuse("s3:PutObject", 403, denied, times=1000)
    for _ in range(3):
        site.run("state", "restore", "staging", newest, "--yes", url=gate.url).ended(1)
        assert item_of(site).get("fence") == {"N": "0"}, "the table was brought up to a snapshot that was not written"
    is_refused(site.run("restart", "staging", "celery", "--yes"), fence)


@pytest.fixture
def bare(url: str, tmp_path: Path) -> Iterator[Site]:
    """An account with nothing in it."""
    site = Site(url, str(SystemRandom().randrange(10**11, 10**12)), tmp_path)
    yield site
    site.end()


def ignore_conditions(site: Site) -> str:
    """Make the store of the state one that ignores conditions; gives what is to be said about it."""
    bucket = site.config["state"]["bucket"]
    control(site.url, "s3", {"bucket": bucket, "without_conditions": True})
    return f"the store of bucket {bucket} ignores the conditions of writes"


def objects(site: Site) -> list[str]:
    """The keys in the bucket, with those of versions and delete markers."""
    found = site.aws.s3.list_object_versions(Bucket=site.config["state"]["bucket"])
    return [entry["Key"] for kind in ("Versions", "DeleteMarkers") for entry in found.get(kind, [])]


@pytest.mark.needs("s3-stand-in")
def test_store_without_conditions_is_refused_by_deploy(site: Site) -> None:
    words = ignore_conditions(site)
    since = site.mark()
    for _ in range(2):
        result = site.deploy(code=1)
        assert words in result.err and "two people could overwrite each other's state" in result.err, result
        assert "AWS_ENDPOINT_URL_S3" in result.err, result
    assert set(site.writes(since)) <= {"s3:DeleteObject"} and site.world.remains() == {}
    assert objects(site) == [] and "holder" not in item_of(site)


@pytest.mark.needs("s3-stand-in")
def test_store_without_conditions_is_refused_by_bootstrap(bare: Site) -> None:
    words = ignore_conditions(bare)
    result = bare.run("bootstrap", "staging", "--zone", "--yes").ended(1)
    assert "Bootstrapped staging" in result.err and words in result.err, "seen as soon as there is a bucket"
    since = bare.mark()
    assert words in bare.run("bootstrap", "production", "--zone", "--yes").ended(1).err
    assert [call for call in bare.writes(since) if call != "s3:DeleteObject"] == [], "nothing is made for it"
    assert objects(bare) == []


@pytest.mark.needs("s3-stand-in", "quotas")
def test_store_without_conditions_is_the_first_thing_doctor_says(site: Site) -> None:
    words = ignore_conditions(site)
    document = site.run("doctor", "staging", "--json").ended(1).json()
    names = [check["name"] for check in document["checks"]]
    assert names[:2] == ["account", "conditional writes"], names
    check = document["checks"][1]
    assert check["verdict"] == "bad" and words in check["found"] and "If-Match" in check["hint"], check
    assert objects(site) == []


def test_store_that_obeys_conditions_keeps_nothing_of_a_probe(site: Site) -> None:
    for command in (("bootstrap", "staging", "--yes"), ("doctor", "staging")):
        site.run(*command)
        assert objects(site) == [], command
    document = site.run("doctor", "staging", "--json").json()
    (check,) = [check for check in document["checks"] if check["name"] == "conditional writes"]
    assert check["verdict"] == "good", check
    site.deploy()
    keys = objects(site)
    assert set(keys) == {site.state_key()}
    assert len(site.run("state", "versions", "staging", "--json").ended().json()) == len(keys)


def test_account_and_region_are_recorded_and_shown(staging: Site) -> None:
    snapshot = staging.state_object()["snapshot"]
    assert (snapshot["account"], snapshot["region"]) == (staging.account, staging.config["region"])
    assert f"account {staging.account}  region {staging.config['region']}" in staging.run("state", "show", "staging").out
    assert json.loads(staging.run("state", "pull", "staging").out)["snapshot"]["account"] == staging.account
    staging.settle()


def without_home(site: Site) -> None:
    """Put the state back to how a version stored it that did not record account and region."""
    document = site.state_object()
    for field in ("account", "region"):
        document["snapshot"].pop(field, None)
    store(site, document, site.config["state"]["bucket"], site.aws)


def store(site: Site, document: dict[str, Any], bucket: str, aws: Aws) -> None:
    """Store a snapshot as the tool does, with its checksum."""
    zeros = "0" * 64
    text = json.dumps({**document, "checksum": zeros}, indent=2, ensure_ascii=False) + "\n"
    checksum = hashlib.sha256(text.encode()).hexdigest()
    body = text.replace(zeros, checksum, 1).encode()
    aws.s3.put_object(Bucket=bucket, Key=site.state_key(), Body=body)


def test_state_without_account_and_region_loads_and_gets_them(site: Site) -> None:
    site.deploy()
    without_home(site)
    assert "account not recorded yet  region not recorded yet" in site.run("state", "show", "staging").ended().out
    site.finds_nothing()
    assert "account" not in site.state_object()["snapshot"], "nothing is written for that alone"
    site.run("restart", "staging", "celery", "--yes").ended()
    snapshot = site.state_object()["snapshot"]
    assert (snapshot["account"], snapshot["region"]) == (site.account, site.config["region"])


#: Every command that plans, changes or judges what is there.
COMMANDS = (
    ("plan", "staging"), ("plan", "staging", "--destroy"), ("deploy", "staging", "--yes"),
    ("destroy", "staging", "--yes"), ("drift", "staging"), ("status", "staging"), ("restart", "staging", "--yes"),
    ("scale", "staging", "celery=2", "--yes"), ("rollback", "staging", "--yes"), ("history", "staging"),
    ("wait", "staging"), ("logs", "staging"), ("tasks", "staging"), ("run", "staging", "--", "true"),
    ("forget", "staging", "fargate/logs", "--yes"), ("adopt", "staging", "fargate/logs=x", "--yes"),
    ("state", "mv", "staging", "fargate/celery", "fargate/flask", "--yes"),
    ("state", "rm", "staging", "net/vpc", "--yes"), ("state", "push", "staging", "pulled.json", "--yes", "--force"),
    ("deploy", "staging", "--refresh-only", "--yes"),
)  # fmt: skip


def refuses(site: Site, words: str, hint: str, env: dict[str, str | None] | None = None) -> None:
    """Every command is refused with these words, and changes nothing."""
    since = site.mark()
    for command in COMMANDS:
        result = site.run(*command, env=env)
        assert result.code == 1 and words in result.err and hint in result.err, f"{command}: {result}"
    checks = site.run("doctor", "staging", "--json", env=env).ended(1).json()["checks"]
    assert [check for check in checks if words in check["found"] and check["verdict"] == "bad"], checks
    assert set(site.writes(since)) <= {"iam:SimulatePrincipalPolicy"}, "which asks and changes nothing"


@pytest.mark.needs("s3-regions")
def test_state_of_another_region_is_refused_with_both_names(site: Site) -> None:
    site.deploy()
    region, account = site.config["region"], site.account
    (site.folder / "pulled.json").write_text(site.run("state", "pull", "staging").ended().out, encoding="utf-8")
    elsewhere = Aws(site.url, account, OTHER_REGION)
    config = {**site.config["state"], "bucket": f"elsewhere-{account}"}
    place = {"LocationConstraint": OTHER_REGION}
    elsewhere.s3.create_bucket(Bucket=config["bucket"], CreateBucketConfiguration=place)
    elsewhere.s3.put_bucket_versioning(Bucket=config["bucket"], VersioningConfiguration={"Status": "Enabled"})
    elsewhere.dynamodb.create_table(
        TableName=config["lock_table"],
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    site.configure({"region": OTHER_REGION})
    result = site.run("plan", "staging").ended(1)
    assert f"is in region {region}, not in the configured one" in result.err, "the bucket is where it was"
    checks = site.run("doctor", "staging", "--json").ended(1).json()["checks"]
    (check,) = [check for check in checks if check["name"] == "state/bucket"]
    assert f"the bucket is in {region}, and what is in it stays: correct `region`" in check["found"], check

    store(site, json.loads((site.folder / "pulled.json").read_text(encoding="utf-8")), config["bucket"], elsewhere)
    site.configure({"state": config})
    words = f"staging is deployed to account {account} in {region}, and this run is for account {account} in {OTHER_REGION}"
    refuses(site, words, "`region`")
    version = site.run("state", "versions", "staging", "--json").ended().json()[0]["id"]
    assert words in site.run("state", "restore", "staging", version, "--yes").ended(1).err


def test_state_of_another_account_is_refused_with_both_names(site: Site) -> None:
    site.deploy()
    (site.folder / "pulled.json").write_text(site.run("state", "pull", "staging").ended().out, encoding="utf-8")
    other = str(SystemRandom().randrange(10**11, 10**12))
    region = site.config["region"]
    words = f"staging is deployed to account {site.account} in {region}, and this run is for account {other} in {region}"
    refuses(site, words, "AWS_PROFILE", {"AWS_ACCESS_KEY_ID": other})
    site.finds_nothing()


def test_workspace_moves_to_another_account_after_a_destroy(site: Site) -> None:
    site.deploy()
    site.destroy()
    document = site.state_object()
    document["snapshot"]["account"] = "999999999999"
    store(site, document, site.config["state"]["bucket"], site.aws)
    site.deploy()
    assert site.state_object()["snapshot"]["account"] == site.account
