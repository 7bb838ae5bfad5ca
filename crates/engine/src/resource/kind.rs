//! Type erasure for resource kinds: specs and attributes are JSON values.

use crate::model::address::Address;
use crate::model::diff::Change;
use crate::model::failure::Failure;
use crate::model::ownership::Ownership;
use crate::model::unmanaged::{Obstacle, Unmanaged};
use crate::resource::context::Context;
use crate::resource::contract::{Found, ReadScope, Resource};
use crate::resource::interim::Interim;
use crate::resource::json::{from_json, to_json};
use crate::resource::shared::Shared;
use futures_util::future::{BoxFuture, FutureExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The type-erased form of [`Resource`], with specs and attributes as JSON.
pub(crate) trait AnyKind: Send + Sync {
    fn name(&self) -> &'static str;
    fn blocks_deletion_of(&self) -> &'static [&'static str];
    fn relies_on(&self) -> &'static [&'static str];
    fn retained_fields(&self) -> &'static [&'static str];
    fn read_only_fields(&self) -> &'static [&'static str];
    fn optional_fields(&self) -> &'static [&'static str];
    fn merge_live(&self, desired: Value, live: &Value) -> Value;
    fn unique_name(&self) -> bool;
    fn create_reuses_existing(&self) -> bool;
    fn deleted_after_peers(&self) -> bool;
    fn tag_indexed(&self) -> bool;
    fn tagged(&self) -> bool;
    fn delete_untags(&self) -> bool;
    fn validate(&self, spec: &Value) -> Result<(), String>;
    fn redacted<'a>(&self, spec: &'a Value) -> Cow<'a, Value>;
    fn planned_attrs(&self, spec: &Value) -> Result<Value, Failure>;
    fn attrs_after_update(&self, attrs: &Value, spec: &Value) -> Result<Value, Failure>;
    fn requires_replacement(&self, field: &str, old: &Value, new: &Value) -> bool;
    fn can_coexist(&self, old: &Value, new: &Value) -> bool;
    fn interim_spec(&self, old: Option<&Value>, new: &Value) -> Option<Interim<Value>>;
    fn deletion_blocker(&self, spec: &Value, attrs: &Value) -> Option<String>;
    fn id(&self, attrs: &Value) -> Option<String>;
    fn import_id(&self, attrs: &Value) -> Option<String>;
    fn is_other_revision(&self, recorded: &Value, found: &Value) -> bool;
    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Result<Vec<AnyFound>, Failure>>;
    fn create<'a>(&'a self, cx: &'a Context, spec: &'a Value) -> BoxFuture<'a, Result<Value, Failure>>;
    fn configure<'a>(
        &'a self,
        cx: &'a Context,
        attrs: &'a Value,
        spec: &'a Value,
    ) -> BoxFuture<'a, Result<(), Failure>>;
    fn update<'a>(
        &'a self,
        cx: &'a Context,
        attrs: &'a Value,
        spec: &'a Value,
        changes: &'a [Change],
    ) -> BoxFuture<'a, Result<Value, Failure>>;
    fn wait_ready<'a>(&'a self, cx: &'a Context, attrs: Value) -> BoxFuture<'a, Result<Value, Failure>>;
    fn delete<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>>;
    fn adopt<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>>;
    fn forget<'a>(&'a self, cx: &'a Context, attrs: &'a Value) -> BoxFuture<'a, Result<(), Failure>>;
}

/// The parameters of one read of a resource kind.
#[derive(Clone)]
pub(crate) struct ReadRequest {
    pub desired: Vec<(Address, Value)>,
    pub recorded: Vec<(Address, Value)>,
    pub imports: Arc<BTreeMap<Address, String>>,
    pub owner: Arc<Ownership>,
    pub shared: Shared,
}

/// The type-erased form of [`Found`], with spec and attributes as JSON.
pub(crate) enum AnyFound {
    Managed { address: Address, spec: Value, attrs: Value, ready: bool },
    Unmanaged { address: Address, unmanaged: Unmanaged },
    Obstacle { address: Address, obstacle: Obstacle },
    Untagged { address: Address, attrs: Value, import_id: String },
}

/// A wrapper that implements [`AnyKind`] for a [`Resource`].
pub(crate) struct Erased<R>(pub Arc<R>);

impl<R: Resource> AnyKind for Erased<R> {
    fn name(&self) -> &'static str {
        R::KIND
    }

    fn blocks_deletion_of(&self) -> &'static [&'static str] {
        R::BLOCKS_DELETION_OF
    }

    fn relies_on(&self) -> &'static [&'static str] {
        R::RELIES_ON
    }

    fn retained_fields(&self) -> &'static [&'static str] {
        R::RETAINED_FIELDS
    }

    fn read_only_fields(&self) -> &'static [&'static str] {
        R::READ_ONLY_FIELDS
    }

    fn optional_fields(&self) -> &'static [&'static str] {
        R::OPTIONAL_FIELDS
    }

    fn merge_live(&self, desired: Value, live: &Value) -> Value {
        if !R::MERGES_LIVE {
            return desired;
        }
        let retained = || {
            let (mut spec, live) = (from_json(R::KIND, &desired).ok()?, from_json(R::KIND, live).ok()?);
            R::merge_live(&mut spec, &live);
            to_json(R::KIND, &spec).ok()
        };
        retained().unwrap_or(desired)
    }

    fn unique_name(&self) -> bool {
        R::UNIQUE_NAME
    }

    fn create_reuses_existing(&self) -> bool {
        R::CREATE_REUSES_EXISTING
    }

    fn deleted_after_peers(&self) -> bool {
        R::DELETED_AFTER_PEERS
    }

    fn tag_indexed(&self) -> bool {
        R::TAG_INDEXED
    }

    fn tagged(&self) -> bool {
        R::TAGGED
    }

    fn delete_untags(&self) -> bool {
        R::DELETE_UNTAGS
    }

    fn validate(&self, spec: &Value) -> Result<(), String> {
        let spec: R::Spec = from_json(R::KIND, spec).map_err(|failure| failure.message)?;
        R::validate(&spec)
    }

    fn redacted<'a>(&self, spec: &'a Value) -> Cow<'a, Value> {
        let redact = |mut spec: R::Spec| {
            R::redact(&mut spec);
            to_json(R::KIND, &spec).ok()
        };
        let redacted = R::REDACTS.then(|| from_json(R::KIND, spec).ok().and_then(redact)).flatten();
        redacted.map_or(Cow::Borrowed(spec), Cow::Owned)
    }

    fn planned_attrs(&self, spec: &Value) -> Result<Value, Failure> {
        to_json(R::KIND, &R::planned_attrs(&from_json(R::KIND, spec)?))
    }

    fn attrs_after_update(&self, attrs: &Value, spec: &Value) -> Result<Value, Failure> {
        to_json(R::KIND, &R::attrs_after_update(&from_json(R::KIND, attrs)?, &from_json(R::KIND, spec)?))
    }

    fn requires_replacement(&self, field: &str, old: &Value, new: &Value) -> bool {
        match (from_json(R::KIND, old), from_json(R::KIND, new)) {
            (Ok(old), Ok(new)) => R::change_requires_replacement(field, &old, &new),
            _ => R::requires_replacement(field),
        }
    }

    fn can_coexist(&self, old: &Value, new: &Value) -> bool {
        match (from_json(R::KIND, old), from_json(R::KIND, new)) {
            (Ok(old), Ok(new)) => R::can_coexist(&old, &new),
            _ => false,
        }
    }

    fn interim_spec(&self, old: Option<&Value>, new: &Value) -> Option<Interim<Value>> {
        let old: Option<R::Spec> = old.and_then(|old| from_json(R::KIND, old).ok());
        let Interim { spec, until } = R::interim_spec(old.as_ref(), &from_json(R::KIND, new).ok()?)?;
        let spec = to_json(R::KIND, &spec).ok().filter(|spec| spec != new)?;
        Some(Interim { spec, until })
    }

    fn deletion_blocker(&self, spec: &Value, attrs: &Value) -> Option<String> {
        R::deletion_blocker(&from_json(R::KIND, spec).ok()?, &from_json(R::KIND, attrs).ok()?)
    }

    fn id(&self, attrs: &Value) -> Option<String> {
        R::id(&from_json(R::KIND, attrs).ok()?)
    }

    fn import_id(&self, attrs: &Value) -> Option<String> {
        R::import_id(&from_json(R::KIND, attrs).ok()?)
    }

    fn is_other_revision(&self, recorded: &Value, found: &Value) -> bool {
        match (from_json(R::KIND, recorded), from_json(R::KIND, found)) {
            (Ok(recorded), Ok(found)) => R::is_other_revision(&recorded, &found),
            _ => false,
        }
    }

    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Result<Vec<AnyFound>, Failure>> {
        async move {
            let scope = ReadScope::<R> {
                desired: typed(request.desired)?,
                // A record that an older version wrote in another format is skipped: the tags of the resource identify
                // it.
                recorded: request
                    .recorded
                    .into_iter()
                    .filter_map(|(address, attrs)| Some((address, from_json(R::KIND, &attrs).ok()?)))
                    .collect(),
                imports: request.imports,
                owner: request.owner,
                shared: request.shared,
            };
            self.0.read(&scope).await?.into_iter().map(erase).collect()
        }
        .boxed()
    }

    fn create<'a>(&'a self, cx: &'a Context, spec: &'a Value) -> BoxFuture<'a, Result<Value, Failure>> {
        async move { to_json(R::KIND, &self.0.create(cx, &from_json(R::KIND, spec)?).await?) }.boxed()
    }

    fn configure<'a>(
        &'a self,
        cx: &'a Context,
        attrs: &'a Value,
        spec: &'a Value,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move { self.0.configure(cx, &from_json(R::KIND, attrs)?, &from_json(R::KIND, spec)?).await }.boxed()
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

    fn wait_ready<'a>(&'a self, cx: &'a Context, attrs: Value) -> BoxFuture<'a, Result<Value, Failure>> {
        async move { to_json(R::KIND, &self.0.wait_ready(cx, from_json(R::KIND, &attrs)?).await?) }.boxed()
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
        Found::Managed { address, spec, attrs, ready } => {
            AnyFound::Managed { address, spec: to_json(R::KIND, &spec)?, attrs: to_json(R::KIND, &attrs)?, ready }
        }
        Found::Unmanaged { address, unmanaged } => AnyFound::Unmanaged { address, unmanaged },
        Found::Obstacle { address, obstacle } => AnyFound::Obstacle { address, obstacle },
        Found::Untagged { address, attrs } => AnyFound::Untagged {
            address,
            attrs: to_json(R::KIND, &attrs)?,
            import_id: R::import_id(&attrs).unwrap_or_default(),
        },
    })
}
