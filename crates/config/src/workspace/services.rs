//! Services of a resolved workspace.

use std::collections::BTreeMap;

use pb_rules::capacity::ServiceTasks;
use serde::Serialize;

use super::ReleaseCommand;

/// Services of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Services {
    /// Web service for all requests that match no rule.
    pub flask: WebService,
    /// Pool of workers.
    pub celery: Service,
    /// Other services, by key.
    pub others: BTreeMap<String, OtherService>,
}

impl Services {
    /// Returns all services by key: `flask`, `celery`, then the others.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Service)> {
        let two = [("flask", &self.flask.service), ("celery", &self.celery)];
        two.into_iter().chain(self.others.iter().map(|(key, other)| (key.as_str(), other.service())))
    }

    /// Returns the tasks of all services. The release command runs with the settings of one of them.
    pub fn tasks(&self, before: Option<&ReleaseCommand>) -> impl Iterator<Item = ServiceTasks> {
        self.all().map(move |(key, service)| ServiceTasks {
            count: service.count,
            min_healthy_percent: service.min_healthy_percent,
            max_percent: service.max_percent,
            cpu: service.cpu,
            before: before.is_some_and(|before| before.service == key),
        })
    }

    /// Returns a service by key.
    pub fn get(&self, key: &str) -> Option<&Service> {
        self.all().find(|(known, _)| *known == key).map(|(_, service)| service)
    }

    /// Returns a service by key, so that its settings can be changed for one run.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Service> {
        match key {
            "flask" => Some(&mut self.flask.service),
            "celery" => Some(&mut self.celery),
            key => self.others.get_mut(key).map(OtherService::service_mut),
        }
    }

    /// Returns the web services other than Flask, each with its key and its rule.
    pub fn routed(&self) -> impl Iterator<Item = (&str, &WebService, &Route)> {
        self.others.iter().filter_map(|(key, other)| match other {
            OtherService::Web(web, route) => Some((key.as_str(), web, route)),
            OtherService::Workers(_) | OtherService::Scheduler(_) => None,
        })
    }
}

/// Service other than Flask and Celery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherService {
    /// Web service for the requests that match its rule.
    Web(WebService, Route),
    /// Pool of workers.
    Workers(Service),
    /// Scheduler, of which never more than one task runs.
    Scheduler(Service),
}

impl OtherService {
    /// Returns the settings that every service has.
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

    /// Returns the port of the container of a web service; `None` for other services.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Web(web, _) => Some(web.port),
            Self::Workers(_) | Self::Scheduler(_) => None,
        }
    }
}

/// Listener rule and health check of a web service other than Flask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Host patterns, with full domain names; an empty list matches every host.
    pub hosts: Vec<String>,
    /// Hosts for which a DNS record is created in the zone.
    pub records: Vec<String>,
    /// Path patterns; an empty list matches every path.
    pub paths: Vec<String>,
    /// Priority of the rule; rules with a lower number are evaluated first.
    pub priority: i32,
    /// Path of the health check.
    pub health_path: String,
    /// Status codes that count as healthy.
    pub health_matcher: String,
}

/// Service behind the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebService {
    /// Settings that every service has.
    pub service: Service,
    /// Port that the container listens on.
    pub port: u16,
    /// Health check grace period of new tasks.
    pub health_check_grace_seconds: i32,
}

/// Settings that every service has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Container image.
    pub image: Image,
    /// Command of the container; empty means the command of the image.
    pub command: Vec<String>,
    /// Configured environment variables of the container.
    pub environment: BTreeMap<String, String>,
    /// Environment variables that contain secrets, each with the ARN of the secret, whose value ECS reads when a task
    /// starts.
    pub secrets: BTreeMap<String, String>,
    /// Number of tasks that should run.
    pub count: i32,
    /// CPU units of a task.
    pub cpu: i32,
    /// Memory of a task, in MiB.
    pub memory: i32,
    /// Time from SIGTERM to SIGKILL.
    pub stop_timeout: i32,
    /// Minimum percentage of `count` that keeps running during a rollout.
    pub min_healthy_percent: i32,
    /// Maximum percentage of `count` that may run during a rollout, old and new tasks together.
    pub max_percent: i32,
    /// Enables the circuit breaker, which ends a rollout after too many failed tasks and rolls back.
    pub breaker: bool,
    /// Number of failed tasks after which the circuit breaker ends a rollout; `None` means the ECS default.
    pub breaker_threshold: Option<i32>,
    /// Text that each new task logs when it is ready, for which a rollout waits; `None` does not wait. Web services have
    /// none, because the health of their targets is checked.
    pub ready_log: Option<String>,
    /// Allows shells in the tasks of the service.
    pub execute_command: bool,
    /// Makes a deploy keep the count that was set with `pb-deploy scale`.
    pub keep_scale: bool,
}

/// Image of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// Tag in the workspace's repository.
    Tag(String),
    /// Full image reference.
    Reference(String),
}
