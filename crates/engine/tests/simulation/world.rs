//! A small simulated cloud: resources with names, tags and references, and the AWS rules that apply to them. Every
//! write can fail.

use pb_engine::{
    Address, Backoff, Change, Class, Context, Failure, Found, Ownership, Progress, ReadScope, Resource, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// The behaviour of a resource kind.
pub struct Rules {
    pub kind: &'static str,
    pub blocks: &'static [&'static str],
    /// Set if a second resource with the same name is refused.
    pub unique: bool,
    /// Seconds from the creation of a resource until it is ready.
    pub ready_after_secs: u64,
    /// Seconds for which a deleted resource still blocks the deletion of the resources that it used.
    pub lingers_secs: u64,
    /// Set if each update creates a new revision of the resource with another id, as for a task definition.
    pub revisions: bool,
}

const fn rules(kind: &'static str, blocks: &'static [&'static str]) -> Rules {
    Rules { kind, blocks, unique: true, ready_after_secs: 0, lingers_secs: 0, revisions: false }
}

/// Delays after which a read finds a new resource without a unique name, by its id or by its tags.
const SEEN_BY_ID: Duration = Duration::from_secs(2);
const SEEN_BY_TAG: Duration = Duration::from_secs(5);

pub const NET: usize = 0;
pub const GROUP: usize = 1;
pub const RULE: usize = 2;
pub const CACHE: usize = 3;
pub const TARGET: usize = 4;
pub const BALANCER: usize = 5;
pub const LISTENER: usize = 6;
pub const TASK: usize = 7;
pub const SERVICE: usize = 8;
pub const RECORD: usize = 9;

pub const KINDS: [Rules; 10] = [
    Rules { unique: false, ..rules("sim.net", &[]) },
    rules("sim.group", &["sim.net"]),
    rules("sim.rule", &["sim.group"]),
    Rules { ready_after_secs: 300, lingers_secs: 60, ..rules("sim.cache", &["sim.group"]) },
    rules("sim.target", &[]),
    Rules { ready_after_secs: 120, lingers_secs: 120, ..rules("sim.balancer", &["sim.group", "sim.net"]) },
    rules("sim.listener", &["sim.target"]),
    Rules { revisions: true, ..rules("sim.task", &[]) },
    Rules { ready_after_secs: 60, lingers_secs: 30, ..rules("sim.service", &["sim.group"]) },
    rules("sim.record", &[]),
];

/// The spec that all resource kinds share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    pub name: String,
    /// References to other resources: ids and endpoints.
    pub uses: BTreeMap<String, String>,
    /// A mutable field.
    pub size: u32,
    /// An immutable field.
    pub shape: String,
    /// A field that the create call cannot set.
    pub setting: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attrs {
    pub id: String,
    /// The endpoint, which is known once the resource is ready.
    pub endpoint: String,
}

#[derive(Debug, Clone)]
pub struct Thing {
    pub kind: &'static str,
    pub spec: Spec,
    pub tags: BTreeMap<String, String>,
    pub revision: u32,
    pub made: Instant,
}

/// A fault at one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Refused,
    Throttled,
    AnswerLost,
    DiesBefore,
    DiesAfter,
}

#[derive(Default)]
pub struct World {
    pub things: BTreeMap<String, Thing>,
    /// Deleted resources that still block the deletion of the resources that they used, each with the time at which
    /// this ends.
    lingering: Vec<(Instant, Thing)>,
    next: u32,
    /// The faults, by the number of the write at which they happen.
    pub faults: BTreeMap<usize, Fault>,
    pub writes: usize,
    pub log: Vec<String>,
    pub dead: bool,
    /// The time for which the tags of a new resource are invisible.
    pub tags_lag: Duration,
    /// The notification that the process has died.
    pub death: Arc<Notify>,
}

pub type Shared = Arc<Mutex<World>>;

/// The client of one resource kind.
pub struct Client<const K: usize>(pub Shared);

/// Waits forever: a dead process makes no calls and receives no responses.
async fn dead<T>() -> T {
    std::future::pending().await
}

impl<const K: usize> Client<K> {
    /// Makes one write: waits for the latency, applies a fault if there is one, and applies `change` to the world.
    async fn write<T>(&self, name: &str, change: impl FnOnce(&mut World) -> Result<T, Failure>) -> Result<T, Failure> {
        sleep(Duration::from_millis(20)).await;
        let (fault, answer) = {
            let mut world = self.0.lock().unwrap();
            if world.dead {
                (Some(Fault::DiesBefore), None)
            } else {
                let fault = world.faults.get(&world.writes).copied();
                world.writes += 1;
                world.log.push(format!("{name} {}", KINDS[K].kind));
                match fault {
                    Some(Fault::Refused) => return Err(Failure::new(Class::Refused, name, "injected")),
                    Some(Fault::Throttled) => return Err(Failure::new(Class::Throttled, name, "injected")),
                    Some(Fault::DiesBefore) => {
                        world.die();
                        (fault, None)
                    }
                    _ => {
                        let answer = change(&mut world);
                        if fault == Some(Fault::DiesAfter) {
                            world.die();
                        }
                        (fault, Some(answer))
                    }
                }
            }
        };
        sleep(Duration::from_millis(20)).await;
        match (fault, answer) {
            (Some(Fault::AnswerLost), _) => Err(Failure::new(Class::Ambiguous, name, "no answer")),
            (None, Some(answer)) => answer,
            _ => dead().await,
        }
    }

    fn id(world: &mut World) -> String {
        world.next += 1;
        format!("{}-{}", &KINDS[K].kind[4..], world.next)
    }

    fn attrs(id: &str, thing: &Thing) -> Attrs {
        let id = if KINDS[K].revisions { format!("{id}:{}", thing.revision) } else { id.to_owned() };
        let endpoint = if ready(thing) { format!("{id}.example") } else { unknown() };
        Attrs { id, endpoint }
    }
}

fn of_kind(kind: &str) -> &'static Rules {
    KINDS.iter().find(|rules| rules.kind == kind).unwrap()
}

fn ready(thing: &Thing) -> bool {
    let rules = of_kind(thing.kind);
    let seen = rules.unique || thing.made.elapsed() >= SEEN_BY_ID;
    seen && thing.made.elapsed() >= Duration::from_secs(rules.ready_after_secs)
}

/// Returns the id in a reference, which is the id itself, an id with a revision, or an endpoint.
fn target_of(reference: &str) -> &str {
    reference.split(['.', ':']).next().unwrap_or_default()
}

impl World {
    fn die(&mut self) {
        self.dead = true;
        self.death.notify_one();
    }

    fn check_uses(&self, spec: &Spec) -> Result<(), Failure> {
        match spec.uses.values().find(|used| !self.things.contains_key(target_of(used))) {
            Some(missing) => Err(Failure::new(Class::NotFound, "use", format!("{missing} does not exist"))),
            None => Ok(()),
        }
    }

    fn holder(&mut self, id: &str, kind: &str) -> Option<String> {
        self.lingering.retain(|(until, _)| *until > Instant::now());
        let mut all = self.things.values().chain(self.lingering.iter().map(|(_, thing)| thing));
        let blocks = |thing: &&Thing| {
            of_kind(thing.kind).blocks.contains(&kind) && thing.spec.uses.values().any(|used| target_of(used) == id)
        };
        all.find(blocks).map(|thing| thing.spec.name.clone())
    }

    /// Returns the addresses of all resources, from their ownership tags.
    pub fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> =
            self.things.values().map(|thing| thing.tags["pb-deploy:address"].clone()).collect();
        addresses.sort();
        addresses
    }
}

impl<const K: usize> Resource for Client<K> {
    const KIND: &'static str = KINDS[K].kind;
    const BLOCKS_DELETION_OF: &'static [&'static str] = KINDS[K].blocks;
    const UNIQUE_NAME: bool = KINDS[K].unique;
    type Spec = Spec;
    type Attrs = Attrs;

    fn planned_attrs(_: &Spec) -> Attrs {
        Attrs { id: unknown(), endpoint: unknown() }
    }

    fn attrs_after_update(attrs: &Attrs, spec: &Spec) -> Attrs {
        if KINDS[K].revisions { Self::planned_attrs(spec) } else { attrs.clone() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "name" | "shape") || (field == "uses" && matches!(K, GROUP | TARGET))
    }

    fn can_coexist(old: &Spec, new: &Spec) -> bool {
        !KINDS[K].unique || old.name != new.name
    }

    fn id(attrs: &Attrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        sleep(Duration::from_millis(40)).await;
        let world = self.0.lock().unwrap();
        let things = world.things.iter().filter(|(_, thing)| thing.kind == Self::KIND);
        // The tags of a new resource are not visible at first.
        let tags = |thing: &Thing| match thing.made.elapsed() < world.tags_lag {
            true => BTreeMap::new(),
            false => thing.tags.clone(),
        };
        let untagged = things.clone().filter_map(|(id, thing)| scope.untagged(&tags(thing), &Self::attrs(id, thing)));
        let untagged: Vec<Found<Self>> = untagged.collect();
        let found = things.filter_map(|(id, thing)| match scope.managed_address(&tags(thing), &[id]) {
            // A resource without a unique name becomes visible after some seconds by its id, and later by its tags.
            Some(_)
                if !KINDS[K].unique
                    && (thing.made.elapsed() < SEEN_BY_ID
                        || thing.made.elapsed() < SEEN_BY_TAG
                            && scope.find_recorded(|attrs| attrs.id == *id).is_none()) =>
            {
                None
            }
            Some(address) => Some(Found::Managed {
                address,
                spec: thing.spec.clone(),
                attrs: Self::attrs(id, thing),
                ready: ready(thing),
            }),
            None => {
                let address = scope.find_desired(|spec| spec.name == thing.spec.name)?;
                Some(scope.unmanaged(address, format!("{} {}", Self::KIND, thing.spec.name), &thing.tags, id))
            }
        });
        Ok(found.chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &Spec) -> Result<Attrs, Failure> {
        let thing = Thing {
            kind: Self::KIND,
            spec: Spec { setting: false, ..spec.clone() },
            tags: cx.tags(&BTreeMap::new()),
            revision: 1,
            made: Instant::now(),
        };
        self.write("create", |world| {
            world.check_uses(&thing.spec)?;
            let same = |other: &Thing| other.kind == thing.kind && other.spec.name == thing.spec.name;
            if KINDS[K].unique && world.things.values().any(same) {
                return Err(Failure::new(Class::Exists, "create", format!("{} exists", thing.spec.name)));
            }
            let id = Self::id(world);
            let attrs = Self::attrs(&id, &thing);
            world.things.insert(id, thing);
            Ok(attrs)
        })
        .await
    }

    async fn configure(&self, _: &Context, attrs: &Attrs, spec: &Spec) -> Result<(), Failure> {
        if !spec.setting {
            return Ok(());
        }
        self.write("configure", |world| {
            let thing = world.things.get_mut(target_of(&attrs.id)).ok_or_else(|| gone(attrs))?;
            thing.spec.setting = spec.setting;
            Ok(())
        })
        .await
    }

    async fn update(&self, _: &Context, attrs: &Attrs, spec: &Spec, changes: &[Change]) -> Result<Attrs, Failure> {
        assert!(!changes.is_empty(), "an update without a change");
        assert!(
            !changes.iter().any(|change| Self::requires_replacement(change.field())),
            "an update of an immutable field"
        );
        self.write("update", |world| {
            world.check_uses(spec)?;
            let id = target_of(&attrs.id).to_owned();
            let thing = world.things.get_mut(&id).ok_or_else(|| gone(attrs))?;
            if thing.spec != *spec {
                thing.spec = spec.clone();
                thing.revision += 1;
            }
            Ok(Self::attrs(&id, thing))
        })
        .await
    }

    async fn wait_ready(&self, cx: &Context, attrs: Attrs) -> Result<Attrs, Failure> {
        let limits = Backoff::minutes(Duration::from_secs(1800));
        cx.wait("wait_ready", limits, || async {
            sleep(Duration::from_millis(40)).await;
            let world = self.0.lock().unwrap();
            let id = target_of(&attrs.id);
            let thing = world.things.get(id).ok_or_else(|| gone(&attrs))?;
            if ready(thing) {
                Ok(Progress::Ready(Self::attrs(id, thing)))
            } else {
                Ok(Progress::Pending("created".into()))
            }
        })
        .await
    }

    async fn delete(&self, _: &Context, attrs: &Attrs) -> Result<(), Failure> {
        self.write("delete", |world| {
            let id = target_of(&attrs.id);
            if let Some(holder) = world.holder(id, Self::KIND) {
                return Err(Failure::new(Class::InUse, "delete", format!("{id} is used by {holder}")));
            }
            let thing = world.things.remove(id).ok_or_else(|| gone(attrs))?;
            let until = Instant::now() + Duration::from_secs(KINDS[K].lingers_secs);
            world.lingering.push((until, thing));
            Ok(())
        })
        .await
    }

    async fn adopt(&self, cx: &Context, attrs: &Attrs) -> Result<(), Failure> {
        self.tag(attrs, cx.tags(&BTreeMap::new())).await
    }
}

impl<const K: usize> Client<K> {
    async fn tag(&self, attrs: &Attrs, tags: BTreeMap<String, String>) -> Result<(), Failure> {
        self.write("tag", |world| {
            let thing = world.things.get_mut(target_of(&attrs.id)).ok_or_else(|| gone(attrs))?;
            thing.tags = tags;
            Ok(())
        })
        .await
    }
}

fn gone(attrs: &Attrs) -> Failure {
    Failure::new(Class::NotFound, "find", format!("{} does not exist", attrs.id))
}

pub fn owner() -> Ownership {
    Ownership { stack: "sim".into(), workspace: "test".into() }
}

/// Returns the ids of all resources at `address`.
pub fn at(world: &Shared, address: &str) -> BTreeSet<String> {
    let address = Address::new(address).unwrap();
    let world = world.lock().unwrap();
    let here =
        world.things.iter().filter(|(_, thing)| owner().address_from_tags(&thing.tags).as_ref() == Some(&address));
    here.map(|(id, _)| id.clone()).collect()
}
