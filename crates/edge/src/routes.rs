//! Further web services, each with a listener rule, a target group, and records of its hosts.

use crate::stack::{EdgeSpec, with_name_tag};
use crate::{
    HealthCheck, ListenerAttrs, ListenerRule, ListenerRuleAttrs, ListenerRuleSpec, LoadBalancerAttrs, Record,
    RecordSpec, TargetGroup, TargetGroupAttrs, TargetGroupSpec,
};
use pb_engine::{Failure, Graph, Handle, Input, Kind};
use std::collections::BTreeSet;

/// Settings of a further web service.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteSpec {
    /// Key in addresses: `api` has `edge/api_targets` and `edge/api_rule`.
    pub key: String,
    /// Name of the target group.
    pub target_group: String,
    /// Port of the targets.
    pub target_port: i32,
    /// Health check.
    pub health: HealthCheck,
    /// Priority; rules with a lower number are evaluated first.
    pub priority: i32,
    /// Host patterns; empty matches every host.
    pub hosts: BTreeSet<String>,
    /// Path patterns; empty matches every path.
    pub paths: BTreeSet<String>,
    /// Hosts that get a record in the zone.
    pub records: BTreeSet<String>,
}

/// Handles of a further web service in a graph.
#[derive(Clone, Copy)]
pub struct Route {
    /// `edge/KEY_targets`
    pub targets: Handle<TargetGroupAttrs>,
    /// `edge/KEY_rule`: the service that registers targets depends on it, because a target group without a rule belongs
    /// to no load balancer.
    pub rule: Handle<ListenerRuleAttrs>,
}

/// Kinds of the resources of a route.
pub(crate) struct Kinds {
    pub rules: Kind<ListenerRule>,
    pub target_groups: Kind<TargetGroup>,
    pub records: Kind<Record>,
}

/// Inputs that all routes share.
pub(crate) struct SharedInputs {
    pub vpc_id: Input<String>,
    pub zone_id: String,
    pub load_balancer: Handle<LoadBalancerAttrs>,
    pub listener: Handle<ListenerAttrs>,
}

pub(crate) fn add(
    graph: &mut Graph,
    kinds: &Kinds,
    spec: &EdgeSpec,
    shared: &SharedInputs,
    route: &RouteSpec,
) -> Result<Route, Failure> {
    let (wanted, plain, delay) = (route.clone(), spec.tags.clone(), spec.deregistration_delay);
    let address = format!("edge/{}_targets", route.key);
    let targets = graph.add(&address, &kinds.target_groups, shared.vpc_id.clone(), move |vpc_id| TargetGroupSpec {
        name: wanted.target_group.clone(),
        vpc_id,
        port: wanted.target_port,
        protocol: "HTTP".to_owned(),
        target_type: "ip".to_owned(),
        health: wanted.health.clone(),
        deregistration_delay: delay,
        tags: with_name_tag(&plain, &wanted.target_group),
    })?;

    let (wanted, tags) = (route.clone(), with_name_tag(&spec.tags, &route.target_group));
    let address = format!("edge/{}_rule", route.key);
    let needs = (shared.listener, targets);
    let rule = graph.add(&address, &kinds.rules, needs, move |(listener, targets)| ListenerRuleSpec {
        listener_arn: listener.arn,
        priority: wanted.priority,
        hosts: wanted.hosts.clone(),
        paths: wanted.paths.clone(),
        other_conditions: BTreeSet::new(),
        target_group_arn: targets.arn,
        tags: tags.clone(),
    })?;

    for host in &route.records {
        let (name, zone_id) = (host.clone(), shared.zone_id.clone());
        let address = format!("edge/record_{}", host.replace('.', "_"));
        graph.add(&address, &kinds.records, shared.load_balancer.created(), move |load_balancer| {
            RecordSpec::alias(&zone_id, &name, load_balancer)
        })?;
    }
    Ok(Route { targets, rule })
}
