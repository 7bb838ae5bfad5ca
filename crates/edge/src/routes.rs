//! Web services other than Flask, each with a listener rule, a target group, and DNS records for its hosts.

use crate::names;
use crate::stack::{EdgeSpec, Kinds, with_name_tag};
use crate::{
    HealthCheck, ListenerAttrs, ListenerRuleAttrs, ListenerRuleSpec, LoadBalancerAttrs, RecordSpec, TargetGroupAttrs,
    TargetGroupSpec,
};
use pb_engine::{Failure, Graph, Handle, Input};
use std::collections::{BTreeMap, BTreeSet};

/// Settings of a web service that has a listener rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteSpec {
    /// Key of the service in addresses: the key `api` yields `edge/api_targets` and `edge/api_rule`.
    pub key: String,
    /// Name of the target group.
    pub target_group: String,
    /// Port of the targets.
    pub target_port: i32,
    /// Health check of the targets.
    pub health: HealthCheck,
    /// Priority of the rule; rules with a lower number are evaluated first.
    pub priority: i32,
    /// Host patterns; an empty set matches every host.
    pub hosts: BTreeSet<String>,
    /// Path patterns; an empty set matches every path.
    pub paths: BTreeSet<String>,
    /// Hosts for which a DNS record is created in the zone.
    pub records: BTreeSet<String>,
}

/// Handles of the resources of such a web service in a graph.
#[derive(Clone, Copy)]
pub struct Route {
    /// `edge/KEY_targets`
    pub targets: Handle<TargetGroupAttrs>,
    /// `edge/KEY_rule`: the ECS service depends on it, because a target group belongs to no load balancer until a rule
    /// refers to it.
    pub rule: Handle<ListenerRuleAttrs>,
}

/// Inputs that all web services share.
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
    let address = names::route_targets(&route.key);
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
    let address = names::route_rule(&route.key);
    let needs = (shared.listener, targets);
    let rule = graph.add(&address, &kinds.rules, needs, move |(listener, targets)| {
        wanted.rule(listener.arn, targets.arn, tags.clone())
    })?;

    for host in &route.records {
        add_record(graph, kinds, shared.load_balancer, host, &shared.zone_id)?;
    }
    Ok(Route { targets, rule })
}

impl RouteSpec {
    /// Returns the rule of the web service for a listener.
    pub(crate) fn rule(
        &self,
        listener_arn: String,
        target_group_arn: String,
        tags: BTreeMap<String, String>,
    ) -> ListenerRuleSpec {
        ListenerRuleSpec {
            listener_arn,
            priority: self.priority,
            hosts: self.hosts.clone(),
            paths: self.paths.clone(),
            other_conditions: BTreeSet::new(),
            target_group_arn,
            redirect: None,
            tags,
        }
    }
}

/// Adds the record of another host.
pub(crate) fn add_record(
    graph: &mut Graph,
    kinds: &Kinds,
    load_balancer: Handle<LoadBalancerAttrs>,
    host: &str,
    zone_id: &str,
) -> Result<(), Failure> {
    let (name, zone_id) = (host.to_owned(), zone_id.to_owned());
    let added = graph.add(&names::route_record(host), &kinds.records, load_balancer.created(), move |balancer| {
        RecordSpec::alias(&zone_id, &name, balancer)
    });
    added.map(drop)
}
