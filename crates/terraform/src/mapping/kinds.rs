//! Types of Terraform resources, with the resource kinds that correspond to them.

use super::certificates::{self, is_validation};
use crate::state::Resource;
use serde_json::Value;

/// Returns the resource kind that corresponds to the type of a Terraform resource; `None` if there is none.
pub(crate) fn kind_of(resource: &Resource) -> Option<&'static str> {
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
        "aws_lb_listener_certificate" | "aws_alb_listener_certificate" => "elbv2.listener_certificate",
        "aws_acm_certificate" => "acm.certificate",
        "aws_route53_record" if is_validation(resource) => "acm.validation",
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
pub(super) fn part_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "aws_route" | "aws_route_table_association" | "aws_main_route_table_association" => "part of its route table",
        "aws_security_group_rule" | "aws_vpc_security_group_ingress_rule" | "aws_vpc_security_group_egress_rule" => {
            "rules are matched by content within their group"
        }
        "aws_ecr_lifecycle_policy" => "part of its repository",
        "aws_ecs_cluster_capacity_providers" => "part of its cluster",
        "aws_elasticache_cluster" => "a member of its replication group",
        "aws_internet_gateway_attachment" => "part of its gateway",
        "aws_acm_certificate_validation" => "nothing in AWS: Terraform only waits until the certificate is issued",
        _ => return None,
    })
}

/// Returns the name of the attribute in which a part has the id of its parent.
pub(super) fn parent_attribute(kind: &str) -> &'static str {
    match kind {
        "aws_route" | "aws_route_table_association" | "aws_main_route_table_association" => "route_table_id",
        "aws_ecr_lifecycle_policy" => "repository",
        "aws_ecs_cluster_capacity_providers" => "cluster_name",
        "aws_elasticache_cluster" => "replication_group_id",
        "aws_internet_gateway_attachment" => "internet_gateway_id",
        "aws_acm_certificate_validation" => "certificate_arn",
        _ => "security_group_id",
    }
}

/// Returns the id by which `adopt` finds the resource in AWS.
pub(super) fn id_of(resource: &Resource) -> String {
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
        "aws_lb_listener_certificate" | "aws_alb_listener_certificate" => {
            format!("{} of {}", own("certificate_arn"), own("listener_arn"))
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
        "ec2.vpc"
        | "ec2.internet_gateway"
        | "ec2.route_table"
        | "ec2.default_security_group"
        | "elbv2.listener_rule"
        | "elbv2.listener_certificate"
        | "acm.certificate"
        | "acm.validation" => &[],
        _ => &[("name", "name")],
    }
}

/// Returns whether a resource of this kind is mapped only by its key, even if it is the only one of its kind.
pub(super) fn is_mapped_only_by_key(kind: &str) -> bool {
    matches!(
        kind,
        "route53.record"
            | "elbv2.listener"
            | "elbv2.listener_rule"
            | "elbv2.listener_certificate"
            | "acm.certificate"
            | "acm.validation"
    )
}

/// Returns whether the key fields of a resource have the values of the spec.
pub(super) fn matches_by_key(resource: &Resource, kind: &str, spec: &Value) -> bool {
    match kind {
        "acm.certificate" => return certificates::matches(resource, spec),
        "elbv2.listener" if spec["protocol"].is_string() => {
            let protocol = resource.attribute("protocol");
            if protocol.is_some_and(|protocol| spec["protocol"] != protocol) {
                return false;
            }
        }
        _ => {}
    }
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
