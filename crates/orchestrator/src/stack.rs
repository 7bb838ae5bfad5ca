//! Stack of one workspace, from the network to the outputs.

mod https;
pub mod names;
pub mod queue_effects;
pub mod queued_jobs;
pub mod target_health;
#[cfg(test)]
mod tests;
pub mod traffic;
mod workloads;

pub use workloads::LocalTask;

use crate::workspace::prerequisites::Prerequisites;
use crate::workspace::{availability, certificates, quotas};
use aws_config::SdkConfig;
use pb_config::{LoadBalancer, Route, WebService, Workspace};
use pb_edge::{EdgeInputs, EdgeSpec, EdgeStack, HealthCheck, HealthyTargetsSpec, HttpsStack, RouteSpec};
use pb_engine::{Failure, Graph, Input, Refusal};
use pb_fargate::{FargateInputs, FargateSpec, FargateStack, ReleaseCommand};
use pb_net::{Egress, NetworkNames, NetworkSpec};
use pb_redis::{QueueInputs, QueueSpec};
use std::time::Duration;

/// Port of the HTTP listener.
const HTTP: u16 = 80;

/// Builds the graph of one workspace: network, queue, load balancer, services.
///
/// # Errors
/// `Refused` if AWS would refuse the configuration; `Bug` if an address is already in use.
pub fn build(aws: &SdkConfig, workspace: &Workspace, prerequisites: &Prerequisites) -> Result<Graph, Failure> {
    let mut graph = Graph::new();
    let network = pb_net::NetworkStack::add(&mut graph, aws, &network_spec(workspace, prerequisites))?;
    let queue = pb_redis::QueueStack::add(
        &mut graph,
        aws,
        &queue_spec(workspace, prerequisites)?,
        QueueInputs {
            subnet_ids: vec![network.tasks_subnet.created().map(|subnet| subnet.id)],
            security_group_ids: vec![network.redis_group.id()],
        },
    )?;
    let edge_spec = edge_spec(workspace);
    let edge = EdgeStack::add(
        &mut graph,
        aws,
        &edge_spec,
        EdgeInputs {
            vpc_id: network.vpc.map(|vpc| vpc.id),
            subnet_ids: network.routed_subnets(),
            security_group_ids: vec![network.lb_group.ready()],
            internet: network.igw.map(|_| ()),
            zone: prerequisites.zone.clone(),
            public_dns: prerequisites.public_dns.clone(),
        },
    )?;
    let fargate = FargateStack::add(
        &mut graph,
        aws,
        &fargate_spec(workspace, prerequisites),
        FargateInputs {
            subnet_id: network.tasks_subnet.map(|subnet| subnet.id),
            routes: network.routes.map(|_| ()),
            redis_address: queue.replication_group.map(|group| group.primary_endpoint_address),
            workloads: workloads::all(workspace, prerequisites, &network, &edge),
        },
    )?;

    let https = match https::spec(workspace, prerequisites) {
        Some(https) => Some(HttpsStack::add(&mut graph, &edge, &edge_spec, &https, &https::services(&fargate))?),
        None => None,
    };
    add_health_checks(&mut graph, aws, workspace, &edge, &fargate)?;
    quotas::add_preflight_check(&mut graph, aws);
    availability::add_preflight_check(&mut graph, aws, workspace);
    certificates::add_preflight_check(&mut graph, aws, workspace);

    if let Some(within) = wait_limit(workspace.deploy.wait_timeout) {
        graph.wait_at_most(within);
    }
    let url = workspace.url();
    graph.output("url", (edge.record, https.map(|https| https.listener)), move |_| url.clone());
    graph.output("load_balancer", edge.load_balancer.created(), |balancer| balancer.dns_name);
    graph
        .output("queue", queue.replication_group, |group| format!("{}:{}", group.primary_endpoint_address, group.port));
    graph.output("repository", fargate.repository, |repository| repository.uri);
    graph.output("cluster", fargate.cluster, |cluster| cluster.name);
    graph.output("vpc", network.vpc, |vpc| vpc.id);
    Ok(graph)
}

/// Adds the check of each service behind the load balancer.
fn add_health_checks(
    graph: &mut Graph,
    aws: &SdkConfig,
    workspace: &Workspace,
    edge: &EdgeStack,
    fargate: &FargateStack,
) -> Result<(), Failure> {
    let kind = target_health::kind(aws, workspace, wait_limit(workspace.deploy.wait_timeout));
    let routed = edge.routes.iter().map(|(key, route)| (key.as_str(), route.targets));
    for (key, targets) in [(names::DEFAULT_SERVICE, edge.targets)].into_iter().chain(routed) {
        // A service whose image is not pushed yet is not in the graph.
        let Some(running) = fargate.workloads.get(key) else { continue };
        let count = workspace.services.all().find(|(known, _)| *known == key).map_or(0, |(_, service)| service.count);
        let at_least = target_health::at_least(workspace, key, count);
        let needs = (running.service, targets);
        graph.add_check(&names::health_check(key), &kind, needs, move |(service, targets)| HealthyTargetsSpec {
            target_group_arn: targets.arn,
            service: service.name,
            at_least,
        })?;
    }
    Ok(())
}

/// Returns the tasks of a workspace for a local run without AWS, with a queue at `queue_host`.
///
/// # Errors
/// `Bug` if a spec cannot be built.
pub fn local_tasks(workspace: &Workspace, queue_host: &str) -> Result<Vec<LocalTask>, Failure> {
    let prerequisites = Prerequisites::unknown(workspace);
    let aws = SdkConfig::builder().behavior_version(aws_config::BehaviorVersion::latest()).build();
    let inputs = FargateInputs {
        subnet_id: Input::known(String::new()),
        routes: Input::known(()),
        redis_address: Input::known(queue_host.to_owned()),
        workloads: workloads::local(workspace),
    };
    let mut graph = Graph::new();
    FargateStack::add(&mut graph, &aws, &fargate_spec(workspace, &prerequisites), inputs)?;
    workloads::containers(workspace, &graph)
}

fn network_spec(workspace: &Workspace, prerequisites: &Prerequisites) -> NetworkSpec {
    let (names, network) = (&workspace.names, &workspace.network);
    NetworkSpec {
        names: NetworkNames {
            vpc: names.vpc.clone(),
            internet_gateway: names.internet_gateway.clone(),
            route_table: names.route_table.clone(),
            tasks_subnet: names.tasks_subnet.clone(),
            balancer_subnet: names.balancer_subnet.clone(),
            lb_group: names.balancer_group.clone(),
            flask_group: names.flask_group.clone(),
            celery_group: names.celery_group.clone(),
            redis_group: names.cache_group.clone(),
            ..NetworkNames::of(&workspace.name)
        },
        cidr: network.cidr,
        tasks_cidr: network.tasks_subnet,
        balancer_cidr: network.balancer_subnet,
        zones: prerequisites.zones.clone(),
        lb_ports: std::iter::once(HTTP).chain(workspace.https.as_ref().map(|_| https::PORT)).collect(),
        ingress_cidrs: workspace.load_balancer.ingress_cidrs.iter().copied().collect(),
        flask_port: workspace.services.flask.port,
        more_web_ports: workspace.services.routed().map(|(_, web, _)| web.port).collect(),
        redis_port: workspace.redis.port,
        egress: network
            .egress
            .iter()
            .map(|rule| Egress {
                protocol: rule.protocol.as_str().to_owned(),
                port: rule.port,
                cidr: rule.cidr,
                description: rule.description.clone(),
            })
            .collect(),
        tags: workspace.tags.clone(),
    }
}

fn queue_spec(workspace: &Workspace, prerequisites: &Prerequisites) -> Result<QueueSpec, Failure> {
    let (names, redis, version) = (&workspace.names, &workspace.redis, &prerequisites.queue_version);
    let family = pb_rules::cache::family(redis.engine.as_str(), version).map_err(|violation| {
        Failure::refused(Refusal::Configuration, "determine the version of the queue", violation.to_string())
    })?;
    Ok(QueueSpec {
        replication_group: names.replication_group.clone(),
        subnet_group: names.cache_subnet_group.clone(),
        parameter_group: names.parameter_group(&workspace.name, &family),
        engine: redis.engine.as_str().to_owned(),
        engine_version: version.clone(),
        node_type: redis.node_type.clone(),
        port: redis.port.into(),
        at_rest_encryption: redis.at_rest_encryption,
        auto_minor_version_upgrade: redis.auto_minor_version_upgrade,
        tags: workspace.tags.clone(),
    })
}

fn edge_spec(workspace: &Workspace) -> EdgeSpec {
    let (names, balancer) = (&workspace.names, &workspace.load_balancer);
    EdgeSpec {
        load_balancer: names.load_balancer.clone(),
        target_group: names.target_group.clone(),
        hostname: names.hostname.clone(),
        port: HTTP.into(),
        target_port: workspace.services.flask.port.into(),
        health: health(balancer, &balancer.health_path, &balancer.health_matcher),
        deregistration_delay: balancer.deregistration_delay,
        deletion_protection: balancer.deletion_protection,
        idle_timeout: None,
        routes: workspace.services.routed().map(|(key, web, route)| route_spec(workspace, key, web, route)).collect(),
        tags: workspace.tags.clone(),
    }
}

fn route_spec(workspace: &Workspace, key: &str, web: &WebService, route: &Route) -> RouteSpec {
    RouteSpec {
        key: key.to_owned(),
        target_group: workspace.names.other_target_groups.get(key).cloned().unwrap_or_default(),
        target_port: web.port.into(),
        health: health(&workspace.load_balancer, &route.health_path, &route.health_matcher),
        priority: route.priority,
        hosts: route.hosts.iter().cloned().collect(),
        paths: route.paths.iter().cloned().collect(),
        records: route.records.iter().cloned().collect(),
    }
}

fn health(balancer: &LoadBalancer, path: &str, matcher: &str) -> HealthCheck {
    HealthCheck {
        path: path.to_owned(),
        matcher: matcher.to_owned(),
        interval: balancer.health_interval,
        timeout: balancer.health_timeout,
        healthy: balancer.healthy_threshold,
        unhealthy: balancer.unhealthy_threshold,
    }
}

/// Returns the number of untagged images to keep. Each tag that moves to another image leaves an untagged one, to which
/// a kept revision may still refer. If fewer were kept, ECR would delete images that a rollback or a restarted task has
/// to pull.
fn untagged_images(workspace: &Workspace) -> u32 {
    let tagged = |service: &pb_config::Service| matches!(service.image, pb_config::Image::Tag(_));
    let own = workspace.services.all().filter(|(_, service)| tagged(service)).count();
    let revisions = u32::from(workspace.deploy.keep_revisions);
    revisions.saturating_mul(u32::try_from(own).unwrap_or(u32::MAX).max(1))
}

fn fargate_spec(workspace: &Workspace, prerequisites: &Prerequisites) -> FargateSpec {
    let names = &workspace.names;
    FargateSpec {
        region: workspace.region.clone(),
        log_group: names.log_group.clone(),
        log_retention_days: Some(workspace.logs.retention_days),
        log_mode: workspace.logs.mode.as_str().to_owned(),
        repository: names.repository.clone(),
        scan_on_push: true,
        untagged_images: Some(untagged_images(workspace)),
        delete_images: workspace.repository.delete_images,
        has_images: (prerequisites.images.has_pushed() && !workspace.repository.delete_images).then_some(true),
        cluster: names.cluster.clone(),
        container_insights: None,
        execution_role_arn: prerequisites.execution_role_arn.clone(),
        task_role_arn: prerequisites.task_role_arn.clone(),
        redis_port: workspace.redis.port,
        tags: workspace.tags.clone(),
        release_command: workspace
            .deploy
            .before
            .as_ref()
            .map(|before| ReleaseCommand { workload: before.service.clone(), command: before.command.clone() }),
        keep_revisions: workspace.deploy.keep_revisions.into(),
        rollout_timeout: wait_limit(workspace.deploy.wait_timeout),
    }
}

/// Returns the limit of a single wait: `deploy.wait_timeout` seconds. The value 0 (`--no-wait`) disables only the wait
/// for rollouts. Waits on which later steps depend are not disabled; their limits follow the usual durations in AWS,
/// and are at most half an hour.
pub fn wait_limit(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}
