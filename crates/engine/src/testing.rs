//! A fake provider, for tests of programs that use the engine.
//!
//! The module is always compiled, so that a program and its tests are built with the same features. The linker drops it
//! from a program that does not use it.

use crate::model::address::Address;
use crate::model::check::Verdict;
use crate::model::diff::Change;
use crate::model::failure::{Class, Failure};
use crate::model::unknown::unknown;
use crate::resource::check::Check;
use crate::resource::context::Context;
use crate::resource::contract::{Found, ReadScope, Resource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The resources of a fake provider, and the writes that were made. It is cheap to clone; all clones share the
/// resources.
#[derive(Clone, Default)]
pub struct FakeWorld(Arc<Mutex<World>>);

/// A function that is called at the beginning of each write, with the call, such as `create net/vpc`.
type Hook = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct World {
    things: BTreeMap<String, Thing>,
    calls: Vec<String>,
    failures: BTreeMap<String, Failure>,
    hook: Option<Hook>,
    created: usize,
}

#[derive(Clone)]
struct Thing {
    address: Address,
    spec: FakeSpec,
    managed: bool,
}

/// The spec of a [`Fake`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FakeSpec {
    /// A value that can be changed in place.
    pub value: String,
}

/// The attributes of a [`Fake`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FakeAttrs {
    /// The id: `id-1`, `id-2` and so on.
    pub id: String,
}

impl FakeWorld {
    /// Returns the writes since the last call of this function, such as `update net/vpc`, and forgets them.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.world().calls)
    }

    /// Makes a call, such as `create net/vpc` or `check net/served`, fail until [`heal`](Self::heal) is called.
    pub fn fail(&self, call: &str, failure: Failure) {
        self.world().failures.insert(call.to_owned(), failure);
    }

    /// Lets all calls succeed again.
    pub fn heal(&self) {
        self.world().failures.clear();
    }

    /// Calls `hook` at the beginning of each write.
    pub fn on_write(&self, hook: impl Fn(&str) + Send + Sync + 'static) {
        self.world().hook = Some(Arc::new(hook));
    }

    /// Changes the value of the resource at `address`, as somebody else would.
    pub fn change(&self, address: &str, value: &str) {
        let mut world = self.world();
        for thing in world.things.values_mut().filter(|thing| thing.address.as_str() == address) {
            value.clone_into(&mut thing.spec.value);
        }
    }

    /// Removes the ownership tags of the resource at `address`.
    pub fn untag(&self, address: &str) {
        let mut world = self.world();
        world.things.values_mut().filter(|thing| thing.address.as_str() == address).for_each(|thing| {
            thing.managed = false;
        });
    }

    /// Returns the values of the managed resources, by address.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, String> {
        let world = self.world();
        let managed = world.things.values().filter(|thing| thing.managed);
        managed.map(|thing| (thing.address.to_string(), thing.spec.value.clone())).collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call and returns its failure, if it is to fail.
    async fn call(&self, verb: &str, address: &Address) -> Result<(), Failure> {
        let call = format!("{verb} {address}");
        let hook = self.world().hook.clone();
        if let Some(hook) = hook {
            hook(&call);
        }
        tokio::task::yield_now().await;
        let mut world = self.world();
        let failure = world.failures.get(&call).cloned();
        world.calls.push(call);
        failure.map_or(Ok(()), Err)
    }
}

/// A resource kind of the fake provider.
pub struct Fake(pub FakeWorld);

impl Resource for Fake {
    const KIND: &'static str = "fake.thing";
    type Spec = FakeSpec;
    type Attrs = FakeAttrs;

    fn planned_attrs(_spec: &FakeSpec) -> FakeAttrs {
        FakeAttrs { id: unknown() }
    }

    fn id(attrs: &FakeAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, _scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let world = self.0.world();
        let managed = world.things.iter().filter(|(_, thing)| thing.managed);
        let found = managed.map(|(id, thing)| Found::Managed {
            address: thing.address.clone(),
            spec: thing.spec.clone(),
            attrs: FakeAttrs { id: id.clone() },
            ready: true,
        });
        Ok(found.collect())
    }

    async fn create(&self, cx: &Context, spec: &FakeSpec) -> Result<FakeAttrs, Failure> {
        self.0.call("create", cx.address()).await?;
        let mut world = self.0.world();
        world.created += 1;
        let id = format!("id-{}", world.created);
        let thing = Thing { address: cx.address().clone(), spec: spec.clone(), managed: true };
        world.things.insert(id.clone(), thing);
        Ok(FakeAttrs { id })
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &FakeAttrs,
        spec: &FakeSpec,
        _changes: &[Change],
    ) -> Result<FakeAttrs, Failure> {
        self.0.call("update", cx.address()).await?;
        let mut world = self.0.world();
        let thing = world.things.get_mut(&attrs.id).ok_or_else(|| not_found("update"))?;
        thing.spec = spec.clone();
        Ok(attrs.clone())
    }

    async fn delete(&self, cx: &Context, attrs: &FakeAttrs) -> Result<(), Failure> {
        self.0.call("delete", cx.address()).await?;
        self.0.world().things.remove(&attrs.id).map(drop).ok_or_else(|| not_found("delete"))
    }

    async fn adopt(&self, cx: &Context, attrs: &FakeAttrs) -> Result<(), Failure> {
        self.0.call("tag", cx.address()).await?;
        let mut world = self.0.world();
        let thing = world.things.get_mut(&attrs.id).ok_or_else(|| not_found("tag"))?;
        thing.managed = true;
        Ok(())
    }
}

fn not_found(verb: &str) -> Failure {
    Failure::new(Class::NotFound, verb, "it does not exist")
}

/// A condition of the fake provider. It holds unless [`FakeWorld::fail`] makes `check ADDRESS` fail; its spec is the
/// address.
pub struct FakeCheck(pub FakeWorld);

impl Check for FakeCheck {
    const KIND: &'static str = "fake.condition";
    type Spec = String;

    async fn read(&self, address: &String) -> Result<Verdict, Failure> {
        let failure = self.0.world().failures.get(&format!("check {address}")).cloned();
        Ok(failure.map_or(Verdict::Holds, |failure| Verdict::Fails { message: failure.message, details: Vec::new() }))
    }

    async fn wait(&self, _cx: &Context, address: &String) -> Result<(), Failure> {
        self.0.world().failures.get(&format!("check {address}")).cloned().map_or(Ok(()), Err)
    }
}
