"""Tests of the ELBv2 rules."""

from __future__ import annotations

import re

from conftest import Aws, wait_until


def test_invalid_names_are_refused(aws: Aws) -> None:
    net = aws.network()
    for name in ("x" * 33, "-x", "x-", "a_b", "internal-x"):
        assert aws.code(net.balancer, name=name) == "ValidationError", name
    for name in ("x" * 33, "-x", "x-", "a_b"):
        assert aws.code(net.target_group, name=name) == "ValidationError", name


def test_load_balancer_subnets(aws: Aws) -> None:
    net = aws.network()
    assert aws.code(net.balancer, Subnets=net.subnets[:1]) == "ValidationError"
    zone = f"{aws.region}a"
    same = aws.ec2.create_subnet(VpcId=net.vpc, CidrBlock="10.0.9.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    assert aws.code(net.balancer, Subnets=[net.subnets[0], same]) == "InvalidConfigurationRequest"
    assert aws.code(net.balancer, Subnets=[net.subnets[0], "subnet-0123456789abcdef0"]) == "SubnetNotFound"
    small = aws.ec2.create_subnet(VpcId=net.vpc, CidrBlock="10.0.10.0/28", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    assert aws.code(net.balancer, Subnets=[net.subnets[1], small]) == "InvalidSubnet"
    assert aws.code(net.balancer, SecurityGroups=["sg-0123456789abcdef0"]) == "InvalidSecurityGroup"


def test_internet_facing_load_balancer_requires_gateway(aws: Aws) -> None:
    net = aws.network(gateway=False)
    assert aws.code(net.balancer) == "InvalidSubnet"
    assert net.balancer(Scheme="internal")["DNSName"].startswith("internal-web-")


def test_load_balancer_is_provisioning_then_active(aws: Aws) -> None:
    made = aws.network().balancer()
    assert made["State"]["Code"] == "provisioning"
    assert re.fullmatch(r"web-\d+\.us-east-2\.elb\.amazonaws\.com", made["DNSName"])
    assert made["CanonicalHostedZoneId"] == "Z3AADJGX6KTTL2"

    def state() -> str:
        return aws.elbv2.describe_load_balancers(Names=["web"])["LoadBalancers"][0]["State"]["Code"]

    assert state() == "provisioning"
    wait_until(lambda: state() == "active")


def test_create_with_same_name_is_idempotent(aws: Aws) -> None:
    net = aws.network()
    assert net.balancer()["LoadBalancerArn"] == net.balancer()["LoadBalancerArn"]
    assert aws.code(net.balancer, Scheme="internal") == "DuplicateLoadBalancerName"
    assert net.target_group() == net.target_group()
    assert aws.code(net.target_group, Port=81) == "DuplicateTargetGroupName"


def test_deletion_protection(aws: Aws) -> None:
    arn = aws.network().balancer()["LoadBalancerArn"]
    protection = {"Key": "deletion_protection.enabled", "Value": "true"}
    aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[protection])
    attributes = aws.elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    assert protection in attributes and {"Key": "idle_timeout.timeout_seconds", "Value": "60"} in attributes
    assert aws.code(aws.elbv2.delete_load_balancer, LoadBalancerArn=arn) == "OperationNotPermitted"
    protection["Value"] = "false"
    aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[protection])
    aws.elbv2.delete_load_balancer(LoadBalancerArn=arn)


def test_hidden_interfaces_are_listed_only_on_request(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    net.balancer()
    ec2.modify_managed_resource_visibility(DefaultVisibility="hidden")
    assert aws.interfaces(vpc_id=net.vpc) == []
    assert len(ec2.describe_network_interfaces(IncludeManagedResources=True)["NetworkInterfaces"]) == 2
    assert aws.code(ec2.delete_security_group, GroupId=net.group) == "DependencyViolation"


def test_load_balancer_interfaces(aws: Aws) -> None:
    net, ec2 = aws.network(), aws.ec2
    arn = net.balancer()["LoadBalancerArn"]
    found = aws.interfaces(vpc_id=net.vpc)
    assert sorted(e["SubnetId"] for e in found) == sorted(net.subnets)
    for eni in found:
        assert eni["Description"] == "ELB " + arn.split("loadbalancer/")[1]
        assert (eni["RequesterId"], eni["InterfaceType"], eni["RequesterManaged"]) == ("amazon-elb", "interface", True)
        assert [g["GroupId"] for g in eni["Groups"]] == [net.group]
        assert eni["Association"]["PublicIp"] and eni["Status"] == "in-use"
        assert (
            aws.code(ec2.delete_network_interface, NetworkInterfaceId=eni["NetworkInterfaceId"])
            == "InvalidParameterValue"
        )
    assert len(aws.interfaces(group_id=net.group)) == 2 and len(aws.interfaces(subnet_id=net.subnets[0])) == 1
    other = net.add_group("other")
    aws.elbv2.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[other])
    assert aws.interfaces(group_id=net.group) == []
    aws.elbv2.delete_load_balancer(LoadBalancerArn=arn)
    assert len(aws.interfaces(vpc_id=net.vpc)) == 2, "they linger"
    assert aws.code(ec2.delete_security_group, GroupId=other) == "DependencyViolation"
    assert aws.code(ec2.delete_subnet, SubnetId=net.subnets[0]) == "DependencyViolation"
    gateway = {"InternetGatewayId": net.igw, "VpcId": net.vpc}
    assert "has some mapped public address(es)" in aws.message(ec2.detach_internet_gateway, **gateway)
    wait_until(lambda: not aws.interfaces(vpc_id=net.vpc))
    ec2.detach_internet_gateway(**gateway)
    ec2.delete_security_group(GroupId=other)
    ec2.delete_subnet(SubnetId=net.subnets[0])


def test_listeners_and_target_groups(aws: Aws) -> None:
    net, elb = aws.network(), aws.elbv2
    balancer, group = net.balancer()["LoadBalancerArn"], net.target_group()
    assert elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0].get("LoadBalancerArns", []) == []
    listener = net.listener(balancer, group)
    assert net.listener(balancer, group) == listener
    assert aws.code(net.listener, balancer=balancer, group=net.target_group("other")) == "DuplicateListener"
    assert elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]["LoadBalancerArns"] == [balancer]
    assert aws.code(elb.delete_target_group, TargetGroupArn=group) == "ResourceInUse"
    second = net.balancer("second")["LoadBalancerArn"]
    assert aws.code(net.listener, balancer=second, group=group) == "TargetGroupAssociationLimit"
    missing = group[:-16] + "0" * 16
    assert aws.code(net.listener, balancer=balancer, group=missing, port=81) == "TargetGroupNotFound"
    elb.delete_listener(ListenerArn=listener)
    assert elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0].get("LoadBalancerArns", []) == []
    elb.delete_target_group(TargetGroupArn=group)
    elb.delete_target_group(TargetGroupArn=group)


def test_rule_priorities_swap_in_one_call(aws: Aws) -> None:
    net, elb = aws.network(), aws.elbv2
    balancer, group = net.balancer()["LoadBalancerArn"], net.target_group()
    listener = net.listener(balancer, group)

    def rule(priority: int) -> str:
        condition = {"Field": "path-pattern", "Values": [f"/{priority}/*"]}
        actions = [{"Type": "forward", "TargetGroupArn": group}]
        made = elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=[condition], Actions=actions)
        return str(made["Rules"][0]["RuleArn"])

    one, two = rule(1), rule(2)
    assert aws.code(rule, priority=2) == "PriorityInUse"
    elb.set_rule_priorities(RulePriorities=[{"RuleArn": one, "Priority": 2}, {"RuleArn": two, "Priority": 1}])
    shown = {r["RuleArn"]: r["Priority"] for r in elb.describe_rules(ListenerArn=listener)["Rules"]}
    assert (shown[one], shown[two]) == ("2", "1")
    alone = [{"RuleArn": one, "Priority": 1}]
    assert aws.code(elb.set_rule_priorities, RulePriorities=alone) == "PriorityInUse"
    assert aws.code(elb.delete_target_group, TargetGroupArn=group) == "ResourceInUse"


def test_target_group_settings(aws: Aws) -> None:
    net, elb = aws.network(), aws.elbv2
    assert aws.code(net.target_group, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=5) == "ValidationError"
    group = net.target_group(HealthCheckPath="/hello")
    shown = elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
    assert (shown["HealthCheckPath"], shown["HealthCheckTimeoutSeconds"]) == ("/hello", 5)
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "5"}
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])
    assert delay in elb.describe_target_group_attributes(TargetGroupArn=group)["Attributes"]


def test_tags(aws: Aws) -> None:
    net, elb = aws.network(), aws.elbv2
    arn = net.balancer(Tags=[{"Key": "a", "Value": "b"}])["LoadBalancerArn"]
    assert elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"] == [{"Key": "a", "Value": "b"}]
    assert aws.code(elb.describe_tags, ResourceArns=[arn] * 21) == "ValidationError"
    elb.add_tags(ResourceArns=[arn], Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(49)])
    assert aws.code(elb.add_tags, ResourceArns=[arn], Tags=[{"Key": "more", "Value": "v"}]) == "TooManyTags"
