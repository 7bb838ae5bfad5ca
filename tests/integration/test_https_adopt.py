"""Import of stacks with HTTPS: certificates, validation records, HTTPS listeners, their rules and the redirect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import terraform_runner
from configuration import image
from harness import TestWorkspace
from https_stack import POLICY, HttpsStack
from prober import Prober
from terraform_runner import Terraform
from test_adopt import TAGGING, forget_all, ids_by_address
from test_hints_adopt import adopt_command
from test_https import certificates, cname_records, hostname, set_https
from test_terraform_verdict import first_line, verdict_of

pytestmark = [pytest.mark.needs("data-plane"), pytest.mark.unserved("these tests send requests themselves")]


def from_file(path: Path, *options: str) -> list[str]:
    """Returns the arguments of an import from a state."""
    return ["adopt", "staging", "--from-terraform", str(path), *options]


def listeners(workspace: TestWorkspace, ids: dict[str, str]) -> dict[int, dict[str, Any]]:
    """Returns the listeners of the load balancer by port."""
    found = workspace.aws.elbv2.describe_listeners(LoadBalancerArn=ids["edge/balancer"])["Listeners"]
    return {one["Port"]: one for one in found}


def test_live_https_stack_of_terraform_is_taken_over(workspace: TestWorkspace) -> None:
    workspace.deploy()
    ids, host = forget_all(workspace), hostname(workspace)
    stack = HttpsStack(workspace, ids, [host])
    path = stack.state()
    since = workspace.mark()
    refused = workspace.run(*from_file(path, "--yes")).expect_exit(1)
    assert first_line(refused) == "Verdict: does not fit: the configuration has no HTTPS:", refused
    advice = f'add `[workspace.staging.https]` with `policy = "{POLICY}"` to the configuration'
    assert f"hint: {advice}, then run the same command again" in refused.err, refused
    verdict = verdict_of(workspace.run(*from_file(path, "--dry-run", "--json")).expect_exit(1))
    assert verdict["result"] == "https_not_configured" and advice in verdict["exceptions"][0]["text"], verdict
    set_https(workspace, policy=POLICY)
    shown = workspace.run(*from_file(path, "--dry-run")).expect_exit()
    assert first_line(shown) == "Verdict: fits.", shown
    assert "adds the rule edge/redirect, and then changes this action to forward" in shown.err, shown
    assert workspace.mutations(since) == []
    with Prober(workspace, host=host, follow=True) as http, Prober(workspace, host=host, scheme="https") as https:
        adopted = workspace.run(*from_file(path, "--yes")).expect_exit()
        for kind in ("aws_acm_certificate.main", "aws_acm_certificate_validation.main", "aws_lb_listener.https"):
            assert f"terraform state rm {kind}" in adopted.err, adopted
        plan = workspace.plan()
        workspace.deploy()
    assert {"edge/listener": "update", "edge/redirect": "create"}.items() <= plan.changes.items(), plan.changes
    https.served()
    http.served()
    assert http.statuses == [301]
    now = ids_by_address(workspace)
    assert (now["edge/certificate"], now["edge/listener_https"]) == (stack.arn, stack.listener)
    assert len(certificates(workspace)) == 1 and len(cname_records(workspace)) == 1
    assert listeners(workspace, ids)[80]["DefaultActions"][0]["Type"] == "forward"
    workspace.assert_no_changes()
    workspace.destroy()
    assert certificates(workspace) == [] and cname_records(workspace) == []


def api_service(**changes: Any) -> dict[str, Any]:
    """Returns the configuration of a web service with a rule."""
    return {"kind": "web", "image": image("api"), "port": 8080, "paths": ["/v1/*"], "priority": 10, **changes}


def test_rules_on_port_443_alone_are_taken_over(workspace: TestWorkspace) -> None:
    workspace.configure({"services": {"api": api_service()}})
    workspace.deploy()
    ids, host, elbv2 = forget_all(workspace), hostname(workspace), workspace.aws.elbv2
    stack = HttpsStack(workspace, ids, [host])
    elbv2.delete_rule(RuleArn=ids.pop("edge/api_rule"))
    paths = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/v1/*"]}}
    forward = {"Type": "forward", "TargetGroupArn": ids["edge/api_targets"]}
    rule = {"ListenerArn": stack.listener, "Priority": 1, "Conditions": [paths], "Actions": [forward]}
    made = elbv2.create_rule(**rule)["Rules"][0]["RuleArn"]
    set_https(workspace, policy=POLICY)
    given = {
        **ids,
        "edge/listener_https": stack.listener,
        "edge/api_rule_https": made,
        "edge/certificate": stack.arn,
        f"edge/validation_{host.replace('.', '_')}": f"{stack.records()[0]['Name'].rstrip('.')} CNAME",
    }
    workspace.run("adopt", "staging", *pairs(given), "--yes").expect_exit()
    workspace.configure({"services": {"api": api_service(image=image("next"))}})
    http = Prober(workspace, host=host, path="/v1/x", follow=True)
    https = Prober(workspace, host=host, path="/v1/x", scheme="https")
    with http, https:
        workspace.deploy()
    assert https.services() == ["api"]
    assert http.services() == ["api"], http.report()
    assert ids_by_address(workspace).items() >= {key: given[key] for key in given if "_task" not in key}.items()
    workspace.assert_no_changes()


def pairs(ids: dict[str, str]) -> list[str]:
    """Returns the arguments with which `adopt` imports resources."""
    return [f"{address}={identity}" for address, identity in ids.items()]


def test_https_stack_is_restored_by_ids(workspace: TestWorkspace) -> None:
    names = [f"n{number:02}.{workspace.config['hostname']}" for number in range(10)]
    workspace.configure({"services": {"api": api_service(hosts=["api"])}})
    set_https(workspace, names=names)
    workspace.deploy()
    ids = forget_all(workspace)
    for address in ("edge/certificate_2", "edge/listener_certificate_2", "edge/redirect", "edge/api_rule_https"):
        assert address in ids
    since = workspace.mark()
    workspace.run("adopt", "staging", *pairs(ids), "--yes").expect_exit()
    assert {call.split(":")[1] for call in workspace.writes(since)} <= {*TAGGING, "AddTagsToCertificate"}
    assert ids_by_address(workspace) == ids
    workspace.assert_no_changes()
    wrong = f"edge/validation_{names[0].replace('.', '_')}=_0.{names[0]} CNAME"
    assert "does not exist" in workspace.run("adopt", "staging", wrong, "--yes").expect_exit(1).err
    for address, whole in [(wrong.split("=")[0], "certificate"), ("edge/listener_certificate_2", "listener")]:
        alone = workspace.run("forget", "staging", address, "--yes").expect_exit(1)
        assert f"is managed as long as its {whole} is; forget both" in alone.err, alone
    workspace.configure({"services": {"api": None, "web": api_service(hosts=["api"])}})
    workspace.run("state", "mv", "staging", "api", "web", "--yes").expect_exit()
    moved = ids_by_address(workspace)
    assert moved["edge/web_rule_https"] == ids["edge/api_rule_https"]
    workspace.deploy()
    assert ids_by_address(workspace)["edge/web_rule_https"] == ids["edge/api_rule_https"]
    workspace.destroy()
    assert certificates(workspace) == [] and cname_records(workspace) == []


@pytest.fixture(scope="module")
def with_https(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """A deployed stack with HTTPS and a rule."""
    workspace = new_workspace()
    workspace.configure({"services": {"api": api_service()}})
    set_https(workspace)
    workspace.deploy()
    return workspace


@pytest.mark.parametrize("address", ["edge/listener_https", "edge/api_rule_https", "edge/redirect"])
def test_hint_restores_a_forgotten_part_of_https(with_https: TestWorkspace, address: str) -> None:
    with_https.run("forget", "staging", address, "--yes").expect_exit()
    refused = with_https.run("plan", "staging").expect_exit(1)
    command = adopt_command(refused)
    assert command[:2] == ["adopt", "staging"] and command[2].startswith(f"{address}="), refused
    with_https.run(*command, "--yes").expect_exit()
    with_https.assert_no_changes()


def test_rule_of_another_listener_is_no_conflict(workspace: TestWorkspace) -> None:
    set_https(workspace, redirect=False)
    workspace.deploy()
    ids = ids_by_address(workspace)
    paths = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/maintenance"]}}
    forward = {"Type": "forward", "TargetGroupArn": ids["edge/targets"]}
    workspace.aws.elbv2.create_rule(
        ListenerArn=ids["edge/listener_https"], Priority=1, Conditions=[paths], Actions=[forward]
    )
    set_https(workspace, redirect=True)
    assert workspace.plan().changes == {"edge/redirect": "create"}
    workspace.deploy()


def test_certificate_with_other_names_is_not_replaced_silently(workspace: TestWorkspace) -> None:
    workspace.deploy()
    ids, host = forget_all(workspace), hostname(workspace)
    stack = HttpsStack(workspace, ids, [host, f"*.{host}"])
    path = stack.state()
    refused = workspace.run(*from_file(path, "--yes")).expect_exit(1)
    assert f'`certificate_arn = "{stack.arn}"`' in refused.err, refused
    set_https(workspace, policy=POLICY)
    shown = workspace.run(*from_file(path, "--dry-run")).expect_exit()
    assert first_line(shown) == "Verdict: fits, except:", shown
    names = f"*.{host}, {host}"
    assert f"aws_acm_certificate.main is not imported: its names ({names}) are not exactly those" in shown.err, shown
    assert "it proves a name of a certificate that is not imported" in shown.err, shown
    by_id = workspace.run("adopt", "staging", f"edge/certificate={stack.arn}", "--dry-run").expect_exit()
    assert "a deploy would REPLACE it" in by_id.err, by_id
    set_https(workspace, policy=POLICY, certificate_arn=stack.arn)
    kept = workspace.run(*from_file(path, "--yes")).expect_exit()
    assert first_line(kept) == "Verdict: fits." and "the configuration uses it as `https.certificate_arn`" in kept.err
    workspace.deploy()
    assert [one["CertificateArn"] for one in certificates(workspace)] == [stack.arn]
    workspace.assert_no_changes()
    workspace.destroy()
    assert [one["CertificateArn"] for one in certificates(workspace)] == [stack.arn], "it is not managed"


@pytest.mark.skipif(
    terraform_runner.unavailable_reason() is not None, reason=str(terraform_runner.unavailable_reason())
)
def test_https_stack_that_terraform_made_is_taken_over(workspace: TestWorkspace) -> None:
    terraform = Terraform(workspace, https="true")
    terraform.apply()
    [certificate] = certificates(workspace)
    adopt = ["adopt", "staging", "--from-terraform", terraform.url, "--yes"]
    advice = f'add `[workspace.staging.https]` with `policy = "{POLICY}"`'
    assert advice in workspace.run(*adopt).expect_exit(1).err
    set_https(workspace, policy=POLICY)
    adopted = workspace.run(*adopt).expect_exit().err
    for expected in (
        "'aws_acm_certificate.public[0]'",
        "'aws_acm_certificate_validation.public[0]'",
        "'aws_lb_listener.https[0]'",
        f"'aws_route53_record.proof[\"{hostname(workspace)}\"]'",
    ):
        assert f"terraform state rm {expected}" in adopted, adopted
    steps = workspace.plan().changes
    assert steps["edge/redirect"] == "create" and steps["edge/listener"] == "update", steps
    assert steps.get("edge/listener_https", "update") == steps.get("edge/certificate", "update") == "update", steps
    with Prober(workspace, host=hostname(workspace), follow=True) as http:
        workspace.deploy()
    assert http.statuses == [301]
    assert [one["CertificateArn"] for one in certificates(workspace)] == [certificate["CertificateArn"]]
    workspace.assert_no_changes()
    workspace.destroy()
    assert certificates(workspace) == [] and cname_records(workspace) == []
