"""The server: accounts, request log, control endpoints, recording, errors, connections."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlparse

import pytest
from conftest import EMULATOR, Aws, control, running_server, wait_until
from pb_emulator.server import THREADS


def test_twelve_digit_key_selects_its_own_account(server: str) -> None:
    one, two, other = Aws(server, "300000000001"), Aws(server, "300000000002"), Aws(server, "AKIAWHATEVER")
    one.ecs.create_cluster(clusterName="c")
    assert two.ecs.list_clusters()["clusterArns"] == []
    assert one.sts.get_caller_identity()["Account"] == "300000000001"
    assert other.sts.get_caller_identity()["Account"] == "123456789012"


def test_request_log_lists_every_call(aws: Aws) -> None:
    aws.ec2.describe_vpcs()
    aws.ecs.create_cluster(clusterName="c")
    aws.code(aws.ec2.delete_vpc, VpcId="vpc-0123456789abcdef0")
    aws.route53.list_hosted_zones()
    aws.code(aws.s3.head_bucket, Bucket="not-there")
    entries = control(aws.url, "GET", f"requests?account={aws.account}")["requests"]
    seen = [(e["service"], e["action"], e["mutating"], e["status"], e["error"]) for e in entries]
    assert seen == [
        ("ec2", "DescribeVpcs", False, 200, None),
        ("ecs", "CreateCluster", True, 200, None),
        ("ec2", "DeleteVpc", True, 400, "InvalidVpcID.NotFound"),
        ("route53", "ListHostedZones", False, 200, None),
        ("s3", "HeadBucket", False, 404, "404"),
    ]
    assert all(e["region"] == "us-east-2" for e in entries[:3]) and "Boto3" in entries[0]["user_agent"]
    assert [e["seq"] for e in entries] == sorted(e["seq"] for e in entries)
    assert all(e["began_ms"] <= e["at_ms"] for e in entries)
    assert all(one["at_ms"] <= next_one["began_ms"] for one, next_one in pairwise(entries)), "one after the other"
    later = control(aws.url, "GET", f"requests?account={aws.account}&since={entries[2]['seq']}")["requests"]
    assert [e["action"] for e in later] == ["ListHostedZones", "HeadBucket"]


def test_prerequisites_are_created_once(aws: Aws) -> None:
    wanted = {
        "bucket": f"state-{aws.account}", "table": "lock", "zone": "Example.org", "role": "exec",
        "region": aws.region, "account": aws.account,
    }  # fmt: skip
    assert control(aws.url, "POST", "preconditions", wanted) == control(aws.url, "POST", "preconditions", wanted)
    assert aws.s3.get_bucket_versioning(Bucket=wanted["bucket"])["Status"] == "Enabled"
    table = aws.dynamodb.describe_table(TableName="lock")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "LockID", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    zones = aws.route53.list_hosted_zones()["HostedZones"]
    assert [(z["Name"], z["Config"]["PrivateZone"]) for z in zones] == [("example.org.", False)]
    policies = aws.iam.list_attached_role_policies(RoleName="exec")["AttachedPolicies"]
    assert [p["PolicyName"] for p in policies] == ["AmazonECSTaskExecutionRolePolicy"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        control(aws.url, "POST", "preconditions", {"buckets": "typo"})
    assert refused.value.code == 400


def test_reset_latency_and_clear(tmp_path: Path) -> None:
    with running_server(tmp_path, "--latency-ms", "120", "--pace", "0") as url:
        aws = Aws(url, "300000000009")
        aws.ecs.create_cluster(clusterName="c")
        started = time.monotonic()
        assert len(aws.ecs.list_clusters()["clusterArns"]) == 1
        assert time.monotonic() - started >= 0.12
        control(url, "POST", "reset")
        assert aws.ecs.list_clusters()["clusterArns"] == []
        control(url, "DELETE", "requests")
        assert control(url, "GET", "requests")["requests"] == []


def test_unsupported_call_is_501_with_code(aws: Aws) -> None:
    for call, parameters in (
        (aws.elasticache.create_serverless_cache, {"ServerlessCacheName": "a", "Engine": "redis"}),
        (aws.ecs.list_container_instances, {"cluster": "c"}),
        (aws.ec2.describe_trunk_interface_associations, {}),
    ):
        with pytest.raises(Exception) as caught:
            call(**parameters)
        response = caught.value.response  # type: ignore[attr-defined]
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 501, response
        assert response["Error"]["Code"] in ("NotImplemented", "EmulatorFault")


def test_dry_run(aws: Aws) -> None:
    assert aws.code(aws.ec2.create_vpc, CidrBlock="10.0.0.0/16", DryRun=True) == "DryRunOperation"


def test_recording_contains_the_bytes(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    with running_server(tmp_path, "--record", str(record)) as url:
        Aws(url, "300000000008").ecs.create_cluster(clusterName="recorded")
    line = json.loads(record.read_text(encoding="utf-8").splitlines()[0])
    assert (line["method"], line["service"], line["action"], line["status"]) == ("POST", "ecs", "CreateCluster", 200)
    assert json.loads(base64.b64decode(line["body"]))["clusterName"] == "recorded"
    assert "recorded" in base64.b64decode(line["response_body"]).decode()
    assert line["headers"]["x-amz-target"].endswith(".CreateCluster")
    assert line["headers"]["content-type"].startswith("application/x-amz-json")


def test_connections_are_kept_alive(server: str) -> None:
    connection = http.client.HTTPConnection(urlparse(server).netloc)
    connection.request("GET", "/_pb/health")
    first = connection.getresponse()
    first.read()
    local = connection.sock.getsockname() if connection.sock else None
    connection.request("GET", "/_pb/health")
    connection.getresponse().read()
    assert first.version == 11 and connection.sock and connection.sock.getsockname() == local


def test_chunked_bodies_and_continue(server: str) -> None:
    host, port = urlparse(server).hostname, urlparse(server).port
    signature = (
        "AWS4-HMAC-SHA256 Credential=300000000007/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    )
    with socket.create_connection((host, port)) as link:
        link.sendall(
            f"PUT /chunked-300000000007 HTTP/1.1\r\nHost: x\r\nAuthorization: {signature}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        assert b" 200 " in link.recv(4096).split(b"\r\n", 1)[0]
        link.sendall(
            f"PUT /chunked-300000000007/k HTTP/1.1\r\nHost: x\r\nAuthorization: {signature}\r\nExpect:"
            " 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        assert b"100 Continue" in link.recv(4096)
        link.sendall(b"5\r\nhello\r\n0\r\n\r\n")
        assert b" 200 " in link.recv(4096).split(b"\r\n", 1)[0]
    got = Aws(server, "300000000007", "us-east-1").s3.get_object(Bucket="chunked-300000000007", Key="k")
    assert got["Body"].read() == b"hello"


def test_twenty_clients_at_once(server: str) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            aws = Aws(server, str(310000000000 + number))
            for index in range(5):
                aws.ecs.create_cluster(clusterName=f"c{index}")
            assert len(aws.ecs.list_clusters()["clusterArns"]) == 5
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures


def test_idle_connections_take_no_thread(server: str) -> None:
    where = urlparse(server)
    with contextlib.ExitStack() as idle:
        for _ in range(2 * THREADS):
            idle.enter_context(socket.create_connection((where.hostname, where.port), timeout=10))
        connection = http.client.HTTPConnection(where.netloc, timeout=10)
        connection.request("GET", "/_pb/health")
        assert connection.getresponse().status == 200


def test_response_is_sent_in_one_write(server: str) -> None:
    where = urlparse(server)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        for _ in range(20):
            connection.sendall(b"GET /_pb/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            (length,) = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
            assert len(body) == int(length) > 0


def test_request_log_is_ordered_across_accounts(server: str) -> None:
    one, two = Aws(server, "300000000011"), Aws(server, "300000000012")
    for aws in (one, two, one):
        aws.ec2.describe_vpcs()
    entries = control(server, "GET", "requests")["requests"]
    assert [entry["seq"] for entry in entries] == sorted(entry["seq"] for entry in entries)
    accounts = [entry["account"] for entry in entries if entry["account"] in (one.account, two.account)]
    assert accounts == [one.account, two.account, one.account]


def test_managed_policies_are_attached_per_account(server: str) -> None:
    one, two = Aws(server, "300000000013"), Aws(server, "300000000014")
    arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    for aws in (one, two):
        aws.iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    one.iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    counts = [aws.iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] for aws in (one, two)]
    assert counts == [1, 0]
    version = two.iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert "logs:PutLogEvents" in str(version["Document"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_ends_while_calls_are_in_progress(tmp_path: Path, number: signal.Signals) -> None:
    ready, recording = tmp_path / "ready", tmp_path / "recording"
    command = [sys.executable, "-m", "pb_emulator", "serve", "--ready-file", str(ready), "--record", str(recording)]
    # Every call takes longer than the test waits for the end of the process.
    process = subprocess.Popen([*command, "--latency-ms", "600000"], cwd=EMULATOR, stdout=subprocess.DEVNULL)
    try:
        wait_until(ready.exists, 30)
        address = urlparse(ready.read_text(encoding="utf-8").strip())
        assert address.hostname and address.port
        idle, busy = (socket.create_connection((address.hostname, address.port)) for _ in range(2))
        with idle, busy:
            busy.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            idle.sendall(b"GET /_pb/health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert idle.recv(1024).startswith(b"HTTP/1.1 200"), "the server keeps this connection open"
            process.send_signal(number)
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
