"""Something takes our tags off what is recorded, as `terraform apply` does after a takeover: nothing of it is changed or deleted,
every command says so, and `adopt` puts the tags back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from configuration import image
from fault_proxy import FaultProxy
from harness import TestWorkspace
from inventory import steady
from test_adopt import FORMAT_3, TAGGING, forget_all, ids, state_file, untagged

KEYS = [f"pb-deploy:{key}" for key in ("stack", "workspace", "address")]
#: Every kind that a stack has.
KINDS = {
    "ec2.vpc", "ec2.internet_gateway", "ec2.subnet", "ec2.route_table", "ec2.security_group", "ec2.security_group_rule",
    "ec2.default_security_group", "elbv2.load_balancer", "elbv2.target_group", "elbv2.listener", "elbv2.listener_rule",
    "ecs.cluster", "ecs.service", "ecs.task_definition", "ecr.repository", "logs.log_group", "elasticache.subnet_group",
    "elasticache.parameter_group", "elasticache.replication_group", "route53.record",
}  # fmt: skip
#: What can carry no tags, and is known by the load balancer that it leads to.
UNTAGGABLE = {"edge/record"}


def log_group_arn(workspace: TestWorkspace, name: str) -> str:
    """The ARN of a log group, as calls about tags take it."""
    (group,) = workspace.aws.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return str(group["arn"]).removesuffix(":*")


def strip(workspace: TestWorkspace, *addresses: str) -> None:
    """Take our tags off what is recorded at these addresses, or off everything."""
    aws, records = workspace.aws, workspace.state_object()["snapshot"]["resources"]

    def one(kind: str, attrs: dict[str, Any]) -> None:
        off: dict[str, Callable[[], Any]] = {
            "ec2": lambda: aws.ec2.delete_tags(Resources=[attrs["id"]], Tags=[{"Key": key} for key in KEYS]),
            "elbv2": lambda: aws.elbv2.remove_tags(ResourceArns=[attrs["arn"]], TagKeys=KEYS),
            "ecs": lambda: aws.ecs.untag_resource(resourceArn=attrs["arn"], tagKeys=KEYS),
            "ecr": lambda: aws.ecr.untag_resource(resourceArn=attrs["arn"], tagKeys=KEYS),
            "logs": lambda: aws.logs.untag_resource(resourceArn=log_group_arn(workspace, attrs["name"]), tagKeys=KEYS),
            "elasticache": lambda: aws.elasticache.remove_tags_from_resource(ResourceName=attrs["arn"], TagKeys=KEYS),
            "route53": lambda: None,
        }
        off[kind.split(".")[0]]()

    for address in addresses or records:
        one(records[address]["kind"], records[address]["attrs"])


def refused(workspace: TestWorkspace, *arguments: str) -> set[str]:
    """The addresses that a command names as without their tags; it changes nothing, and says what to do."""
    since, before = workspace.mark(), steady(workspace.inventory.everything())
    result = workspace.run(*arguments).expect_exit(1)
    assert workspace.mutations(since) == [] or set(workspace.mutations(since)) <= {"dynamodb:UpdateItem"}, result
    assert steady(workspace.inventory.everything()) == before
    assert "nothing was changed" in result.err, result
    assert "pb-deploy adopt staging --restore-tags" in result.err, result
    lost = [line for line in result.err.splitlines() if "has lost this workspace's tags" in line]
    return {line.split(":")[0].strip() for line in lost}


def restore(workspace: TestWorkspace, *arguments: str) -> str:
    """Have `adopt` put the tags back; gives what it said."""
    since = workspace.mark()
    result = workspace.run("adopt", "staging", *(arguments or ["--restore-tags"]), "--yes").expect_exit()
    assert {call.split(":")[1] for call in workspace.writes(since)} <= TAGGING, result
    return result.err


def test_stripped_stack_is_refused_and_restored(workspace: TestWorkspace) -> None:
    workspace.deploy()
    were, before = ids(workspace), untagged(workspace.inventory.everything())
    tagged = len(set(were) - UNTAGGABLE)
    strip(workspace)
    assert untagged(workspace.inventory.everything()) == before
    for command in (["plan", "staging"], ["plan", "staging", "--destroy"], ["deploy", "staging", "--yes"],
                    ["destroy", "staging", "--yes"]):  # fmt: skip
        assert refused(workspace, *command) == set(were), command
    doctor = workspace.run("doctor", "staging").expect_exit(1)
    (line,) = [line for line in doctor.out.splitlines() if "ownership tags" in line and "bad" in line]
    assert f"{len(were)} recorded resources have lost the ownership tags" in line
    assert "--restore-tags" in doctor.out
    drift = workspace.run("drift", "staging", "--json").expect_exit(2).json()["drift"]
    assert {item["address"]: item["what"] for item in drift} == dict.fromkeys(were, "untagged")
    restart = workspace.run("restart", "staging", "flask", "--yes").expect_exit(1)
    assert "fargate/flask" in restart.err and "--restore-tags" in restart.err, restart
    pairs = [f"{address}={identity}" for address, identity in were.items()]
    shown = workspace.run("adopt", "staging", *pairs, "--dry-run").expect_exit().err
    assert "ours already" not in shown and f"{tagged} recorded resources have lost their ownership tags" in shown
    assert f"Adopted {tagged} resources" in restore(workspace)
    assert untagged(workspace.inventory.everything()) == before
    assert ids(workspace) == were
    assert "ours already" in workspace.run("adopt", "staging", *pairs, "--yes").expect_exit().err
    workspace.assert_no_changes()
    assert "ownership tags  on all that is recorded" in workspace.run("doctor", "staging").out
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def test_each_kind_without_its_tags_stops_destroy(workspace: TestWorkspace) -> None:
    api = {"kind": "web", "paths": ["/v1/*"], "port": 8000, "image": image("app")}
    workspace.configure({"services": {"api": api}})
    workspace.deploy()
    were, records = ids(workspace), workspace.state_object()["snapshot"]["resources"]
    assert {record["kind"] for record in records.values()} == KINDS
    for address in sorted(set(were) - UNTAGGABLE):
        strip(workspace, address)
        with_it = UNTAGGABLE if address == "edge/balancer" else set()
        assert refused(workspace, "destroy", "staging", "--yes") == {address} | with_it
        restore(workspace)
    assert ids(workspace) == were
    workspace.assert_no_changes()


def test_state_of_terraform_restores_what_it_stripped(workspace: TestWorkspace) -> None:
    workspace.deploy()
    path = state_file(workspace, forget_all(workspace))
    adopt = ["--from-terraform", str(path)]
    first = restore(workspace, *adopt)
    were = ids(workspace)
    workspace.deploy()
    strip(workspace, *were)
    assert refused(workspace, "destroy", "staging", "--yes") >= set(were)
    again = restore(workspace, *adopt)
    assert "ours already" not in again and "have lost their ownership tags" in again, again
    for said in (first, again):
        lines = [line for line in said.splitlines() if line.startswith("terraform state rm ")]
        assert "terraform state rm 'aws_subnet.public[0]'" in lines and "terraform state rm aws_alb.public" in lines
        assert "terraform state rm module.network.aws_vpc.main" in lines, "modules are named"
        assert "terraform state rm aws_security_group_rule.web" in lines, "parts of what was taken over go along"
        text = FORMAT_3.read_text(encoding="utf-8")
        assert not [line for line in lines if "aws_s3_bucket" in line] and "aws_s3_bucket" in text
        assert "  from = module.network.aws_vpc.main\n  lifecycle {\n    destroy = false\n" in said
        assert "Do not run `terraform apply` before" in said
    workspace.assert_no_changes()


def test_untagged_resource_that_is_let_go_survives_destroy(workspace: TestWorkspace) -> None:
    workspace.deploy()
    strip(workspace, "fargate/logs")
    assert refused(workspace, "destroy", "staging", "--yes") == {"fargate/logs"}
    workspace.run("forget", "staging", "fargate/logs", "--yes").expect_exit()
    workspace.destroy()
    (group,) = workspace.aws.logs.describe_log_groups(logGroupNamePrefix="staging-pb_workers")["logGroups"]
    assert group["logGroupName"] == "staging-pb_workers"
    workspace.aws.logs.delete_log_group(logGroupName=group["logGroupName"])
    assert workspace.inventory.remains() == {}


def test_tags_lost_after_the_plan_stop_destroy(workspace: TestWorkspace) -> None:
    workspace.deploy()
    with FaultProxy(workspace.url) as proxy:
        # The lease is taken after the plan was made, and before it is made again.
        held = proxy.hold_before("dynamodb:UpdateItem")
        running = workspace.start("destroy", "staging", "--yes", url=proxy.url)
        held.wait()
        strip(workspace, "edge/listener", "net/routes")
        before = steady(workspace.inventory.everything())
        proxy.release_all()
        result = running.result().expect_exit(1)
    assert "edge/listener: " in result.err and "net/routes: " in result.err, result
    assert steady(workspace.inventory.everything()) == before
    restore(workspace)
    workspace.assert_no_changes()
