"""The verdict of `adopt` about a Terraform state, and imports that are not begun because they could not be finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from endpoint import ROOT
from harness import Result, TestWorkspace
from test_adopt import forget_all, ids_by_address, state_file

MODULES = ROOT / "crates" / "terraform" / "tests" / "fixtures" / "modules.json"
#: Advice that would be dangerous for a resource that this workspace does not manage yet.
ADVICE = ("set deletion_protection", "deletion protection is on", "then destroy")


def verdict_of(result: Result) -> dict[str, Any]:
    """Returns the verdict in the JSON output of an import."""
    (plan,) = [event for event in result.events() if event["event"] == "plan"]
    return dict(plan["verdict"])


def first_line(result: Result) -> str:
    """Returns the first line that the import prints."""
    return result.err.splitlines()[0]


def verdict_text(result: Result) -> str:
    """Returns the verdict with its exceptions, which an empty line ends."""
    return result.err.partition("\n\n")[0]


def from_file(path: Path, *options: str) -> list[str]:
    """Returns the arguments of an import from a state."""
    return ["adopt", "staging", "--from-terraform", str(path), *options]


def protect_load_balancer(workspace: TestWorkspace, arn: str) -> None:
    """Switches on the deletion protection of a load balancer."""
    attribute = {"Key": "deletion_protection.enabled", "Value": "true"}
    workspace.aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[attribute])


def test_stack_that_fits_is_said_to_fit_first(staging: TestWorkspace) -> None:
    ids = forget_all(staging)
    path = state_file(staging, ids)
    since = staging.mark()
    shown = staging.run(*from_file(path, "--dry-run")).expect_exit()
    assert first_line(shown) == "Verdict: fits.", shown
    as_json = staging.run(*from_file(path, "--dry-run", "--json")).expect_exit()
    assert verdict_of(as_json) == {"result": "fits", "exceptions": []}
    assert staging.mutations(since) == []
    staging.run(*from_file(path, "--yes")).expect_exit()
    staging.deploy()
    assert ids_by_address(staging) == ids


def test_stack_of_modules_is_another_architecture(staging: TestWorkspace) -> None:
    ids = forget_all(staging)
    protect_load_balancer(staging, ids["edge/balancer"])
    path = state_file(staging, ids, MODULES)
    since = staging.mark()
    for options in ((), ("--yes",), ("--dry-run",)):
        result = staging.run(*from_file(path, *options)).expect_exit(1)
        title = "another architecture: private subnets behind NAT"
        assert first_line(result) == f"Verdict: {title}", result
        assert f"error[PB0309]: the stack has {title}; nothing was changed" in result.err
        assert "module.vpc.aws_nat_gateway.this[0]" in result.err
        assert "With a counterpart in staging" in result.err and "module.vpc.aws_vpc.this[0]" in result.err
        assert "it redirects all requests" in result.err and "choose with ADDRESS=ID" not in verdict_text(result)
        assert not any(advice in result.err for advice in ADVICE), result
        assert "a-secret-that-nobody-may-see" not in result.text
    as_json = staging.run(*from_file(path, "--dry-run", "--json")).expect_exit(1)
    verdict = verdict_of(as_json)
    assert verdict["result"] == "another_architecture"
    assert [difference["what"] for difference in verdict["architecture"]] == ["private_subnets"]
    assert any("HTTP redirected to HTTPS" in found["text"] for found in verdict["exceptions"]), verdict
    assert json.loads(as_json.err)["pb_code"] == "PB0309"
    assert staging.mutations(since) == [], "nothing is tagged, with and without --dry-run"
    # A single resource can be imported nevertheless.
    pair = f"fargate/logs={ids['fargate/logs']}"
    assert "Verdict" not in staging.run("adopt", "staging", pair, "--yes").expect_exit().err
    restore(staging, ids)


def restore(workspace: TestWorkspace, ids: dict[str, str]) -> None:
    """Imports all resources, without the deletion protection of the load balancer."""
    attribute = {"Key": "deletion_protection.enabled", "Value": "false"}
    workspace.aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=ids["edge/balancer"], Attributes=[attribute])
    pairs = [f"{address}={identity}" for address, identity in ids.items()]
    workspace.run("adopt", "staging", *pairs, "--yes").expect_exit()
    workspace.deploy()


def test_import_that_a_deploy_would_refuse_is_not_begun(staging: TestWorkspace) -> None:
    ids = forget_all(staging)
    protect_load_balancer(staging, ids["edge/balancer"])
    path = state_file(staging, ids)
    network = {"cidr": "10.9.0.0/16", "tasks_subnet": "10.9.1.0/24", "balancer_subnet": "10.9.2.0/24"}
    staging.configure({"network": network})
    since = staging.mark()
    result = staging.run(*from_file(path, "--yes")).expect_exit(1)
    assert first_line(result) == "Verdict: does not fit: a deploy after the import would be refused:", result
    assert "error[PB0401]: a deploy after the import would be refused; nothing was changed" in result.err
    assert not any(advice in result.err for advice in ADVICE), result
    verdict = verdict_of(staging.run(*from_file(path, "--dry-run", "--json")).expect_exit(1))
    fields = {found.get("address"): found.get("fields") for found in verdict["exceptions"]}
    assert fields["net/vpc"] == ["cidr"] and fields["net/tasks_subnet"] == ["cidr"], verdict
    (balancer,) = [found for found in verdict["exceptions"] if found.get("address") == "edge/balancer"]
    assert verdict["result"] == "refused" and balancer["fields"], verdict
    by_hand = staging.run("adopt", "staging", f"edge/balancer={ids['edge/balancer']}", "--yes").expect_exit(1)
    assert "edge/balancer: it would have to be replaced" in by_hand.err, by_hand
    assert not any(advice in by_hand.err for advice in ADVICE), by_hand
    assert staging.mutations(since) == []
    staging.configure({"network": {key: None for key in network}})
    restore(staging, ids)


def test_exceptions_are_listed_with_their_fields(staging: TestWorkspace) -> None:
    ids = forget_all(staging)
    path = state_file(staging, ids)
    state = json.loads(path.read_text(encoding="utf-8"))
    resources = state["modules"][0]["resources"]
    resources["aws_ecs_cluster.app"]["primary"]["tainted"] = True
    add(resources, "aws_appautoscaling_target", "workers", {
        "id": "x", "service_namespace": "ecs", "resource_id": "service/staging-ecs-cluster/staging-celery",
    })  # fmt: skip
    arn = f"arn:aws:logs:eu-west-1:{staging.account}:log-group:staging-pb_workers"
    add(
        resources,
        "aws_cloudwatch_log_group",
        "europe",
        {"id": "staging-pb_workers", "arn": arn, "name": "staging-pb_workers"},
    )
    path.write_text(json.dumps(state), encoding="utf-8")
    subnet = {"network": {"cidr": "10.0.0.0/16", "tasks_subnet": "10.0.1.0/24", "balancer_subnet": "10.0.3.0/24"}}
    staging.configure(subnet)
    result = staging.run(*from_file(path, "--dry-run")).expect_exit()
    assert first_line(result) == "Verdict: fits, except:", result
    for expected in (
        "  - net/balancer_subnet: a deploy would replace it, because these fields differ: cidr",
        'ignore_changes = ["fargate/celery.desired_count"]',
        f"aws_cloudwatch_log_group.europe is not imported: it is in account {staging.account}, region eu-west-1",
        "note: aws_ecs_cluster.app is tainted",
    ):
        assert expected in result.err, result
    staging.configure({"ignore_changes": ["fargate/celery.desired_count"]})
    ignored = staging.run(*from_file(path, "--dry-run")).expect_exit()
    assert "Auto Scaling" not in verdict_text(ignored) and first_line(ignored) == "Verdict: fits, except:", ignored
    staging.configure({"network": None, "ignore_changes": None})
    restore(staging, ids)


def add(resources: dict[str, Any], kind: str, name: str, attributes: dict[str, str]) -> None:
    """Adds a resource to a state in format 3."""
    primary = {"id": attributes["id"], "attributes": attributes, "meta": {}, "tainted": False}
    resources[f"{kind}.{name}"] = {"type": kind, "depends_on": [], "deposed": [], "primary": primary}
