"""Tests of the rules for Route 53, CloudWatch Logs, IAM, S3 and DynamoDB."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import Aws, control, wait_until


class Zone:
    """A public hosted zone."""

    def __init__(self, aws: Aws, name: str = "example.org") -> None:
        self.aws, self.r53 = aws, aws.route53
        made = self.r53.create_hosted_zone(Name=name, CallerReference=f"{name}-{aws.account}")
        self.id, self.change_info = made["HostedZone"]["Id"], made["ChangeInfo"]

    def change(
        self, action: str, name: str = "api.example.org", values: tuple[str, ...] = ("10.0.0.1",), **extra: Any
    ) -> Any:
        """Makes one change to the records of a zone."""
        record = {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": v} for v in values], **extra}
        record = {key: value for key, value in record.items() if value is not None}
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        return self.r53.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=batch)["ChangeInfo"]

    def records(self, **start: str) -> list[dict[str, Any]]:
        """Returns the records of a zone."""
        return self.r53.list_resource_record_sets(HostedZoneId=self.id, **start)["ResourceRecordSets"]


def test_record_create_upsert_delete(aws: Aws) -> None:
    zone = Zone(aws)
    zone.change("CREATE")
    assert aws.code(zone.change, action="CREATE") == "InvalidChangeBatch"
    zone.change("UPSERT", values=("10.0.0.2",))
    assert "do not match" in aws.message(zone.change, action="DELETE")
    assert "not found" in aws.message(zone.change, action="DELETE", name="other.example.org")
    assert aws.code(zone.r53.delete_hosted_zone, Id=zone.id) == "HostedZoneNotEmpty"
    zone.change("DELETE", values=("10.0.0.2",))
    assert [r["Type"] for r in zone.records()] == ["NS", "SOA"]
    assert aws.code(zone.change, action="CREATE", name="api.example.com") == "InvalidChangeBatch"
    zone.r53.delete_hosted_zone(Id=zone.id)
    assert aws.code(zone.r53.get_hosted_zone, Id=zone.id) == "NoSuchHostedZone"


def test_record_batch_is_atomic(aws: Aws) -> None:
    zone = Zone(aws)
    changes = [
        {
            "Action": action,
            "ResourceRecordSet": {
                "Name": f"{name}.example.org",
                "Type": "A",
                "TTL": 60,
                "ResourceRecords": [{"Value": "10.0.0.1"}],
            },
        }
        for action, name in (("CREATE", "one"), ("DELETE", "missing"))
    ]
    batch = {"HostedZoneId": zone.id, "ChangeBatch": {"Changes": changes}}
    assert aws.code(zone.r53.change_resource_record_sets, **batch) == "InvalidChangeBatch"
    assert len(zone.records()) == 2


def test_record_names_are_normalized(aws: Aws) -> None:
    zone = Zone(aws, "Example.Org")
    zone.change("UPSERT", name="*.API.example.org")
    assert zone.records()[-1]["Name"] == "\\052.api.example.org."
    zone.change("DELETE", name="\\052.api.example.org.")
    assert zone.r53.get_hosted_zone(Id=zone.id)["HostedZone"]["Name"] == "example.org."


def test_alias_records(aws: Aws) -> None:
    zone, net = Zone(aws), aws.network()
    balancer = net.balancer()
    target = {
        "HostedZoneId": balancer["CanonicalHostedZoneId"],
        "DNSName": balancer["DNSName"],
        "EvaluateTargetHealth": True,
    }
    alias: dict[str, Any] = {"TTL": None, "ResourceRecords": None, "AliasTarget": target}
    zone.change("UPSERT", **alias)
    (shown,) = zone.records(StartRecordName="api.example.org", StartRecordType="A")[:1]
    assert shown["AliasTarget"]["DNSName"] == balancer["DNSName"] + "." and "TTL" not in shown
    assert aws.code(zone.change, action="DELETE") == "InvalidChangeBatch"
    bad = {**alias, "AliasTarget": {**target, "HostedZoneId": "ZZZZZZZZZZZZZ"}}
    assert aws.code(zone.change, action="UPSERT", **bad) == "InvalidChangeBatch"
    cname = {"Type": "CNAME", "ResourceRecords": [{"Value": "x.example.org"}]}
    assert aws.code(zone.change, action="CREATE", **cname) == "InvalidChangeBatch"
    zone.change("DELETE", **alias)


def weighted(identifier: str, weight: int = 1) -> dict[str, Any]:
    """Returns the fields of a weighted record."""
    return {"SetIdentifier": identifier, "Weight": weight}


def test_routing_policies_do_not_mix(aws: Aws) -> None:
    zone = Zone(aws)
    zone.change("CREATE", **weighted("blue"))
    zone.change("CREATE", values=("10.0.0.2",), **weighted("green", 0))
    for action in ("CREATE", "UPSERT"):
        assert "other RRSets exist with the same name and type" in aws.message(zone.change, action=action)
    latency = {"SetIdentifier": "ohio", "Region": "us-east-2"}
    assert "a non-latency set exists" in aws.message(zone.change, action="CREATE", **latency)
    zone.change("CREATE", Type="AAAA", values=("2001:db8::1",))
    cname = {"Type": "CNAME", "values": ("x.example.org",), **weighted("blue")}
    assert "conflicting RRSet" in aws.message(zone.change, action="CREATE", **cname)
    zone.change("CREATE", name="other.example.org")
    mixed = {"name": "other.example.org", **weighted("blue")}
    assert "a non-weighted set exists" in aws.message(zone.change, action="UPSERT", **mixed)
    assert aws.code(zone.change, action="CREATE", name="x.example.org", Weight=1) == "InvalidInput"
    assert aws.code(zone.change, action="CREATE", name="x.example.org", SetIdentifier="a") == "InvalidInput"
    page = zone.r53.list_resource_record_sets(HostedZoneId=zone.id, StartRecordName="api.example.org", MaxItems="1")
    assert (page["NextRecordName"], page["NextRecordIdentifier"]) == ("api.example.org.", "green")
    rest = zone.records(StartRecordName="api.example.org", StartRecordType="A", StartRecordIdentifier="green")
    assert [record.get("SetIdentifier") for record in rest][:2] == ["green", None]
    zone.change("DELETE", **weighted("blue"))
    assert [r.get("SetIdentifier") for r in zone.records(StartRecordName="api.example.org")][:2] == ["green", None]


def test_protected_record_refuses_every_change(aws: Aws) -> None:
    zone = Zone(aws)
    zone.change("CREATE")
    protection = {"account": aws.account, "zone": zone.id, "name": "api.example.org", "type": "A", "comment": "ask ops"}
    control(aws.url, "POST", "record-protections", protection)
    for action, values in (("UPSERT", ("10.0.0.2",)), ("DELETE", ("10.0.0.1",))):
        assert "ask ops" in aws.message(zone.change, action=action, values=values)
    assert "protect" in aws.message(zone.change, action="CREATE", values=("10.0.0.2",))
    zone.change("CREATE", name="other.example.org")
    zone.change("DELETE", name="other.example.org")
    control(aws.url, "POST", "record-protections", {**protection, "on": False})
    zone.change("DELETE")
    control(aws.url, "POST", "record-protections", protection)
    assert "protected" in aws.message(zone.change, action="CREATE")
    assert aws.code(zone.r53.delete_hosted_zone, Id=zone.id) == "HostedZoneNotEmpty"


def test_protections_are_created_and_deleted_together(aws: Aws) -> None:
    zone = Zone(aws)
    one, two = ({"RecordName": f"{name}.example.org", "RecordType": "A"} for name in ("one", "two"))
    create, delete = zone.r53.create_resource_record_set_protections, zone.r53.delete_resource_record_set_protections
    create(HostedZoneId=zone.id, Protections=[{**one, "Comment": "ask ops"}])
    assert aws.code(create, HostedZoneId=zone.id, Protections=[one]) == "ProtectionAlreadyExists"
    batch = "InvalidResourceRecordSetProtectionBatch"
    assert aws.code(create, HostedZoneId=zone.id, Protections=[one, two]) == batch
    assert "ask ops" in aws.message(zone.change, action="CREATE", name="one.example.org")
    assert aws.code(delete, HostedZoneId=zone.id, Protections=[one, two]) == batch
    shown = zone.r53.list_resource_record_set_protections(HostedZoneId=zone.id)["ResourceRecordSetProtections"]
    assert shown == [{"RecordName": "one.example.org.", "RecordType": "A", "Comment": "ask ops"}]
    delete(HostedZoneId=zone.id, Protections=[one])
    zone.change("CREATE", name="one.example.org")


def test_traffic_policy_instance_owns_its_record(aws: Aws) -> None:
    zone = Zone(aws)
    endpoints = {"one": {"Type": "value", "Value": "2001:db8::1"}}
    document = {
        "AWSPolicyFormatVersion": "2015-10-01", "RecordType": "AAAA", "Endpoints": endpoints, "StartEndpoint": "one",
    }  # fmt: skip
    policy = zone.r53.create_traffic_policy(Name="p", Document=json.dumps(document))["TrafficPolicy"]
    wanted = {"HostedZoneId": zone.id, "Name": "api.example.org", "TTL": 60, "TrafficPolicyVersion": 1}
    create = zone.r53.create_traffic_policy_instance
    assert aws.code(create, **wanted, TrafficPolicyId="0" * 36) == "NoSuchTrafficPolicy"
    instance = create(**wanted, TrafficPolicyId=policy["Id"])["TrafficPolicyInstance"]["Id"]
    (record,) = zone.records(StartRecordName="api.example.org", StartRecordType="AAAA")[:1]
    assert (record["TrafficPolicyInstanceId"], record["ResourceRecords"]) == (instance, [{"Value": "2001:db8::1"}])
    assert zone.r53.get_traffic_policy_instance(Id=instance)["TrafficPolicyInstance"]["State"] == "Applied"
    zone.r53.delete_traffic_policy_instance(Id=instance)
    assert len(zone.records()) == 2, "the NS and SOA records of the zone"
    assert aws.code(zone.r53.delete_traffic_policy_instance, Id=instance) == "NoSuchTrafficPolicyInstance"


def test_only_encoded_denials_are_decoded(aws: Aws) -> None:
    details = json.dumps({"allowed": False, "explicitDeny": True})
    encoded = base64.urlsafe_b64encode(details.encode()).decode().rstrip("=")
    decode = aws.sts.decode_authorization_message
    assert decode(EncodedMessage=encoded)["DecodedMessage"] == details
    assert aws.code(decode, EncodedMessage="x") == "InvalidAuthorizationMessageException"


def test_record_change_is_pending_then_insync(aws: Aws) -> None:
    zone = Zone(aws)
    change = zone.change("UPSERT")
    assert (zone.change_info["Status"], change["Status"]) == ("PENDING", "PENDING")
    assert zone.r53.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "PENDING"
    wait_until(lambda: zone.r53.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "INSYNC")
    assert aws.code(zone.r53.get_change, Id="C0000000000000") == "NoSuchChange"


def test_zones_by_name_start_at_the_name(aws: Aws) -> None:
    first, after = Zone(aws, "example.org"), Zone(aws, "other.org")
    Zone(aws, "a.com")
    private = aws.route53.create_hosted_zone(
        Name="example.org", CallerReference="p", VPC={"VPCRegion": aws.region, "VPCId": aws.network().vpc},
        HostedZoneConfig={"PrivateZone": True},
    )["HostedZone"]  # fmt: skip
    listed = aws.route53.list_hosted_zones_by_name(DNSName="example.org")["HostedZones"]
    assert [z["Name"] for z in listed] == ["example.org.", "example.org.", "other.org."]
    assert {z["Id"]: z["Config"]["PrivateZone"] for z in listed} == {
        first.id: False,
        private["Id"]: True,
        after.id: False,
    }
    page = aws.route53.list_hosted_zones_by_name(DNSName="example.org", MaxItems="1")
    assert page["IsTruncated"] and page["NextDNSName"] == "example.org."
    again = {"Name": "x.org", "CallerReference": "p"}
    assert aws.code(aws.route53.create_hosted_zone, **again) == "HostedZoneAlreadyExists"


def test_log_groups(aws: Aws) -> None:
    logs = aws.logs
    logs.create_log_group(logGroupName="/app/web", tags={"a": "b"})
    assert aws.code(logs.create_log_group, logGroupName="/app/web") == "ResourceAlreadyExistsException"
    assert aws.code(logs.create_log_group, logGroupName="no good") == "InvalidParameterException"
    assert (
        aws.code(logs.put_retention_policy, logGroupName="/app/web", retentionInDays=17) == "InvalidParameterException"
    )
    logs.put_retention_policy(logGroupName="/app/web", retentionInDays=14)
    group = logs.describe_log_groups(logGroupNamePrefix="/app/web")["logGroups"][0]
    assert group["retentionInDays"] == 14
    arn = group["arn"].removesuffix(":*")
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "b"}
    logs.tag_resource(resourceArn=arn, tags={"c": "d"})
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "b", "c": "d"}
    assert aws.code(logs.delete_log_group, logGroupName="nope") == "ResourceNotFoundException"


def test_log_group_deletion_protection(aws: Aws) -> None:
    logs = aws.logs
    logs.create_log_group(logGroupName="kept")
    logs.put_log_group_deletion_protection(logGroupIdentifier="kept", deletionProtectionEnabled=True)
    assert logs.describe_log_groups()["logGroups"][0]["deletionProtectionEnabled"] is True
    assert aws.code(logs.delete_log_group, logGroupName="kept") == "ValidationException"
    logs.put_log_group_deletion_protection(logGroupIdentifier="kept", deletionProtectionEnabled=False)
    logs.delete_log_group(logGroupName="kept")


def test_missing_iam_role_is_no_such_entity(aws: Aws) -> None:
    assert aws.code(aws.iam.get_role, RoleName="nope") == "NoSuchEntity"


def test_s3_conditional_writes_and_versions(aws: Aws) -> None:
    bucket, s3 = f"cond-{aws.account}", aws.s3
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert aws.code(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)
    assert aws.code(s3.put_object, Bucket=bucket, Key="k", Body=b"4", IfMatch=etag) == "PreconditionFailed"
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2

    def race(number: int) -> bool:
        try:
            s3.put_object(Bucket=bucket, Key="race", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, range(24))) == 1


def test_create_bucket_requires_location_constraint(aws: Aws) -> None:
    assert aws.code(aws.s3.create_bucket, Bucket=f"loc-{aws.account}") == "IllegalLocationConstraintException"


def test_dynamodb_conditional_writes(aws: Aws) -> None:
    ddb = aws.dynamodb
    ddb.create_table(
        TableName="lock", KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    item = {"LockID": {"S": "a"}, "Info": {"S": "me"}}
    put = {"TableName": "lock", "Item": item, "ConditionExpression": "attribute_not_exists(LockID)"}
    ddb.put_item(**put)
    with pytest.raises(ClientError) as refused:
        ddb.put_item(**put, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert refused.value.response["Item"] == item


def test_tagging_api_lists_emulated_services(aws: Aws) -> None:
    aws.ecs.create_cluster(clusterName="c", tags=[{"key": "stack", "value": "s"}])
    found = aws.resourcegroupstaggingapi.get_resources(TagFilters=[{"Key": "stack", "Values": ["s"]}])
    assert [r["ResourceARN"].rsplit(":", 1)[-1] for r in found["ResourceTagMappingList"]] == ["cluster/c"]


def test_versioning_response_has_the_root_of_s3(aws: Aws) -> None:
    name = f"versioned-{aws.account}"
    aws.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
    bodies: list[bytes] = []
    event = "before-parse.s3.GetBucketVersioning"
    aws.s3.meta.events.register(event, lambda **seen: bodies.append(seen["response_dict"]["body"]))
    assert "Status" not in aws.s3.get_bucket_versioning(Bucket=name)
    aws.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    assert aws.s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert all(b"<VersioningConfiguration" in body and b"Response" not in body for body in bodies) and len(bodies) == 2


def test_expected_bucket_owner_is_checked(aws: Aws) -> None:
    name = f"owned-{aws.account}"
    aws.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
    aws.s3.head_bucket(Bucket=name, ExpectedBucketOwner=aws.account)
    assert aws.code(aws.s3.head_bucket, Bucket=name, ExpectedBucketOwner="999999999999") == "403"
    assert aws.code(aws.s3.get_bucket_policy, Bucket=name, ExpectedBucketOwner="999999999999") == "AccessDenied"


def test_policy_denying_plain_http_allows_tls(aws: Aws) -> None:
    name = f"tls-{aws.account}"
    aws.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
    plain = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{name}/*"}
    plain["Condition"] = {"Bool": {"aws:SecureTransport": "false"}}  # type: ignore[assignment]
    aws.s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [plain]}))
    aws.s3.put_object(Bucket=name, Key="a", Body=b"1")
    deny = {key: value for key, value in plain.items() if key != "Condition"}
    aws.s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [plain, deny]}))
    assert aws.code(aws.s3.put_object, Bucket=name, Key="a", Body=b"2") == "403"


def test_log_events_are_filtered_by_stream_prefix(aws: Aws) -> None:
    logs, now = aws.logs, int(time.time() * 1000)
    logs.create_log_group(logGroupName="g")
    for stream in ("web/app/1", "web/app/2", "workers/app/1"):
        logs.create_log_stream(logGroupName="g", logStreamName=stream)
        logs.put_log_events(
            logGroupName="g", logStreamName=stream, logEvents=[{"timestamp": now, "message": f"of {stream}"}]
        )

    def messages(**wanted: str) -> list[str]:
        return sorted(event["message"] for event in logs.filter_log_events(logGroupName="g", **wanted)["events"])

    assert messages(logStreamNamePrefix="web/") == ["of web/app/1", "of web/app/2"]
    assert messages(logStreamNamePrefix="nobody/") == []
    assert len(messages()) == 3


def test_filter_of_log_events_has_limits_and_empty_pages(aws: Aws) -> None:
    logs, now = aws.logs, int(time.time() * 1000)
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="a/b/1")
    event = {"timestamp": now, "message": "celery@h ready."}
    logs.put_log_events(logGroupName="g", logStreamName="a/b/1", logEvents=[event])
    query = {"logGroupName": "g", "filterPattern": '"ready."'}
    first = logs.filter_log_events(**query)
    assert first["events"] == [] and first["nextToken"], "an empty page is not always the last one"
    second = logs.filter_log_events(**query, nextToken=first["nextToken"])
    assert [found["message"] for found in second["events"]] == [event["message"]] and "nextToken" not in second
    for refused in (
        {"filterPattern": "ready."}, {"filterPattern": '"ready.'}, {"filterPattern": "a" * 1025},
        {"logStreamNames": ["a/b/1"], "logStreamNamePrefix": "a/"},
        {"logStreamNames": [f"a/b/{number}" for number in range(101)]},
    ):  # fmt: skip
        code = aws.code(logs.filter_log_events, **{"logGroupName": "g", **refused})
        assert code == "InvalidParameterException", refused
    for accepted in ('"say \\"hi\\""', "ERROR -INFO", '{ $.level = "x.y" }', "%a.b%"):
        logs.filter_log_events(logGroupName="g", filterPattern=accepted)


def test_tagging_api_uses_resource_types_of_aws(aws: Aws) -> None:
    aws.logs.create_log_group(logGroupName="g", tags={"stack": "s"})
    aws.ecr.create_repository(repositoryName="images", tags=[{"Key": "stack", "Value": "s"}])
    aws.ecr.create_repository(repositoryName="other", tags=[{"Key": "stack", "Value": "t"}])

    def listed(*types: str) -> list[str]:
        found = aws.resourcegroupstaggingapi.get_resources(
            TagFilters=[{"Key": "stack", "Values": ["s"]}], ResourceTypeFilters=list(types)
        )
        return [each["ResourceARN"].split(":", 5)[-1] for each in found["ResourceTagMappingList"]]

    assert listed("logs:log-group") == ["log-group:g"]
    assert listed("ecr:repository") == ["repository/images"]
    assert listed("elasticache") == []
    assert sorted(listed("ecr", "logs")) == ["log-group:g", "repository/images"]


def test_account_retention_policy_hides_the_own_retention(aws: Aws) -> None:
    aws.logs.create_log_group(logGroupName="app")
    aws.logs.put_retention_policy(logGroupName="app", retentionInDays=30)
    aws.logs.put_account_policy(
        policyName="all", policyType="RETENTION_POLICY",
        policyDocument=json.dumps({"retentionInDays": 90, "enforcementMode": "RETROACTIVE"}),
    )  # fmt: skip
    aws.logs.put_retention_policy(logGroupName="app", retentionInDays=30)
    (group,) = aws.logs.describe_log_groups()["logGroups"]
    assert (group["retentionInDays"], group["retentionPolicyName"]) == (90, "all")
