//! A simulated AWS account in one region: its resources, and the rules by which it responds.
//!
//! Times are durations since the start of the account, so that a copy of an account can continue in another runtime.

mod cache;
mod certificates;
mod dns;
mod ec2;
mod ecs;
mod elb;
mod interfaces;
mod inventory;
mod listener_rules;
mod one_off_tasks;
mod other_services;
mod routes;
mod security_groups;
mod state;
mod tasks;

pub use interfaces::Interface;
pub use one_off_tasks::OneOffTask;

use crate::fault::{Fault, ReceivedCall};
use crate::wire::Call;
use pb_engine::Snapshot;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

pub const REGION: &str = "us-east-2";
pub const ACCOUNT: &str = "123456789012";

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Durations of AWS operations.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Time that each request and each response takes to arrive.
    pub latency: Duration,
    /// Time until a write finds a new resource.
    pub write_visibility: Duration,
    /// Time until a describe call by id finds a new resource.
    pub id_visibility: Duration,
    /// Time until a describe call by tag finds a new resource.
    pub tag_visibility: Duration,
    pub load_balancer: Duration,
    pub cache: Duration,
    pub cache_deleting: Duration,
    pub rollout: Duration,
    pub draining: Duration,
    pub dns_change: Duration,
    /// Time until a certificate is issued, from the last of its validation records.
    pub certificate: Duration,
    /// Time for which a load balancer holds a certificate that none of its listeners uses any more.
    pub certificate_hold: Duration,
    /// Time for which network interfaces exist after the deletion of their owner.
    pub interface_release: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Times {
    /// Returns these times, each except the latency multiplied by a random factor between 0.3 and 2, so that operations
    /// complete in different orders.
    pub fn random(self) -> Self {
        let scaled = |time: Duration| time.mul_f64(0.3 + 1.7 * fastrand::f64());
        Self {
            latency: self.latency,
            write_visibility: scaled(self.write_visibility),
            id_visibility: scaled(self.id_visibility),
            tag_visibility: scaled(self.tag_visibility),
            load_balancer: scaled(self.load_balancer),
            cache: scaled(self.cache),
            cache_deleting: scaled(self.cache_deleting),
            rollout: scaled(self.rollout),
            draining: scaled(self.draining),
            dns_change: scaled(self.dns_change),
            certificate: scaled(self.certificate),
            certificate_hold: scaled(self.certificate_hold),
            interface_release: scaled(self.interface_release),
        }
    }

    /// Times that AWS publishes.
    pub const PUBLISHED: Self = Self {
        latency: Duration::from_millis(20),
        write_visibility: Duration::from_millis(500),
        id_visibility: seconds(2),
        tag_visibility: seconds(5),
        load_balancer: seconds(150),
        cache: seconds(360),
        cache_deleting: seconds(240),
        rollout: seconds(90),
        draining: seconds(45),
        dns_change: seconds(30),
        certificate: seconds(300),
        certificate_hold: seconds(60),
        interface_release: seconds(120),
    };

    /// Published times of which the long ones are shortened: every wait still happens, but a case needs far fewer
    /// calls.
    pub const SHORT: Self = Self {
        id_visibility: seconds(1),
        tag_visibility: seconds(3),
        load_balancer: seconds(12),
        cache: seconds(20),
        cache_deleting: seconds(14),
        rollout: seconds(8),
        draining: seconds(5),
        dns_change: seconds(6),
        certificate: seconds(7),
        certificate_hold: seconds(5),
        interface_release: seconds(9),
        ..Self::PUBLISHED
    };
}

/// A resource in the account.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Resource kind, as the tool names it.
    pub kind: &'static str,
    /// Description of the resource in a response, without fields that change by themselves.
    pub body: Value,
    pub tags: Tags,
    pub created: Duration,
    /// Time of the last change of the tags.
    pub tagged_at: Duration,
    /// Client token of the create call.
    pub token: String,
    /// Start of the last change or rollout.
    pub changed_at: Duration,
    /// Time at which the deletion completes, once it has started.
    pub deleted_at: Option<Duration>,
    /// Set if the resource is deleted or deregistered but still returned by describe calls.
    pub inactive: bool,
}

/// Refusal of a call.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// DynamoDB item that did not meet the condition.
    pub item: Option<Value>,
}

/// Result of a call.
pub type Answer = Result<Value, Refusal>;

pub fn refused<T>(code: &str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status: 400, code: code.to_owned(), message: message.into(), item: None })
}

/// A simulated AWS account.
#[derive(Debug, Clone)]
pub struct Account {
    pub times: Times,
    /// Resources by id, ARN or name, whichever identifies resources of their kind.
    pub resources: BTreeMap<String, Resource>,
    pub interfaces: Vec<Interface>,
    /// Times at which DNS changes were made, by the id of the change.
    pub changes: BTreeMap<String, Duration>,
    /// Object with the snapshot: bytes and entity tag.
    pub object: Option<(Vec<u8>, String)>,
    /// Snapshot in the object.
    pub stored: Option<Snapshot>,
    /// Item with the lease.
    pub lease: Option<serde_json::Map<String, Value>>,
    pub next_serial: u64,
    /// Faults by the number of preceding calls.
    pub faults: BTreeMap<usize, Fault>,
    /// Calls received so far.
    pub calls: Vec<ReceivedCall>,
    /// Copies of the account before and after each call; `None` if no copies are recorded.
    pub around_calls: Option<Arc<Mutex<Vec<AccountAroundCall>>>>,
    pub started: Duration,
    pub clock: Option<Instant>,
    /// One-off tasks, which are not resources of the stack.
    pub tasks: Vec<OneOffTask>,
    /// Set if a plan that deletes the queue counts the jobs in it.
    pub counts_jobs: bool,
}

/// The account before and after a call.
#[derive(Debug, Clone)]
pub struct AccountAroundCall {
    pub before: Account,
    pub after: Account,
}

pub type SharedAccount = Arc<Mutex<Account>>;

impl Account {
    pub fn new(times: Times) -> Self {
        Self {
            times,
            resources: BTreeMap::new(),
            interfaces: Vec::new(),
            changes: BTreeMap::new(),
            object: None,
            stored: None,
            lease: None,
            next_serial: 0,
            faults: BTreeMap::new(),
            calls: Vec::new(),
            around_calls: None,
            started: seconds(1000),
            clock: None,
            tasks: Vec::new(),
            counts_jobs: false,
        }
    }

    /// Returns the age of the account.
    pub fn now(&mut self) -> Duration {
        self.started + self.clock.get_or_insert_with(Instant::now).elapsed()
    }

    /// Returns a copy that can continue in another runtime, without the faults and the recorded calls.
    pub fn fork(&mut self) -> Self {
        let started = self.now();
        Self { started, clock: None, faults: BTreeMap::new(), calls: Vec::new(), around_calls: None, ..self.clone() }
    }

    /// Executes a call.
    pub fn execute(&mut self, call: &Call) -> Answer {
        self.expire();
        match call.service {
            "ec2" => self.ec2(call),
            "elasticloadbalancing" => self.elb(call),
            "acm" => self.certificates(call),
            "elasticache" => self.cache(call),
            "ecs" => self.ecs(call),
            "ecr" | "logs" | "iam" | "sts" | "servicequotas" => self.other_services(call),
            "route53" => self.dns(call),
            _ => self.state(call),
        }
    }

    /// Removes interfaces and resources whose deletion is complete. Deleted resources of ECS are kept as inactive.
    pub fn expire(&mut self) {
        let now = self.now();
        self.interfaces.retain(|interface| interface.released_at.is_none_or(|released_at| released_at > now));
        for resource in self
            .resources
            .values_mut()
            .filter(|resource| resource.deleted_at.is_some_and(|deleted_at| deleted_at <= now))
        {
            resource.inactive = true;
        }
        self.resources.retain(|_, resource| !resource.inactive || resource.kind.starts_with("ecs."));
    }

    pub fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    /// Adds a resource.
    pub fn put(&mut self, kind: &'static str, id: &str, body: Value, tags: Tags) {
        let now = self.now();
        let resource = Resource {
            kind,
            body,
            tags,
            created: now,
            tagged_at: now,
            token: String::new(),
            changed_at: now,
            deleted_at: None,
            inactive: false,
        };
        self.resources.insert(id.to_owned(), resource);
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a String, &'a Resource)> {
        self.resources.iter().filter(move |(_, resource)| resource.kind == kind && !resource.inactive)
    }

    /// Returns the resource with this kind and id.
    pub fn get(&mut self, kind: &str, id: &str, code: &str) -> Result<&mut Resource, Refusal> {
        match self.resources.get_mut(id) {
            Some(resource) if resource.kind == kind && !resource.inactive => Ok(resource),
            _ => refused(code, format!("{id} does not exist")),
        }
    }
}

/// Converts tags to the list form of responses.
pub fn tag_list(tags: &Tags, key: &str, value: &str) -> Vec<Value> {
    tags.iter().map(|(k, v)| json!({key: k, value: v})).collect()
}

/// Parses tags from the list form of requests.
pub fn tags_of(list: &Value, key: &str, value: &str) -> Tags {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (text(item, key), text(item, value))).collect()
}
