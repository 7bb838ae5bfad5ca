//! Mapping of the resources of a Terraform state to addresses.

use crate::state::Resource;
use pb_engine::Address;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Resource of a graph, to which a resource of the state can be mapped.
pub struct DesiredResource {
    /// Address in the graph.
    pub address: Address,
    /// Resource kind, such as `ec2.vpc`.
    pub kind: String,
    /// Desired spec, with the values that the configuration determines.
    pub spec: Value,
}

/// Result of mapping the resources of a state.
#[derive(Debug, Default, Serialize)]
pub struct Mapping {
    /// Resources that can be imported, by address.
    #[serde(rename = "claims")]
    pub imports: BTreeMap<Address, ImportCandidate>,
    /// Resources that pb-deploy treats as part of another resource, as it treats a route as part of its route table.
    pub parts: Vec<NotImported>,
    /// Resources for which no address was found, which remain unchanged.
    #[serde(rename = "left")]
    pub unmapped: Vec<NotImported>,
}

/// Resource that can be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportCandidate {
    /// Id in AWS.
    pub id: String,
    /// Address in Terraform.
    pub terraform: String,
}

/// Resource that is not imported, or is imported only as part of another resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotImported {
    /// Address in Terraform.
    pub terraform: String,
    /// Id in Terraform.
    pub id: String,
    /// Description of the resource that contains it, or reason why it is not imported.
    #[serde(rename = "why")]
    pub reason: String,
    /// Id of the resource that contains it.
    #[serde(skip)]
    pub parent: Option<String>,
}

/// Reason why a cache node outside of a replication group is not imported.
const STANDALONE_NODE: &str = "a standalone cache node and the jobs in it are left as they are; the next deploy creates a \
                               replication group and moves the services to it, so let the jobs finish first. Delete \
                               the node when nothing uses it: until then, `destroy` cannot delete its subnet group and \
                               security group";

/// Returns the resource kind that corresponds to the type of a Terraform resource; `None` if there is none.
fn kind_of(resource: &Resource) -> Option<&'static str> {
    Some(match resource.kind.as_str() {
        "aws_vpc" => "ec2.vpc",
        "aws_internet_gateway" => "ec2.internet_gateway",
        "aws_subnet" => "ec2.subnet",
        "aws_route_table" => "ec2.route_table",
        "aws_default_security_group" => "ec2.default_security_group",
        "aws_security_group" => "ec2.security_group",
        "aws_lb" | "aws_alb" => "elbv2.load_balancer",
        "aws_lb_target_group" | "aws_alb_target_group" => "elbv2.target_group",
        "aws_lb_listener" | "aws_alb_listener" => "elbv2.listener",
        "aws_lb_listener_rule" | "aws_alb_listener_rule" => "elbv2.listener_rule",
        "aws_route53_record" => "route53.record",
        "aws_ecs_cluster" => "ecs.cluster",
        "aws_ecs_service" => "ecs.service",
        "aws_ecs_task_definition" => "ecs.task_definition",
        "aws_cloudwatch_log_group" => "logs.log_group",
        "aws_ecr_repository" => "ecr.repository",
        "aws_elasticache_subnet_group" => "elasticache.subnet_group",
        "aws_elasticache_parameter_group" => "elasticache.parameter_group",
        "aws_elasticache_replication_group" => "elasticache.replication_group",
        _ => return None,
    })
}

/// Returns the reason why resources of a Terraform type are not imported themselves, if they are part of another
/// resource.
fn part_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "aws_route" | "aws_route_table_association" | "aws_main_route_table_association" => "part of its route table",
        "aws_security_group_rule" | "aws_vpc_security_group_ingress_rule" | "aws_vpc_security_group_egress_rule" => {
            "rules are matched by content within their group"
        }
        "aws_ecr_lifecycle_policy" => "part of its repository",
        "aws_ecs_cluster_capacity_providers" => "part of its cluster",
        "aws_elasticache_cluster" => "a member of its replication group",
        "aws_internet_gateway_attachment" => "part of its gateway",
        _ => return None,
    })
}

/// Returns the name of the attribute in which a part has the id of its parent.
fn parent_attribute(kind: &str) -> &'static str {
    match kind {
        "aws_route" | "aws_route_table_association" | "aws_main_route_table_association" => "route_table_id",
        "aws_ecr_lifecycle_policy" => "repository",
        "aws_ecs_cluster_capacity_providers" => "cluster_name",
        "aws_elasticache_cluster" => "replication_group_id",
        "aws_internet_gateway_attachment" => "internet_gateway_id",
        _ => "security_group_id",
    }
}

/// Returns the id by which `adopt` finds the resource in AWS.
fn id_of(resource: &Resource) -> String {
    let last = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
    let own = |name: &str| resource.attribute(name).unwrap_or(&resource.id).to_owned();
    match resource.kind.as_str() {
        "aws_ecs_cluster" | "aws_cloudwatch_log_group" | "aws_ecr_repository" => own("name"),
        "aws_ecs_service" => {
            let cluster = resource.attribute("cluster").map(last).unwrap_or_default();
            format!("{cluster}/{}", own("name"))
        }
        "aws_ecs_task_definition" => own("arn"),
        "aws_route53_record" => {
            let name = own("fqdn").trim_end_matches('.').to_lowercase();
            format!("{name} {}", own("type"))
        }
        _ => resource.id.clone(),
    }
}

/// Returns the fields that distinguish resources of the same kind: the name of each in the spec, and the name of
/// Terraform's attribute.
fn key_fields(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "ec2.subnet" => &[("cidr", "cidr_block")],
        "elbv2.listener" => &[("port", "port")],
        "ecs.task_definition" => &[("family", "family")],
        "elasticache.replication_group" => &[("id", "id")],
        "route53.record" => &[("name", "fqdn"), ("type", "type")],
        "ec2.vpc" | "ec2.internet_gateway" | "ec2.route_table" | "ec2.default_security_group" => &[],
        _ => &[("name", "name")],
    }
}

/// Returns whether a resource of this kind is mapped only by its key, even if it is the only one of its kind.
fn is_mapped_only_by_key(kind: &str) -> bool {
    matches!(kind, "route53.record" | "elbv2.listener")
}

/// Finds the address of each resource: first by its key fields (such as a name, a CIDR block or a port), then by its
/// use (such as a security group that the load balancer uses). A remaining resource is assigned the remaining address
/// of its kind if there is only one of each.
#[must_use]
pub fn map_resources(resources: &[Resource], targets: &[DesiredResource]) -> Mapping {
    let mut mapping = Mapping::default();
    let mut open: Vec<(&Resource, &'static str)> = Vec::new();
    for resource in resources {
        let standalone_node =
            resource.kind == "aws_elasticache_cluster" && resource.attribute("replication_group_id").is_none();
        match kind_of(resource) {
            _ if resource.deposed => {
                mapping.skip(resource, "it is left over from a replacement; let Terraform delete it");
            }
            _ if standalone_node => mapping.skip(resource, STANDALONE_NODE),
            Some(kind) => open.push((resource, kind)),
            None => match part_of(&resource.kind) {
                Some(reason) => mapping.parts.push(not_imported(resource, reason)),
                None => mapping.skip(resource, "pb-deploy has no such resource"),
            },
        }
    }
    let uses = Uses::of(resources);
    mapping.assign(&mut open, targets, |resource, kind, target| matches_by_key(resource, kind, &target.spec));
    let services = mapping.services();
    mapping.assign(&mut open, targets, |resource, _, target| uses.matches(resource, target, &services));
    let services = mapping.services();
    mapping.assign(&mut open, targets, |resource, _, target| uses.matches(resource, target, &services));
    mapping.assign_remaining(open, targets);
    mapping
}

impl Mapping {
    fn skip(&mut self, resource: &Resource, reason: impl Into<String>) {
        self.unmapped.push(not_imported(resource, reason));
    }

    fn claim(&mut self, target: &DesiredResource, resource: &Resource) {
        let claim = ImportCandidate { id: id_of(resource), terraform: resource.address.clone() };
        self.imports.insert(target.address.clone(), claim);
    }

    /// For each free address, finds the open resources of its kind for which `is` returns true, and assigns the
    /// resource to the address if there is exactly one.
    fn assign(
        &mut self,
        open: &mut Vec<(&Resource, &'static str)>,
        targets: &[DesiredResource],
        is: impl Fn(&Resource, &str, &DesiredResource) -> bool,
    ) {
        for target in targets {
            if self.imports.contains_key(&target.address) {
                continue;
            }
            let fits =
                |(resource, kind): &(&Resource, &'static str)| *kind == target.kind && is(resource, kind, target);
            let mut fitting = open.iter().enumerate().filter(|(_, one)| fits(one)).map(|(at, _)| at);
            if let (Some(at), None) = (fitting.next(), fitting.next()) {
                self.claim(target, open.remove(at).0);
            }
        }
    }

    /// Assigns each resource that was matched neither by key nor by use, if it is the only such resource of its kind
    /// and only one address of this kind is free.
    fn assign_remaining(&mut self, open: Vec<(&Resource, &'static str)>, targets: &[DesiredResource]) {
        let kinds: BTreeSet<&str> = open.iter().map(|(_, kind)| *kind).collect();
        for kind in kinds {
            let same: Vec<&Resource> =
                open.iter().filter(|(_, of)| *of == kind).map(|(resource, _)| *resource).collect();
            let free =
                targets.iter().filter(|target| target.kind == kind && !self.imports.contains_key(&target.address));
            let free: Vec<&DesiredResource> = free.collect();
            match (same.as_slice(), free.as_slice()) {
                ([resource], [target]) if !is_mapped_only_by_key(kind) => self.claim(target, resource),
                (_, []) => same
                    .iter()
                    .for_each(|resource| self.skip(resource, "the configuration has no further resource of this kind")),
                _ => {
                    let free: Vec<&str> = free.iter().map(|target| target.address.as_str()).collect();
                    let reason = format!("ambiguous, could be {0}; choose with ADDRESS=ID", free.join(", "));
                    same.iter().for_each(|resource| self.skip(resource, reason.clone()));
                }
            }
        }
    }

    /// Returns the services that are already mapped: the last part of their address, by their address in Terraform.
    fn services(&self) -> BTreeMap<String, String> {
        let claims = self.imports.iter().filter(|(_, claim)| claim.terraform.contains("aws_ecs_service."));
        let name = |address: &Address| address.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        claims.map(|(address, claim)| (claim.terraform.clone(), name(address))).collect()
    }
}

fn not_imported(resource: &Resource, reason: impl Into<String>) -> NotImported {
    let parent = resource.attribute(parent_attribute(&resource.kind)).map(str::to_owned);
    NotImported { terraform: resource.address.clone(), id: resource.id.clone(), reason: reason.into(), parent }
}

fn matches_by_key(resource: &Resource, kind: &str, spec: &Value) -> bool {
    let fields = key_fields(kind);
    let same = |(ours, theirs): &(&str, &str)| {
        let wanted = match &spec[*ours] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        resource.attribute(theirs).is_some_and(|found| found.trim_end_matches('.') == wanted)
    };
    !fields.is_empty() && fields.iter().all(same)
}

/// Security groups, task definitions and subnets that other resources in the state use.
struct Uses<'a> {
    /// Security groups of the load balancer, of services behind the load balancer, of other services, and of the queue.
    groups: [BTreeSet<&'a str>; 4],
    /// Task definitions of services: the address of each service in Terraform, and the task definition as ARN or
    /// `family:revision`.
    tasks: Vec<(&'a str, &'a str)>,
    /// Subnets of tasks.
    subnets: BTreeSet<&'a str>,
}

impl<'a> Uses<'a> {
    fn of(resources: &'a [Resource]) -> Self {
        let mut uses = Self { groups: Default::default(), tasks: Vec::new(), subnets: BTreeSet::new() };
        for resource in resources {
            match resource.kind.as_str() {
                "aws_lb" | "aws_alb" => uses.groups[0].extend(resource.list_items("security_groups")),
                "aws_ecs_service" => {
                    let balanced = is_balanced(resource);
                    let groups = resource.network_items("security_groups");
                    uses.groups[if balanced { 1 } else { 2 }].extend(groups);
                    uses.subnets.extend(resource.network_items("subnets"));
                    uses.tasks
                        .extend(resource.attribute("task_definition").map(|task| (resource.address.as_str(), task)));
                }
                "aws_elasticache_replication_group" | "aws_elasticache_cluster" => {
                    uses.groups[3].extend(resource.list_items("security_group_ids"));
                }
                _ => {}
            }
        }
        uses
    }

    /// Returns whether `resource` has the same use as `target`. `services` are the mapped
    /// services.
    fn matches(&self, resource: &Resource, target: &DesiredResource, services: &BTreeMap<String, String>) -> bool {
        let id = resource.id.as_str();
        let name = target.address.as_str();
        let group = |at: usize| {
            let elsewhere = self.groups.iter().enumerate().any(|(other, ids)| other != at && ids.contains(id));
            self.groups[at].contains(id) && !elsewhere
        };
        match name {
            "net/lb_group" => group(0),
            "net/flask_group" => group(1),
            "net/celery_group" => group(2),
            "net/redis_group" => group(3),
            "net/tasks_subnet" => self.subnets.contains(id),
            _ => match target.kind.as_str() {
                "ecs.service" => is_balanced(resource) != is_empty(&target.spec["load_balancers"]),
                "ecs.task_definition" => self.tasks.iter().any(|(service, task)| {
                    let ours = services.get(*service).is_some_and(|key| name == format!("fargate/{key}_task"));
                    ours && is_revision(resource, task)
                }),
                _ => false,
            },
        }
    }
}

fn is_balanced(service: &Resource) -> bool {
    service.block_fields("load_balancer", "target_group_arn").next().is_some()
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

/// Returns whether `task` names the task definition `resource`: by ARN, as `family:revision`, or by family alone.
fn is_revision(resource: &Resource, task: &str) -> bool {
    let arn = resource.attribute("arn").unwrap_or(&resource.id);
    arn == task || arn.rsplit('/').next() == Some(task) || resource.attribute("family") == Some(task)
}
