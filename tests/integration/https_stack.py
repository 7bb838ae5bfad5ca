"""A live stack with HTTPS as a Terraform configuration would build it: a certificate with its validation record, a
listener on port 443, and a listener on port 80 whose default action redirects.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import TestWorkspace, until
from test_adopt import state_file

POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
REDIRECT = {"Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}"}
REDIRECT_ACTION = {"Type": "redirect", "RedirectConfig": {**REDIRECT, "StatusCode": "HTTP_301"}}


def request_certificate(workspace: TestWorkspace, names: list[str]) -> dict[str, Any]:
    """Requests a certificate, writes its validation records and returns its description once it is issued."""
    acm, route53 = workspace.aws.acm, workspace.aws.route53
    more = {"SubjectAlternativeNames": names[1:]} if names[1:] else {}
    arn = acm.request_certificate(DomainName=names[0], ValidationMethod="DNS", **more)["CertificateArn"]

    def describe() -> dict[str, Any]:
        return dict(acm.describe_certificate(CertificateArn=arn)["Certificate"])

    def options() -> list[dict[str, Any]]:
        return [one for one in describe().get("DomainValidationOptions", []) if "ResourceRecord" in one]

    until(lambda: len(options()) == len(names))
    for option in options():
        record = option["ResourceRecord"]
        values = [{"Value": record["Value"]}]
        upsert = {"Name": record["Name"], "Type": "CNAME", "TTL": 60, "ResourceRecords": values}
        route53.change_resource_record_sets(
            HostedZoneId=zone_id(workspace),
            ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": upsert}]},
        )
    until(lambda: describe()["Status"] == "ISSUED")
    return describe()


def zone_id(workspace: TestWorkspace) -> str:
    """Returns the id of the hosted zone of the workspace."""
    (zone,) = workspace.aws.route53.list_hosted_zones()["HostedZones"]
    return str(zone["Id"]).removeprefix("/hostedzone/")


class HttpsStack:
    """The resources that a stack without HTTPS, given by its ids, needs to serve HTTPS."""

    def __init__(self, workspace: TestWorkspace, ids: dict[str, str], names: list[str]) -> None:
        self.workspace, self.ids, elbv2 = workspace, ids, workspace.aws.elbv2
        self.certificate = request_certificate(workspace, names)
        anywhere = [{"CidrIp": "0.0.0.0/0"}]
        port = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": anywhere}
        workspace.aws.ec2.authorize_security_group_ingress(GroupId=ids["net/lb_group"], IpPermissions=[port])
        forward = {"Type": "forward", "TargetGroupArn": ids["edge/targets"]}
        created = elbv2.create_listener(
            LoadBalancerArn=ids["edge/balancer"], Port=443, Protocol="HTTPS", SslPolicy=POLICY, DefaultActions=[forward],
            Certificates=[{"CertificateArn": self.arn}],
        )  # fmt: skip
        self.listener = str(created["Listeners"][0]["ListenerArn"])
        elbv2.modify_listener(ListenerArn=ids["edge/listener"], DefaultActions=[REDIRECT_ACTION])

    @property
    def arn(self) -> str:
        """The ARN of the certificate."""
        return str(self.certificate["CertificateArn"])

    def records(self) -> list[dict[str, str]]:
        """Returns the validation records: name and value."""
        return [option["ResourceRecord"] for option in self.certificate["DomainValidationOptions"]]

    def state(self) -> Path:
        """Writes a Terraform state with all resources and returns its path."""
        path = state_file(self.workspace, self.ids)
        state = json.loads(path.read_text(encoding="utf-8"))
        resources = state["modules"][0]["resources"]
        found = [found["primary"] for found in resources.values() if found["type"] == "aws_alb_listener"]
        http = found[0]["attributes"]
        http.update({"default_action.0.type": "redirect", "default_action.0.target_group_arn": ""})
        http.update({f"default_action.0.redirect.0.{key.lower()}": value for key, value in REDIRECT.items()})
        add(resources, "aws_lb_listener", "https", {
            "id": self.listener, "load_balancer_arn": self.ids["edge/balancer"], "port": "443", "protocol": "HTTPS",
            "certificate_arn": self.arn, "ssl_policy": POLICY, "default_action.0.type": "forward",
            "default_action.0.target_group_arn": self.ids["edge/targets"],
        })  # fmt: skip
        names = self.certificate["SubjectAlternativeNames"]
        add(resources, "aws_acm_certificate", "main", {
            "id": self.arn, "domain_name": names[0], "validation_method": "DNS", "type": "AMAZON_ISSUED",
            **{f"subject_alternative_names.{number}": name for number, name in enumerate(names)},
        })  # fmt: skip
        add(resources, "aws_acm_certificate_validation", "main", {"id": "now", "certificate_arn": self.arn})
        for number, record in enumerate(self.records()):
            fqdn = record["Name"].rstrip(".")
            add(resources, "aws_route53_record", f"proof.{number}", {
                "id": f"{zone_id(self.workspace)}_{fqdn}_CNAME", "zone_id": zone_id(self.workspace), "fqdn": fqdn,
                "type": "CNAME", "records.0": record["Value"],
            })  # fmt: skip
        path.write_text(json.dumps(state), encoding="utf-8")
        return path


def add(resources: dict[str, Any], kind: str, name: str, attributes: dict[str, str]) -> None:
    """Adds a resource to a state in format 3."""
    primary = {"id": attributes["id"], "attributes": attributes, "meta": {}, "tainted": False}
    resources[f"{kind}.{name}"] = {"type": kind, "depends_on": [], "deposed": [], "primary": primary}
