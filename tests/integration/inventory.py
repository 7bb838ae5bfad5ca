"""Inventory of the resources in an account, read through boto3."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from endpoint import Aws

Resources = dict[str, dict[str, Any]]
T = TypeVar("T")

#: Fields that AWS changes by itself, or that repeat other fields.
VOLATILE = {
    "events", "deployments", "runningCount", "pendingCount", "activeServicesCount", "runningTasksCount",
    "pendingTasksCount", "ResponseMetadata", "storedBytes", "creationTime", "createdAt",
    "currentServiceRevisions", "currentServiceDeployment", "AvailableIpAddressCount",
}  # fmt: skip

#: Format of an id that AWS assigns.
ID = re.compile(r"\b[a-z]+-[0-9a-f]{17}\b|(?<=/)[0-9a-f]{16}\b")


class AccountInventory:
    """The resources in an account, without the default VPC and its contents: one dictionary per kind, by name or id."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self._default: set[str] | None = None
        #: True while only names and ids are read: tags and attributes that need a call per resource are left out.
        self._names_only = False

    # Network.

    def vpcs(self) -> Resources:
        """Returns VPCs by id, with the attributes that need separate calls."""
        found = {v["VpcId"]: v for v in self.aws.all("ec2", "describe_vpcs", "Vpcs") if not v["IsDefault"]}
        for identity, vpc in self._to_describe(found.items()):
            for attribute, key in (
                ("enableDnsSupport", "EnableDnsSupport"),
                ("enableDnsHostnames", "EnableDnsHostnames"),
            ):
                answer = self.aws.ec2.describe_vpc_attribute(VpcId=identity, Attribute=attribute)
                vpc[key] = answer[key]["Value"]
        return found

    def gateways(self) -> Resources:
        """Returns internet gateways by id, including those without a VPC."""
        found = self.aws.all("ec2", "describe_internet_gateways", "InternetGateways")
        default = self._default_vpcs()
        kept = [g for g in found if not {a["VpcId"] for a in g["Attachments"]} & default]
        return {g["InternetGatewayId"]: g for g in kept}

    def subnets(self) -> Resources:
        """Returns subnets by id."""
        return self._in_vpcs("describe_subnets", "Subnets", "SubnetId")

    def route_tables(self) -> Resources:
        """Returns route tables by id."""
        return self._in_vpcs("describe_route_tables", "RouteTables", "RouteTableId")

    def groups(self) -> Resources:
        """Returns security groups by id."""
        return self._in_vpcs("describe_security_groups", "SecurityGroups", "GroupId")

    def rules(self) -> Resources:
        """Returns security group rules by id."""
        groups = self.groups()
        found = self.aws.all("ec2", "describe_security_group_rules", "SecurityGroupRules")
        return {r["SecurityGroupRuleId"]: r for r in found if r["GroupId"] in groups}

    def interfaces(self) -> Resources:
        """Returns network interfaces by id."""
        return self._in_vpcs("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId")

    def _default_vpcs(self) -> set[str]:
        if self._default is None:
            self._default = {v["VpcId"] for v in self.aws.all("ec2", "describe_vpcs", "Vpcs") if v["IsDefault"]}
        return self._default

    def _in_vpcs(self, operation: str, key: str, identity: str) -> Resources:
        default = self._default_vpcs()
        return {t[identity]: t for t in self.aws.all("ec2", operation, key) if t["VpcId"] not in default}

    # Queue.

    def replication_groups(self) -> Resources:
        """Returns replication groups by id, each with its cache clusters and tags."""
        found = self.aws.all("elasticache", "describe_replication_groups", "ReplicationGroups")
        clusters = self._to_describe(
            self.aws.all("elasticache", "describe_cache_clusters", "CacheClusters", ShowCacheNodeInfo=True)
        )
        for group in self._to_describe(found):
            identity = group["ReplicationGroupId"]
            group["Clusters"] = [c for c in clusters if c.get("ReplicationGroupId") == identity]
            group["Tags"] = self._cache_tags(group["ARN"])
        return {g["ReplicationGroupId"]: g for g in found}

    def cache_subnet_groups(self) -> Resources:
        """Returns cache subnet groups by name."""
        found = self.aws.all("elasticache", "describe_cache_subnet_groups", "CacheSubnetGroups")
        named = {g["CacheSubnetGroupName"]: g for g in found if g["CacheSubnetGroupName"] != "default"}
        for group in self._to_describe(named.values()):
            group["Tags"] = self._cache_tags(group["ARN"])
        return named

    def cache_parameter_groups(self) -> Resources:
        """Returns cache parameter groups by name, with the parameters that differ from the defaults."""
        found = self.aws.all("elasticache", "describe_cache_parameter_groups", "CacheParameterGroups")
        named = {
            g["CacheParameterGroupName"]: g for g in found if not g["CacheParameterGroupName"].startswith("default.")
        }
        for name, group in self._to_describe(named.items()):
            group["Changed"], group["Tags"] = self._parameters(name), self._cache_tags(group["ARN"])
        return named

    def _parameters(self, group: str) -> dict[str, str]:
        found = self.aws.all(
            "elasticache", "describe_cache_parameters", "Parameters", CacheParameterGroupName=group, Source="user"
        )
        return {p["ParameterName"]: p["ParameterValue"] for p in found}

    def _cache_tags(self, arn: str) -> list[dict[str, str]]:
        return self.aws.elasticache.list_tags_for_resource(ResourceName=arn)["TagList"]

    # Services and tasks.

    def log_groups(self) -> Resources:
        """Returns log groups by name, with their tags."""
        found = self.aws.all("logs", "describe_log_groups", "logGroups")
        for group in self._to_describe(found):
            arn = group["arn"].removesuffix(":*")
            group["tags"] = self.aws.logs.list_tags_for_resource(resourceArn=arn)["tags"]
        return {g["logGroupName"]: g for g in found}

    def repositories(self) -> Resources:
        """Returns image repositories by name, with their tags."""
        found = self.aws.all("ecr", "describe_repositories", "repositories")
        for repository in self._to_describe(found):
            arn = repository["repositoryArn"]
            repository["tags"] = self.aws.ecr.list_tags_for_resource(resourceArn=arn)["tags"]
        return {r["repositoryName"]: r for r in found}

    def clusters(self) -> Resources:
        """Returns clusters by name, except deleted (INACTIVE) clusters."""
        arns = self.aws.all("ecs", "list_clusters", "clusterArns")
        found = self.aws.ecs.describe_clusters(clusters=arns, include=["TAGS", "SETTINGS"])["clusters"] if arns else []
        return {c["clusterName"]: c for c in found if c["status"] != "INACTIVE"}

    def services(self) -> Resources:
        """Returns services by name, except deleted (INACTIVE) services."""
        found = []
        for cluster in self.clusters():
            arns = self.aws.all("ecs", "list_services", "serviceArns", cluster=cluster)
            for start in range(0, len(arns), 10):
                batch = arns[start : start + 10]
                found += self.aws.ecs.describe_services(cluster=cluster, services=batch, include=["TAGS"])["services"]
        return {s["serviceName"]: s for s in found if s["status"] != "INACTIVE"}

    def task_definitions(self) -> Resources:
        """Returns ACTIVE task definitions by family and revision, with their tags."""
        arns = self.aws.all("ecs", "list_task_definitions", "taskDefinitionArns", status="ACTIVE")
        found: Resources = {arn.rsplit("/", 1)[-1]: {} for arn in arns}
        for name in self._to_describe(found):
            answer = self.aws.ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
            found[name] = {**answer["taskDefinition"], "tags": answer.get("tags", [])}
        return found

    # Load balancer and DNS.

    def balancers(self) -> Resources:
        """Returns load balancers by name, with attributes and tags."""
        found = self.aws.all("elbv2", "describe_load_balancers", "LoadBalancers")
        for balancer in self._to_describe(found):
            arn = balancer["LoadBalancerArn"]
            answer = self.aws.elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)
            balancer["Attributes"] = {a["Key"]: a["Value"] for a in answer["Attributes"]}
            balancer["Tags"] = self._elb_tags(arn)
        return {b["LoadBalancerName"]: b for b in found}

    def target_groups(self) -> Resources:
        """Returns target groups by name, with attributes and tags."""
        found = self.aws.all("elbv2", "describe_target_groups", "TargetGroups")
        for group in self._to_describe(found):
            arn = group["TargetGroupArn"]
            answer = self.aws.elbv2.describe_target_group_attributes(TargetGroupArn=arn)
            group["Attributes"] = {a["Key"]: a["Value"] for a in answer["Attributes"]}
            group["Tags"] = self._elb_tags(arn)
        return {g["TargetGroupName"]: g for g in found}

    def listeners(self) -> Resources:
        """Returns listeners by ARN, with tags."""
        found = []
        for balancer in self.aws.all("elbv2", "describe_load_balancers", "LoadBalancers"):
            arn = balancer["LoadBalancerArn"]
            found += self.aws.all("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn)
        for listener in self._to_describe(found):
            listener["Tags"] = self._elb_tags(listener["ListenerArn"])
        return {li["ListenerArn"]: li for li in found}

    def _elb_tags(self, arn: str) -> list[dict[str, str]]:
        return self.aws.elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]

    def certificates(self) -> Resources:
        """Returns certificates by ARN, with tags. Without key types, ListCertificates leaves out most certificates."""
        keys = {"keyTypes": ["RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"]}
        listed = self.aws.all("acm", "list_certificates", "CertificateSummaryList", Includes=keys)
        found: Resources = {summary["CertificateArn"]: summary for summary in listed}
        for arn in self._to_describe(found):
            detail = self.aws.acm.describe_certificate(CertificateArn=arn)["Certificate"]
            found[arn] = {**detail, "Tags": self.aws.acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]}
        return found

    def records(self) -> Resources:
        """Returns DNS records by name and type, without the zone's own NS and SOA records."""
        found = {}
        for zone in self.aws.all("route53", "list_hosted_zones", "HostedZones"):
            for record in self.aws.all(
                "route53", "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone["Id"]
            ):
                if record["Type"] not in ("NS", "SOA"):
                    found[f"{record['Name']} {record['Type']}"] = record
        return found

    # All resource kinds.

    KINDS = (
        "vpcs", "gateways", "subnets", "route_tables", "groups", "rules", "interfaces", "replication_groups",
        "cache_subnet_groups", "cache_parameter_groups", "log_groups", "repositories", "clusters", "services",
        "task_definitions", "balancers", "target_groups", "listeners", "certificates", "records",
    )  # fmt: skip

    def everything(self) -> dict[str, Resources]:
        """Returns all resources, by kind."""
        return {kind: getattr(self, kind)() for kind in self.KINDS}

    def names(self) -> dict[str, list[str]]:
        """Returns the names and ids of all resources by kind."""
        self._names_only = True
        try:
            return {kind: sorted(getattr(self, kind)()) for kind in self.KINDS}
        finally:
            self._names_only = False

    def remains(self) -> dict[str, list[str]]:
        """Returns the names and ids of all resources by kind, without the kinds of which no resource exists."""
        return {kind: names for kind, names in self.names().items() if names}

    def counts(self) -> dict[str, int]:
        """Returns the number of resources of each kind, except network interfaces, which come and go."""
        return {kind: len(names) for kind, names in self.names().items() if kind != "interfaces"}

    def _to_describe(self, resources: Iterable[T]) -> list[T]:
        """Returns the resources for which further calls must read the details: none if only names and ids are read."""
        return [] if self._names_only else list(resources)

    def managed_resources(self) -> list[tuple[str, str]]:
        """Returns the address and the id of each resource that carries ownership tags."""
        found = []
        for kind in self.KINDS:
            for identity, resource in getattr(self, kind)().items():
                address = tags_of(resource).get("pb-deploy:address")
                if address:
                    found.append((address, identity))
        return sorted(found)

    def by_name_tag(self, kind: str, name: str) -> Any:
        """Returns the only resource of a kind that has this Name tag."""
        found = [resource for resource in getattr(self, kind)().values() if tags_of(resource).get("Name") == name]
        assert len(found) == 1, f"{len(found)} {kind} have the name {name}"
        return found[0]

    def interfaces_of(self, service: str) -> list[dict[str, Any]]:
        """Returns the network interfaces that an AWS service holds, identified by their descriptions."""
        return [i for i in self.interfaces().values() if f":{service}:" in i.get("Description", "")]


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    """Returns the tags of a resource, in any of the formats that AWS services use."""
    tags = resource.get("Tags") or resource.get("tags") or resource.get("TagSet") or []
    if isinstance(tags, dict):
        return tags
    return {tag.get("Key") or tag["key"]: tag["Value"] if "Value" in tag else tag["value"] for tag in tags}


def normalized(value: Any, names: dict[str, str] | None = None) -> Any:
    """Returns a value without volatile fields and with its lists sorted. If `names` is given, ids are replaced with
    these names, and all other ids that AWS assigns with `<id>`."""
    if isinstance(value, dict):
        return {key: normalized(item, names) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return sorted((normalized(item, names) for item in value), key=repr)
    if isinstance(value, str):
        for identity, name in (names or {}).items():
            value = value.replace(identity, name)
        return ID.sub("<id>", value) if names else value
    return value
