"""Probes: one small experiment per capability, each in its own account."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from control_probes import (
    Missing, cache_capacity, cache_control, data_plane, paused_rollouts, queued_jobs, s3_stand_in,
)  # fmt: skip
from endpoint import Aws

#: Maximum time that a probe waits for a resource to become ready.
WAIT_SECONDS = 20.0


def expect_refusal(call: Callable[..., Any], *codes: str, **parameters: Any) -> ClientError:
    """Makes a call that must be refused with one of these codes, and returns the error."""
    try:
        call(**parameters)
    except ClientError as error:
        if error.response["Error"]["Code"] in codes:
            return error
        raise Missing(f"{error.operation_name} answers {error.response['Error']['Code']}, not {codes[0]}") from None
    raise Missing(f"{call.__name__} succeeds where AWS answers {codes[0]}")


def eventually(read: Callable[[], Any], what: str) -> Any:
    """Reads repeatedly until the result is truthy, and returns the result."""
    end = time.monotonic() + WAIT_SECONDS
    while not (found := read()):
        if time.monotonic() > end:
            raise Missing(f"{what}: not within {WAIT_SECONDS:.0f} s")
        time.sleep(0.1)
    return found


class Net:
    """A VPC with an internet gateway, two subnets and a security group."""

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
        self.group = create_group(aws, self.vpc, "probe")


def create_group(aws: Aws, vpc: str, name: str) -> str:
    """Creates a security group and returns its id."""
    return str(aws.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"])


def create_balancer(aws: Aws, net: Net, **settings: Any) -> str:
    """Creates a load balancer and returns its ARN."""
    parameters = {"Name": "probe", "Subnets": net.subnets, "SecurityGroups": [net.group], **settings}
    return str(aws.elbv2.create_load_balancer(**parameters)["LoadBalancers"][0]["LoadBalancerArn"])


def create_target_group(aws: Aws, net: Net, arn: str) -> str:
    """Creates a target group behind a listener and returns its ARN."""
    response = aws.elbv2.create_target_group(Name="probe", Protocol="HTTP", Port=80, VpcId=net.vpc, TargetType="ip")
    target_group = str(response["TargetGroups"][0]["TargetGroupArn"])
    actions = [{"Type": "forward", "TargetGroupArn": target_group}]
    aws.elbv2.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=actions)
    return target_group


def create_service(aws: Aws, net: Net, image: str, **settings: Any) -> Callable[[], dict[str, Any]]:
    """Creates a service with one task, and returns a function that reads the service's description."""
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
    """Checks that a 12-digit access key selects its own account."""
    if (account := aws.sts.get_caller_identity()["Account"]) != aws.account:
        raise Missing(f"the access key {aws.account} selects account {account}")


def s3_if_match(aws: Aws) -> None:
    """Checks that a write whose condition is not met is refused."""
    bucket = f"probe-{aws.account}"
    aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    put = aws.s3.put_object
    etag = put(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    expect_refusal(put, "PreconditionFailed", Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    put(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    expect_refusal(put, "PreconditionFailed", Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)


def s3_regions(aws: Aws) -> None:
    """Checks that a bucket answers only in its own region, and that redirects from other regions name that region."""
    bucket = f"region-{aws.account}"
    aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    elsewhere = Aws(aws.url, aws.account, "eu-west-1")
    # Boto3 does not follow the redirect of a request that is already marked as redirected.
    events = elsewhere.s3.meta.events
    events.register("before-call.s3", lambda params, **_: params["context"]["s3_redirect"].update(redirected=True))
    error = expect_refusal(elsewhere.s3.get_object, "PermanentRedirect", Bucket=bucket, Key="k")
    if error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region") != aws.region:
        raise Missing("a redirect does not name the bucket's region")


def dynamodb_conditions(aws: Aws) -> None:
    """Checks that an update whose condition is not met is refused, and that the error contains the existing item."""
    table = {"TableName": "probe"}
    aws.dynamodb.create_table(
        **table, KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
    )  # fmt: skip
    update = {
        **table, "Key": {"LockID": {"S": "a"}}, "UpdateExpression": "SET holder = :h",
        "ConditionExpression": "attribute_not_exists(holder)", "ExpressionAttributeValues": {":h": {"S": "me"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }  # fmt: skip
    aws.dynamodb.update_item(**update)
    error = expect_refusal(aws.dynamodb.update_item, "ConditionalCheckFailedException", **update)
    if error.response.get("Item", {}).get("holder") != {"S": "me"}:
        raise Missing("a failed condition does not return the existing item")


def ec2_rules(aws: Aws) -> None:
    """Checks that security group rules have ids and tags, and that a new group allows all outbound traffic."""
    net = Net(aws)
    filters = [{"Name": "group-id", "Values": [net.group]}]
    (rule,) = aws.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    if not rule["IsEgress"] or rule["IpProtocol"] != "-1":
        raise Missing("a new security group does not allow all outbound traffic")
    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    tags = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}]
    authorize = aws.ec2.authorize_security_group_ingress
    rules = authorize(GroupId=net.group, IpPermissions=[permission], TagSpecifications=tags)["SecurityGroupRules"]
    if rules[0].get("Tags") != [{"Key": "a", "Value": "b"}]:
        raise Missing("rules do not carry tags")
    expect_refusal(authorize, "InvalidPermission.Duplicate", GroupId=net.group, IpPermissions=[permission])


def sg_dependency(aws: Aws) -> None:
    """Checks that a security group cannot be deleted while a rule of another group references it."""
    net = Net(aws)
    other = create_group(aws, net.vpc, "other")
    pair = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": net.group}]}]
    aws.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=pair)
    expect_refusal(aws.ec2.delete_security_group, "DependencyViolation", GroupId=net.group)


def interfaces(aws: Aws) -> None:
    """Checks that load balancers have network interfaces, which prevent the deletion of their subnets."""
    net = Net(aws)
    create_balancer(aws, net)
    response = aws.ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [net.vpc]}])
    if not response["NetworkInterfaces"]:
        raise Missing("a load balancer has no network interfaces")
    expect_refusal(aws.ec2.delete_subnet, "DependencyViolation", SubnetId=net.subnets[0])


def elb_active(aws: Aws) -> None:
    """Checks that a load balancer becomes active, with a DNS name and a hosted zone."""
    arn = create_balancer(aws, Net(aws))

    def read() -> dict[str, Any]:
        balancer = aws.elbv2.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
        return balancer if balancer["State"]["Code"] == "active" else {}

    balancer = eventually(read, "no load balancer is active")
    if not balancer.get("DNSName") or not balancer.get("CanonicalHostedZoneId"):
        raise Missing("a load balancer has no DNS name or no hosted zone")


def elb_rules(aws: Aws) -> None:
    """Checks that a load balancer needs two subnets and has one listener per port, and that deletion protection and
    listeners prevent the deletion of load balancers and target groups."""
    net = Net(aws)
    codes = ("ValidationError", "InvalidConfigurationRequest")
    expect_refusal(create_balancer, *codes, aws=aws, net=net, Subnets=net.subnets[:1])
    arn = create_balancer(aws, net)
    target_group = create_target_group(aws, net, arn)
    # AWS returns an existing listener with the same settings, so another action is requested.
    actions = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    listener = {"LoadBalancerArn": arn, "Protocol": "HTTP", "Port": 80, "DefaultActions": actions}
    expect_refusal(aws.elbv2.create_listener, "DuplicateListener", **listener)
    expect_refusal(aws.elbv2.delete_target_group, "ResourceInUse", TargetGroupArn=target_group)
    attributes = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)
    expect_refusal(aws.elbv2.delete_load_balancer, "OperationNotPermitted", LoadBalancerArn=arn)


def ecs_converges(aws: Aws) -> None:
    """Checks that a service's task runs and that its deployment completes."""
    read = create_service(aws, Net(aws), "app:1")
    completed = lambda s: s["runningCount"] == 1 and s["deployments"][0].get("rolloutState") == "COMPLETED"  # noqa: E731
    eventually(lambda: completed(read()), "no service runs")


def ecs_breaker(aws: Aws) -> None:
    """Checks that a rollout fails if the tasks of its image exit, as they do with our emulator's tag `:fail`."""
    read = create_service(aws, Net(aws), "app:fail")
    eventually(lambda: read()["deployments"][0].get("rolloutState") == "FAILED", "no rollout of `:fail` fails")


def ecs_threshold(aws: Aws) -> None:
    """Checks that a service keeps its circuit breaker threshold, which older API models lack."""
    breaker = create_service(aws, Net(aws), "app:1")()["deploymentConfiguration"]["deploymentCircuitBreaker"]
    if breaker.get("thresholdConfiguration") != {"type": "COUNT", "value": 2}:
        raise Missing("a service does not keep its circuit breaker threshold")


def target_health(aws: Aws) -> None:
    """Checks that the task of a service behind a load balancer becomes a healthy target."""
    net = Net(aws)
    # Lets the load balancer reach the task.
    permissions = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": net.group}]}]
    aws.ec2.authorize_security_group_ingress(GroupId=net.group, IpPermissions=permissions)
    target_group = create_target_group(aws, net, create_balancer(aws, net))
    load_balancer = {"targetGroupArn": target_group, "containerName": "app", "containerPort": 80}
    create_service(aws, net, "app:1", loadBalancers=[load_balancer])

    def read() -> bool:
        shown = aws.elbv2.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
        return [target["TargetHealth"]["State"] for target in shown] == ["healthy"]

    eventually(read, "no target is healthy")


def elasticache_endpoint(aws: Aws) -> None:
    """Checks that a replication group in a subnet group becomes available and has an endpoint."""
    net, cache = Net(aws), aws.elasticache
    group = {"CacheSubnetGroupName": "probe", "CacheSubnetGroupDescription": "probe"}
    cache.create_cache_subnet_group(**group, SubnetIds=net.subnets[:1])
    cache.create_replication_group(
        ReplicationGroupId="probe", ReplicationGroupDescription="probe", Engine="redis", NumCacheClusters=1,
        CacheNodeType="cache.t3.micro", CacheSubnetGroupName="probe", SecurityGroupIds=[net.group], Port=6400,
    )  # fmt: skip

    def read() -> dict[str, Any]:
        group = cache.describe_replication_groups(ReplicationGroupId="probe")["ReplicationGroups"][0]
        return group if group["Status"] == "available" else {}

    group = eventually(read, "no replication group is available")
    if group["NodeGroups"][0].get("PrimaryEndpoint", {}).get("Port") != 6400:
        raise Missing("a replication group has no endpoint with its port")


def elasticache_parameters(aws: Aws) -> None:
    """Checks that a cache parameter group lists its changed parameters."""
    group, cache = {"CacheParameterGroupName": "probe"}, aws.elasticache
    cache.create_cache_parameter_group(**group, CacheParameterGroupFamily="redis7", Description="probe")
    value = {"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}
    cache.modify_cache_parameter_group(**group, ParameterNameValues=[value])
    changed = cache.describe_cache_parameters(**group, Source="user")["Parameters"]
    if [(p["ParameterName"], p["ParameterValue"]) for p in changed] != [("maxmemory-policy", "noeviction")]:
        raise Missing("a parameter group does not list its changed parameters")


def create_zone(aws: Aws) -> str:
    """Creates a public hosted zone and returns its id."""
    return str(aws.route53.create_hosted_zone(Name="probe.org", CallerReference=aws.account)["HostedZone"]["Id"])


def record_change(aws: Aws, identity: str, action: str, value: str = "192.0.2.1") -> dict[str, Any]:
    """Returns the parameters of a call that changes one record."""
    record = {"Name": "a.probe.org", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    return {"HostedZoneId": identity, "ChangeBatch": batch}


def route53_records(aws: Aws) -> None:
    """Checks that records can be created, listed from a given name onwards, and deleted."""
    identity = create_zone(aws)
    change = aws.route53.change_resource_record_sets(**record_change(aws, identity, "UPSERT"))["ChangeInfo"]
    eventually(
        lambda: aws.route53.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "INSYNC", "no change is INSYNC"
    )
    listed = aws.route53.list_resource_record_sets(
        HostedZoneId=identity, StartRecordName="a.probe.org", StartRecordType="A", MaxItems="1"
    )["ResourceRecordSets"]
    if [record["Name"] for record in listed] != ["a.probe.org."]:
        raise Missing("a list from a given name onwards does not start there")
    aws.route53.change_resource_record_sets(**record_change(aws, identity, "DELETE"))


def route53_rules(aws: Aws) -> None:
    """Checks that creating an existing record is refused, and that a delete must specify the record's exact values."""
    identity = create_zone(aws)
    aws.route53.change_resource_record_sets(**record_change(aws, identity, "CREATE"))
    call = aws.route53.change_resource_record_sets
    expect_refusal(call, "InvalidChangeBatch", **record_change(aws, identity, "CREATE", "192.0.2.2"))
    expect_refusal(call, "InvalidChangeBatch", **record_change(aws, identity, "DELETE", "192.0.2.2"))


def ecr(aws: Aws) -> None:
    """Checks that repositories with scan on push have the tags of their create call."""
    tags = [{"Key": "a", "Value": "b"}]
    repository = aws.ecr.create_repository(
        repositoryName="probe", tags=tags, imageScanningConfiguration={"scanOnPush": True}
    )["repository"]  # fmt: skip
    if aws.ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"] != tags:
        raise Missing("a repository does not have the tags of its create call")


def logs(aws: Aws) -> None:
    """Checks that log groups have the tags of their create call, and a retention period."""
    aws.logs.create_log_group(logGroupName="probe", tags={"a": "b"})
    aws.logs.put_retention_policy(logGroupName="probe", retentionInDays=7)
    (group,) = aws.logs.describe_log_groups(logGroupNamePrefix="probe")["logGroups"]
    tags = aws.logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"]
    if (group.get("retentionInDays"), tags) != (7, {"a": "b"}):
        raise Missing("a log group does not have its tags or its retention period")


def tag_index(aws: Aws) -> None:
    """Checks that the tagging API lists other services' resources, and filters them by AWS's resource types."""
    tags = {"Key": "index", "Value": "probe"}
    aws.logs.create_log_group(logGroupName="probe", tags={"index": "probe"})
    aws.ecr.create_repository(repositoryName="probe", tags=[tags])
    answer = aws.resourcegroupstaggingapi.get_resources(
        TagFilters=[{"Key": "index", "Values": ["probe"]}], ResourceTypeFilters=["ecr:repository", "logs:log-group"]
    )
    if len(answer["ResourceTagMappingList"]) != 2:
        raise Missing("the tagging API does not list log groups and repositories")


def quotas(aws: Aws) -> None:
    """Checks that Service Quotas returns the quotas of an account."""
    client = getattr(aws, "service-quotas")
    for service, code in (("vpc", "L-F678F1CE"), ("vpc", "L-0EA8095F"), ("fargate", "L-3032A538")):
        client.get_service_quota(ServiceCode=service, QuotaCode=code)


PROBES: dict[str, Callable[[Aws], None]] = {
    "accounts": accounts,
    "s3-if-match": s3_if_match,
    "s3-regions": s3_regions,
    "s3-stand-in": s3_stand_in,
    "paused-rollouts": paused_rollouts,
    "cache-capacity": cache_capacity,
    "cache-control": cache_control,
    "queued-jobs": queued_jobs,
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
