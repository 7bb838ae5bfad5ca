"""Terraform is kept out while its resources are taken over, by both of its locks; and keeps `adopt` out by either."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import Any

import pytest
from gate import Gate
from harness import Site, until

KEY = "terraform.tfstate"
#: The one resource that Terraform manages here.
ADDRESS = "aws_cloudwatch_log_group.workers"
BACKEND = """
terraform {
  backend "s3" {
    key                         = "terraform.tfstate"
    region                      = "us-east-2"
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
  }
}
"""


def why_no_terraform() -> str | None:
    """Why Terraform cannot be run here, if so. It needs no provider for what it does here."""
    if os.environ.get("PB_TEST_TERRAFORM") == "0":
        return "PB_TEST_TERRAFORM=0"
    return None if shutil.which("terraform") else "terraform is not installed"


needs_terraform = pytest.mark.skipif(why_no_terraform() is not None, reason=str(why_no_terraform()))


def terraform(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Terraform in the folder of a site."""
    environment = site.environment({"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "AWS_REGION": "us-east-2"})
    return subprocess.run(
        ["terraform", *arguments], cwd=site.folder / "tf", env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def initialised(site: Site, *backend: str) -> None:
    """Have Terraform's backend set up, before there is a state that would ask for a provider."""
    (site.folder / "tf").mkdir()
    (site.folder / "tf" / "main.tf").write_text(BACKEND, encoding="utf-8")
    settings = [f"-backend-config={setting}" for setting in (f"bucket={site.config['state']['bucket']}", *backend)]
    done = terraform(site, "init", "-input=false", *settings)
    assert done.returncode == 0, done.stdout + done.stderr


def managed(site: Site) -> list[str]:
    """A log group that Terraform manages, with its state; gives the command that takes it over."""
    name = "staging-pb_workers"
    site.aws.logs.create_log_group(logGroupName=name)
    provider = 'provider["registry.terraform.io/hashicorp/aws"]'
    instance = {"schema_version": 0, "attributes": {"id": name, "name": name}, "sensitive_attributes": []}
    resource = {"mode": "managed", "type": "aws_cloudwatch_log_group", "name": "workers", "provider": provider,
                "instances": [instance]}  # fmt: skip
    state = {"version": 4, "terraform_version": "1.11.4", "serial": 3, "lineage": "9f", "outputs": {},
             "resources": [resource]}  # fmt: skip
    bucket = site.config["state"]["bucket"]
    site.aws.s3.put_object(Bucket=bucket, Key=KEY, Body=json.dumps(state).encode())
    return ["adopt", "staging", "--from-terraform", f"s3://{bucket}/{KEY}", "--yes"]


def lock_file(site: Site) -> dict[str, Any] | None:
    """What Terraform's lock file says, if it is there."""
    try:
        answer = site.aws.s3.get_object(Bucket=site.config["state"]["bucket"], Key=f"{KEY}.tflock")
    except site.aws.s3.exceptions.NoSuchKey:
        return None
    return dict(json.loads(answer["Body"].read()))


def lock_item(site: Site) -> dict[str, Any] | None:
    """What Terraform's item in the lock table says, if it is there."""
    key = {"LockID": {"S": f"{site.config['state']['bucket']}/{KEY}"}}
    item = site.aws.dynamodb.get_item(TableName=site.config["state"]["lock_table"], Key=key).get("Item")
    return dict(json.loads(item["Info"]["S"])) if item else None


def tags(site: Site) -> dict[str, str]:
    """The tags of the log group."""
    (group,) = site.aws.logs.describe_log_groups(logGroupNamePrefix="staging-pb_workers")["logGroups"]
    arn = str(group["arn"]).removesuffix(":*")
    return dict(site.aws.logs.list_tags_for_resource(resourceArn=arn)["tags"])


def free(site: Site) -> bool:
    """Whether neither lock is there."""
    return lock_file(site) is None and lock_item(site) is None


def test_adopt_holds_both_locks_and_releases_them(site: Site) -> None:
    adopt = managed(site)
    with Gate(site.url) as gate:
        held = gate.hold_before("logs:TagResource")
        running = site.start(*adopt, url=gate.url)
        held.wait()
        file, item = lock_file(site), lock_item(site)
        gate.open_all()
        running.result().ended()
    assert file == item and file is not None, "one lock in both places, so that one `force-unlock` removes both"
    assert set(file) == {"ID", "Operation", "Info", "Who", "Version", "Created", "Path"}
    assert file["Path"] == f"{site.config['state']['bucket']}/{KEY}"
    assert file["Operation"] == "pb-deploy adopt pb-deploy/staging" and file["Who"]
    assert free(site)


@pytest.mark.parametrize("how", ["interrupted", "refused", "killed"])
def test_both_locks_are_gone_however_adopt_ends(site: Site, how: str) -> None:
    adopt = managed(site)
    with Gate(site.url) as gate:
        held = gate.hold_before("logs:TagResource")
        running = site.start(*adopt, url=gate.url)
        held.wait()
        assert lock_file(site) and lock_item(site)
        if how == "killed":
            running.kill()
            assert lock_file(site) and lock_item(site), "nobody could release them"
            gate.open_all()
            # The next run of ours knows the lock by its operation; our own lease says that no other is at work.
            until(lambda: site.run(*adopt, "--lock-timeout", "60").code == 0, 60)
            return None if free(site) else pytest.fail("a lock is left over")
        if how == "interrupted":
            running.interrupt(signal.SIGINT)
        else:
            gate.refuse("logs:TagResource", 400, b'{"__type": "AccessDeniedException", "message": "no"}')
        gate.open_all()
        result = running.result()
    assert result.code in (0, 1, 130), result
    assert free(site), result


def test_held_lock_of_either_kind_is_exit_3_with_the_holder(site: Site) -> None:
    adopt = managed(site)
    bucket, table = site.config["state"]["bucket"], site.config["state"]["lock_table"]
    info = {"ID": "7f0e", "Operation": "OperationTypeApply", "Info": "", "Who": "ana@build", "Version": "1.11.4",
            "Created": "2026-11-22T10:00:00Z", "Path": f"{bucket}/{KEY}"}  # fmt: skip
    text = json.dumps(info)
    site.aws.s3.put_object(Bucket=bucket, Key=f"{KEY}.tflock", Body=text.encode())
    by_file = site.run(*adopt).ended(3)
    assert lock_file(site) == info and lock_item(site) is None, "it is left as it is, and nothing is left of ours"
    site.aws.s3.delete_object(Bucket=bucket, Key=f"{KEY}.tflock")
    item = {"LockID": {"S": f"{bucket}/{KEY}"}, "Info": {"S": text}}
    site.aws.dynamodb.put_item(TableName=table, Item=item)
    by_item = site.run(*adopt).ended(3)
    assert lock_item(site) == info and lock_file(site) is None
    for result, place in ((by_file, f"s3://{bucket}/{KEY}.tflock"), (by_item, f"{bucket}/{KEY} in the table {table}")):
        assert f"{place} is held by ana@build (OperationTypeApply, since 2026-11-22T10:00:00Z), id 7f0e" in result.err
        assert "terraform force-unlock 7f0e" in result.err
    assert tags(site) == {}


@needs_terraform
@pytest.mark.parametrize("backend", ["use_lockfile=true", "dynamodb_table"])
def test_terraform_is_refused_while_adopt_runs(site: Site, backend: str) -> None:
    initialised(site, backend if "=" in backend else f"{backend}={site.config['state']['lock_table']}")
    adopt = managed(site)
    with Gate(site.url) as gate:
        held = gate.hold_before("logs:TagResource")
        running = site.start(*adopt, url=gate.url)
        held.wait()
        refused = terraform(site, "state", "rm", ADDRESS)
        assert refused.returncode == 1 and "Error acquiring the state lock" in refused.stderr, refused
        assert "pb-deploy adopt pb-deploy/staging" in refused.stderr
        gate.open_all()
        said = running.result().ended().err
    (command,) = [line for line in said.splitlines() if line.startswith("terraform state rm ")]
    done = terraform(site, *command.split()[1:])
    assert done.returncode == 0, f"what `adopt` says is to be run can be run: {done.stderr}"
    assert terraform(site, "state", "list").stdout == ""


@needs_terraform
def test_adopt_is_refused_while_terraform_runs(site: Site) -> None:
    initialised(site, "use_lockfile=true")
    adopt = managed(site)
    with Gate(site.url) as gate:
        # The first object that Terraform writes is its lock file.
        held = gate.hold_after("s3:PutObject")
        environment = site.environment(
            {"AWS_ENDPOINT_URL": gate.url, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "AWS_REGION": "us-east-2"}
        )
        process = subprocess.Popen(
            ["terraform", "state", "rm", ADDRESS], cwd=site.folder / "tf", env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            held.wait(60)
            assert lock_file(site)
            refused = site.run(*adopt).ended(3)
            assert f"s3://{site.config['state']['bucket']}/{KEY}.tflock is held by " in refused.err
            assert "terraform force-unlock " in refused.err
        finally:
            gate.open_all()
            process.wait(60)
    assert tags(site) == {}
