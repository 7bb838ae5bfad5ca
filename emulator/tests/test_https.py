"""Tests of the rules for HTTPS listeners, their certificates and attributes, and redirects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Aws, Network, wait_until
from pb_emulator import certificate_authority
from test_acm import issued, prescribe, publish, request, show, status

POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
HSTS = "routing.http.response.strict_transport_security.header_value"


@dataclass
class Edge:
    """A load balancer in a network, and an issued certificate."""

    aws: Aws
    net: Network
    balancer: str
    group: str
    certificate: str

    @property
    def zone(self) -> str:
        """The id of the hosted zone in which the certificate was validated."""
        return str(self.aws.route53.list_hosted_zones()["HostedZones"][0]["Id"])

    def create(self, protocol: str = "HTTPS", port: int = 443, **settings: Any) -> dict[str, Any]:
        """Creates a listener, by default with the certificate and the recommended policy."""
        wanted: dict[str, Any] = {
            "LoadBalancerArn": self.balancer, "Protocol": protocol, "Port": port,
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": self.group}],
        }  # fmt: skip
        if protocol == "HTTPS":
            wanted |= {"Certificates": [{"CertificateArn": self.certificate}], "SslPolicy": POLICY}
        wanted |= settings
        return self.aws.elbv2.create_listener(**{k: v for k, v in wanted.items() if v is not None})["Listeners"][0]

    def refused(self, **settings: Any) -> str:
        """Returns the error code of a refused CreateListener."""
        return self.aws.code(self.create, **settings)


@pytest.fixture
def edge(aws: Aws) -> Edge:
    """A load balancer of an account that no other test uses."""
    net = aws.network()
    return Edge(aws, net, net.balancer()["LoadBalancerArn"], net.target_group(), issued(aws))


def using(*arns: str) -> dict[str, Any]:
    """Returns the parameter for certificates."""
    return {"Certificates": [{"CertificateArn": arn} for arn in arns]}


def test_certificate_must_exist_and_be_issued(edge: Edge, server: str) -> None:
    aws = edge.aws
    missing = f"arn:aws:acm:{aws.region}:{aws.account}:certificate/00000000-0000-0000-0000-000000000000"
    elsewhere = issued(Aws(server, aws.account, "eu-west-1"), zone_id=edge.zone)
    assert edge.refused(**using(missing)) == edge.refused(**using(elsewhere)) == "CertificateNotFound"
    assert edge.refused(**using(request(aws, "x.example.org"))) == "UnsupportedCertificate"
    assert edge.refused(Certificates=None) == edge.refused(**using("not-an-arn")) == "ValidationError"
    assert edge.refused(**using(edge.certificate, edge.certificate)) == "TooManyCertificates"
    default = [{"CertificateArn": edge.certificate, "IsDefault": True}]
    assert edge.refused(Certificates=default) == "ValidationError"
    prescribe(aws, days_left=-1)
    assert edge.refused() == "UnsupportedCertificate"
    prescribe(aws)
    assert edge.create()["Certificates"] == [{"CertificateArn": edge.certificate}]


def test_imported_certificate_can_be_used(edge: Edge) -> None:
    made = certificate_authority.issue(["other.example.net"], "RSA_2048")
    parts = {"Certificate": made.pem.encode(), "PrivateKey": made.key.encode()}
    arn = edge.aws.acm.import_certificate(**parts)["CertificateArn"]
    found = show(edge.aws, arn)
    assert (found["Type"], found["Status"], found["DomainName"]) == ("IMPORTED", "ISSUED", "other.example.net")
    assert edge.create(**using(arn))["Certificates"] == [{"CertificateArn": arn}]
    assert show(edge.aws, arn)["InUseBy"] == [edge.balancer]


def test_security_policy_must_exist(edge: Edge) -> None:
    elb = edge.aws.elbv2
    assert edge.refused(SslPolicy="ELBSecurityPolicy-Unknown") == "SSLPolicyNotFound"
    listener = edge.create(SslPolicy=None)
    assert listener["SslPolicy"] == "ELBSecurityPolicy-2016-08"
    change = {"ListenerArn": listener["ListenerArn"]}
    assert edge.aws.code(elb.modify_listener, SslPolicy="ELBSecurityPolicy-x", **change) == "SSLPolicyNotFound"
    assert elb.modify_listener(SslPolicy=POLICY, **change)["Listeners"][0]["SslPolicy"] == POLICY
    assert edge.aws.code(elb.describe_ssl_policies, Names=["ELBSecurityPolicy-x"]) == "SSLPolicyNotFound"


def test_present_security_policies_are_listed(aws: Aws) -> None:
    found = {policy["Name"]: policy for policy in aws.elbv2.describe_ssl_policies()["SslPolicies"]}
    for name in (POLICY, "ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-FS-1-2-Res-2020-10",
                 "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-PQ-2025-09"):  # fmt: skip
        assert "TLSv1.2" in found[name]["SslProtocols"], name
    for kind, count in (("application", len(found)), ("network", len(found)), ("gateway", 0)):
        assert len(aws.elbv2.describe_ssl_policies(LoadBalancerType=kind)["SslPolicies"]) == count, kind
    assert found[POLICY]["SupportedLoadBalancerTypes"] == ["application", "network"]


def test_http_listener_has_neither_certificate_nor_policy(edge: Edge) -> None:
    assert edge.refused(protocol="HTTP", port=80, SslPolicy=POLICY) == "ValidationError"
    assert edge.refused(protocol="HTTP", port=80, **using(edge.certificate)) == "ValidationError"
    listener = edge.create(protocol="HTTP", port=80)
    assert "SslPolicy" not in listener and "Certificates" not in listener
    change = {"ListenerArn": listener["ListenerArn"]}
    for settings in ({"SslPolicy": POLICY}, using(edge.certificate)):
        assert edge.aws.code(edge.aws.elbv2.modify_listener, **change, **settings) == "ValidationError"


def test_same_listener_is_returned_and_other_is_duplicate(edge: Edge) -> None:
    first = edge.create()
    assert edge.create()["ListenerArn"] == first["ListenerArn"]
    assert edge.refused(SslPolicy=None) == edge.refused(protocol="HTTP") == "DuplicateListener"
    other = edge.create(protocol="HTTP", port=80)["ListenerArn"]
    assert edge.aws.code(edge.aws.elbv2.modify_listener, ListenerArn=other, Port=443) == "DuplicateListener"


def test_listener_changes_between_http_and_https(edge: Edge) -> None:
    elb = edge.aws.elbv2
    arn = edge.create(protocol="HTTP", port=80)["ListenerArn"]

    def modify(**settings: Any) -> dict[str, Any]:
        return elb.modify_listener(ListenerArn=arn, **settings)["Listeners"][0]

    assert edge.aws.code(modify, Protocol="HTTPS", SslPolicy=POLICY) == "ValidationError"
    assert edge.aws.code(modify, Protocol="HTTPS", **using(edge.certificate)) == "ValidationError"
    found = modify(Protocol="HTTPS", Port=443, SslPolicy=POLICY, **using(edge.certificate))
    assert (found["Protocol"], found["Port"], found["SslPolicy"]) == ("HTTPS", 443, POLICY)
    found = modify(Protocol="HTTP")
    assert "SslPolicy" not in found and "Certificates" not in found
    assert edge.aws.code(modify, Protocol="HTTPS") == "ValidationError"


def test_default_certificate_is_replaced(edge: Edge) -> None:
    arn, aws = edge.create()["ListenerArn"], edge.aws
    second = issued(aws, "www.example.org", zone_id=edge.zone)
    pending = request(aws, "x.example.org")
    refused = aws.code(aws.elbv2.modify_listener, ListenerArn=arn, **using(pending))
    assert refused == "UnsupportedCertificate"
    changed = aws.elbv2.modify_listener(ListenerArn=arn, **using(second))["Listeners"][0]
    assert changed["Certificates"] == [{"CertificateArn": second}]
    [found] = aws.elbv2.describe_listener_certificates(ListenerArn=arn)["Certificates"]
    assert found == {"CertificateArn": second, "IsDefault": True}


def test_certificate_in_use_cannot_be_deleted(edge: Edge) -> None:
    arn, aws = edge.create()["ListenerArn"], edge.aws
    assert show(aws, edge.certificate)["InUseBy"] == [edge.balancer]
    assert show(aws, edge.certificate)["RenewalEligibility"] == "ELIGIBLE"
    assert aws.code(aws.acm.delete_certificate, CertificateArn=edge.certificate) == "ResourceInUseException"
    aws.elbv2.delete_listener(ListenerArn=arn)
    assert aws.code(aws.acm.delete_certificate, CertificateArn=edge.certificate) == "ResourceInUseException"
    wait_until(lambda: show(aws, edge.certificate)["InUseBy"] == [])
    aws.acm.delete_certificate(CertificateArn=edge.certificate)
    assert aws.code(aws.acm.describe_certificate, CertificateArn=edge.certificate) == "ResourceNotFoundException"


def test_further_certificates_of_listener(edge: Edge) -> None:
    aws, elb, arn = edge.aws, edge.aws.elbv2, edge.create()["ListenerArn"]
    second = issued(aws, "www.example.org", zone_id=edge.zone)
    for _ in range(2):
        elb.add_listener_certificates(ListenerArn=arn, **using(second))
    found = elb.describe_listener_certificates(ListenerArn=arn)["Certificates"]
    assert [(one["CertificateArn"], one["IsDefault"]) for one in found] == [(edge.certificate, True), (second, False)]
    [listener] = elb.describe_listeners(ListenerArns=[arn])["Listeners"]
    assert listener["Certificates"] == [{"CertificateArn": edge.certificate}]
    assert aws.code(aws.acm.delete_certificate, CertificateArn=second) == "ResourceInUseException"
    remove, add = elb.remove_listener_certificates, elb.add_listener_certificates
    assert aws.code(remove, ListenerArn=arn, **using(edge.certificate)) == "OperationNotPermitted"
    assert aws.code(add, ListenerArn=arn, **using(request(aws, "x.example.org"))) == "UnsupportedCertificate"
    assert aws.code(add, ListenerArn=arn, **using(second, edge.certificate)) == "TooManyCertificates"
    remove(ListenerArn=arn, **using(second))
    assert aws.code(remove, ListenerArn=arn, **using(second)) == "CertificateNotFound"


def test_listener_has_at_most_25_further_certificates(edge: Edge) -> None:
    aws, arn = edge.aws, edge.create()["ListenerArn"]
    arns = [request(aws, f"n{number}.example.org") for number in range(26)]
    for certificate in arns:
        publish(aws, edge.zone, certificate)
    wait_until(lambda: all(status(aws, certificate) == "ISSUED" for certificate in arns))
    add = aws.elbv2.add_listener_certificates
    for certificate in arns[:25]:
        add(ListenerArn=arn, **using(certificate))
    assert aws.code(add, ListenerArn=arn, **using(arns[25])) == "TooManyCertificates"


def test_hsts_header_is_attribute_of_https_listener(edge: Edge) -> None:
    elb = edge.aws.elbv2
    https = edge.create()["ListenerArn"]
    http = edge.create(protocol="HTTP", port=80)["ListenerArn"]

    def attributes(arn: str) -> dict[str, str]:
        found = elb.describe_listener_attributes(ListenerArn=arn)["Attributes"]
        return {pair["Key"]: pair.get("Value", "") for pair in found}

    def modify(arn: str, value: str, key: str = HSTS) -> None:
        elb.modify_listener_attributes(ListenerArn=arn, Attributes=[{"Key": key, "Value": value}])

    assert attributes(https)[HSTS] == "" and "tcp.idle_timeout.seconds" not in attributes(https)
    for value in ("max-age=31536000", "max-age=0", "max-age=63072000; includeSubDomains; preload", ""):
        modify(https, value)
        assert attributes(https)[HSTS] == value
    for value in ("31536000", "max-age=", "max-age=1y"):
        assert edge.aws.code(modify, arn=https, value=value) == "InvalidConfigurationRequest", value
    assert edge.aws.code(modify, arn=http, value="max-age=1") == "InvalidConfigurationRequest"
    assert edge.aws.code(modify, arn=https, value="1", key="no.such.attribute") == "InvalidConfigurationRequest"


#: The redirect from HTTP to HTTPS that keeps host, path and query.
TO_HTTPS = {
    "Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}",
    "StatusCode": "HTTP_301",
}  # fmt: skip


def redirecting(**changes: Any) -> list[dict[str, Any]]:
    """Returns an action that redirects to HTTPS, with changes; None removes a setting."""
    config = {key: value for key, value in {**TO_HTTPS, **changes}.items() if value is not None}
    return [{"Type": "redirect", "RedirectConfig": config}]


def test_invalid_redirects_are_refused(edge: Edge) -> None:
    elb, listener = edge.aws.elbv2, edge.create(protocol="HTTP", port=80)["ListenerArn"]
    everything = [{"Field": "path-pattern", "Values": ["/*"]}]
    rule = {"ListenerArn": listener, "Priority": 1, "Conditions": everything}
    loop = {"Protocol": "#{protocol}", "Port": "#{port}"}
    for changes, code in (
        ({"StatusCode": "HTTP_307"}, "ValidationError"),
        ({"Protocol": "https"}, "ValidationError"),
        ({"Port": "0"}, "ValidationError"),
        ({"Port": "65536"}, "ValidationError"),
        ({"Port": "http"}, "ValidationError"),
        ({"Path": "#{path}"}, "ValidationError"),
        ({"Host": "x" * 129}, "ValidationError"),
        ({"Host": "#{path}.example.org"}, "InvalidLoadBalancerAction"),
        (loop, "InvalidLoadBalancerAction"),
        ({"Protocol": "HTTP", "Port": "80"}, "InvalidLoadBalancerAction"),
        ({"Protocol": None, "Port": None, "Host": None, "Path": None}, "InvalidLoadBalancerAction"),
    ):
        actions = redirecting(**changes)
        assert edge.aws.code(elb.create_rule, Actions=actions, **rule) == code, changes
        assert edge.refused(protocol="HTTP", port=80, DefaultActions=actions) == code, changes
        assert edge.aws.code(elb.modify_listener, ListenerArn=listener, DefaultActions=actions) == code, changes
    made = elb.create_rule(Actions=redirecting(), **rule)["Rules"][0]["RuleArn"]
    assert edge.aws.code(elb.modify_rule, RuleArn=made, Actions=redirecting(**loop)) == "InvalidLoadBalancerAction"
    elb.modify_rule(RuleArn=made, Actions=redirecting(**loop, Path="/new/#{path}"))
    elb.modify_listener(ListenerArn=listener, DefaultActions=redirecting(StatusCode="HTTP_302"))


def test_https_is_not_redirected_to_itself_or_http(edge: Edge) -> None:
    for changes in ({}, {"Protocol": "HTTP", "Port": "80"}, {"Protocol": "HTTP", "Host": "www.example.org"}):
        assert edge.refused(DefaultActions=redirecting(**changes)) == "InvalidLoadBalancerAction", changes
    assert edge.create(DefaultActions=redirecting(Host="www.#{host}"))["Protocol"] == "HTTPS"
