"""The prober over HTTPS: it verifies the certificate, follows the redirect from HTTP, and reports statuses."""

from __future__ import annotations

from typing import Any

import pytest
from endpoint import control
from harness import TestWorkspace, until
from prober import WARMUP_REQUESTS, Prober, get

pytestmark = [pytest.mark.needs("data-plane"), pytest.mark.unserved("these tests send requests themselves")]
POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"


class Edge:
    """The load balancer of a deployed workspace, to which HTTPS is added without the tool."""

    def __init__(self, workspace: TestWorkspace) -> None:
        self.workspace, self.aws = workspace, workspace.aws
        [self.balancer] = self.aws.elbv2.describe_load_balancers()["LoadBalancers"]
        arn = self.balancer["LoadBalancerArn"]
        [self.http] = self.aws.elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]

    def certificate(self, name: str) -> str:
        """Returns the ARN of an issued certificate for a name."""
        arn = str(self.aws.acm.request_certificate(DomainName=name, ValidationMethod="DNS")["CertificateArn"])

        def shown() -> dict[str, Any]:
            return self.aws.acm.describe_certificate(CertificateArn=arn)["Certificate"]

        record = until(lambda: (shown().get("DomainValidationOptions") or [{}])[0].get("ResourceRecord"))
        [zone] = self.aws.route53.list_hosted_zones()["HostedZones"]
        values = [{"Value": record["Value"]}]
        cname = {"Name": record["Name"], "Type": "CNAME", "TTL": 60, "ResourceRecords": values}
        batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": cname}]}
        self.aws.route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch=batch)
        until(lambda: shown()["Status"] == "ISSUED")
        return arn

    def add_https(self, certificate: str) -> str:
        """Opens port 443 with the default action of port 80, and returns the ARN of the listener."""
        everyone = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.aws.ec2.authorize_security_group_ingress(
            GroupId=self.balancer["SecurityGroups"][0], IpPermissions=[everyone]
        )
        made = self.aws.elbv2.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"], Protocol="HTTPS", Port=443, SslPolicy=POLICY,
            Certificates=[{"CertificateArn": certificate}], DefaultActions=self.http["DefaultActions"],
        )  # fmt: skip
        return str(made["Listeners"][0]["ListenerArn"])

    def redirect(self) -> None:
        """Redirects port 80 to port 443."""
        moved = {"Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}"}
        self.aws.elbv2.create_rule(
            ListenerArn=self.http["ListenerArn"], Priority=1,
            Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
            Actions=[{"Type": "redirect", "RedirectConfig": {**moved, "StatusCode": "HTTP_301"}}],
        )  # fmt: skip


def test_redirect_to_https_is_followed_without_failure(staging: TestWorkspace) -> None:
    edge, host = Edge(staging), str(staging.config["hostname"])
    with Prober(staging, follow=True) as prober:
        edge.add_https(edge.certificate(host))
        edge.redirect()
        until(lambda: prober.answers[-1].status == 301)
        with Prober(staging, scheme="https", path="/a?b=c") as secure:
            until(lambda: len(secure.answers) > 2 * WARMUP_REQUESTS)
    assert prober.served() == secure.served() and prober.statuses == [200, 301] and secure.statuses == [200]
    reply = get(staging, f"http://{host}/a?b=c")
    assert (reply.status, reply.headers["location"]) == (301, f"https://{host}:443/a?b=c")
    assert get(staging, f"https://{host}/").status == 200
    with Prober(staging) as plain:
        until(lambda: len(plain.answers) > 5)
    assert all(f"301 https://{host}:443/" in failure for failure in plain.failures) and plain.failures


def test_wrong_certificate_is_a_failed_request(staging: TestWorkspace) -> None:
    edge, host = Edge(staging), str(staging.config["hostname"])
    right, wrong = edge.certificate(host), edge.certificate(f"other.{host}")
    listener = edge.add_https(right)
    with Prober(staging, scheme="https") as prober:
        edge.aws.elbv2.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": wrong}])
        until(lambda: "certificate" in prober.answers[-1].failure)
        edge.aws.elbv2.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": right}])
        until(lambda: prober.answers[-1].status == 200)
    expired = {"account": staging.account, "name": host, "days_left": -1}
    control(staging.url, "certificates", expired)
    assert "certificate has expired" in get(staging, f"https://{host}/").failure
