"""HTTPS: certificates, the listener on port 443, the redirect, and changes without a failed request."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from configuration import image
from endpoint import control
from fault_proxy import FaultProxy
from harness import TestWorkspace, until
from prober import Prober, address, get
from test_killed import kill

pytestmark = [pytest.mark.needs("data-plane"), pytest.mark.unserved("these tests send requests themselves")]


def hostname(workspace: TestWorkspace) -> str:
    """Returns the hostname of staging."""
    return f"staging.{workspace.config['hostname']}"


def set_https(workspace: TestWorkspace, **settings: Any) -> None:
    """Replaces the table `https`."""
    workspace.configure({"https": None})
    workspace.configure({"https": {"enabled": True, **settings}})


def certificates(workspace: TestWorkspace) -> list[dict[str, Any]]:
    """Returns the certificates of the region, with all details."""
    return list(workspace.inventory.certificates().values())


def cname_records(workspace: TestWorkspace) -> list[str]:
    """Returns the names of the CNAME records in the zones of the account."""
    return [record["Name"] for record in workspace.inventory.records().values() if record["Type"] == "CNAME"]


def test_new_stack_serves_https_and_redirects_http(workspace: TestWorkspace, tmp_path: Path) -> None:
    set_https(workspace, hsts="365d")
    url = f"https://{hostname(workspace)}"
    assert url in workspace.deploy().text
    assert workspace.run("output", "staging", "--json").expect_exit().json()["url"] == url
    where = address(workspace, port=443)
    authority = tmp_path / "ca.pem"
    authority.write_text(control(workspace.url, "ca")["certificate"], encoding="utf-8")
    host, port = hostname(workspace), where.rsplit(":", 1)[1]
    command = ["curl", "-sv", "--tlsv1.3", "--cacert", str(authority), "--connect-to", f"{host}:443:127.0.0.1:{port}"]
    answer = subprocess.run([*command, f"{url}/"], capture_output=True, text=True, timeout=30)
    assert answer.returncode == 0 and "SSL connection using TLSv1.3" in answer.stderr, answer.stderr
    assert "HTTP/1.1 200" in answer.stderr and "strict-transport-security: max-age=31536000" in answer.stderr.lower()
    assert '"forwarded_proto": "https"' in answer.stdout
    redirected = get(workspace, f"http://{host}/a/b?c=d")
    assert (redirected.status, redirected.headers["location"]) == (301, f"{url}:443/a/b?c=d")
    [certificate] = certificates(workspace)
    assert certificate["SubjectAlternativeNames"] == [host]
    workspace.assert_no_changes()
    workspace.destroy()
    assert certificates(workspace) == [] and cname_records(workspace) == []


def test_https_on_and_off_fails_no_request(staging: TestWorkspace) -> None:
    host = hostname(staging)
    with Prober(staging, host=host, follow=True) as prober:
        set_https(staging)
        staging.deploy()
    prober.served()
    assert prober.statuses == [200, 301]
    with Prober(staging, host=host, follow=True) as prober:
        staging.configure({"https": None})
        staging.deploy()
    prober.served()
    assert prober.statuses == [301, 200]
    staging.assert_no_changes()
    assert certificates(staging) == [] and cname_records(staging) == []


def test_added_name_replaces_the_certificate_without_a_gap(workspace: TestWorkspace) -> None:
    set_https(workspace)
    workspace.deploy()
    host, more = hostname(workspace), f"www.{workspace.config['hostname']}"
    before = certificates(workspace)
    with Prober(workspace, host=host, scheme="https") as prober:
        set_https(workspace, names=[more])
        plan = workspace.plan()
        assert plan.changes["edge/certificate"] == "create_first" and plan.changes["edge/listener_https"] == "update"
        workspace.deploy()
    prober.served()
    [after] = certificates(workspace)
    assert after["CertificateArn"] != before[0]["CertificateArn"]
    assert after["SubjectAlternativeNames"] == [host, more]
    assert get(workspace, f"https://{more}/").status == 200
    workspace.assert_no_changes()


def test_replaced_certificate_fails_no_request(workspace: TestWorkspace) -> None:
    set_https(workspace)
    workspace.deploy()
    [before] = certificates(workspace)
    with Prober(workspace, host=hostname(workspace), scheme="https") as prober:
        workspace.run("deploy", "staging", "--yes", "--replace", "edge/certificate").expect_exit()
    prober.served()
    [after] = certificates(workspace)
    assert after["CertificateArn"] != before["CertificateArn"]
    workspace.assert_no_changes()


def test_port_443_is_open_for_the_configured_addresses(workspace: TestWorkspace) -> None:
    workspace.configure({"load_balancer": {"ingress_cidrs": ["198.51.100.0/24"]}})
    set_https(workspace)
    planned = {address for address in workspace.plan().changes if address.startswith("net/lb_in_")}
    assert planned == {"net/lb_in_80_198-51-100-0_24", "net/lb_in_443_198-51-100-0_24"}


def test_rules_of_web_services_exist_on_both_ports(workspace: TestWorkspace) -> None:
    host = hostname(workspace)
    api = {"kind": "web", "image": image("api"), "port": 8080, "paths": ["/v1/*"], "hosts": ["api"]}
    workspace.configure({"services": {"api": api}})
    set_https(workspace, redirect=False)
    workspace.deploy()
    for scheme in ("http", "https"):
        answer = get(workspace, f"{scheme}://api.{host}/v1/x")
        assert answer.status == 200 and '"revision": "staging-api:1"' in answer.body, answer
        assert '"revision": "staging-flask:1"' in get(workspace, f"{scheme}://{host}/").body
    [certificate] = certificates(workspace)
    assert certificate["SubjectAlternativeNames"] == [host, f"api.{host}"]
    workspace.assert_no_changes()


def test_listener_has_further_certificates_for_many_names(workspace: TestWorkspace) -> None:
    names = [f"n{number:02}.{workspace.config['hostname']}" for number in range(12)]
    set_https(workspace, names=names)
    workspace.deploy()
    assert sorted(len(one["SubjectAlternativeNames"]) for one in certificates(workspace)) == [3, 10]
    for name in (hostname(workspace), names[0], names[-1]):
        assert get(workspace, f"https://{name}/").status == 200, name
    with Prober(workspace, host=names[-1], scheme="https") as prober:
        set_https(workspace, names=[*names, f"n99.{workspace.config['hostname']}"])
        workspace.deploy()
    prober.served()
    workspace.assert_no_changes()
    workspace.destroy()
    assert certificates(workspace) == [] and cname_records(workspace) == []


def test_validation_record_of_another_certificate_stays(workspace: TestWorkspace) -> None:
    set_https(workspace)
    workspace.deploy()
    acm = workspace.aws.acm
    other = acm.request_certificate(DomainName=f"*.{hostname(workspace)}", ValidationMethod="DNS")["CertificateArn"]
    before = cname_records(workspace)
    workspace.destroy()
    assert len(before) == 1 and cname_records(workspace) == before
    assert [one["CertificateArn"] for one in certificates(workspace)] == [other]


def test_https_can_be_switched_off_by_a_key(workspace: TestWorkspace) -> None:
    workspace.configure({"https": {"enabled": False}})
    workspace.deploy()
    assert certificates(workspace) == []
    assert workspace.run("output", "staging", "--json").expect_exit().json()["url"].startswith("http://")


def test_hsts_is_changed_in_place_and_left_alone_without_the_key(workspace: TestWorkspace) -> None:
    set_https(workspace, hsts="365d")
    workspace.deploy()
    header = "strict-transport-security"
    for days, value in (("1d", "max-age=86400"), ("0d", "max-age=0")):
        set_https(workspace, hsts=days)
        assert workspace.plan().changes == {"edge/listener_https": "update"}
        workspace.deploy()
        assert get(workspace, f"https://{hostname(workspace)}/").headers[header] == value
    set_https(workspace)
    workspace.assert_no_changes()
    assert get(workspace, f"https://{hostname(workspace)}/").headers[header] == "max-age=0"


def test_existing_certificate_is_used_and_never_deleted(workspace: TestWorkspace) -> None:
    arn = issued(workspace, hostname(workspace))
    set_https(workspace, certificate_arn=arn)
    workspace.deploy()
    assert get(workspace, f"https://{hostname(workspace)}/").status == 200
    workspace.assert_no_changes()
    workspace.destroy()
    assert [one["CertificateArn"] for one in certificates(workspace)] == [arn] and len(cname_records(workspace)) == 1


def test_rollback_repairs_the_https_listener(workspace: TestWorkspace) -> None:
    set_https(workspace)
    workspace.deploy()
    workspace.configure({"services": {"flask": {"image": image("second")}}})
    workspace.deploy()
    elbv2 = workspace.aws.elbv2
    (vpc,) = workspace.inventory.vpcs()
    group = elbv2.create_target_group(Name="empty", Protocol="HTTP", Port=8000, VpcId=vpc, TargetType="ip")
    action = {"Type": "forward", "TargetGroupArn": group["TargetGroups"][0]["TargetGroupArn"]}
    (https,) = [arn for arn, listener in workspace.inventory.listeners().items() if listener["Port"] == 443]
    elbv2.modify_listener(ListenerArn=https, DefaultActions=[action])
    url = f"https://{hostname(workspace)}/"
    assert get(workspace, url).status == 503
    workspace.run("rollback", "staging", "--yes").expect_exit()
    assert '"revision": "staging-flask:1"' in get(workspace, url).body


@pytest.mark.parametrize("call", ["acm:RequestCertificate", "acm:DeleteCertificate"])
def test_lost_response_leaves_one_certificate(workspace: TestWorkspace, proxy: FaultProxy, call: str) -> None:
    set_https(workspace)
    if call == "acm:DeleteCertificate":
        workspace.deploy()
    set_https(workspace, names=[f"www.{workspace.config['hostname']}"])
    lost = proxy.lose_response(call)
    workspace.run("deploy", "staging", "--yes", url=proxy.url).expect_exit()
    assert lost.reached.is_set() and len(certificates(workspace)) == 1
    workspace.assert_no_changes()


@pytest.mark.parametrize("call", ["acm:RequestCertificate", "route53:ChangeResourceRecordSets"])
def test_destroy_after_killed_deploy_leaves_no_certificate(
    workspace: TestWorkspace, proxy: FaultProxy, call: str
) -> None:
    set_https(workspace)
    kill(workspace, proxy, call, "after")
    workspace.destroy()
    assert workspace.inventory.remains() == {}


def issued(workspace: TestWorkspace, name: str) -> str:
    """Requests a certificate as a person would, with its validation record, and returns the ARN once it is issued."""
    acm, route53 = workspace.aws.acm, workspace.aws.route53
    arn = str(acm.request_certificate(DomainName=name, ValidationMethod="DNS")["CertificateArn"])
    record = until(lambda: record_of(workspace, arn))
    zone = next(one["Id"] for one in route53.list_hosted_zones()["HostedZones"] if not one["Config"]["PrivateZone"])
    values = [{"Value": record["Value"]}]
    change = {"Name": record["Name"], "Type": "CNAME", "TTL": 60, "ResourceRecords": values}
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": change}]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
    until(lambda: acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"] == "ISSUED")
    return arn


def record_of(workspace: TestWorkspace, arn: str) -> dict[str, str] | None:
    """Returns the validation record of a certificate with one name, once AWS has chosen it."""
    options = workspace.aws.acm.describe_certificate(CertificateArn=arn)["Certificate"].get("DomainValidationOptions")
    found: dict[str, str] | None = options[0].get("ResourceRecord") if options else None
    return found
