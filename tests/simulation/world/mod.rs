//! One AWS account in one region: what is in it, and the rules by which it answers.
//!
//! Time is a duration since the world began, so that a world can be copied and go on in another runtime.

mod cache;
mod dns;
mod ec2;
mod ecs;
mod elb;
mod groups;
mod interfaces;
mod inventory;
mod places;
mod routes;
mod state;

pub use interfaces::Interface;

use crate::fault::{Arrival, Fault};
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

/// How long AWS takes over things.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From the call to what it does, and from there to the answer.
    pub way: Duration,
    /// Until a write finds what was just made.
    pub usable: Duration,
    /// Until a describe by id finds what was just made.
    pub by_id: Duration,
    /// Until a describe by tag does.
    pub by_tag: Duration,
    pub balancer: Duration,
    pub cache: Duration,
    pub cache_deleting: Duration,
    pub rollout: Duration,
    pub draining: Duration,
    pub record: Duration,
    /// How long interfaces stay after their owner has gone.
    pub lingering: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Times {
    /// Other times, each between a third and twice as long: what ends first is another thing each time.
    pub fn random(self) -> Self {
        let other = |time: Duration| time.mul_f64(0.3 + 1.7 * fastrand::f64());
        Self {
            way: self.way,
            usable: other(self.usable),
            by_id: other(self.by_id),
            by_tag: other(self.by_tag),
            balancer: other(self.balancer),
            cache: other(self.cache),
            cache_deleting: other(self.cache_deleting),
            rollout: other(self.rollout),
            draining: other(self.draining),
            record: other(self.record),
            lingering: other(self.lingering),
        }
    }

    /// The times that are published.
    pub const PUBLISHED: Self = Self {
        way: Duration::from_millis(20),
        usable: Duration::from_millis(500),
        by_id: seconds(2),
        by_tag: seconds(5),
        balancer: seconds(150),
        cache: seconds(360),
        cache_deleting: seconds(240),
        rollout: seconds(90),
        draining: seconds(45),
        record: seconds(30),
        lingering: seconds(120),
    };

    /// The same, with the long ones shortened: everything that waits does so, and a case takes a third of the calls.
    pub const SHORT: Self = Self {
        by_id: seconds(1),
        by_tag: seconds(3),
        balancer: seconds(12),
        cache: seconds(20),
        cache_deleting: seconds(14),
        rollout: seconds(8),
        draining: seconds(5),
        record: seconds(6),
        lingering: seconds(9),
        ..Self::PUBLISHED
    };
}

/// Something in the account.
#[derive(Debug, Clone)]
pub struct Thing {
    /// The kind of resource that it is for the tool.
    pub kind: &'static str,
    /// What a describe call says of it, without what changes by itself.
    pub body: Value,
    pub tags: Tags,
    pub made: Duration,
    /// When its tags were last changed.
    pub tagged: Duration,
    /// The client token that it was made with.
    pub token: String,
    /// Since when it is being changed, or rolled out.
    pub changed: Duration,
    /// When it will be gone, once it is being deleted.
    pub ends: Option<Duration>,
    /// Deleted or deregistered, and still described.
    pub inactive: bool,
}

/// Why the world refuses a call.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// The item whose condition was not met.
    pub item: Option<Value>,
}

/// What the world answers.
pub type Answer = Result<Value, Refusal>;

pub fn refused<T>(code: &str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status: 400, code: code.to_owned(), message: message.into(), item: None })
}

/// What was made and what it means.
#[derive(Debug, Clone)]
pub struct World {
    pub times: Times,
    /// By id, ARN or name: what each kind is known by.
    pub things: BTreeMap<String, Thing>,
    pub interfaces: Vec<Interface>,
    /// When changes of DNS were made, by id.
    pub changes: BTreeMap<String, Duration>,
    /// The object with the snapshot: bytes and entity tag.
    pub object: Option<(Vec<u8>, String)>,
    /// The snapshot in it.
    pub stored: Option<Snapshot>,
    /// The item with the lease.
    pub lease: Option<serde_json::Map<String, Value>>,
    pub next: u64,
    /// Which call fails, by how many came before it, and how.
    pub faults: BTreeMap<usize, Fault>,
    /// The calls that came in.
    pub log: Vec<Arrival>,
    /// What the world was before and after each call, if that is to be kept.
    pub moments: Option<Arc<Mutex<Vec<Moment>>>>,
    pub began: Duration,
    pub since: Option<Instant>,
}

/// A call, and the world before and after it.
#[derive(Debug, Clone)]
pub struct Moment {
    pub before: World,
    pub after: World,
}

pub type Shared = Arc<Mutex<World>>;

impl World {
    pub fn new(times: Times) -> Self {
        Self {
            times,
            things: BTreeMap::new(),
            interfaces: Vec::new(),
            changes: BTreeMap::new(),
            object: None,
            stored: None,
            lease: None,
            next: 0,
            faults: BTreeMap::new(),
            log: Vec::new(),
            moments: None,
            began: seconds(1000),
            since: None,
        }
    }

    /// How old the world is.
    pub fn now(&mut self) -> Duration {
        self.began + self.since.get_or_insert_with(Instant::now).elapsed()
    }

    /// The world as it is now, to go on in another runtime, with nothing that went wrong yet.
    pub fn frozen(&mut self) -> Self {
        let began = self.now();
        Self { began, since: None, faults: BTreeMap::new(), log: Vec::new(), moments: None, ..self.clone() }
    }

    /// Does what a call asks for.
    pub fn answer(&mut self, call: &Call) -> Answer {
        self.pass();
        match call.service {
            "ec2" => self.ec2(call),
            "elasticloadbalancing" => self.elb(call),
            "elasticache" => self.cache(call),
            "ecs" => self.ecs(call),
            "ecr" | "logs" | "iam" | "sts" => self.places(call),
            "route53" => self.dns(call),
            _ => self.state(call),
        }
    }

    /// What time has ended is gone.
    pub fn pass(&mut self) {
        let now = self.now();
        self.interfaces.retain(|interface| interface.until.is_none_or(|until| until > now));
        for thing in self.things.values_mut().filter(|thing| thing.ends.is_some_and(|ends| ends <= now)) {
            thing.inactive = true;
        }
        self.things.retain(|_, thing| !thing.inactive || thing.kind.starts_with("ecs."));
    }

    pub fn serial(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Adds something.
    pub fn put(&mut self, kind: &'static str, id: &str, body: Value, tags: Tags) {
        let now = self.now();
        let thing = Thing {
            kind,
            body,
            tags,
            made: now,
            tagged: now,
            token: String::new(),
            changed: now,
            ends: None,
            inactive: false,
        };
        self.things.insert(id.to_owned(), thing);
    }

    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a String, &'a Thing)> {
        self.things.iter().filter(move |(_, thing)| thing.kind == kind && !thing.inactive)
    }

    /// The thing of this kind and id.
    pub fn get(&mut self, kind: &str, id: &str, code: &str) -> Result<&mut Thing, Refusal> {
        match self.things.get_mut(id) {
            Some(thing) if thing.kind == kind && !thing.inactive => Ok(thing),
            _ => refused(code, format!("{id} does not exist")),
        }
    }
}

/// Tags in the form in which services give them, in a list.
pub fn tag_list(tags: &Tags, key: &str, value: &str) -> Vec<Value> {
    tags.iter().map(|(k, v)| json!({key: k, value: v})).collect()
}

/// Tags as they came in, in a list.
pub fn tags_of(list: &Value, key: &str, value: &str) -> Tags {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (text(item, key), text(item, value))).collect()
}
