//! Resolved configuration of a workspace.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde::Serialize;
use serde_json::Value;

use crate::names::Names;

pub use services::{Image, OtherService, Route, Service, Services, WebService};

pub use https::Https;

mod https;
mod services;

/// Resolved configuration of a workspace: defaults, keys for all workspaces, and keys for this one.
///
/// Numbers have the types of the AWS SDK. Times are in seconds unless the name says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workspace {
    /// Name of the workspace.
    pub name: String,
    /// Name of the stack, which is part of the ownership tags and of the state's key.
    pub stack: String,
    /// Region of all resources.
    pub region: String,
    /// AWS accounts to which the stack may be deployed; `None` allows any account.
    pub allowed_account_ids: Option<Vec<String>>,
    /// Hostname of the deployment; the hostname of the workspace is in [`Names`].
    pub hostname: String,
    /// Name of the public hosted zone in which the DNS record is created.
    pub zone: String,
    /// Id of that zone, which selects one of several zones with the same name.
    pub zone_id: Option<String>,
    /// Fields whose changes are ignored, as `ADDRESS.FIELD` in the notation of a plan.
    pub ignore_changes: Vec<String>,
    /// Names of the resources in AWS.
    pub names: Names,
    /// Tags that every resource has in addition to the ownership tags.
    pub tags: BTreeMap<String, String>,
    /// Location of the state.
    pub state: State,
    /// IAM roles of the tasks.
    pub roles: Roles,
    /// CIDR blocks, Availability Zones, and outbound connections of the tasks.
    pub network: Network,
    /// Settings of the queue.
    pub redis: Redis,
    /// Settings of the log group.
    pub logs: Logs,
    /// Settings of the image repository. The default is left out, so that plans that an earlier version saved are still
    /// bound to the same configuration.
    #[serde(skip_serializing_if = "Repository::is_default")]
    pub repository: Repository,
    /// Services of the workspace.
    pub services: Services,
    /// Load balancer and health checks.
    pub load_balancer: LoadBalancer,
    /// HTTPS; `None` if the load balancer serves only HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<Https>,
    /// Settings of a deploy.
    pub deploy: Deploy,
}

impl Workspace {
    /// Returns the URL of the deployment.
    pub fn url(&self) -> String {
        let scheme = if self.https.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.names.hostname)
    }
}

/// Location of the state; its key is in [`Names`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// S3 bucket that contains the state.
    pub bucket: String,
    /// DynamoDB table that contains the lease.
    pub lock_table: String,
    /// Prefix of the state's key; may be empty.
    pub key_prefix: String,
    /// KMS key with which S3 encrypts the state; with `None`, S3 encrypts it with its own keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// IAM roles of the tasks, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Roles {
    /// Execution role, with which ECS pulls images and writes logs.
    pub execution: String,
    /// ARN of the policy that is the permissions boundary of the roles that `bootstrap` creates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// Task role, which contains the permissions of the application.
    pub task: Option<TaskRole>,
}

/// Role of the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TaskRole {
    /// Existing role, by name.
    Existing(String),
    /// Role that `bootstrap` creates.
    Created(CreatedRole),
}

impl TaskRole {
    /// Returns the name of the role.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Existing(name) | Self::Created(CreatedRole { name, .. }) => name,
        }
    }

    /// Returns the role if `bootstrap` creates it.
    #[must_use]
    pub fn created(&self) -> Option<&CreatedRole> {
        match self {
            Self::Existing(_) => None,
            Self::Created(role) => Some(role),
        }
    }
}

/// Role of the application that `bootstrap` creates, with its permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreatedRole {
    /// Name of the role.
    pub name: String,
    /// Statements of its policy, with the element names of IAM, including those that the services need.
    pub statements: Vec<Value>,
}

/// CIDR blocks, Availability Zones, and outbound connections of the tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// CIDR block of the VPC.
    pub cidr: Ipv4Net,
    /// CIDR block of the subnet of the tasks and the queue.
    pub tasks_subnet: Ipv4Net,
    /// CIDR block of the second subnet, which only the load balancer uses.
    pub balancer_subnet: Ipv4Net,
    /// Availability Zones of the two subnets, in the order above; `None` means the first two zones of the region.
    pub zones: Option<[String; 2]>,
    /// Allowed outbound connections of the tasks, in addition to those to the queue.
    pub egress: Vec<Egress>,
}

/// Allowed outbound connection of the tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Egress {
    /// Protocol of the connection.
    pub protocol: Protocol,
    /// Destination port of the connection.
    pub port: u16,
    /// CIDR block of the destination addresses.
    pub cidr: Ipv4Net,
    /// Description of the security group rule in AWS.
    pub description: String,
}

/// Protocol of a security group rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Returns the name that AWS uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Settings of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redis {
    /// Engine of the node.
    pub engine: Engine,
    /// Version of the engine; `None` means the version of the existing queue or, for a new one, the newest that is
    /// offered. Always set for Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Family of the parameter group, derived from the engine and its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Node type, such as `cache.t3.small`.
    pub node_type: String,
    /// Port that the queue listens on.
    pub port: u16,
    /// Allows AWS to upgrade the engine to later minor versions; `None` means that the setting is not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_minor_version_upgrade: Option<bool>,
    /// Encrypts the data on disk; `None` means that the setting is not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_rest_encryption: Option<bool>,
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
    /// Returns the name that AWS uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }
}

/// Settings of the log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logs {
    /// Retention of log events, in days.
    pub retention_days: i32,
    /// Delivery of log lines while CloudWatch Logs does not accept them.
    pub mode: LogMode,
}

/// Delivery of log lines while CloudWatch Logs does not accept them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogMode {
    /// Lines that do not fit into the buffer are dropped.
    NonBlocking,
    /// The application waits when it writes a line.
    Blocking,
}

impl LogMode {
    /// Returns the name that AWS uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NonBlocking => "non-blocking",
            Self::Blocking => "blocking",
        }
    }
}

/// Settings of the image repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Repository {
    /// Makes `destroy` delete the images with the repository.
    pub delete_images: bool,
}

impl Repository {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Load balancer and health checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    /// Path of the health check.
    pub health_path: String,
    /// Status codes that count as healthy.
    pub health_matcher: String,
    /// Time between two checks.
    pub health_interval: i32,
    /// Time after which a check without a response has failed.
    pub health_timeout: i32,
    /// Number of consecutive successful checks that make a target healthy.
    pub healthy_threshold: i32,
    /// Number of consecutive failed checks that make a target unhealthy.
    pub unhealthy_threshold: i32,
    /// Time that a target gets to finish its requests when it is deregistered.
    pub deregistration_delay: i32,
    /// Makes AWS refuse to delete the load balancer; `None` means that the setting is not managed.
    pub deletion_protection: Option<bool>,
    /// Addresses that may connect to port 80.
    pub ingress_cidrs: Vec<Ipv4Net>,
}

/// Settings of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deploy {
    /// Longest wait for one resource. 0 means that a run does not wait for rollouts; it cannot be configured.
    pub wait_timeout: u32,
    /// Number of revisions of each task definition to keep for rollbacks.
    pub keep_revisions: u16,
    /// Release command, which runs once with the new image before the services roll out.
    pub before: Option<ReleaseCommand>,
}

/// Command that runs once before the services roll out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseCommand {
    /// Key of the service whose image, network and environment the command uses.
    pub service: String,
    /// Command.
    pub command: Vec<String>,
}
