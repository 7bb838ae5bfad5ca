//! A workspace as it is to be deployed: every value concrete.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::names::Names;

/// A workspace as it is to be deployed: defaults, what the file says for all, and what it says for this one.
///
/// Numbers have the types that the AWS SDK takes; times are in seconds unless the name says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workspace {
    /// Name of the workspace.
    pub name: String,
    /// Name of the stack: part of the ownership tags and of the state's key.
    pub stack: String,
    /// Region that everything is made in.
    pub region: String,
    /// Accounts that may be deployed to; `None` is any.
    pub allowed_account_ids: Option<Vec<String>>,
    /// The deployment's hostname; the workspace's own is in [`Names`].
    pub hostname: String,
    /// Name of the public hosted zone that the record goes to.
    pub zone: String,
    /// Id of that zone, which chooses among several of one name.
    pub zone_id: Option<String>,
    /// Fields that others may change: `ADDRESS.FIELD`, as a plan shows them.
    pub ignore_changes: Vec<String>,
    /// Every name in AWS.
    pub names: Names,
    /// Tags added to every resource, beside the ownership tags.
    pub tags: BTreeMap<String, String>,
    /// Where the state is kept.
    pub state: State,
    /// Roles that tasks have.
    pub roles: Roles,
    /// Addresses, zones, and what tasks may reach.
    pub network: Network,
    /// The queue.
    pub redis: Redis,
    /// The log group.
    pub logs: Logs,
    /// What runs.
    pub services: Services,
    /// The load balancer and its health checks.
    pub load_balancer: LoadBalancer,
    /// How a deploy behaves.
    pub deploy: Deploy,
}

/// Where the state is kept; its key is in [`Names`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// S3 bucket.
    pub bucket: String,
    /// DynamoDB table.
    pub lock_table: String,
    /// Part of the key in front of our own; may be empty.
    pub key_prefix: String,
}

/// Roles that tasks have, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Roles {
    /// What ECS uses to start a task: pulls images, writes logs.
    pub execution: String,
    /// What the application itself may do.
    pub task: Option<String>,
}

/// Addresses, zones, and what tasks may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The VPC's block.
    pub cidr: Ipv4Net,
    /// Block of the subnet of everything that runs.
    pub tasks_subnet: Ipv4Net,
    /// Block of the second subnet, which only the load balancer uses.
    pub balancer_subnet: Ipv4Net,
    /// Zones of the two subnets, in this order; `None` takes the region's first two.
    pub zones: Option<[String; 2]>,
    /// What tasks may reach besides Redis.
    pub egress: Vec<Egress>,
}

/// Something that tasks may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Egress {
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// The addresses.
    pub cidr: Ipv4Net,
    /// Why; shown in AWS.
    pub description: String,
}

/// Protocol of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redis {
    /// The engine.
    pub engine: Engine,
    /// Version of the engine.
    pub version: String,
    /// Family of the parameter group, which follows from engine and version.
    pub family: String,
    /// Type of the one node.
    pub node_type: String,
    /// The port.
    pub port: u16,
}

/// Engine of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Redis OSS.
    Redis,
    /// Valkey.
    Valkey,
}

impl Engine {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }
}

/// The log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logs {
    /// How long log events are kept.
    pub retention_days: i32,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Services {
    /// The web service that gets every request which no rule takes.
    pub flask: WebService,
    /// The worker pool.
    pub celery: Service,
    /// The others, by name.
    pub others: BTreeMap<String, OtherService>,
}

impl Services {
    /// All services by name: `flask`, `celery`, then the others.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Service)> {
        let two = [("flask", &self.flask.service), ("celery", &self.celery)];
        two.into_iter().chain(self.others.iter().map(|(key, other)| (key.as_str(), other.service())))
    }

    /// The service of this name.
    pub fn get(&self, key: &str) -> Option<&Service> {
        self.all().find(|(known, _)| *known == key).map(|(_, service)| service)
    }

    /// The service of this name, to be changed for one run.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Service> {
        match key {
            "flask" => Some(&mut self.flask.service),
            "celery" => Some(&mut self.celery),
            key => self.others.get_mut(key).map(OtherService::service_mut),
        }
    }

    /// The web services beside Flask, with their rules, by name.
    pub fn routed(&self) -> impl Iterator<Item = (&str, &WebService, &Route)> {
        self.others.iter().filter_map(|(key, other)| match other {
            OtherService::Web(web, route) => Some((key.as_str(), web, route)),
            OtherService::Workers(_) | OtherService::Scheduler(_) => None,
        })
    }
}

/// A service beside Flask and Celery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherService {
    /// Behind the load balancer, for the requests of a rule.
    Web(WebService, Route),
    /// Another pool of workers.
    Workers(Service),
    /// The scheduler: never two tasks at once.
    Scheduler(Service),
}

impl OtherService {
    /// What it has in common with every service.
    pub fn service(&self) -> &Service {
        match self {
            Self::Web(web, _) => &web.service,
            Self::Workers(service) | Self::Scheduler(service) => service,
        }
    }

    fn service_mut(&mut self) -> &mut Service {
        match self {
            Self::Web(web, _) => &mut web.service,
            Self::Workers(service) | Self::Scheduler(service) => service,
        }
    }

    /// Port that its container listens on.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Web(web, _) => Some(web.port),
            Self::Workers(_) | Self::Scheduler(_) => None,
        }
    }
}

/// Which requests a web service beside Flask gets, and how it is found out whether it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Patterns of hosts, in full; empty is every host.
    pub hosts: Vec<String>,
    /// Those of the hosts that get a record in the zone.
    pub records: Vec<String>,
    /// Patterns of paths; empty is every path.
    pub paths: Vec<String>,
    /// Rules with a lower number are asked first.
    pub priority: i32,
    /// Path of the health check.
    pub health_path: String,
    /// Status codes that count as healthy.
    pub health_matcher: String,
}

/// A service behind the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebService {
    /// What it has in common with every service.
    pub service: Service,
    /// Port that the container listens on.
    pub port: u16,
    /// Time in which failing health checks of a new task are not counted.
    pub health_check_grace_seconds: i32,
}

/// A service: so many tasks of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Where the image comes from.
    pub image: Image,
    /// Command of the container; empty is the image's own.
    pub command: Vec<String>,
    /// Environment of the container, beside what is made for it.
    pub environment: BTreeMap<String, String>,
    /// Variables with secrets, by the ARN of each secret: ECS puts its value in when a task starts.
    pub secrets: BTreeMap<String, String>,
    /// How many tasks.
    pub count: i32,
    /// CPU units of a task.
    pub cpu: i32,
    /// Memory of a task, in MiB.
    pub memory: i32,
    /// Time from SIGTERM to SIGKILL.
    pub stop_timeout: i32,
    /// Part of the tasks that keep running during a rollout.
    pub min_healthy_percent: i32,
    /// Tasks that may run during a rollout, old and new together.
    pub max_percent: i32,
    /// Whether a rollout whose tasks fail again and again is given up and rolled back.
    pub breaker: bool,
    /// Failed tasks after which a rollout is given up; `None` leaves it to ECS.
    pub breaker_threshold: Option<i32>,
    /// People may open a shell in its tasks.
    pub execute_command: bool,
    /// Whether a deploy keeps the count that was set by hand with `scale`.
    pub keep_scale: bool,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// The workspace's own repository, at this tag.
    Tag(String),
    /// A full reference.
    Reference(String),
}

/// The load balancer and its health checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    /// Path of the health check.
    pub health_path: String,
    /// Status codes that count as healthy.
    pub health_matcher: String,
    /// Time between two checks.
    pub health_interval: i32,
    /// Time until a check without an answer has failed.
    pub health_timeout: i32,
    /// Good checks in a row that make a target healthy.
    pub healthy_threshold: i32,
    /// Bad checks in a row that make it unhealthy.
    pub unhealthy_threshold: i32,
    /// Time that a target is given to finish its requests.
    pub deregistration_delay: i32,
    /// AWS refuses to delete the load balancer.
    pub deletion_protection: bool,
    /// Who may reach port 80.
    pub ingress_cidrs: Vec<Ipv4Net>,
}

/// How a deploy behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deploy {
    /// Longest wait for one thing to be ready; 0, which is never configured: rollouts are not waited for.
    pub wait_timeout: u32,
    /// How many revisions of each task definition are kept, to go back to.
    pub keep_revisions: u16,
    /// What runs once, with the new image, before the services are rolled out.
    pub before: Option<ReleaseCommand>,
}

/// What runs once before the services are rolled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseCommand {
    /// Name of the service whose image, network and environment it has.
    pub service: String,
    /// The command.
    pub command: Vec<String>,
}
