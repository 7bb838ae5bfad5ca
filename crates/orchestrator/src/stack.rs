//! The stack of one workspace, top to bottom as it is drawn.

use crate::facts::Facts;
use aws_config::SdkConfig;
use pb_config::{Image, Service, Workspace};
use pb_edge::{EdgeInputs, EdgeSpec, Health, front_door};
use pb_engine::{Failure, Graph};
use pb_fargate::{FargateInputs, FargateSpec, Target, Workload, WorkloadSpec};
use pb_net::{Egress, NetworkNames, NetworkSpec};
use pb_redis::{QueueInputs, QueueSpec};
use std::time::Duration;

/// The port on which the load balancer listens.
const HTTP: u16 = 80;

/// After how many seconds the load balancer closes a connection without traffic: what AWS has by itself.
const IDLE_TIMEOUT_SECS: i32 = 60;

/// The graph of one workspace: the network, the queue in it, the way in from the internet, and what runs.
///
/// # Errors
/// `Refused` when AWS would refuse what is configured; `Bug` when an address is taken.
pub fn build(aws: &SdkConfig, workspace: &Workspace, facts: &Facts) -> Result<Graph, Failure> {
    let mut graph = Graph::new();
    let network = pb_net::network(&mut graph, aws, &network_spec(workspace, facts))?;
    let queue = pb_redis::queue(
        &mut graph,
        aws,
        &queue_spec(workspace),
        QueueInputs {
            subnet_ids: vec![network.tasks_subnet.map(|subnet| subnet.id)],
            security_group_ids: vec![network.redis_group.id()],
        },
    )?;
    let edge = front_door(
        &mut graph,
        aws,
        &edge_spec(workspace),
        EdgeInputs {
            vpc_id: network.vpc.map(|vpc| vpc.id),
            subnet_ids: network.routed_subnets(),
            security_group_ids: vec![network.lb_group.ready()],
            internet: network.igw.map(|_| ()),
            zone: facts.zone.clone(),
        },
    )?;
    let (flask, celery) = (&workspace.services.flask, &workspace.services.celery);
    let names = &workspace.names;
    let image = |key: &str, service: &Service| facts.images.of(key).cloned().unwrap_or_else(|| unresolved(service));
    let mut workloads = vec![
        Workload {
            spec: workload(WorkloadSpec::new("flask", &names.flask, image("flask", &flask.service)), &flask.service),
            group_id: network.flask_group.ready(),
            target: Some(Target {
                group_arn: edge.targets.map(|group| group.arn),
                listener: edge.listener.map(|_| ()),
                port: flask.port,
                health_check_grace_seconds: flask.health_check_grace_seconds,
            }),
        },
        Workload {
            spec: workload(WorkloadSpec::workers("celery", &names.celery, image("celery", celery)), celery),
            group_id: network.celery_group.ready(),
            target: None,
        },
    ];
    // What has no image yet is made once it has one; everything else does not wait for it.
    workloads.retain(|workload| !facts.images.is_missing(&workload.spec.key));
    let fargate = pb_fargate::tasks(
        &mut graph,
        aws,
        &fargate_spec(workspace, facts),
        FargateInputs {
            subnet_id: network.tasks_subnet.map(|subnet| subnet.id),
            routes: network.routes.map(|_| ()),
            redis_address: queue.replication_group.map(|group| group.primary_endpoint_address),
            workloads,
        },
    )?;

    let url = format!("http://{}", names.hostname);
    graph.output("url", edge.record, move |_| url.clone());
    graph.output("load_balancer", edge.balancer.made(), |balancer| balancer.dns_name);
    graph
        .output("queue", queue.replication_group, |group| format!("{}:{}", group.primary_endpoint_address, group.port));
    graph.output("repository", fargate.repository, |repository| repository.uri);
    graph.output("cluster", fargate.cluster, |cluster| cluster.name);
    graph.output("vpc", network.vpc, |vpc| vpc.id);
    Ok(graph)
}

fn network_spec(workspace: &Workspace, facts: &Facts) -> NetworkSpec {
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
        zones: facts.zones.clone(),
        lb_port: HTTP,
        ingress_cidrs: workspace.load_balancer.ingress_cidrs.iter().copied().collect(),
        flask_port: workspace.services.flask.port,
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

fn queue_spec(workspace: &Workspace) -> QueueSpec {
    let (names, redis) = (&workspace.names, &workspace.redis);
    QueueSpec {
        replication_group: names.replication_group.clone(),
        subnet_group: names.cache_subnet_group.clone(),
        parameter_group: names.cache_parameter_group.clone(),
        engine: redis.engine.as_str().to_owned(),
        engine_version: redis.version.clone(),
        node_type: redis.node_type.clone(),
        port: redis.port.into(),
        tags: workspace.tags.clone(),
    }
}

fn edge_spec(workspace: &Workspace) -> EdgeSpec {
    let (names, balancer) = (&workspace.names, &workspace.load_balancer);
    EdgeSpec {
        load_balancer: names.load_balancer.clone(),
        target_group: names.target_group.clone(),
        hostname: names.hostname.clone(),
        port: HTTP.into(),
        target_port: workspace.services.flask.port.into(),
        health: Health {
            path: balancer.health_path.clone(),
            matcher: balancer.health_matcher.clone(),
            interval: balancer.health_interval,
            timeout: balancer.health_timeout,
            healthy: balancer.healthy_threshold,
            unhealthy: balancer.unhealthy_threshold,
        },
        deregistration_delay: balancer.deregistration_delay,
        deletion_protection: balancer.deletion_protection,
        idle_timeout: IDLE_TIMEOUT_SECS,
        tags: workspace.tags.clone(),
    }
}

fn fargate_spec(workspace: &Workspace, facts: &Facts) -> FargateSpec {
    let names = &workspace.names;
    FargateSpec {
        region: workspace.region.clone(),
        log_group: names.log_group.clone(),
        log_retention_days: Some(workspace.logs.retention_days),
        repository: names.repository.clone(),
        scan_on_push: true,
        untagged_images: Some(10),
        delete_images: false,
        cluster: names.cluster.clone(),
        container_insights: "disabled".to_owned(),
        execution_role_arn: facts.execution_role_arn.clone(),
        task_role_arn: facts.task_role_arn.clone(),
        redis_port: workspace.redis.port,
        tags: workspace.tags.clone(),
        rollout_within: (workspace.deploy.wait_timeout > 0)
            .then(|| Duration::from_secs(workspace.deploy.wait_timeout.into())),
    }
}

fn unresolved(service: &Service) -> pb_fargate::Image {
    match &service.image {
        Image::Tag(tag) => pb_fargate::Image::Tag(tag.clone()),
        Image::Reference(reference) => pb_fargate::Image::Reference(reference.clone()),
    }
}

fn workload(kind: WorkloadSpec, service: &Service) -> WorkloadSpec {
    WorkloadSpec {
        command: service.command.clone(),
        environment: service.environment.clone(),
        count: service.count,
        cpu: service.cpu,
        memory: service.memory,
        stop_timeout: service.stop_timeout,
        min_healthy_percent: service.min_healthy_percent,
        max_percent: service.max_percent,
        breaker_threshold: service.breaker_threshold,
        ..kind
    }
}
