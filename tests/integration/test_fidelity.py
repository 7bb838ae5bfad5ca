"""Conformity of all requests of a deploy, of updates and of a destroy with the services' published models."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import botocore
import pytest
from configuration import image
from endpoint import ROOT
from fidelity import violations
from harness import TestWorkspace
from models import Request
from observer import READ_ONLY, Observer
from sources import callable_actions

LISTED, NAME = re.compile(r"^\| ([a-z0-9-]+) \|(.*`.*)$", re.MULTILINE), re.compile(r"`(\w+)`")
DOCUMENT = ROOT / "docs" / "api-actions.md"
#: Configuration changes that together update or replace resources of every kind.
UPDATES = [
    {
        "services": {
            "flask": {"image": image("two"), "port": 5051}, "celery": {"count": 2, "cpu": 2048, "memory": 8192},
            "api": {"kind": "web", "hosts": ["api"], "paths": ["/a/*"], "image": image("api")},
            "web": {"kind": "web", "paths": ["/web/*"], "image": image("web")},
        },
        "deploy": {"before": {"command": ["true"]}}, "https": {"hsts": "365d"},
    },
    {
        "tags": {"team": "api"}, "logs": {"retention_days": 7},
        "network": {"egress": [{"protocol": "tcp", "port": 443, "cidr": "192.0.2.0/24", "description": "web"}]},
        "load_balancer": {"health_path": "/health", "deregistration_delay": 20, "ingress_cidrs": ["198.51.100.0/24"]},
        "redis": {"node_type": "cache.t3.medium"}, "services": {"api": {"hosts": None}},
        "https": {"hsts": "1d", "names": [f"n{number}.ospcapi.org" for number in range(10)]},
    },
    {"tags": {"team": None}, "redis": {"engine": "valkey", "version": "8.0"}, "network": {"tasks_subnet": "10.0.3.0/24"},
     "services": {"web": {"paths": ["/w"]}, "api": None}, "https": {"names": ["n0.ospcapi.org"], "redirect": False}},
]  # fmt: skip
HEAD = """\
# AWS API actions

This page lists the AWS API actions that pb-deploy calls, by service. `tests/integration/test_fidelity.py` records the
actions of a full deploy, of three updates that change or replace every resource kind, of the read-only commands, and
of a destroy, and checks each request against the published model of its service. The last column lists actions that
the source code contains but that these runs do not call: other commands such as `bootstrap` and `adopt` need them, or
they repair drift, or they collect details after a failure. Every test run compares this list with the source code;
`PB_TEST_RECORD=1` records it again.

The service names are those with which requests are signed. In IAM, some actions have another name: for example,
`s3:ListBucketVersions` is the permission for `ListObjectVersions`. [permissions.md](permissions.md) describes which
permissions a command needs.

"""


@pytest.fixture(scope="module")
def requests(new_workspace: Callable[[], TestWorkspace], url: str) -> list[Request]:
    """Returns all requests from a workspace's first plan to its destroy."""
    workspace = new_workspace()
    with Observer(url) as observer:
        workspace.run("plan", "staging", url=observer.url).expect_exit()
        workspace.run("deploy", "staging", "--yes", url=observer.url).expect_exit()
        for change in UPDATES:
            workspace.configure(change)
            workspace.run("deploy", "staging", "--yes", url=observer.url).expect_exit()
        for command in (["status", "staging"], ["output", "staging"], ["state", "show", "staging"],
                     ["state", "versions", "staging"], ["tasks", "staging"], ["logs", "staging", "flask", "--filter", "x"],
                     ["run", "staging", "--", "echo", "x"]):  # fmt: skip
            workspace.run(*command, url=observer.url).expect_exit()
        workspace.run("destroy", "staging", "--yes", url=observer.url).expect_exit()
        return [request for request, _ in observer.requests]


def test_requests_conform_to_service_models(requests: list[Request]) -> None:
    assert len(requests) > 300
    problems = sorted({problem for request in requests for problem in violations(request)})
    assert problems == [], f"botocore {botocore.__version__}:\n" + "\n".join(problems)


def test_api_actions_document_is_complete(requests: list[Request]) -> None:
    used = {f"{request.service}:{request.action}" for request in requests}
    in_sources = callable_actions(used)
    assert used <= in_sources, "every recorded action occurs in the sources"
    if os.environ.get("PB_TEST_RECORD"):
        DOCUMENT.write_text(document(used, in_sources), encoding="utf-8")
    text = DOCUMENT.read_text(encoding="utf-8")
    documented = {
        f"{service}:{action}" for service, actions in LISTED.findall(text) for action in NAME.findall(actions)
    }
    assert documented == in_sources, f"{DOCUMENT.name} is out of date: PB_TEST_RECORD=1 records it again"


def document(used: set[str], in_sources: set[str]) -> str:
    """Returns the document: each service's actions that read, that change something, and that were not called."""
    lines = ["| service | reads | changes | other commands, drift, failures |", "|---|---|---|---|"]
    for service in sorted({name.partition(":")[0] for name in in_sources}):
        cells: list[list[str]] = [[], [], []]
        for name in sorted(in_sources):
            action = name.partition(":")[2]
            if name.startswith(f"{service}:"):
                cells[2 if name not in used else 0 if READ_ONLY.match(action) else 1].append(f"`{action}`")
        lines.append(f"| {service} | " + " | ".join(", ".join(cell) for cell in cells) + " |")
    return HEAD + "\n".join(lines) + "\n"


def form_request(service: str, body: str) -> Request:
    """Returns a form-encoded request."""
    kind, key = "application/x-www-form-urlencoded", f"Credential=1/20260101/r/{service}/aws4_request"
    return Request("POST", "/", {"Content-Type": kind, "Authorization": key}, body.encode())


def json_request(target: str, body: str) -> Request:
    """Returns a JSON request to ECS."""
    key = "Credential=1/20260101/r/ecs/aws4_request"
    return Request("POST", "/", {"X-Amz-Target": target, "Authorization": key}, body.encode())


def test_violations_of_service_models_are_detected() -> None:
    """Checks one invalid request for each kind of violation, so that no kind is missed."""
    redis = "Action=CreateReplicationGroup&ReplicationGroupId=a&ReplicationGroupDescription=b"
    create = "AmazonEC2ContainerServiceV20141113.CreateService"
    dns = "Credential=1/20260101/r/route53/aws4_request"
    record = (
        b"<ChangeResourceRecordSetsRequest><ChangeBatch><Changes><Change><Action>MAKE</Action><ResourceRecordSet>"
        b"<Name>a</Name><Type>A</Type></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    )
    for request, expected in (
        (form_request("elasticache", "Action=CreateReplicationGroup&ReplicationGroupId=a"), "Description is required"),
        (form_request("elasticache", redis + "&Port=many"), "'many' is no integer"),
        (form_request("elasticache", redis + "&Prot=6400"), "has no Prot"),
        (form_request("elasticache", redis + "&NetworkType=ipv5"), "'ipv5' is none of"),
        (form_request("ec2", "Action=CreateVpcs"), "no operation"),
        (form_request("ec2", "Action=CreateVpc&CidrBlock=10.0.0.0/16&Tag.1=x"), "has no Tag.1"),
        (json_request(create, '{"serviceName": 1}'), "1 is no string"),
        (json_request(create, '{"serviceName": "a", "count": 1}'), "has no count"),
        (json_request(create, '{"serviceName": "a", "launchType": "SPOT"}'), "'SPOT' is none of"),
        (json_request(create, '{"desiredCount": 1}'), "serviceName is required"),
        (form_request("elasticloadbalancing", "Action=CreateTargetGroup&Name=a&Port=70000"), "outside of 1..65535"),
        (Request("POST", "/2013-04-01/hostedzone/Z1/rrset/", {"Authorization": dns}, record), "'MAKE' is none of"),
    ):
        problems = violations(request)
        assert any(expected in problem for problem in problems), (expected, problems)
    logs = {
        "X-Amz-Target": "Logs_20140328.CreateLogGroup",
        "Authorization": "Credential=1/20260101/r/logs/aws4_request",
    }
    (problem,) = violations(Request("POST", "/", logs, b'{"logGroupName": "a b"}'))
    assert "'a b' does not fit" in problem
    assert violations(form_request("elasticache", redis + "&Port=6400&NetworkType=ipv4")) == []
    assert violations(json_request(create, '{"serviceName": "a", "launchType": "FARGATE"}')) == []
