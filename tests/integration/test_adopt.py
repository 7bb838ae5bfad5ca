"""Import of existing resources, by id or from a Terraform state: ownership tags are added and nothing else changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from endpoint import ROOT
from harness import TestWorkspace, until
from inventory import normalized

FORMAT_3 = ROOT / "crates" / "terraform" / "tests" / "fixtures" / "format-3.json"
#: Mutating calls that an import may make, apart from those for the state and the lease.
TAGGING = {"CreateTags", "AddTags", "AddTagsToResource", "TagResource"}
UNTAG_CALLS = {"DeleteTags", "RemoveTags", "RemoveTagsFromResource", "UntagResource", "RemoveTagsFromCertificate"}
LOCK_CALLS = {"dynamodb:PutItem", "dynamodb:DeleteItem", "s3:DeleteObject"}


def ids_by_address(workspace: TestWorkspace) -> dict[str, str]:
    """Returns the AWS id of each recorded resource by address, in the form that `adopt` accepts."""
    resources = workspace.state_object()["snapshot"]["resources"]

    def aws_id(record: dict[str, Any]) -> str:
        attrs, kind = record["attrs"], record["kind"]
        if kind == "route53.record":
            return f"{attrs['name']} {attrs['type']}"
        if kind == "ecs.service":
            return f"{attrs['cluster']}/{attrs['name']}"
        if kind == "ecs.task_definition":
            return str(attrs["arn"]).rsplit("/", maxsplit=1)[-1]
        if kind == "acm.validation":
            return f"{attrs['name']} CNAME"
        if kind == "elbv2.listener_certificate":
            return f"{attrs['certificate_arn']} of {attrs['listener_arn']}"
        if kind == "acm.certificate":
            return str(attrs["arn"])
        return str(attrs["id"] if "id" in attrs else attrs["arn"] if kind.startswith("elbv2") else attrs["name"])

    return {address: aws_id(record) for address, record in resources.items()}


def without_ownership_tags(contents: Any) -> str:
    """Returns the contents of an account in JSON, without ownership tags and fields that AWS changes by itself."""

    def strip_ownership_tags(value: Any) -> Any:
        if isinstance(value, list):
            others = [
                strip_ownership_tags(item) for item in value if not (isinstance(item, dict) and is_ownership_tag(item))
            ]
            return sorted(others, key=lambda item: json.dumps(item, sort_keys=True, default=str))
        if isinstance(value, dict):
            return {
                key: strip_ownership_tags(item) for key, item in value.items() if not str(key).startswith("pb-deploy:")
            }
        return value

    def is_ownership_tag(tag: dict[str, Any]) -> bool:
        return str(tag.get("Key", tag.get("key", ""))).startswith("pb-deploy:")

    stable = {kind: resources for kind, resources in normalized(contents).items() if kind != "interfaces"}
    return json.dumps(strip_ownership_tags(stable), sort_keys=True, default=str).replace('"Tags": [], ', "")


def forget_all(workspace: TestWorkspace) -> dict[str, str]:
    """Forgets all recorded resources and returns their ids by address."""
    ids = ids_by_address(workspace)
    since = workspace.mark()
    workspace.run("forget", "staging", *ids, "--yes").expect_exit()
    assert {call.split(":")[1] for call in workspace.writes(since)} <= UNTAG_CALLS
    assert workspace.state_object()["snapshot"]["resources"] == {}
    return ids


def state_file(workspace: TestWorkspace, ids: dict[str, str], fixture: Path = FORMAT_3) -> Path:
    """Writes a Terraform state that contains these resources and returns its path."""
    text = fixture.read_text(encoding="utf-8").replace("123456789012", workspace.account)
    for address, identity in ids.items():
        text = text.replace(f"@{address}@", identity)
    path = workspace.folder / "terraform.tfstate"
    path.write_text(text, encoding="utf-8")
    return path


def test_adopt_by_id_restores_forgotten_resources_unchanged(staging: TestWorkspace) -> None:
    before = without_ownership_tags(staging.inventory.everything())
    ids = forget_all(staging)
    assert without_ownership_tags(staging.inventory.everything()) == before
    assert "Nothing to destroy" in staging.destroy().err, "no resource is managed after `forget`"
    since = staging.mark()
    pairs = [f"{address}={identity}" for address, identity in ids.items()]
    result = staging.run("adopt", "staging", *pairs, "--yes").expect_exit()
    assert f"Adopted {len(ids)} resources" in result.err, result
    assert {call.split(":")[1] for call in staging.writes(since)} <= TAGGING
    assert without_ownership_tags(staging.inventory.everything()) == before
    assert ids_by_address(staging) == ids
    assert "already managed" in staging.run("adopt", "staging", *pairs, "--yes").expect_exit().err
    staging.assert_no_changes()


def test_adopt_from_terraform_format_3_includes_all_rules(workspace: TestWorkspace) -> None:
    workspace.deploy()
    ids = forget_all(workspace)
    path = state_file(workspace, ids)
    since = workspace.mark()
    shown = workspace.run("adopt", "staging", "--from-terraform", str(path), "--dry-run").expect_exit()
    assert workspace.mutations(since) == []
    assert "aws_s3_bucket.assets" in shown.err and "0 to replace, 0 to destroy" in shown.err, shown
    assert "a-secret-that-nobody-may-see" not in shown.text
    workspace.run("adopt", "staging", "--from-terraform", str(path), "--yes").expect_exit()
    assert "a-secret-that-nobody-may-see" not in json.dumps(workspace.state_object())
    # Terraform does not manage the default security group of the VPC.
    assert workspace.plan().changes == {"net/default_group": "create"}
    workspace.deploy()
    assert ids_by_address(workspace) == ids
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def lock_item(workspace: TestWorkspace, key: str, operation: str) -> dict[str, Any]:
    """Returns a lock item in the form in which Terraform stores it."""
    info = {"ID": "7f0e", "Operation": operation, "Info": "", "Who": "ana@build", "Version": "1.11.4",
            "Created": "2026-11-22T10:00:00Z", "Path": key}  # fmt: skip
    return {"LockID": {"S": f"{workspace.config['state']['bucket']}/{key}"}, "Info": {"S": json.dumps(info)}}


def test_adopt_respects_takes_and_releases_terraform_lock(workspace: TestWorkspace) -> None:
    workspace.deploy()
    ids = forget_all(workspace)
    table, bucket, key = (
        workspace.config["state"]["lock_table"],
        workspace.config["state"]["bucket"],
        "env:/staging/tf.tfstate",
    )
    body = state_file(workspace, ids).read_bytes()
    workspace.aws.s3.put_object(Bucket=bucket, Key=key, Body=body)
    adopt = ["adopt", "staging", "--from-terraform", f"s3://{bucket}/{key}", "--yes"]
    dynamodb = workspace.aws.dynamodb

    dynamodb.put_item(TableName=table, Item=lock_item(workspace, key, "OperationTypeApply"))
    since = workspace.mark()
    refused = workspace.run(*adopt).expect_exit(3)
    assert "ana@build" in refused.err and "terraform force-unlock 7f0e" in refused.err
    assert workspace.writes(since) == ["dynamodb:PutItem", "s3:DeleteObject"], (
        "locks were requested, and no resource was tagged"
    )

    # The Terraform lock is left over from a killed pb-deploy run: the free lease shows that no run is in progress.
    dynamodb.put_item(TableName=table, Item=lock_item(workspace, key, "pb-deploy adopt pb-deploy/staging"))
    digest = {"LockID": {"S": f"{bucket}/{key}-md5"}, "Digest": {"S": "0" * 32}}
    dynamodb.put_item(TableName=table, Item=digest)
    stale = workspace.run(*adopt).expect_exit(1)
    assert "Terraform stored the digest 0000" in stale.err
    assert workspace.state_object()["snapshot"]["resources"] == {}

    digest["Digest"]["S"] = hashlib.md5(body, usedforsecurity=False).hexdigest()
    dynamodb.put_item(TableName=table, Item=digest)
    workspace.aws.s3.put_object(Bucket=bucket, Key=f"{key}.tflock", Body=b"{}")
    assert "lock file" in workspace.run(*adopt).expect_exit(3).err
    workspace.aws.s3.delete_object(Bucket=bucket, Key=f"{key}.tflock")

    since = workspace.mark()
    workspace.run(*adopt).expect_exit()
    assert LOCK_CALLS <= set(workspace.writes(since))
    items = dynamodb.scan(TableName=table)["Items"]
    assert not [item for item in items if item["LockID"]["S"] == f"{bucket}/{key}"]
    assert workspace.aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    # A second import finds that all resources are already managed.
    assert "already managed" in workspace.run(*adopt).expect_exit().err


def test_adopt_and_forget_of_invalid_resource_are_refused(staging: TestWorkspace) -> None:
    since = staging.mark()
    for pair, message in [
        ("net/nothing=vpc-1", "no resource is configured at this address; configured addresses: net/vpc"),
        ("net/vpc=vpc-0123456789abcdef0", "several resources would have this address"),
    ]:
        result = staging.run("adopt", "staging", pair, "--yes")
        assert (message in result.err) == (result.code == 1) or pair.startswith("net/vpc"), result
    production = staging.run(
        "adopt", "production", f"net/vpc={ids_by_address(staging)['net/vpc']}", "--yes"
    ).expect_exit(1)
    assert "belongs to another stack or workspace" in production.err
    for arguments in (["net/vpc"], ["vpc=vpc-1"], [], ["net/vpc=a", "net/vpc=b"], ["--from-terraform", "s3://b"]):
        staging.run("adopt", "staging", *arguments, "--yes").expect_exit(64)
    record = staging.run("forget", "staging", "edge/record", "--yes").expect_exit(1)
    assert "is managed as long as its load balancer is" in record.err
    assert (
        "no managed resource at this address"
        in staging.run("forget", "staging", "net/nothing", "--yes").expect_exit(1).err
    )
    assert staging.writes(since) == []
    staging.assert_no_changes()


def test_adopt_without_approval_changes_nothing(staging: TestWorkspace) -> None:
    ids = ids_by_address(staging)
    staging.run("forget", "staging", "fargate/logs", "--yes").expect_exit()
    since = staging.mark()
    pair = f"fargate/logs={ids['fargate/logs']}"
    staging.run("adopt", "staging", pair).expect_exit(64)
    assert staging.mutations(since) == []
    lines = staging.run("adopt", "staging", pair, "--yes", "--json").expect_exit().events()
    (plan,) = [line for line in lines if line["event"] == "plan"]
    assert [step["action"]["do"] for step in plan["plan"]["steps"]] == ["adopt"]
    assert "afterwards" in plan and (lines[-1]["event"], lines[-1]["complete"]) == ("finished", True)
    staging.assert_no_changes()


def create_standalone_node(workspace: TestWorkspace, group: str) -> dict[str, Any]:
    """Replaces the replication group with a standalone cache node, as in older stacks, and returns the node."""
    cache = workspace.aws.elasticache
    cache.delete_replication_group(ReplicationGroupId="staging-jobqr")
    until(lambda: not cache.describe_cache_clusters()["CacheClusters"])
    cache.create_cache_cluster(
        CacheClusterId="staging-node", Engine="redis", CacheNodeType="cache.t3.small", NumCacheNodes=1,
        CacheSubnetGroupName="staging-jobqr", SecurityGroupIds=[group],
    )  # fmt: skip
    return until(lambda: standalone_node(workspace)["CacheClusterStatus"] == "available") and standalone_node(workspace)


def standalone_node(workspace: TestWorkspace) -> dict[str, Any]:
    """Returns the description of the standalone cache node."""
    (found,) = workspace.aws.elasticache.describe_cache_clusters(CacheClusterId="staging-node")["CacheClusters"]
    return dict(found)


def test_adopt_keeps_standalone_cache_node_beside_new_group(workspace: TestWorkspace) -> None:
    workspace.deploy()
    ids = forget_all(workspace)
    path = state_file(workspace, ids)
    before = create_standalone_node(workspace, ids["net/redis_group"])
    state = json.loads(path.read_text(encoding="utf-8"))
    for module in state["modules"]:
        module["resources"].pop("aws_elasticache_replication_group.queue", None)
    attributes = {"id": "staging-node", "cluster_id": "staging-node", "subnet_group_name": "staging-jobqr"}
    primary = {"id": "staging-node", "attributes": attributes}
    state["modules"][0]["resources"]["aws_elasticache_cluster.queue"] = {
        "type": "aws_elasticache_cluster", "depends_on": [], "primary": primary, "deposed": [], "provider": "provider.aws",
    }  # fmt: skip
    path.write_text(json.dumps(state), encoding="utf-8")
    shown = workspace.run("adopt", "staging", "--from-terraform", str(path), "--yes").expect_exit()
    assert "aws_elasticache_cluster.queue" in shown.err and "a standalone cache node and the jobs in it" in shown.err, (
        shown
    )
    assert "redis/jobqr" not in ids_by_address(workspace)
    changes = workspace.plan().changes
    assert changes["redis/jobqr"] == "create" and not {"delete", "delete_first", "create_first"} & set(changes.values())
    workspace.deploy()
    assert standalone_node(workspace) == before, "the standalone node is neither tagged nor changed"
    workspace.assert_no_changes()
    workspace.aws.elasticache.delete_cache_cluster(CacheClusterId="staging-node")
    workspace.destroy()
    assert workspace.inventory.remains() == {}
