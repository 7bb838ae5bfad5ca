//! Load balancer, target groups, listener, rules and records in a graph.

#[cfg(test)]
mod tests;

use crate::names;
use crate::routes::{self, SharedInputs};
use crate::{Certificate, CertificateClient, DnsClient, ListenerCertificate, ListenerRule, LoadBalancerClient};
use crate::{HealthCheck, Listener, ListenerAttrs, ListenerSpec, LoadBalancer, LoadBalancerAttrs, LoadBalancerSpec};
use crate::{Record, RecordAttrs, RecordSpec, TargetGroup, TargetGroupAttrs, TargetGroupSpec};
use crate::{Route, RouteSpec, Validation, Zone};
use aws_types::SdkConfig;
use pb_engine::{Failure, Graph, Handle, Input, Kind, Refusal};
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
    /// Resolver of public DNS, with which a certificate that cannot be issued is reported within a minute. If absent,
    /// public DNS is not asked.
    pub public_dns: Option<pb_dns::Resolver>,
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
    pub(crate) kinds: Kinds,
}

/// Resource kinds of the concern. All of them are registered in the graph, even if the stack does not use HTTPS, so that
/// resources of an earlier configuration are found.
#[derive(Clone)]
pub(crate) struct Kinds {
    pub load_balancers: Kind<LoadBalancer>,
    pub target_groups: Kind<TargetGroup>,
    pub listeners: Kind<Listener>,
    pub rules: Kind<ListenerRule>,
    pub records: Kind<Record>,
    pub certificates: Kind<Certificate>,
    pub validations: Kind<Validation>,
    pub listener_certificates: Kind<ListenerCertificate>,
}

/// Clients of the concern.
pub struct EdgeClients {
    /// Client for load balancers.
    pub load_balancing: LoadBalancerClient,
    /// Client for records.
    pub dns: DnsClient,
    /// Client for certificates.
    pub certificates: CertificateClient,
}

impl Kinds {
    fn register(graph: &mut Graph, clients: &EdgeClients, validations: Validation, inputs: &EdgeInputs) -> Self {
        let EdgeClients { load_balancing, dns, certificates } = clients;
        let zone = inputs.zone.clone();
        let certificates = Certificate::new(certificates.clone()).with_dns(dns.clone(), inputs.public_dns.clone());
        Self {
            load_balancers: graph.kind(LoadBalancer::new(load_balancing.clone())),
            target_groups: graph.kind(TargetGroup::new(load_balancing.clone())),
            listeners: graph.kind(Listener::new(load_balancing.clone())),
            rules: graph.kind(ListenerRule::new(load_balancing.clone())),
            records: graph.kind(Record::new(dns.clone(), load_balancing.clone()).in_zone(zone)),
            certificates: graph.kind(certificates),
            validations: graph.kind(validations),
            listener_certificates: graph.kind(ListenerCertificate::new(load_balancing.clone())),
        }
    }
}

impl EdgeStack {
    /// Adds all resources to `graph`.
    ///
    /// # Errors
    /// `Refused` if the hostname is not in the hosted zone; `Bug` if an address is already in use.
    pub fn add(graph: &mut Graph, config: &SdkConfig, spec: &EdgeSpec, inputs: EdgeInputs) -> Result<Self, Failure> {
        let clients = EdgeClients {
            load_balancing: LoadBalancerClient::new(config),
            dns: DnsClient::new(config),
            certificates: CertificateClient::new(config),
        };
        let kinds = Kinds::register(graph, &clients, Validation::new(config), &inputs);
        Self::add_kinds(graph, kinds, spec, inputs)
    }

    /// Does the same as [`EdgeStack::add`], but with the given clients.
    ///
    /// # Errors
    /// The same as those of [`EdgeStack::add`].
    pub fn add_with(
        graph: &mut Graph,
        clients: &EdgeClients,
        spec: &EdgeSpec,
        inputs: EdgeInputs,
    ) -> Result<Self, Failure> {
        let validations = Validation::from_clients(clients.certificates.clone(), clients.dns.clone());
        let kinds = Kinds::register(graph, clients, validations, &inputs);
        Self::add_kinds(graph, kinds, spec, inputs)
    }

    fn add_kinds(graph: &mut Graph, kinds: Kinds, spec: &EdgeSpec, inputs: EdgeInputs) -> Result<Self, Failure> {
        pb_rules::dns::in_zone(&spec.hostname, &inputs.zone.name)
            .map_err(|violation| Failure::refused(Refusal::Configuration, "add the record", violation.to_string()))?;
        let wanted = spec.clone();
        let needs = (inputs.vpc_id.clone(), inputs.subnet_ids, inputs.security_group_ids, inputs.internet);
        let load_balancer =
            graph.add(names::LOAD_BALANCER, &kinds.load_balancers, needs, move |(vpc_id, subnets, groups, ())| {
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
            graph.add(names::TARGETS, &kinds.target_groups, inputs.vpc_id.clone(), move |vpc_id| TargetGroupSpec {
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
        let listener =
            graph.add(names::LISTENER, &kinds.listeners, needs, move |(load_balancer, targets)| ListenerSpec {
                load_balancer_arn: load_balancer.arn,
                port: wanted.port,
                protocol: "HTTP".to_owned(),
                target_group_arn: targets.arn,
                certificate_arn: None,
                ssl_policy: None,
                hsts: None,
                tags: with_name_tag(&wanted.tags, &format!("{}-{}", wanted.load_balancer, wanted.port)),
            })?;

        let (name, zone_id) = (spec.hostname.clone(), inputs.zone.id.clone());
        let record = graph.add(names::RECORD, &kinds.records, load_balancer.created(), move |load_balancer| {
            RecordSpec::alias(&zone_id, &name, load_balancer)
        })?;
        let shared = SharedInputs { vpc_id: inputs.vpc_id, zone_id: inputs.zone.id, load_balancer, listener };
        let mut routes = BTreeMap::new();
        for route in &spec.routes {
            routes.insert(route.key.clone(), routes::add(graph, &kinds, spec, &shared, route)?);
        }
        Ok(Self { load_balancer, targets, listener, record, routes, kinds })
    }
}

pub(crate) fn with_name_tag(tags: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let mut tags = tags.clone();
    tags.insert("Name".to_owned(), name.to_owned());
    tags
}
