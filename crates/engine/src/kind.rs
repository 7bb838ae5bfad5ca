//! A kind of resource with its types erased: specs and attributes as JSON.

use crate::address::Address;
use crate::context::Context;
use crate::diff::Change;
use crate::failure::{Class, Failure};
use crate::index::Agreed;
use crate::memo::Memo;
use crate::ownership::Ownership;
use crate::resource::{Found, Interim, Resource, Scope};
use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What [`Resource`] is, with specs and attributes as JSON.
pub(crate) trait AnyKind: Send + Sync {
    fn name(&self) -> &'static str;
    fn holds(&self) -> &'static [&'static str];
    fn relies_on(&self) -> &'static [&'static str];
    fn keeps(&self) -> &'static [&'static str];
    fn observed(&self) -> &'static [&'static str];
    fn retain(&self, wanted: Value, live: &Value) -> Value;
    fn unique(&self) -> bool;
    fn takes_over(&self) -> bool;
    fn takes_turns(&self) -> bool;
    fn indexed(&self) -> bool;
    fn tagged(&self) -> bool;
    fn delete_untags(&self) -> bool;
    fn check(&self, spec: &Value) -> Result<(), String>;
    fn hidden<'a>(&self, spec: &'a Value) -> Cow<'a, Value>;
    fn pending(&self, spec: &Value) -> Result<Value, Failure>;
    fn updated(&self, attrs: &Value, spec: &Value) -> Result<Value, Failure>;
    fn replaces(&self, field: &str, old: &Value, new: &Value) -> bool;
    fn beside(&self, old: &Value, new: &Value) -> bool;
    fn meanwhile(&self, old: Option<&Value>, new: &Value) -> Option<Interim<Value>>;
    fn guard(&self, spec: &Value, attrs: &Value) -> Option<String>;
    fn id(&self, attrs: &Value) -> Option<String>;
    fn claim(&self, attrs: &Value) -> Option<String>;
    fn is_other_edition(&self, recorded: &Value, found: &Value) -> bool;
    fn read(&self, look: Look) -> BoxFuture<'_, Result<Vec<AnyFound>, Failure>>;
    fn create<'a>(&'a self, cx: &'a Context, spec: &'a Value) -> BoxFuture<'a, Result<Value, Failure>>;
    fn complete<'a>(&'a self, cx: &'a Context, attrs: &'a Value, spec: &'a Value)
    -> BoxFuture<'a, Result<(), Failure>>;
    fn update<'a>(
        &'a self,
        cx: &'a Context,
        attrs: &'a Value,
        spec: &'a Value,
        changes: &'a [Change],
    ) -> BoxFuture<'a, Result<Value, Failure>>;
    fn settle<'a>(&'a self, cx: &'a Context, attrs: Value) -> BoxFuture<'a, Result<Value, Failure>>;
    fn delete<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>>;
    fn adopt<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>>;
    fn forget<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>>;
}

/// What a sweep over one kind looks for.
#[derive(Clone)]
pub(crate) struct Look {
    pub wanted: Vec<(Address, Value)>,
    pub remembered: Vec<(Address, Value)>,
    pub claims: Arc<BTreeMap<Address, String>>,
    pub owner: Arc<Ownership>,
    pub shared: Shared,
}

/// What all kinds share in one sweep.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    /// The specs that the graph wants, of all kinds.
    pub wanted: Arc<Vec<OfKind>>,
    /// The attributes that are remembered, of all kinds.
    pub recalled: Arc<Vec<OfKind>>,
    pub agreed: Arc<Agreed>,
    pub memo: Arc<Memo>,
}

/// The spec or the attributes of one resource.
pub(crate) struct OfKind {
    pub kind: String,
    pub address: Address,
    pub value: Value,
}

/// What stands in AWS.
pub(crate) enum AnyFound {
    Ours { address: Address, spec: Value, attrs: Value, settled: bool },
    Foreign { address: Address, what: String },
    Untagged { address: Address, attrs: Value, claim: String },
}

/// Makes an [`AnyKind`] of a [`Resource`].
pub(crate) struct Erased<R>(pub Arc<R>);

impl<R: Resource> AnyKind for Erased<R> {
    fn name(&self) -> &'static str {
        R::KIND
    }

    fn holds(&self) -> &'static [&'static str] {
        R::HOLDS
    }

    fn relies_on(&self) -> &'static [&'static str] {
        R::RELIES_ON
    }

    fn keeps(&self) -> &'static [&'static str] {
        R::KEEPS
    }

    fn observed(&self) -> &'static [&'static str] {
        R::OBSERVED
    }

    fn retain(&self, wanted: Value, live: &Value) -> Value {
        if R::OBSERVED.is_empty() {
            return wanted;
        }
        let retained = || {
            let (mut spec, live) = (from_json(R::KIND, &wanted).ok()?, from_json(R::KIND, live).ok()?);
            R::retain(&mut spec, &live);
            to_json(R::KIND, &spec).ok()
        };
        retained().unwrap_or(wanted)
    }

    fn unique(&self) -> bool {
        R::UNIQUE
    }

    fn takes_over(&self) -> bool {
        R::TAKES_OVER
    }

    fn takes_turns(&self) -> bool {
        R::TAKES_TURNS
    }

    fn indexed(&self) -> bool {
        R::INDEXED
    }

    fn tagged(&self) -> bool {
        R::TAGGED
    }

    fn delete_untags(&self) -> bool {
        R::DELETE_UNTAGS
    }

    fn check(&self, spec: &Value) -> Result<(), String> {
        let spec: R::Spec = from_json(R::KIND, spec).map_err(|failure| failure.message)?;
        R::check(&spec)
    }

    fn hidden<'a>(&self, spec: &'a Value) -> Cow<'a, Value> {
        let hide = |mut spec: R::Spec| {
            R::hide(&mut spec);
            to_json(R::KIND, &spec).ok()
        };
        let hidden = R::HIDES.then(|| from_json(R::KIND, spec).ok().and_then(hide)).flatten();
        hidden.map_or(Cow::Borrowed(spec), Cow::Owned)
    }

    fn pending(&self, spec: &Value) -> Result<Value, Failure> {
        to_json(R::KIND, &R::pending(&from_json(R::KIND, spec)?))
    }

    fn updated(&self, attrs: &Value, spec: &Value) -> Result<Value, Failure> {
        to_json(R::KIND, &R::updated(&from_json(R::KIND, attrs)?, &from_json(R::KIND, spec)?))
    }

    fn replaces(&self, field: &str, old: &Value, new: &Value) -> bool {
        match (from_json(R::KIND, old), from_json(R::KIND, new)) {
            (Ok(old), Ok(new)) => R::replaces_from(field, &old, &new),
            _ => R::replaces(field),
        }
    }

    fn beside(&self, old: &Value, new: &Value) -> bool {
        match (from_json(R::KIND, old), from_json(R::KIND, new)) {
            (Ok(old), Ok(new)) => R::beside(&old, &new),
            _ => false,
        }
    }

    fn meanwhile(&self, old: Option<&Value>, new: &Value) -> Option<Interim<Value>> {
        let old: Option<R::Spec> = old.and_then(|old| from_json(R::KIND, old).ok());
        let Interim { spec, until } = R::meanwhile(old.as_ref(), &from_json(R::KIND, new).ok()?)?;
        let spec = to_json(R::KIND, &spec).ok().filter(|spec| spec != new)?;
        Some(Interim { spec, until })
    }

    fn guard(&self, spec: &Value, attrs: &Value) -> Option<String> {
        R::guard(&from_json(R::KIND, spec).ok()?, &from_json(R::KIND, attrs).ok()?)
    }

    fn id(&self, attrs: &Value) -> Option<String> {
        R::id(&from_json(R::KIND, attrs).ok()?)
    }

    fn claim(&self, attrs: &Value) -> Option<String> {
        R::claim(&from_json(R::KIND, attrs).ok()?)
    }

    fn is_other_edition(&self, recorded: &Value, found: &Value) -> bool {
        match (from_json(R::KIND, recorded), from_json(R::KIND, found)) {
            (Ok(recorded), Ok(found)) => R::is_other_edition(&recorded, &found),
            _ => false,
        }
    }

    fn read(&self, look: Look) -> BoxFuture<'_, Result<Vec<AnyFound>, Failure>> {
        async move {
            let scope = Scope::<R> {
                wanted: typed(look.wanted)?,
                // What an older version recorded in another shape is found by its tags.
                remembered: look
                    .remembered
                    .into_iter()
                    .filter_map(|(address, attrs)| Some((address, from_json(R::KIND, &attrs).ok()?)))
                    .collect(),
                claims: look.claims,
                owner: look.owner,
                shared: look.shared,
            };
            self.0.read(&scope).await?.into_iter().map(erase).collect()
        }
        .boxed()
    }

    fn create<'a>(&'a self, cx: &'a Context, spec: &'a Value) -> BoxFuture<'a, Result<Value, Failure>> {
        async move { to_json(R::KIND, &self.0.create(cx, &from_json(R::KIND, spec)?).await?) }.boxed()
    }

    fn complete<'a>(
        &'a self,
        cx: &'a Context,
        attrs: &'a Value,
        spec: &'a Value,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move { self.0.complete(cx, &from_json(R::KIND, attrs)?, &from_json(R::KIND, spec)?).await }.boxed()
    }

    fn update<'a>(
        &'a self,
        cx: &'a Context,
        attrs: &'a Value,
        spec: &'a Value,
        changes: &'a [Change],
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        async move {
            let (attrs, spec) = (from_json(R::KIND, attrs)?, from_json(R::KIND, spec)?);
            to_json(R::KIND, &self.0.update(cx, &attrs, &spec, changes).await?)
        }
        .boxed()
    }

    fn settle<'a>(&'a self, cx: &'a Context, attrs: Value) -> BoxFuture<'a, Result<Value, Failure>> {
        async move { to_json(R::KIND, &self.0.settle(cx, from_json(R::KIND, &attrs)?).await?) }.boxed()
    }

    fn delete<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>> {
        async move { self.0.delete(cx, &from_json(R::KIND, attrs)?).await }.boxed()
    }

    fn adopt<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>> {
        async move { self.0.adopt(cx, &from_json(R::KIND, attrs)?).await }.boxed()
    }

    fn forget<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>> {
        async move { self.0.forget(cx, &from_json(R::KIND, attrs)?).await }.boxed()
    }
}

fn typed<T: DeserializeOwned>(items: Vec<(Address, Value)>) -> Result<Vec<(Address, T)>, Failure> {
    items.into_iter().map(|(address, value)| Ok((address, from_json("spec", &value)?))).collect()
}

fn erase<R: Resource>(found: Found<R>) -> Result<AnyFound, Failure> {
    Ok(match found {
        Found::Ours { address, spec, attrs, settled } => {
            AnyFound::Ours { address, spec: to_json(R::KIND, &spec)?, attrs: to_json(R::KIND, &attrs)?, settled }
        }
        Found::Foreign { address, what } => AnyFound::Foreign { address, what },
        Found::Untagged { address, attrs } => AnyFound::Untagged {
            address,
            attrs: to_json(R::KIND, &attrs)?,
            claim: R::claim(&attrs).unwrap_or_default(),
        },
    })
}

pub(crate) fn to_json<T: Serialize>(what: &str, value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|e| Failure::new(Class::Bug, format!("write {what}"), e.to_string()))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|e| Failure::new(Class::Bug, format!("read {what}"), e.to_string()))
}
