"""Recorded resources that lose their ownership tags, for example through `terraform apply` after an import.

They are neither changed nor deleted, every command reports them, and `adopt` restores the tags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace
from inventory import normalized
from test_adopt import FORMAT_3, TAGGING, forget_all, ids_by_address, state_file, without_ownership_tags

TAG_KEYS = [f"pb-deploy:{key}" for key in ("stack", "workspace", "address")]
#: All resource kinds in a stack.
KINDS = {
    "ec2.vpc", "ec2.internet_gateway", "ec2.subnet", "ec2.route_table", "ec2.security_group", "ec2.security_group_rule",
    "ec2.default_security_group", "elbv2.load_balancer", "elbv2.target_group", "elbv2.listener", "elbv2.listener_rule",
    "ecs.cluster", "ecs.service", "ecs.task_definition", "ecr.repository", "logs.log_group", "elasticache.subnet_group",
    "elasticache.parameter_group", "elasticache.replication_group", "route53.record",
}  # fmt: skip
#: Resources that cannot carry tags: they count as managed if their load balancer is managed.
UNTAGGABLE = {"edge/record"}


def log_group_arn(workspace: TestWorkspace, name: str) -> str:
    """Returns the ARN of a log group in the form that tagging calls accept."""
    (group,) = workspace.aws.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return str(group["arn"]).removesuffix(":*")


def remove_tags(workspace: TestWorkspace, *addresses: str) -> None:
    """Removes the ownership tags from the resources at these addresses, or from all recorded resources."""
    aws, records = workspace.aws, workspace.state_object()["snapshot"]["resources"]

    def remove_from(kind: str, attrs: dict[str, Any]) -> None:
        calls: dict[str, Callable[[], Any]] = {
            "ec2": lambda: aws.ec2.delete_tags(Resources=[attrs["id"]], Tags=[{"Key": key} for key in TAG_KEYS]),
            "elbv2": lambda: aws.elbv2.remove_tags(ResourceArns=[attrs["arn"]], TagKeys=TAG_KEYS),
            "ecs": lambda: aws.ecs.untag_resource(resourceArn=attrs["arn"], tagKeys=TAG_KEYS),
            "ecr": lambda: aws.ecr.untag_resource(resourceArn=attrs["arn"], tagKeys=TAG_KEYS),
            "logs": lambda: aws.logs.untag_resource(
                resourceArn=log_group_arn(workspace, attrs["name"]), tagKeys=TAG_KEYS
            ),
            "elasticache": lambda: aws.elasticache.remove_tags_from_resource(
                ResourceName=attrs["arn"], TagKeys=TAG_KEYS
            ),
            "route53": lambda: None,
        }
        calls[kind.split(".")[0]]()

    for address in addresses or records:
        remove_from(records[address]["kind"], records[address]["attrs"])


def refused_addresses(workspace: TestWorkspace, *arguments: str) -> set[str]:
    """Returns the untagged addresses that a command names, after asserting that it is refused and changes nothing."""
    since, before = workspace.mark(), normalized(workspace.inventory.everything())
    result = workspace.run(*arguments).expect_exit(1)
    assert workspace.mutations(since) == [] or set(workspace.mutations(since)) <= {"dynamodb:UpdateItem"}, result
    assert normalized(workspace.inventory.everything()) == before
    assert "nothing was changed" in result.err, result
    assert "pb-deploy adopt staging --restore-tags" in result.err, result
    refusals = [line for line in result.err.splitlines() if "has lost this workspace's tags" in line]
    return {line.split(":")[0].strip() for line in refusals}


def restore_tags(workspace: TestWorkspace, *arguments: str) -> str:
    """Restores the ownership tags with `adopt` and returns what it prints on stderr."""
    since = workspace.mark()
    result = workspace.run("adopt", "staging", *(arguments or ["--restore-tags"]), "--yes").expect_exit()
    assert {call.split(":")[1] for call in workspace.writes(since)} <= TAGGING, result
    return result.err


def test_untagged_stack_is_refused_and_restored(workspace: TestWorkspace) -> None:
    workspace.deploy()
    ids, before = ids_by_address(workspace), without_ownership_tags(workspace.inventory.everything())
    tagged = len(set(ids) - UNTAGGABLE)
    remove_tags(workspace)
    assert without_ownership_tags(workspace.inventory.everything()) == before
    for command in (["plan", "staging"], ["plan", "staging", "--destroy"], ["deploy", "staging", "--yes"],
                    ["destroy", "staging", "--yes"]):  # fmt: skip
        assert refused_addresses(workspace, *command) == set(ids), command
    doctor = workspace.run("doctor", "staging").expect_exit(1)
    (line,) = [line for line in doctor.out.splitlines() if "ownership tags" in line and "bad" in line]
    assert f"{len(ids)} recorded resources have lost their ownership tags" in line
    assert "--restore-tags" in doctor.out
    drift = workspace.run("drift", "staging", "--json").expect_exit(2).json()["drift"]
    assert {item["address"]: item["what"] for item in drift} == dict.fromkeys(ids, "untagged")
    restart = workspace.run("restart", "staging", "flask", "--yes").expect_exit(1)
    assert "fargate/flask" in restart.err and "--restore-tags" in restart.err, restart
    pairs = [f"{address}={identity}" for address, identity in ids.items()]
    shown = workspace.run("adopt", "staging", *pairs, "--dry-run").expect_exit().err
    assert "already managed" not in shown and f"{tagged} recorded resources have lost their ownership tags" in shown
    assert f"Adopted {tagged} resources" in restore_tags(workspace)
    assert without_ownership_tags(workspace.inventory.everything()) == before
    assert ids_by_address(workspace) == ids
    assert "already managed" in workspace.run("adopt", "staging", *pairs, "--yes").expect_exit().err
    workspace.assert_no_changes()
    assert "ownership tags  present on all recorded resources" in workspace.run("doctor", "staging").out
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_untagged_resource_of_each_kind_stops_destroy(workspace: TestWorkspace) -> None:
    api = {"kind": "web", "paths": ["/v1/*"], "port": 8000, "image": image("app")}
    workspace.configure({"services": {"api": api}})
    workspace.deploy()
    ids, records = ids_by_address(workspace), workspace.state_object()["snapshot"]["resources"]
    assert {record["kind"] for record in records.values()} == KINDS
    for address in sorted(set(ids) - UNTAGGABLE):
        remove_tags(workspace, address)
        dependents = UNTAGGABLE if address == "edge/balancer" else set()
        assert refused_addresses(workspace, "destroy", "staging", "--yes") == {address} | dependents
        restore_tags(workspace)
    assert ids_by_address(workspace) == ids
    workspace.assert_no_changes()


def test_adopt_from_terraform_restores_removed_tags(workspace: TestWorkspace) -> None:
    workspace.deploy()
    path = state_file(workspace, forget_all(workspace))
    adopt = ["--from-terraform", str(path)]
    first = restore_tags(workspace, *adopt)
    ids = ids_by_address(workspace)
    workspace.deploy()
    remove_tags(workspace, *ids)
    assert refused_addresses(workspace, "destroy", "staging", "--yes") >= set(ids)
    again = restore_tags(workspace, *adopt)
    assert "already managed" not in again and "have lost their ownership tags" in again, again
    for output in (first, again):
        lines = [line for line in output.splitlines() if line.startswith("terraform state rm ")]
        assert "terraform state rm 'aws_subnet.public[0]'" in lines and "terraform state rm aws_alb.public" in lines
        assert "terraform state rm module.network.aws_vpc.main" in lines, "addresses in modules have the module prefix"
        assert "terraform state rm aws_security_group_rule.web" in lines, (
            "resources that are part of an imported resource are removed, too"
        )
        text = FORMAT_3.read_text(encoding="utf-8")
        assert not [line for line in lines if "aws_s3_bucket" in line] and "aws_s3_bucket" in text
        assert "  from = module.network.aws_vpc.main\n  lifecycle {\n    destroy = false\n" in output
        assert "Do not run `terraform apply` before" in output
    workspace.assert_no_changes()


def test_forgotten_untagged_resource_survives_destroy(workspace: TestWorkspace) -> None:
    workspace.deploy()
    remove_tags(workspace, "fargate/logs")
    assert refused_addresses(workspace, "destroy", "staging", "--yes") == {"fargate/logs"}
    workspace.run("forget", "staging", "fargate/logs", "--yes").expect_exit()
    workspace.destroy()
    (group,) = workspace.aws.logs.describe_log_groups(logGroupNamePrefix="staging-pb_workers")["logGroups"]
    assert group["logGroupName"] == "staging-pb_workers"
    workspace.aws.logs.delete_log_group(logGroupName=group["logGroupName"])
    assert workspace.inventory.remains() == {}


def test_tags_removed_after_plan_stop_destroy(workspace: TestWorkspace) -> None:
    workspace.deploy()
    with FaultProxy(workspace.url) as proxy:
        # The run acquires the lease after its first plan, and then computes the plan that it applies.
        held = proxy.hold_before("dynamodb:UpdateItem")
        running = workspace.start("destroy", "staging", "--yes", url=proxy.url)
        held.wait()
        remove_tags(workspace, "edge/listener", "net/routes")
        before = normalized(workspace.inventory.everything())
        proxy.release_all()
        result = running.result().expect_exit(1)
    assert "edge/listener: " in result.err and "net/routes: " in result.err, result
    assert normalized(workspace.inventory.everything()) == before
    restore_tags(workspace)
    workspace.assert_no_changes()
