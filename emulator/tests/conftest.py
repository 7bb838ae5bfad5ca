"""A real server process for the tests, and boto3 clients that never retry."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

EMULATOR = Path(__file__).resolve().parent.parent
REGION = "us-east-2"
_accounts = itertools.count(200000000001)


@contextmanager
def running_server(tmp_path: Path, *options: str) -> Iterator[str]:
    """Runs a server process while the context is open, and yields its URL."""
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        [sys.executable, "-m", "pb_emulator", "serve", "--ready-file", str(ready), *options],
        cwd=EMULATOR, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, 30)
        assert process.poll() is None, "the server ended"
        yield ready.read_text(encoding="utf-8").strip()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Waits until a condition is true, and returns its value."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.03)


def control(url: str, method: str, path: str, body: Any = None) -> Any:
    """Calls a control endpoint, and returns its response."""
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(urllib.request.Request(f"{url}/_pb/{path}", data, method=method)) as answer:
        return json.loads(answer.read())


class Aws:
    """boto3 clients of one account, and helpers for tests."""

    def __init__(self, url: str, account: str, region: str = REGION) -> None:
        self.url, self.account, self.region = url, account, region
        self._clients: dict[str, Any] = {}

    def __getattr__(self, service: str) -> Any:
        if service.startswith("_"):
            raise AttributeError(service)
        if service not in self._clients:
            config = Config(retries={"max_attempts": 0, "mode": "standard"}, s3={"addressing_style": "path"})
            self._clients[service] = boto3.client(
                service, endpoint_url=self.url, region_name=self.region, aws_access_key_id=self.account,
                aws_secret_access_key="test", config=config,
            )  # fmt: skip
        return self._clients[service]

    def code(self, call: Callable[..., Any], **parameters: Any) -> str:
        """Returns the error code of a refused call."""
        with pytest.raises(ClientError) as caught:
            call(**parameters)
        return str(caught.value.response["Error"]["Code"])

    def message(self, call: Callable[..., Any], **parameters: Any) -> str:
        """Returns the error message of a refused call."""
        with pytest.raises(ClientError) as caught:
            call(**parameters)
        return str(caught.value.response["Error"]["Message"])

    def network(self, gateway: bool = True) -> Network:
        """Creates a VPC with two public subnets and a security group."""
        return Network(self, gateway)

    def interfaces(self, **filters: str) -> list[dict[str, Any]]:
        """Returns the interfaces that match filters; underscores in the filters' names stand for hyphens."""
        wanted = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
        return self.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]


class Network:
    """A VPC with two public subnets in two zones, an internet gateway, and a security group."""

    def __init__(self, aws: Aws, gateway: bool) -> None:
        ec2 = aws.ec2
        self.aws = aws
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{aws.region}{zone}")[
                "Subnet"
            ]["SubnetId"]
            for n, zone in enumerate("ab")
        ]
        self.igw = ""
        if gateway:
            self.igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
            ec2.attach_internet_gateway(InternetGatewayId=self.igw, VpcId=self.vpc)
        self.group = self.add_group("app")

    def add_group(self, name: str) -> str:
        """Creates another security group."""
        return self.aws.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]

    def allow_all_ingress(self) -> None:
        """Allows all ingress to members of the security group."""
        any_source = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        self.aws.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=any_source)

    def balancer(self, name: str = "web", **settings: Any) -> dict[str, Any]:
        """Creates a load balancer in both subnets."""
        wanted = {"Name": name, "Subnets": self.subnets, "SecurityGroups": [self.group], **settings}
        return self.aws.elbv2.create_load_balancer(**wanted)["LoadBalancers"][0]

    def target_group(self, name: str = "web", **settings: Any) -> str:
        """Creates a target group of type ip on port 8080."""
        wanted = {"Name": name, "Protocol": "HTTP", "Port": 8080, "VpcId": self.vpc, "TargetType": "ip", **settings}
        return self.aws.elbv2.create_target_group(**wanted)["TargetGroups"][0]["TargetGroupArn"]

    def listener(self, balancer: str, group: str, port: int = 80) -> str:
        """Creates a listener that forwards to a target group."""
        actions = [{"Type": "forward", "TargetGroupArn": group}]
        return self.aws.elbv2.create_listener(
            LoadBalancerArn=balancer, Protocol="HTTP", Port=port, DefaultActions=actions
        )["Listeners"][0]["ListenerArn"]

    def awsvpc(self) -> dict[str, Any]:
        """Returns a network configuration for services in this network."""
        vpc = {"subnets": self.subnets, "securityGroups": [self.group], "assignPublicIp": "ENABLED"}
        return {"awsvpcConfiguration": vpc}


BREAKER = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 2}}


class App:
    """A cluster in a network, with a log group and an execution role."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.ecs, self.net = aws, aws.ecs, aws.network()
        self.net.allow_all_ingress()
        self.ecs.create_cluster(clusterName="c")
        aws.logs.create_log_group(logGroupName="app")
        self.role = self.make_role("x", "ecs-tasks.amazonaws.com")

    def make_role(self, name: str, service: str) -> str:
        """Creates a role that an AWS service can assume, and returns its ARN."""
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        return self.aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]

    def definition(self, image: str = "app:1", family: str = "web", **settings: Any) -> str:
        """Registers a revision of a task definition, and returns its ARN."""
        options = {"awslogs-group": "app", "awslogs-region": self.aws.region, "awslogs-stream-prefix": "p"}
        container = {
            "name": "app", "image": image, "essential": True, "portMappings": [{"containerPort": 8080}],
            "logConfiguration": {"logDriver": "awslogs", "options": options}, **settings.pop("container", {}),
        }  # fmt: skip
        wanted = {
            "family": family, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256",
            "memory": "512", "executionRoleArn": self.role, "containerDefinitions": [container], **settings,
        }  # fmt: skip
        return self.ecs.register_task_definition(**wanted)["taskDefinition"]["taskDefinitionArn"]

    def create(self, definition: str, name: str = "web", **settings: Any) -> dict[str, Any]:
        """Creates a service with two tasks by default."""
        wanted = {
            "cluster": "c", "serviceName": name, "taskDefinition": definition, "desiredCount": 2, "launchType": "FARGATE",
            "networkConfiguration": self.net.awsvpc(), "deploymentConfiguration": {"deploymentCircuitBreaker": BREAKER},
            **settings,
        }  # fmt: skip
        return self.ecs.create_service(**wanted)["service"]

    def show(self, name: str = "web") -> dict[str, Any]:
        """Returns the current description of a service."""
        return self.ecs.describe_services(cluster="c", services=[name], include=["TAGS"])["services"][0]

    def steady(self, name: str = "web") -> dict[str, Any]:
        """Waits until the rollout of a service is COMPLETED, and returns the service."""
        return wait_until(lambda: (s := self.show(name))["deployments"][0]["rolloutState"] == "COMPLETED" and s)

    def rollout(self, name: str = "web", **wanted: str) -> dict[str, Any]:
        """Waits until the newest service deployment has finished or has the wanted status, and returns it."""

        def newest() -> Any:
            arn = self.ecs.list_service_deployments(cluster="c", service=name)["serviceDeployments"][0][
                "serviceDeploymentArn"
            ]
            found = self.ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]
            ends = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")
            return found["status"] in (wanted.get("status"), *ends) and found

        return wait_until(newest)

    def web(self) -> tuple[str, str]:
        """Creates a target group behind a listener, and returns the ARNs of the load balancer and the group."""
        balancer, group = self.net.balancer()["LoadBalancerArn"], self.net.target_group()
        self.net.listener(balancer, group)
        return balancer, group


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that most tests share."""
    with running_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def aws(server: str) -> Aws:
    """Clients of an account that no other test uses."""
    return Aws(server, str(next(_accounts)))


@pytest.fixture
def app(aws: Aws) -> App:
    """A cluster in a network of an account that no other test uses."""
    return App(aws)
