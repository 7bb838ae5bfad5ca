//! Load balancer, target groups, listener, rules and records in a graph.

use crate::names;
use crate::routes::{self, Kinds, SharedInputs};
use crate::{DnsClient, ListenerRule, LoadBalancerClient, Route, RouteSpec, Zone};
use crate::{HealthCheck, Listener, ListenerAttrs, ListenerSpec, LoadBalancer, LoadBalancerAttrs, LoadBalancerSpec};
use crate::{Record, RecordAttrs, RecordSpec, TargetGroup, TargetGroupAttrs, TargetGroupSpec};
use aws_types::SdkConfig;
use pb_engine::{Failure, Graph, Handle, Input, Refusal};
use std::collections::BTreeMap;

/// Settings of an [`EdgeStack`].
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeSpec {
    /// Name of the load balancer.
    pub load_balancer: String,
    /// Name of the default target group.
    pub target_group: String,
    /// Permanent hostname, which must be inside the hosted zone.
    pub hostname: String,
    /// Port of the listener.
    pub port: i32,
    /// Port of the targets.
    pub target_port: i32,
    /// Health check of the targets.
    pub health: HealthCheck,
    /// Seconds that a deregistered target gets to finish its requests.
    pub deregistration_delay: i32,
    /// Makes AWS refuse to delete the load balancer. If absent, it is not managed, and off for a new load balancer.
    pub deletion_protection: Option<bool>,
    /// Idle timeout of connections, in seconds. If absent, it is not managed.
    pub idle_timeout: Option<i32>,
    /// Other web services, each for the requests that match its rule. Requests that match no rule go to `target_group`.
    pub routes: Vec<RouteSpec>,
    /// Tags of all resources that can have tags, in addition to `Name` and the ownership tags.
    pub tags: BTreeMap<String, String>,
}

impl EdgeSpec {
    /// Returns settings with names derived from `name`: a listener on port 80, and targets on `target_port`, for which
    /// a health check expects 200 from `/` every 10 seconds.
    #[must_use]
    pub fn named(name: &str, hostname: &str, target_port: i32) -> Self {
        let health = HealthCheck {
            path: "/".to_owned(),
            matcher: "200".to_owned(),
            interval: 10,
            timeout: 5,
            healthy: 2,
            unhealthy: 3,
        };
        Self {
            load_balancer: name.to_owned(),
            target_group: format!("{name}-{target_port}"),
            hostname: hostname.to_owned(),
            port: 80,
            target_port,
            health,
            deregistration_delay: 15,
            deletion_protection: None,
            idle_timeout: None,
            routes: Vec::new(),
            tags: BTreeMap::new(),
        }
    }
}

/// Inputs from other resources.
pub struct EdgeInputs {
    /// Id of the VPC.
    pub vpc_id: Input<String>,
    /// Ids of the subnets: at least two, each in a different Availability Zone.
    pub subnet_ids: Vec<Input<String>>,
    /// Ids of the security groups of the load balancer.
    pub security_group_ids: Vec<Input<String>>,
    /// Input that is ready when the VPC has an internet gateway, without which AWS refuses to create an internet-facing
    /// load balancer.
    pub internet: Input<()>,
    /// Hosted zone that contains the hostname.
    pub zone: Zone,
}

/// Handles of the resources in a graph.
#[derive(Clone)]
pub struct EdgeStack {
    /// `edge/balancer`
    pub load_balancer: Handle<LoadBalancerAttrs>,
    /// `edge/targets`
    pub targets: Handle<TargetGroupAttrs>,
    /// `edge/listener`: the ECS service depends on it, because a target group belongs to no load balancer until a
    /// listener refers to it.
    pub listener: Handle<ListenerAttrs>,
    /// `edge/record`
    pub record: Handle<RecordAttrs>,
    /// Other web services, by key.
    pub routes: BTreeMap<String, Route>,
}

impl EdgeStack {
    /// Adds all resources to `graph`.
    ///
    /// # Errors
    /// `Refused` if the hostname is not in the hosted zone; `Bug` if an address is already in use.
    pub fn add(graph: &mut Graph, config: &SdkConfig, spec: &EdgeSpec, inputs: EdgeInputs) -> Result<Self, Failure> {
        Self::add_with(graph, &LoadBalancerClient::new(config), &DnsClient::new(config), spec, inputs)
    }

    /// Does the same as [`EdgeStack::add`], but with the given clients.
    ///
    /// # Errors
    /// The same as those of [`EdgeStack::add`].
    pub fn add_with(
        graph: &mut Graph,
        load_balancing: &LoadBalancerClient,
        dns: &DnsClient,
        spec: &EdgeSpec,
        inputs: EdgeInputs,
    ) -> Result<Self, Failure> {
        pb_rules::dns::in_zone(&spec.hostname, &inputs.zone.name)
            .map_err(|violation| Failure::refused(Refusal::Configuration, "add the record", violation.to_string()))?;
        let load_balancers = graph.kind(LoadBalancer::new(load_balancing.clone()));
        let target_groups = graph.kind(TargetGroup::new(load_balancing.clone()));
        let listeners = graph.kind(Listener::new(load_balancing.clone()));
        let records = Record::new(dns.clone(), load_balancing.clone()).in_zone(inputs.zone.clone());
        let records = graph.kind(records);
        let rules = graph.kind(ListenerRule::new(load_balancing.clone()));

        let wanted = spec.clone();
        let needs = (inputs.vpc_id.clone(), inputs.subnet_ids, inputs.security_group_ids, inputs.internet);
        let load_balancer =
            graph.add(names::LOAD_BALANCER, &load_balancers, needs, move |(vpc_id, subnets, groups, ())| {
                LoadBalancerSpec {
                    name: wanted.load_balancer.clone(),
                    scheme: "internet-facing".to_owned(),
                    vpc_id,
                    subnet_ids: subnets.into_iter().collect(),
                    security_group_ids: groups.into_iter().collect(),
                    deletion_protection: wanted.deletion_protection,
                    idle_timeout: wanted.idle_timeout,
                    drop_invalid_headers: true,
                    tags: with_name_tag(&wanted.tags, &wanted.load_balancer),
                }
            })?;

        let wanted = spec.clone();
        let targets =
            graph.add(names::TARGETS, &target_groups, inputs.vpc_id.clone(), move |vpc_id| TargetGroupSpec {
                name: wanted.target_group.clone(),
                vpc_id,
                port: wanted.target_port,
                protocol: "HTTP".to_owned(),
                target_type: "ip".to_owned(),
                health: wanted.health.clone(),
                deregistration_delay: wanted.deregistration_delay,
                tags: with_name_tag(&wanted.tags, &wanted.target_group),
            })?;

        let wanted = spec.clone();
        let needs = (load_balancer.created(), targets);
        let listener = graph.add(names::LISTENER, &listeners, needs, move |(load_balancer, targets)| ListenerSpec {
            load_balancer_arn: load_balancer.arn,
            port: wanted.port,
            protocol: "HTTP".to_owned(),
            target_group_arn: targets.arn,
            tags: with_name_tag(&wanted.tags, &format!("{}-{}", wanted.load_balancer, wanted.port)),
        })?;

        let (name, zone_id) = (spec.hostname.clone(), inputs.zone.id.clone());
        let record = graph.add(names::RECORD, &records, load_balancer.created(), move |load_balancer| {
            RecordSpec::alias(&zone_id, &name, load_balancer)
        })?;
        let kinds = Kinds { rules, target_groups, records };
        let shared = SharedInputs { vpc_id: inputs.vpc_id, zone_id: inputs.zone.id, load_balancer, listener };
        let mut routes = BTreeMap::new();
        for route in &spec.routes {
            routes.insert(route.key.clone(), routes::add(graph, &kinds, spec, &shared, route)?);
        }
        Ok(Self { load_balancer, targets, listener, record, routes })
    }
}

pub(crate) fn with_name_tag(tags: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let mut tags = tags.clone();
    tags.insert("Name".to_owned(), name.to_owned());
    tags
}

#[cfg(test)]
mod tests {
    use super::{EdgeInputs, EdgeSpec, EdgeStack};
    use crate::{DnsClient, LoadBalancerClient, RouteSpec, Zone};
    use pb_engine::{Failure, Graph, Input};

    fn add(graph: &mut Graph, hostname: &str) -> Result<(), Failure> {
        let known = |id: &str| Input::known(id.to_owned());
        let inputs = EdgeInputs {
            vpc_id: known("vpc-1"),
            subnet_ids: vec![known("subnet-1"), known("subnet-2")],
            security_group_ids: vec![known("sg-1")],
            internet: Input::known(()),
            zone: Zone { id: "Z1".to_owned(), name: "example.org".to_owned() },
        };
        let balancers = LoadBalancerClient::from_conf(
            aws_sdk_elasticloadbalancingv2::Config::builder()
                .behavior_version(aws_sdk_elasticloadbalancingv2::config::BehaviorVersion::latest())
                .build(),
        );
        let dns = DnsClient::from_conf(
            aws_sdk_route53::Config::builder()
                .behavior_version(aws_sdk_route53::config::BehaviorVersion::latest())
                .build(),
        );
        let mut spec = EdgeSpec::named("staging-public", hostname, 5050);
        spec.routes.push(RouteSpec {
            key: "api".to_owned(),
            target_group: "staging-api-8000".to_owned(),
            target_port: 8000,
            health: spec.health.clone(),
            priority: 1001,
            hosts: ["api.staging.example.org".to_owned()].into(),
            paths: ["/v1/*".to_owned()].into(),
            records: ["api.staging.example.org".to_owned()].into(),
        });
        EdgeStack::add_with(graph, &balancers, &dns, &spec, inputs).map(drop)
    }

    #[test]
    fn stack_graph_has_all_resources_with_their_specs() {
        let mut graph = Graph::new();
        add(&mut graph, "staging.example.org").unwrap();
        assert!(graph.validate().unwrap().is_empty());
        let specs: Vec<String> = graph.specs().unwrap().iter().map(|(at, spec)| format!("{at} {spec}")).collect();
        assert!(specs[1].contains(r#""name":"staging-public-5050""#), "{}", specs[1]);
        assert!(specs[2].contains(r#""target_group_arn":"(known after apply)""#), "{}", specs[2]);
        assert!(specs[3].contains(r#""type":"A""#), "{}", specs[3]);
        let addresses: Vec<&str> = specs[4..].iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(addresses, ["edge/api_targets", "edge/api_rule", "edge/record_api_staging_example_org"]);
        assert!(specs[5].contains(r#""paths":["/v1/*"]"#) && specs[5].contains(r#""priority":1001"#), "{}", specs[5]);
    }

    #[test]
    fn hostname_outside_the_zone_is_refused() {
        let failure = add(&mut Graph::new(), "staging.example.net").unwrap_err();
        assert!(failure.message.contains("is not in the hosted zone"), "{failure}");
    }
}
