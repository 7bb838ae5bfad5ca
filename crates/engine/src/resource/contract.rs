//! The contract between a resource kind and the engine.

use crate::model::address::Address;
use crate::model::diff::Change;
use crate::model::failure::Failure;
use crate::model::ownership::Ownership;
use crate::model::unmanaged::{Obstacle, Unmanaged};
use crate::resource::context::Context;
use crate::resource::interim::Interim;
use crate::resource::json::from_json;
use crate::resource::shared::{KindValue, Shared};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Tags by key.
type Tags = BTreeMap<String, String>;

/// A resource kind: its spec, its attributes and its operations. The implementing type contains the client.
///
/// The engine decides which operation is called; an operation never chooses between create and update. The engine also
/// implements the handling that all operations have in common: it looks for the result of a create whose response was
/// lost, counts "already exists" as success if the resource is managed, counts "not found" as success for a delete, and
/// retries calls that are throttled or fail because a resource is not ready or in use. An operation therefore only
/// makes its calls and assigns the right [`Class`](crate::Class) to each failure.
pub trait Resource: Send + Sync + Sized + 'static {
    /// The name of the kind: `service.resource`, such as `ec2.vpc`.
    const KIND: &'static str;

    /// Resource kinds that AWS refuses to delete while a resource of this kind uses them. They determine the order of
    /// deletes.
    const BLOCKS_DELETION_OF: &'static [&'static str] = &[];

    /// Resource kinds on which a resource of this kind relies while it exists, although AWS would not refuse to delete
    /// them. Their resources are deleted after all changes and deletes of resources of this kind, and are kept if one
    /// of these changes or deletes fails.
    const RELIES_ON: &'static [&'static str] = &[];

    /// Set if [`Resource::create`] takes over a conflicting managed resource that has another address. If unset, the
    /// conflicting resource is deleted first.
    const CREATE_REUSES_EXISTING: bool = false;

    /// Set if resources of this kind take over work from each other, as listener rules take over requests. A resource
    /// is then deleted only after the others have taken over its work.
    const DELETED_AFTER_PEERS: bool = false;

    /// Set if AWS refuses a second resource with the same name and shows the existing one at once. If unset (a VPC can
    /// be created twice, and a security group can be invisible for some seconds), the engine searches for the result of
    /// a create with an unknown outcome until a new resource must be visible. Without this search, it could create a
    /// second resource, or leave one that no plan contains.
    const UNIQUE_NAME: bool = true;

    /// Set if a [`TagIndex`](crate::TagIndex) contains resources of this kind. Their attributes then have an `arn`, and
    /// their spec has `tags`.
    const TAG_INDEXED: bool = false;

    /// Set if resources of this kind carry the ownership tags. If unset, a managed resource and its address are
    /// identified by its parent or its name.
    const TAGGED: bool = true;

    /// Set if [`Resource::delete`] only removes the ownership tags, because AWS deletes the resource together with its
    /// parent.
    const DELETE_UNTAGS: bool = false;

    /// Set if [`Resource::redact`] is implemented.
    const REDACTS: bool = false;

    /// Set if [`Resource::merge_live`] is implemented.
    const MERGES_LIVE: bool = false;

    /// Immutable fields, mostly names, whose change alone does not trigger a replacement. They keep their live values,
    /// so that an imported resource keeps its name and new naming rules cause no replacements.
    const RETAINED_FIELDS: &'static [&'static str] = &[];

    /// Fields of the spec that are read but never written, for use by [`merge_live`](Self::merge_live). A difference in
    /// such a field is neither a change nor drift. The fields are empty in a desired spec.
    const READ_ONLY_FIELDS: &'static [&'static str] = &[];

    /// Top-level fields that are managed only if the desired spec has a value for them. If the desired value is null,
    /// AWS chooses the value when the resource is created; afterwards the live value is kept, whoever set it, and is
    /// neither a change nor drift. So a setting that no input controls can be hardened outside of pb-deploy.
    const OPTIONAL_FIELDS: &'static [&'static str] = &[];

    /// The managed fields, apart from the [`OPTIONAL_FIELDS`](Self::OPTIONAL_FIELDS). Each field is set explicitly and can
    /// be read back from AWS. Unordered values are sets or maps.
    type Spec: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// The attributes that AWS assigned, limited to those that the id or the dependents of the resource need.
    type Attrs: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// Refuses a spec that AWS would refuse. Strings in the spec may be [unknown](crate::unknown()).
    ///
    /// # Errors
    /// A message that says what is wrong and what would be valid.
    fn validate(_spec: &Self::Spec) -> Result<(), String> {
        Ok(())
    }

    /// Removes values that must not be shown or stored from a spec. The engine calls it for records, which another
    /// version may have written; [`read`](Self::read) redacts the specs that it returns.
    fn redact(_spec: &mut Self::Spec) {}

    /// Returns the attributes of a resource that does not exist yet: those that follow from the spec, and
    /// [`unknown()`](crate::unknown()) in place of all others.
    fn planned_attrs(spec: &Self::Spec) -> Self::Attrs;

    /// Returns the attributes after an update in place, as far as they are known in advance.
    fn attrs_after_update(attrs: &Self::Attrs, _spec: &Self::Spec) -> Self::Attrs {
        attrs.clone()
    }

    /// Returns whether a change of `field`, a top-level field of the spec, requires a replacement.
    fn requires_replacement(_field: &str) -> bool {
        false
    }

    /// Returns whether a change of `field` from `old` to `new` requires a replacement, for kinds in which that depends
    /// on the values. Strings in `new` may be unknown.
    fn change_requires_replacement(field: &str, _old: &Self::Spec, _new: &Self::Spec) -> bool {
        Self::requires_replacement(field)
    }

    /// Returns whether `new` can be created while `old` still exists, because `new` has another name, or none. If so, a
    /// replacement is create-before-destroy.
    fn can_coexist(_old: &Self::Spec, _new: &Self::Spec) -> bool {
        false
    }

    /// Returns the spec that applies until other resources are updated, if it differs from `new`. The interim spec
    /// defers changes that users notice, such as the routing of requests, until last. `old` is absent if the resource
    /// is being created.
    fn interim_spec(_old: Option<&Self::Spec>, _new: &Self::Spec) -> Option<Interim<Self::Spec>> {
        None
    }

    /// Adds the values of `live` that AWS cannot remove yet, or that have the effect of the desired ones, to `desired`,
    /// and copies the [`READ_ONLY_FIELDS`](Self::READ_ONLY_FIELDS). The engine calls it for updates in place, for
    /// resource kinds with [`MERGES_LIVE`](Self::MERGES_LIVE). It must be idempotent.
    fn merge_live(_desired: &mut Self::Spec, _live: &Self::Spec) {}

    /// Returns the reason why AWS would refuse to delete the resource, with the remedy. The planner calls it before
    /// anything is deleted.
    fn deletion_blocker(_spec: &Self::Spec, _attrs: &Self::Attrs) -> Option<String> {
        None
    }

    /// Returns the id of the resource in AWS, to be shown to users.
    fn id(attrs: &Self::Attrs) -> Option<String>;

    /// Returns the id with which `adopt` imports the resource. It differs from the [id](Self::id) if that is not
    /// unique.
    fn import_id(attrs: &Self::Attrs) -> Option<String> {
        Self::id(attrs)
    }

    /// Returns whether `found` and `recorded` are different revisions of the resource, such as of a task definition.
    /// Revisions coexist, and [`read`](Self::read) returns the one in use. A record of one revision says nothing about
    /// another, so their specs are not compared, and the use of another revision is not drift of this resource. A
    /// resource that uses a revision names it in its own spec, so the use of another revision is visible there.
    fn is_other_revision(_recorded: &Self::Attrs, _found: &Self::Attrs) -> bool {
        false
    }

    /// Reads all resources of this kind in the workspace, in a few batched calls: those with the ownership tags, those
    /// with a desired name, and those in the snapshot. [`ReadScope::managed_address`] decides which of them are
    /// managed. The results of [`ReadScope::untagged`] must also be returned.
    fn read(&self, scope: &ReadScope<Self>) -> impl Future<Output = Result<Vec<Found<Self>>, Failure>> + Send;

    /// Creates the resource with its tags, in one call. [`configure`](Self::configure) sets the remaining fields, and
    /// [`wait_ready`](Self::wait_ready) waits until the resource can be used.
    fn create(&self, cx: &Context, spec: &Self::Spec) -> impl Future<Output = Result<Self::Attrs, Failure>> + Send;

    /// Sets the fields that the create call cannot set. The engine calls it after the create is recorded and before any
    /// dependent may start. It must be safe to repeat.
    fn configure(
        &self,
        _cx: &Context,
        _attrs: &Self::Attrs,
        _spec: &Self::Spec,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Updates the resource in place. `changes` contains every field that differs, and is never empty.
    fn update(
        &self,
        cx: &Context,
        attrs: &Self::Attrs,
        spec: &Self::Spec,
        changes: &[Change],
    ) -> impl Future<Output = Result<Self::Attrs, Failure>> + Send;

    /// Waits until the resource can be used, and completes its attributes.
    fn wait_ready(
        &self,
        _cx: &Context,
        attrs: Self::Attrs,
    ) -> impl Future<Output = Result<Self::Attrs, Failure>> + Send {
        async { Ok(attrs) }
    }

    /// Deletes the resource and waits until it is gone.
    fn delete(&self, cx: &Context, attrs: &Self::Attrs) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Adds the ownership tags and changes nothing else. It must be safe to repeat. It does nothing if the resource
    /// kind cannot carry tags.
    fn adopt(&self, _cx: &Context, _attrs: &Self::Attrs) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Removes the ownership tags and changes nothing else. It must be safe to repeat.
    fn forget(&self, _cx: &Context, _attrs: &Self::Attrs) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }
}

/// A resource that a read has found.
#[derive(Debug)]
pub enum Found<R: Resource> {
    /// A managed resource.
    Managed {
        /// The address, derived from the tags, the parent or the name of the resource.
        address: Address,
        /// The live spec.
        spec: R::Spec,
        /// The attributes that AWS assigned.
        attrs: R::Attrs,
        /// Set if the resource can be used; otherwise [`Resource::wait_ready`] waits until it can.
        ready: bool,
    },
    /// An unmanaged resource with a name that the configuration needs.
    Unmanaged {
        /// The address that needs the name.
        address: Address,
        /// The resource and the way to resolve the conflict.
        unmanaged: Unmanaged,
    },
    /// A condition that keeps a desired resource from its purpose, whether the resource exists or not.
    Obstacle {
        /// The address of the desired resource.
        address: Address,
        /// The condition.
        obstacle: Obstacle,
    },
    /// A recorded resource without the ownership tags of any owner. It is unmanaged until its tags are restored. It is
    /// returned in addition to any other result for the same resource.
    Untagged {
        /// The address at which the resource is recorded.
        address: Address,
        /// The attributes that AWS assigned.
        attrs: R::Attrs,
    },
}

/// The scope of the read of one resource kind.
pub struct ReadScope<R: Resource> {
    /// The desired resources of this kind. Strings in the specs may be unknown, although names rarely are.
    pub desired: Vec<(Address, R::Spec)>,
    /// The recorded resources of this kind. They are needed because tags become visible some seconds after a create,
    /// whereas ids are recorded at once.
    pub recorded: Vec<(Address, R::Attrs)>,
    pub(crate) imports: Arc<BTreeMap<Address, String>>,
    pub(crate) owner: Arc<Ownership>,
    pub(crate) shared: Shared,
}

impl<R: Resource> ReadScope<R> {
    /// Returns the owner of the managed resources.
    #[must_use]
    pub fn owner(&self) -> &Ownership {
        &self.owner
    }

    /// Returns the address in the ownership tags, if the tags name this stack and workspace.
    #[must_use]
    pub fn address_from_tags(&self, tags: &BTreeMap<String, String>) -> Option<Address> {
        self.owner.address_from_tags(tags)
    }

    /// Returns the address of a managed resource with `tags` and one of `names`: the address in its ownership tags, or
    /// the address at which it is to be imported. Returns `None` if the ownership tags name another stack or workspace.
    #[must_use]
    pub fn managed_address(&self, tags: &BTreeMap<String, String>, names: &[&str]) -> Option<Address> {
        self.address_from_tags(tags).or_else(|| self.import_address(tags, names).cloned())
    }

    fn import_address(&self, tags: &BTreeMap<String, String>, names: &[&str]) -> Option<&Address> {
        let free = !self.owner.is_other(tags);
        self.imports().find(|(_, id)| free && names.contains(id)).map(|(address, _)| address)
    }

    /// Returns the resource with `attrs` and `tags` if it is recorded and has no ownership tags of any owner. A
    /// recorded id is enough to read a resource, but does not make it managed.
    pub fn untagged(&self, tags: &BTreeMap<String, String>, attrs: &R::Attrs) -> Option<Found<R>> {
        if self.address_from_tags(tags).is_some() || self.owner.is_other(tags) {
            return None;
        }
        self.recorded(attrs).map(|address| Found::Untagged { address, attrs: attrs.clone() })
    }

    fn recorded(&self, attrs: &R::Attrs) -> Option<Address> {
        let name = R::import_id(attrs)?;
        self.find_recorded(|known| R::import_id(known).as_ref() == Some(&name)).cloned()
    }

    /// Returns the resources of this kind that are to be imported, each with its address and its id, name or ARN in
    /// AWS.
    pub fn imports(&self) -> impl Iterator<Item = (&Address, &str)> {
        let desired = self.desired.iter().map(|(address, _)| address);
        desired.filter_map(|address| Some((address, self.imports.get(address)?.as_str())))
    }

    /// Returns whether a resource with this id, of any kind, is to be imported.
    #[must_use]
    pub fn is_import(&self, id: &str) -> bool {
        self.imports.values().any(|import| import == id)
    }

    /// Returns the address of the first desired resource for whose spec `is` returns true.
    pub fn find_desired(&self, is: impl Fn(&R::Spec) -> bool) -> Option<&Address> {
        self.desired.iter().find(|(_, spec)| is(spec)).map(|(address, _)| address)
    }

    /// Returns the address of the first recorded resource for whose attributes `is` returns true.
    pub fn find_recorded(&self, is: impl Fn(&R::Attrs) -> bool) -> Option<&Address> {
        self.recorded.iter().find(|(_, attrs)| is(attrs)).map(|(address, _)| address)
    }

    /// Returns the recorded attributes of all resources of another kind.
    #[must_use]
    pub fn recorded_of<K: Resource>(&self) -> Vec<K::Attrs> {
        of_kind::<K::Attrs>(K::KIND, &self.shared.recorded).map(|(_, attrs)| attrs).collect()
    }

    /// Returns the scope of another kind in this read, for a response that both kinds need (see
    /// [`shared`](Self::shared)). Records in a format that this version does not know are omitted.
    #[must_use]
    pub fn for_kind<K: Resource>(&self) -> ReadScope<K> {
        ReadScope {
            desired: of_kind(K::KIND, &self.shared.desired).collect(),
            recorded: of_kind(K::KIND, &self.shared.recorded).collect(),
            imports: Arc::clone(&self.imports),
            owner: Arc::clone(&self.owner),
            shared: self.shared.clone(),
        }
    }

    /// Returns the tags of `arns`, by ARN: from the tag index where it matches the records, and from `ask` for all
    /// other ARNs.
    ///
    /// # Errors
    /// The error of `ask`.
    pub async fn tags_of<A, F>(&self, arns: Vec<String>, ask: A) -> Result<HashMap<String, Tags>, Failure>
    where
        A: FnOnce(Vec<String>) -> F,
        F: Future<Output = Result<HashMap<String, Tags>, Failure>>,
    {
        let (mut known, unknown) = self.shared.trusted.split(arns);
        if !unknown.is_empty() {
            known.extend(ask(unknown).await?);
        }
        Ok(known)
    }

    /// Returns whether the tag index rules out that there is an unrecorded managed resource for whose ARN `is` returns
    /// true. Returns false if there is no index, or if the index lags behind.
    pub fn index_is_complete(&self, is: impl Fn(&str) -> bool) -> bool {
        self.shared.trusted.is_complete(is)
    }

    /// Returns a response that several resource kinds of this read need. The first caller requests it, and the other
    /// callers wait for it. There is one response per type `T`.
    ///
    /// # Errors
    /// The error of `ask`.
    pub async fn shared<T, F>(&self, ask: F) -> Result<Arc<T>, Failure>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.shared.cache.get(ask).await
    }
}

/// Returns the values of one resource kind, converted from JSON to their type. Values in another format are omitted.
fn of_kind<T: DeserializeOwned>(kind: &'static str, all: &[KindValue]) -> impl Iterator<Item = (Address, T)> {
    let of_kind = all.iter().filter(move |one| one.kind == kind);
    of_kind.filter_map(move |one| Some((one.address.clone(), from_json(kind, &one.value).ok()?)))
}
