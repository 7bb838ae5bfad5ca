"""What is there already becomes ours, from Terraform or by hand: by its tags, and nothing else about it changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from endpoint import ROOT
from harness import TestWorkspace, until
from inventory import steady

FORMAT_3 = ROOT / "crates" / "terraform" / "tests" / "fixtures" / "format-3.json"
#: What a takeover may do besides state and lease.
TAGGING = {"CreateTags", "AddTags", "AddTagsToResource", "TagResource"}
UNTAGGING = {"DeleteTags", "RemoveTags", "RemoveTagsFromResource", "UntagResource"}
LOCKING = {"dynamodb:PutItem", "dynamodb:DeleteItem", "s3:DeleteObject"}


def ids(workspace: TestWorkspace) -> dict[str, str]:
    """What is remembered, by address: what AWS calls it."""
    resources = workspace.state_object()["snapshot"]["resources"]

    def called(record: dict[str, Any]) -> str:
        attrs, kind = record["attrs"], record["kind"]
        if kind == "route53.record":
            return f"{attrs['name']} {attrs['type']}"
        if kind == "ecs.service":
            return f"{attrs['cluster']}/{attrs['name']}"
        if kind == "ecs.task_definition":
            return str(attrs["arn"]).rsplit("/", maxsplit=1)[-1]
        return str(attrs["id"] if "id" in attrs else attrs["arn"] if kind.startswith("elbv2") else attrs["name"])

    return {address: called(record) for address, record in resources.items()}


def untagged(world: Any) -> str:
    """A world without the tags by which it is ours, and without what changes by itself."""

    def bare(value: Any) -> Any:
        if isinstance(value, list):
            kept = [bare(item) for item in value if not (isinstance(item, dict) and owns(item))]
            return sorted(kept, key=lambda item: json.dumps(item, sort_keys=True, default=str))
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if not str(key).startswith("pb-deploy:")}
        return value

    def owns(tag: dict[str, Any]) -> bool:
        return str(tag.get("Key", tag.get("key", ""))).startswith("pb-deploy:")

    stays = {kind: things for kind, things in steady(world).items() if kind != "interfaces"}
    return json.dumps(bare(stays), sort_keys=True, default=str).replace('"Tags": [], ', "")


def forget_all(workspace: TestWorkspace) -> dict[str, str]:
    """Forget everything; gives what it was."""
    were = ids(workspace)
    since = workspace.mark()
    workspace.run("forget", "staging", *were, "--yes").expect_exit()
    assert {call.split(":")[1] for call in workspace.writes(since)} <= UNTAGGING
    assert workspace.state_object()["snapshot"]["resources"] == {}
    return were


def state_file(workspace: TestWorkspace, were: dict[str, str]) -> Path:
    """A Terraform state that names what was forgotten."""
    text = FORMAT_3.read_text(encoding="utf-8")
    for address, identity in were.items():
        text = text.replace(f"@{address}@", identity)
    path = workspace.folder / "terraform.tfstate"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_was_forgotten_is_adopted_by_hand_and_is_as_it_was(staging: TestWorkspace) -> None:
    before = untagged(staging.inventory.everything())
    were = forget_all(staging)
    assert untagged(staging.inventory.everything()) == before
    assert "Nothing to destroy" in staging.destroy().err, "nothing of it is ours any more"
    since = staging.mark()
    pairs = [f"{address}={identity}" for address, identity in were.items()]
    result = staging.run("adopt", "staging", *pairs, "--yes").expect_exit()
    assert f"Adopted {len(were)} resources" in result.err, result
    assert {call.split(":")[1] for call in staging.writes(since)} <= TAGGING
    assert untagged(staging.inventory.everything()) == before
    assert ids(staging) == were
    assert "ours already" in staging.run("adopt", "staging", *pairs, "--yes").expect_exit().err
    staging.assert_no_changes()


def test_a_state_of_format_3_is_taken_over_with_the_rules_that_it_does_not_name(workspace: TestWorkspace) -> None:
    workspace.deploy()
    were = forget_all(workspace)
    path = state_file(workspace, were)
    since = workspace.mark()
    shown = workspace.run("adopt", "staging", "--from-terraform", str(path), "--dry-run").expect_exit()
    assert workspace.mutations(since) == []
    assert "aws_s3_bucket.assets" in shown.err and "0 to replace, 0 to destroy" in shown.err, shown
    assert "a-secret-that-nobody-may-see" not in shown.text
    workspace.run("adopt", "staging", "--from-terraform", str(path), "--yes").expect_exit()
    assert "a-secret-that-nobody-may-see" not in json.dumps(workspace.state_object())
    # Terraform knows nothing of the default group of a VPC.
    assert workspace.plan().changes == {"net/default_group": "create"}
    workspace.deploy()
    assert ids(workspace) == were
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def lock_item(workspace: TestWorkspace, key: str, operation: str) -> dict[str, Any]:
    """A lock as Terraform has it."""
    info = {"ID": "7f0e", "Operation": operation, "Info": "", "Who": "ana@build", "Version": "1.11.4",
            "Created": "2026-11-22T10:00:00Z", "Path": key}  # fmt: skip
    return {"LockID": {"S": f"{workspace.config['state']['bucket']}/{key}"}, "Info": {"S": json.dumps(info)}}


def test_terraforms_lock_is_respected_taken_and_given_back(workspace: TestWorkspace) -> None:
    workspace.deploy()
    were = forget_all(workspace)
    table, bucket, key = (
        workspace.config["state"]["lock_table"],
        workspace.config["state"]["bucket"],
        "env:/staging/tf.tfstate",
    )
    body = state_file(workspace, were).read_bytes()
    workspace.aws.s3.put_object(Bucket=bucket, Key=key, Body=body)
    adopt = ["adopt", "staging", "--from-terraform", f"s3://{bucket}/{key}", "--yes"]
    dynamodb = workspace.aws.dynamodb

    dynamodb.put_item(TableName=table, Item=lock_item(workspace, key, "OperationTypeApply"))
    since = workspace.mark()
    refused = workspace.run(*adopt).expect_exit(3)
    assert "ana@build" in refused.err and "terraform force-unlock 7f0e" in refused.err
    assert workspace.writes(since) == ["dynamodb:PutItem", "s3:DeleteObject"], (
        "the locks were tried, and nothing was tagged"
    )

    # Left by a run of ours that was killed: the lease says that none is at work.
    dynamodb.put_item(TableName=table, Item=lock_item(workspace, key, "pb-deploy adopt pb-deploy/staging"))
    digest = {"LockID": {"S": f"{bucket}/{key}-md5"}, "Digest": {"S": "0" * 32}}
    dynamodb.put_item(TableName=table, Item=digest)
    stale = workspace.run(*adopt).expect_exit(1)
    assert "Terraform noted 0000" in stale.err
    assert workspace.state_object()["snapshot"]["resources"] == {}

    digest["Digest"]["S"] = hashlib.md5(body, usedforsecurity=False).hexdigest()
    dynamodb.put_item(TableName=table, Item=digest)
    workspace.aws.s3.put_object(Bucket=bucket, Key=f"{key}.tflock", Body=b"{}")
    assert "lock file" in workspace.run(*adopt).expect_exit(3).err
    workspace.aws.s3.delete_object(Bucket=bucket, Key=f"{key}.tflock")

    since = workspace.mark()
    workspace.run(*adopt).expect_exit()
    assert LOCKING <= set(workspace.writes(since))
    left = dynamodb.scan(TableName=table)["Items"]
    assert not [item for item in left if item["LockID"]["S"] == f"{bucket}/{key}"]
    assert workspace.aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    # Changed since: what Terraform did meanwhile is seen.
    assert "ours already" in workspace.run(*adopt).expect_exit().err


def test_what_cannot_be_had_is_refused_with_the_reason(staging: TestWorkspace) -> None:
    since = staging.mark()
    for pair, why in [
        ("net/nothing=vpc-1", "the configuration wants nothing here; there are: net/vpc"),
        ("net/vpc=vpc-0123456789abcdef0", "there would be several here"),
    ]:
        result = staging.run("adopt", "staging", pair, "--yes")
        assert (why in result.err) == (result.code == 1) or pair.startswith("net/vpc"), result
    production = staging.run("adopt", "production", f"net/vpc={ids(staging)['net/vpc']}", "--yes").expect_exit(1)
    assert "belongs to another stack or workspace" in production.err
    for arguments in (["net/vpc"], ["vpc=vpc-1"], [], ["net/vpc=a", "net/vpc=b"], ["--from-terraform", "s3://b"]):
        staging.run("adopt", "staging", *arguments, "--yes").expect_exit(64)
    record = staging.run("forget", "staging", "edge/record", "--yes").expect_exit(1)
    assert "is ours as long as its load balancer is" in record.err
    assert "nothing of ours stands here" in staging.run("forget", "staging", "net/nothing", "--yes").expect_exit(1).err
    assert staging.writes(since) == []
    staging.assert_no_changes()


def test_without_consent_nothing_is_adopted(staging: TestWorkspace) -> None:
    were = ids(staging)
    staging.run("forget", "staging", "fargate/logs", "--yes").expect_exit()
    since = staging.mark()
    pair = f"fargate/logs={were['fargate/logs']}"
    staging.run("adopt", "staging", pair).expect_exit(64)
    assert staging.mutations(since) == []
    lines = staging.run("adopt", "staging", pair, "--yes", "--json").expect_exit().lines()
    (plan,) = [line for line in lines if line["event"] == "plan"]
    assert [step["action"]["do"] for step in plan["plan"]["steps"]] == ["adopt"]
    assert "afterwards" in plan and lines[-1] == {"event": "finished", "complete": True}
    staging.assert_no_changes()


def node_of_its_own(workspace: TestWorkspace, group: str) -> dict[str, Any]:
    """A queue as stacks had it before replication groups, in place of ours; gives how it is."""
    cache = workspace.aws.elasticache
    cache.delete_replication_group(ReplicationGroupId="staging-jobqr")
    until(lambda: not cache.describe_cache_clusters()["CacheClusters"])
    cache.create_cache_cluster(
        CacheClusterId="staging-node", Engine="redis", CacheNodeType="cache.t3.small", NumCacheNodes=1,
        CacheSubnetGroupName="staging-jobqr", SecurityGroupIds=[group],
    )  # fmt: skip
    return until(lambda: node(workspace)["CacheClusterStatus"] == "available") and node(workspace)


def node(workspace: TestWorkspace) -> dict[str, Any]:
    """How the node is."""
    (found,) = workspace.aws.elasticache.describe_cache_clusters(CacheClusterId="staging-node")["CacheClusters"]
    return dict(found)


def test_a_cache_node_of_its_own_is_kept_and_a_group_is_made_beside_it(workspace: TestWorkspace) -> None:
    workspace.deploy()
    were = forget_all(workspace)
    path = state_file(workspace, were)
    before = node_of_its_own(workspace, were["net/redis_group"])
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
    assert "aws_elasticache_cluster.queue" in shown.err and "is kept as it is, with the jobs in it" in shown.err, shown
    assert "redis/jobqr" not in ids(workspace)
    changes = workspace.plan().changes
    assert changes["redis/jobqr"] == "create" and not {"delete", "delete_first", "create_first"} & set(changes.values())
    workspace.deploy()
    assert node(workspace) == before, "neither tagged nor changed"
    workspace.assert_no_changes()
    workspace.aws.elasticache.delete_cache_cluster(CacheClusterId="staging-node")
    workspace.destroy()
    assert workspace.inventory.remains() == {}
