"""AWS rules that the tool relies on and that no other file tests; docs/aws-rules.md lists all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import App, Aws

ROOT = Path(__file__).resolve().parents[2]
#: References to tests: `file.py::test` for the emulator, `crate/file.rs::test` for a crate.
NAMED = re.compile(r"`([\w./-]+\.(?:py|rs))::(\w+)`")


@pytest.mark.parametrize(
    ("create", "key", "identity", "parameters"),
    [
        ("create_vpc", "Vpc", "VpcId", {"CidrBlock": "10.9.0.0/16"}),
        ("create_internet_gateway", "InternetGateway", "InternetGatewayId", {}),
    ],
)
def test_create_without_token_is_not_idempotent(
    aws: Aws, create: str, key: str, identity: str, parameters: dict[str, str]
) -> None:
    first, second = (getattr(aws.ec2, create)(**parameters)[key][identity] for _ in range(2))
    assert first != second


def test_vpc_delete_removes_its_defaults(aws: Aws) -> None:
    ec2 = aws.ec2
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    own = [{"Name": "vpc-id", "Values": [vpc]}]
    (group,) = ec2.describe_security_groups(Filters=own)["SecurityGroups"]
    (table,) = ec2.describe_route_tables(Filters=own)["RouteTables"]
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group["GroupId"]]}])
    assert group["GroupName"] == "default" and any(a["Main"] for a in table["Associations"])
    assert {rule["IsEgress"] for rule in rules["SecurityGroupRules"]} == {True, False}
    assert aws.code(ec2.delete_security_group, GroupId=group["GroupId"]) == "CannotDelete"
    ec2.delete_vpc(VpcId=vpc)
    assert ec2.describe_security_groups(Filters=own)["SecurityGroups"] == []
    assert ec2.describe_route_tables(Filters=own)["RouteTables"] == []


def test_identical_definition_registers_new_revision(app: App) -> None:
    assert [app.definition().rsplit(":", 1)[-1] for _ in range(2)] == ["1", "2"]


def test_replication_group_id_is_lower_cased(aws: Aws) -> None:
    net, cache = aws.network(), aws.elasticache
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="s", CacheSubnetGroupDescription="s", SubnetIds=net.subnets[:1]
    )
    made = cache.create_replication_group(
        ReplicationGroupId="Staging-JobQR", ReplicationGroupDescription="q", Engine="redis", NumCacheClusters=1,
        CacheNodeType="cache.t3.small", CacheSubnetGroupName="s",
    )["ReplicationGroup"]  # fmt: skip
    assert made["ReplicationGroupId"] == "staging-jobqr"


def test_valkey_cache_cluster_is_refused(aws: Aws) -> None:
    net, cache = aws.network(), aws.elasticache
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="s", CacheSubnetGroupDescription="s", SubnetIds=net.subnets[:1]
    )
    wanted = {"CacheNodeType": "cache.t3.small", "Engine": "valkey", "CacheSubnetGroupName": "s"}
    code = aws.code(cache.create_cache_cluster, CacheClusterId="v", NumCacheNodes=1, **wanted)
    assert code in ("InvalidParameterCombination", "InvalidParameterValue")
    cache.create_replication_group(
        ReplicationGroupId="v", ReplicationGroupDescription="v", NumCacheClusters=1, **wanted
    )


def test_security_group_allows_sixty_rules_per_direction(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2

    def rules(first: int, count: int) -> list[dict[str, object]]:
        ports = range(first, first + count)
        return [
            {"IpProtocol": "tcp", "FromPort": p, "ToPort": p, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]} for p in ports
        ]

    ec2.authorize_security_group_ingress(GroupId=net.group, IpPermissions=rules(1, 60))
    code = aws.code(ec2.authorize_security_group_ingress, GroupId=net.group, IpPermissions=rules(100, 1))
    assert code == "RulesPerSecurityGroupLimitExceeded"


def test_upsert_is_idempotent(aws: Aws) -> None:
    zone = aws.route53.create_hosted_zone(Name="x.org", CallerReference="1")["HostedZone"]["Id"]
    record = {"Name": "a.x.org", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    for _ in range(2):
        aws.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
    found = aws.route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert [r["Name"] for r in found if r["Type"] == "A"] == ["a.x.org."]


def test_service_requires_listener_on_target_group(app: App) -> None:
    group = app.net.target_group()
    behind = [{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}]
    message = app.aws.message(app.create, definition=app.definition(), loadBalancers=behind)
    assert "does not have an associated load balancer" in message
    app.net.listener(app.net.balancer()["LoadBalancerArn"], group)
    app.create(app.definition(), loadBalancers=behind)


def test_rules_document_names_existing_tests() -> None:
    text = (ROOT / "docs" / "aws-rules.md").read_text(encoding="utf-8")
    named = NAMED.findall(text)
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| rule", "|---"))]
    assert len(rows) > 60 and len(named) >= len(rows)
    for line in rows:
        assert NAMED.search(line), f"rule without a test: {line}"
    for file, test in named:
        path = (ROOT / "emulator" / "tests" if file.endswith(".py") else ROOT / "crates") / file
        if not path.exists():
            path = ROOT / file
        assert path.exists(), f"{file} does not exist"
        assert re.search(rf"^\s*(?:async )?(?:def|fn) {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE), (
            f"{file} has no test {test}"
        )
