//! Uses of resources by other resources of the same state.

use super::DesiredResource;
use crate::state::Resource;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Security groups, task definitions, subnets and target groups that other resources in the state use.
pub(super) struct Uses<'a> {
    /// Security groups of the load balancer, of services behind the load balancer, of other services, and of the queue.
    groups: [BTreeSet<&'a str>; 4],
    /// Task definitions of services: the address of each service in Terraform, and the task definition as ARN or
    /// `family:revision`.
    tasks: Vec<(&'a str, &'a str)>,
    /// Subnets of tasks.
    subnets: BTreeSet<&'a str>,
    /// Target groups of the requests that match no rule.
    default_targets: BTreeSet<&'a str>,
}

impl<'a> Uses<'a> {
    /// Collects the uses of the resources in a state.
    pub fn of(resources: &'a [Resource]) -> Self {
        let mut uses = Self {
            groups: Default::default(),
            tasks: Vec::new(),
            subnets: BTreeSet::new(),
            default_targets: BTreeSet::new(),
        };
        for resource in resources {
            match resource.kind.as_str() {
                "aws_lb" | "aws_alb" => uses.groups[0].extend(resource.list_items("security_groups")),
                "aws_lb_listener" | "aws_alb_listener" => {
                    uses.default_targets.extend(resource.block_fields("default_action", "target_group_arn"));
                }
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
    pub fn matches(&self, resource: &Resource, target: &DesiredResource, services: &BTreeMap<String, String>) -> bool {
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
            "edge/targets" => self.default_targets.contains(id),
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
