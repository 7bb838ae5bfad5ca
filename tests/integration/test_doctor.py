"""Prerequisites that `doctor` checks before a deploy, without changing anything."""

from __future__ import annotations

from typing import Any

import pytest
from endpoint import control
from fault_proxy import FaultProxy
from harness import TestWorkspace, until


def checks(workspace: TestWorkspace, code: int) -> dict[str, dict[str, Any]]:
    """Runs `doctor` and returns its checks by name."""
    since = workspace.mark()
    document = workspace.run("doctor", "staging", "--json").expect_exit(code).json()
    # The calls that simulate permissions change nothing.
    assert set(workspace.mutations(since)) <= {"iam:SimulatePrincipalPolicy"}
    assert document["ready"] == (code == 0)
    return {check["name"]: check for check in document["checks"]}


@pytest.mark.needs("quotas")
def test_doctor_checks_prerequisites_and_reports_ready_account(workspace: TestWorkspace) -> None:
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    findings = checks(workspace, 0)
    for name in ("account", "state/bucket", "state/table", "roles/execution", "state", "lock", "hosted zone", "zones",
                 "images", "room for a VPC", "room for an internet gateway", "addresses", "virtual CPUs"):  # fmt: skip
        assert findings[name]["verdict"] == "good", findings[name]
    assert {"engine", "node type", "permissions"} <= set(findings)
    assert "staging can be deployed." in workspace.run("doctor", "staging").expect_exit().out
    workspace.deploy()
    assert findings != checks(workspace, 0), "the checks reflect the deployed resources"


@pytest.mark.needs("quotas")
def test_doctor_names_each_missing_prerequisite_with_hint(workspace: TestWorkspace) -> None:
    role, table = workspace.config["roles"]["execution"], workspace.config["state"]["lock_table"]
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    workspace.aws.iam.delete_role(RoleName=role)
    workspace.aws.dynamodb.delete_table(TableName=table)
    workspace.aws.route53.delete_hosted_zone(Id=zone["Id"])
    for number in range(4):
        workspace.aws.ec2.create_vpc(CidrBlock=f"172.{16 + number}.0.0/16")
    workspace.configure({"network": {"tasks_subnet": "10.0.1.0/26"}, "services": {"celery": {"count": 40}}})
    findings = checks(workspace, 1)
    bad = {name for name, check in findings.items() if check["verdict"] == "bad"}
    assert bad == {"roles/execution", "state/table", "hosted zone", "room for a VPC"}, findings
    assert findings["addresses"]["verdict"] == "warning" and "needs 91 addresses" in findings["addresses"]["found"]
    assert findings["state/table"]["hint"] == "pb-deploy bootstrap staging"
    assert all(findings[name].get("hint") for name in bad)
    assert findings["state/bucket"]["verdict"] == "warning" and "encrypted" in findings["state/bucket"]["found"]
    assert findings["room for a VPC"]["found"].startswith("5 of 5"), "the default VPC counts towards the quota"
    text = workspace.run("doctor", "staging").expect_exit(1).out
    assert "staging is not ready: 4 problems." in text


@pytest.mark.needs("quotas")
def test_doctor_and_deploy_report_vcpu_quota(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    workspace.run("bootstrap", "staging", "--yes").expect_exit()
    scope = {"account": workspace.account, "region": workspace.config["region"]}
    for vcpus, code, verdict, expected in (
        (4, 1, "bad", "needs 5 vCPU; the quota for all tasks in this region is 4"),
        (5, 1, "bad", "and 6 when a rollout begins"),
        (6, 0, "warning", "and 10 during a rollout of all services, which takes longer"),
        (10, 0, "good", "10 during a rollout of all services"),
    ):
        control(workspace.url, "preconditions", {"vcpus": vcpus, **scope})
        findings = checks(workspace, code)["virtual CPUs"]
        assert findings["verdict"] == verdict and expected in findings["found"], findings
    # Other tasks can use up the quota after the plan has been checked.
    creation = proxy.hold_before("ecs:CreateService")
    running = workspace.start("deploy", "staging", "--yes", url=proxy.url)
    creation.wait()
    control(workspace.url, "preconditions", {"vcpus": 4, **scope})
    creation.release()
    until(lambda: "limit on the number of vCPUs" in running.output_so_far().err)
    # The deploy continues as soon as AWS raises the quota.
    control(workspace.url, "preconditions", {"vcpus": 6, **scope})
    running.result().expect_exit()


def test_doctor_stops_at_account_not_allowed(workspace: TestWorkspace) -> None:
    workspace.configure({"allowed_account_ids": ["999999999999"]})
    findings = checks(workspace, 1)
    assert set(findings) == {"account"} and workspace.account in findings["account"]["found"]
