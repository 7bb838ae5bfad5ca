"""One small experiment for each capability, in an account of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from endpoint import Aws, control

#: Longest that a probe waits for what is not there yet, in seconds.
WAIT_SECONDS = 20.0


class Missing(Exception):
    """The endpoint does something else than AWS."""


def refused(call: Callable[..., Any], *codes: str, **parameters: Any) -> ClientError:
    """The refusal of a call, which must have one of these codes."""
    try:
        call(**parameters)
    except ClientError as error:
        if error.response["Error"]["Code"] in codes:
            return error
        raise Missing(f"{error.operation_name} answers {error.response['Error']['Code']}, not {codes[0]}") from None
    raise Missing(f"{call.__name__} is done where AWS answers {codes[0]}")


def eventually(look: Callable[[], Any], what: str) -> Any:
    """What a look gives as soon as it is anything."""
    end = time.monotonic() + WAIT_SECONDS
    while not (found := look()):
        if time.monotonic() > end:
            raise Missing(f"{what}: not within {WAIT_SECONDS:.0f} s")
        time.sleep(0.1)
    return found


class Net:
    """A VPC with two public subnets and a group."""

    def __init__(self, aws: Aws) -> None:
        ec2 = aws.ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{aws.region}{zone}")[
                "Subnet"
            ]["SubnetId"]
            for n, zone in enumerate("ab")
        ]
        self.group = group(aws, self.vpc, "probe")


def group(aws: Aws, vpc: str, name: str) -> str:
    """A security group."""
    return str(aws.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"])


def balancer(aws: Aws, net: Net, **settings: Any) -> str:
    """A load balancer; gives its ARN."""
    wanted = {"Name": "probe", "Subnets": net.subnets, "SecurityGroups": [net.group], **settings}
    return str(aws.elbv2.create_load_balancer(**wanted)["LoadBalancers"][0]["LoadBalancerArn"])


def targets(aws: Aws, net: Net, arn: str) -> str:
    """A target group behind a listener; gives its ARN."""
    made = aws.elbv2.create_target_group(Name="probe", Protocol="HTTP", Port=80, VpcId=net.vpc, TargetType="ip")
    found = str(made["TargetGroups"][0]["TargetGroupArn"])
    actions = [{"Type": "forward", "TargetGroupArn": found}]
    aws.elbv2.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=actions)
    return found


def service(aws: Aws, net: Net, image: str, **settings: Any) -> Callable[[], dict[str, Any]]:
    """A service of one task; gives a way to look at it."""
    ecs = aws.ecs
    ecs.create_cluster(clusterName="probe")
    container = {"name": "app", "image": image, "essential": True, "portMappings": [{"containerPort": 80}]}
    ecs.register_task_definition(
        family="probe", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
        containerDefinitions=[container],
    )  # fmt: skip
    vpc = {"subnets": net.subnets, "securityGroups": [net.group], "assignPublicIp": "ENABLED"}
    breaker = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 2}}
    ecs.create_service(
        cluster="probe", serviceName="probe", taskDefinition="probe", desiredCount=1, launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": vpc},
        deploymentConfiguration={"deploymentCircuitBreaker": breaker}, **settings,
    )  # fmt: skip
    return lambda: ecs.describe_services(cluster="probe", services=["probe"])["services"][0]


def accounts(aws: Aws) -> None:
    """A 12-digit access key is an account of its own."""
    if (found := aws.sts.get_caller_identity()["Account"]) != aws.account:
        raise Missing(f"the access key {aws.account} is account {found}")


def s3_if_match(aws: Aws) -> None:
    """A conditional write that lost is refused."""
    bucket = f"probe-{aws.account}"
    aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    put = aws.s3.put_object
    etag = put(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused(put, "PreconditionFailed", Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    put(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    refused(put, "PreconditionFailed", Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)


def s3_regions(aws: Aws) -> None:
    """A bucket answers in its own region alone, and says which one that is."""
    bucket = f"region-{aws.account}"
    aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    elsewhere = Aws(aws.url, aws.account, "eu-west-1")
    # boto3 would follow.
    follow = "before-call.s3"
    elsewhere.s3.meta.events.register(
        follow, lambda params, **_: params["context"]["s3_redirect"].update(redirected=True)
    )
    error = refused(elsewhere.s3.get_object, "PermanentRedirect", Bucket=bucket, Key="k")
    if error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region") != aws.region:
        raise Missing("a redirect does not name the region of the bucket")


def has_control(aws: Aws, path: str, body: dict[str, Any]) -> None:
    """The endpoint has a control endpoint of our emulator."""
    try:
        control(aws.url, path, body)
    except (OSError, ValueError) as error:
        raise Missing(f"there is no such control endpoint: {error}") from error


def s3_stand_in(aws: Aws) -> None:
    """The endpoint can stand in for a store that ignores conditions."""
    has_control(aws, "s3", {"bucket": f"stand-in-{aws.account}", "without_conditions": True})


def paused_rollouts(aws: Aws) -> None:
    """The progress of services and tasks can be stopped for a while."""
    has_control(aws, "rollouts", {"account": aws.account, "paused": False})


def data_plane(aws: Aws) -> None:
    """Listeners and web tasks answer requests."""
    has_control(aws, "data-plane", {"account": aws.account, "region": aws.region})


def dynamodb_conditions(aws: Aws) -> None:
    """A conditional update that lost is refused, with the item that is there."""
    table = {"TableName": "probe"}
    aws.dynamodb.create_table(
        **table, KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
    )  # fmt: skip
    wanted = {
        **table, "Key": {"LockID": {"S": "a"}}, "UpdateExpression": "SET holder = :h",
        "ConditionExpression": "attribute_not_exists(holder)", "ExpressionAttributeValues": {":h": {"S": "me"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }  # fmt: skip
    aws.dynamodb.update_item(**wanted)
    error = refused(aws.dynamodb.update_item, "ConditionalCheckFailedException", **wanted)
    if error.response.get("Item", {}).get("holder") != {"S": "me"}:
        raise Missing("a failed condition does not tell what is there")


def ec2_rules(aws: Aws) -> None:
    """Rules of security groups have ids and tags, and a new group allows everything out."""
    net = Net(aws)
    own = [{"Name": "group-id", "Values": [net.group]}]
    (rule,) = aws.ec2.describe_security_group_rules(Filters=own)["SecurityGroupRules"]
    if not rule["IsEgress"] or rule["IpProtocol"] != "-1":
        raise Missing("a new group does not allow everything out")
    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    tags = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}]
    authorize = aws.ec2.authorize_security_group_ingress
    made = authorize(GroupId=net.group, IpPermissions=[permission], TagSpecifications=tags)["SecurityGroupRules"]
    if made[0].get("Tags") != [{"Key": "a", "Value": "b"}]:
        raise Missing("rules do not carry tags")
    refused(authorize, "InvalidPermission.Duplicate", GroupId=net.group, IpPermissions=[permission])


def sg_dependency(aws: Aws) -> None:
    """A group that a rule of another names cannot be deleted."""
    net = Net(aws)
    other = group(aws, net.vpc, "other")
    pair = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": net.group}]}]
    aws.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=pair)
    refused(aws.ec2.delete_security_group, "DependencyViolation", GroupId=net.group)


def interfaces(aws: Aws) -> None:
    """Load balancers have network interfaces, which keep their subnets."""
    net = Net(aws)
    balancer(aws, net)
    held = aws.ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [net.vpc]}])
    if not held["NetworkInterfaces"]:
        raise Missing("a load balancer has no network interfaces")
    refused(aws.ec2.delete_subnet, "DependencyViolation", SubnetId=net.subnets[0])


def elb_active(aws: Aws) -> None:
    """A load balancer becomes active and has a name and a zone."""
    arn = balancer(aws, Net(aws))

    def look() -> dict[str, Any]:
        found = aws.elbv2.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
        return found if found["State"]["Code"] == "active" else {}

    found = eventually(look, "no load balancer is active")
    if not found.get("DNSName") or not found.get("CanonicalHostedZoneId"):
        raise Missing("a load balancer has no DNS name or hosted zone")


def elb_rules(aws: Aws) -> None:
    """Deletion protection protects, a port has one listener, and a group in use stays."""
    net = Net(aws)
    refused(balancer, "ValidationError", "InvalidConfigurationRequest", aws=aws, net=net, Subnets=net.subnets[:1])
    arn = balancer(aws, net)
    found = targets(aws, net, arn)
    actions = [{"Type": "forward", "TargetGroupArn": found}]
    listener = {"LoadBalancerArn": arn, "Protocol": "HTTP", "Port": 80, "DefaultActions": actions}
    refused(aws.elbv2.create_listener, "DuplicateListener", **listener)
    refused(aws.elbv2.delete_target_group, "ResourceInUse", TargetGroupArn=found)
    attributes = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)
    refused(aws.elbv2.delete_load_balancer, "OperationNotPermitted", LoadBalancerArn=arn)


def ecs_converges(aws: Aws) -> None:
    """The tasks of a service run, and its deployment completes."""
    look = service(aws, Net(aws), "app:1")
    eventually(
        lambda: (s := look())["runningCount"] == 1 and s["deployments"][0].get("rolloutState") == "COMPLETED",
        "no service runs",
    )


def ecs_breaker(aws: Aws) -> None:
    """An image that exits fails its rollout (the tag `:fail` does, as in our emulator)."""
    look = service(aws, Net(aws), "app:fail")
    eventually(lambda: look()["deployments"][0].get("rolloutState") == "FAILED", "no rollout of `:fail` fails")


def ecs_threshold(aws: Aws) -> None:
    """A service keeps the threshold of its breaker, which older models do not have."""
    shown = service(aws, Net(aws), "app:1")()["deploymentConfiguration"]["deploymentCircuitBreaker"]
    if shown.get("thresholdConfiguration") != {"type": "COUNT", "value": 2}:
        raise Missing("a service does not keep the threshold of its breaker")


def target_health(aws: Aws) -> None:
    """The tasks of a service behind a load balancer are its targets."""
    net = Net(aws)
    # The load balancer reaches the tasks.
    own = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": net.group}]}]
    aws.ec2.authorize_security_group_ingress(GroupId=net.group, IpPermissions=own)
    found = targets(aws, net, balancer(aws, net))
    service(
        aws, net, "app:1", loadBalancers=[{"targetGroupArn": found, "containerName": "app", "containerPort": 80}]
    )  # fmt: skip

    def look() -> bool:
        shown = aws.elbv2.describe_target_health(TargetGroupArn=found)["TargetHealthDescriptions"]
        return [target["TargetHealth"]["State"] for target in shown] == ["healthy"]

    eventually(look, "no target is healthy")


def elasticache_endpoint(aws: Aws) -> None:
    """A replication group becomes available, with an endpoint, in a subnet group."""
    net, cache = Net(aws), aws.elasticache
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="probe", CacheSubnetGroupDescription="probe", SubnetIds=net.subnets[:1]
    )
    cache.create_replication_group(
        ReplicationGroupId="probe", ReplicationGroupDescription="probe", Engine="redis", NumCacheClusters=1,
        CacheNodeType="cache.t3.micro", CacheSubnetGroupName="probe", SecurityGroupIds=[net.group], Port=6400,
    )  # fmt: skip

    def look() -> dict[str, Any]:
        found = cache.describe_replication_groups(ReplicationGroupId="probe")["ReplicationGroups"][0]
        return found if found["Status"] == "available" else {}

    found = eventually(look, "no replication group is available")
    if found["NodeGroups"][0].get("PrimaryEndpoint", {}).get("Port") != 6400:
        raise Missing("a replication group has no endpoint")


def elasticache_parameters(aws: Aws) -> None:
    """Parameter groups are of a family, and show what was changed."""
    group, cache = {"CacheParameterGroupName": "probe"}, aws.elasticache
    cache.create_cache_parameter_group(**group, CacheParameterGroupFamily="redis7", Description="probe")
    value = {"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}
    cache.modify_cache_parameter_group(**group, ParameterNameValues=[value])
    changed = cache.describe_cache_parameters(**group, Source="user")["Parameters"]
    if [(p["ParameterName"], p["ParameterValue"]) for p in changed] != [("maxmemory-policy", "noeviction")]:
        raise Missing("a parameter group does not show what was changed")


def zone(aws: Aws) -> str:
    """A public zone; gives its id."""
    return str(aws.route53.create_hosted_zone(Name="probe.org", CallerReference=aws.account)["HostedZone"]["Id"])


def change(aws: Aws, identity: str, action: str, value: str = "192.0.2.1") -> dict[str, Any]:
    """One change of a record."""
    record = {"Name": "a.probe.org", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    return {"HostedZoneId": identity, "ChangeBatch": batch}


def route53_records(aws: Aws) -> None:
    """Records are made, listed in their order, and deleted."""
    identity = zone(aws)
    made = aws.route53.change_resource_record_sets(**change(aws, identity, "UPSERT"))["ChangeInfo"]
    eventually(lambda: aws.route53.get_change(Id=made["Id"])["ChangeInfo"]["Status"] == "INSYNC", "no change is INSYNC")
    listed = aws.route53.list_resource_record_sets(
        HostedZoneId=identity, StartRecordName="a.probe.org", StartRecordType="A", MaxItems="1"
    )["ResourceRecordSets"]
    if [record["Name"] for record in listed] != ["a.probe.org."]:
        raise Missing("a list from a name on does not begin there")
    aws.route53.change_resource_record_sets(**change(aws, identity, "DELETE"))


def route53_rules(aws: Aws) -> None:
    """A record is not made over another, and a delete must repeat it."""
    identity = zone(aws)
    aws.route53.change_resource_record_sets(**change(aws, identity, "CREATE"))
    call = aws.route53.change_resource_record_sets
    refused(call, "InvalidChangeBatch", **change(aws, identity, "CREATE", "192.0.2.2"))
    refused(call, "InvalidChangeBatch", **change(aws, identity, "DELETE", "192.0.2.2"))


def ecr(aws: Aws) -> None:
    """Repositories have tags and scan on push."""
    tags = [{"Key": "a", "Value": "b"}]
    made = aws.ecr.create_repository(
        repositoryName="probe", tags=tags, imageScanningConfiguration={"scanOnPush": True}
    )["repository"]  # fmt: skip
    if aws.ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] != tags:
        raise Missing("a repository has not the tags of its create call")


def logs(aws: Aws) -> None:
    """Log groups have tags from the create call on, and a retention."""
    aws.logs.create_log_group(logGroupName="probe", tags={"a": "b"})
    aws.logs.put_retention_policy(logGroupName="probe", retentionInDays=7)
    (found,) = aws.logs.describe_log_groups(logGroupNamePrefix="probe")["logGroups"]
    tags = aws.logs.list_tags_for_resource(resourceArn=found["arn"].removesuffix(":*"))["tags"]
    if (found.get("retentionInDays"), tags) != (7, {"a": "b"}):
        raise Missing("a log group has not its tags or retention")


def tag_index(aws: Aws) -> None:
    """The tagging API lists what the other services tagged, under the types that AWS has."""
    tags = {"Key": "index", "Value": "probe"}
    aws.logs.create_log_group(logGroupName="probe", tags={"index": "probe"})
    aws.ecr.create_repository(repositoryName="probe", tags=[tags])
    answer = aws.resourcegroupstaggingapi.get_resources(
        TagFilters=[{"Key": "index", "Values": ["probe"]}], ResourceTypeFilters=["ecr:repository", "logs:log-group"]
    )
    if len(answer["ResourceTagMappingList"]) != 2:
        raise Missing("the tagging API does not list log groups and repositories")


def quotas(aws: Aws) -> None:
    """Service Quotas tells what an account may have."""
    client = getattr(aws, "service-quotas")
    for service, code in (("vpc", "L-F678F1CE"), ("vpc", "L-0EA8095F"), ("fargate", "L-3032A538")):
        client.get_service_quota(ServiceCode=service, QuotaCode=code)


PROBES: dict[str, Callable[[Aws], None]] = {
    "accounts": accounts,
    "s3-if-match": s3_if_match,
    "s3-regions": s3_regions,
    "s3-stand-in": s3_stand_in,
    "paused-rollouts": paused_rollouts,
    "data-plane": data_plane,
    "dynamodb-conditions": dynamodb_conditions,
    "ec2-rules": ec2_rules,
    "sg-dependency": sg_dependency,
    "interfaces": interfaces,
    "elb-active": elb_active,
    "elb-rules": elb_rules,
    "ecs-converges": ecs_converges,
    "ecs-breaker": ecs_breaker,
    "ecs-threshold": ecs_threshold,
    "target-health": target_health,
    "elasticache-endpoint": elasticache_endpoint,
    "elasticache-parameters": elasticache_parameters,
    "route53-records": route53_records,
    "route53-rules": route53_rules,
    "ecr": ecr,
    "logs": logs,
    "tag-index": tag_index,
    "quotas": quotas,
}
