//! The contract between a kind of resource and the engine.

use crate::address::Address;
use crate::context::Context;
use crate::diff::Change;
use crate::failure::Failure;
use crate::kind::{KindValue, Shared, from_json};
use crate::ownership::Ownership;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Tags by key.
type Tags = BTreeMap<String, String>;

/// A kind of resource: its spec, its attributes and its operations. The value itself holds the client.
///
/// The engine decides which operation is called; an operation never chooses between create and update. The engine also
/// contains once what every operation would need: it looks for the result of a create whose response was lost, counts
/// "already exists" as success if the resource is managed, counts "not found" as success for a delete, and retries what
/// is not ready, throttled or in use. An operation therefore makes its calls and gives failures the right
/// [`Class`](crate::Class), and nothing else.
pub trait Resource: Send + Sync + Sized + 'static {
    /// `service.resource`, such as `ec2.vpc`.
    const KIND: &'static str;

    /// Kinds that AWS refuses to delete while a resource of this kind uses them. Determines the order of deletes.
    const BLOCKS_DELETION_OF: &'static [&'static str] = &[];

    /// Kinds on which a resource of this kind relies while it runs, although AWS would delete them. They are deleted
    /// after all changes and deletes of this kind, and stay if one of those fails.
    const RELIES_ON: &'static [&'static str] = &[];

    /// Set if [`Resource::create`] takes over a conflicting managed resource of another address. If unset, that
    /// resource is deleted first.
    const CREATE_REUSES_EXISTING: bool = false;

    /// Set if resources of this kind take over work from each other, as listener rules take over requests. A resource
    /// is then deleted only after all others have taken over their part.
    const DELETED_AFTER_PEERS: bool = false;

    /// Set if AWS refuses a second resource with the same name and shows the existing one at once. If unset (a VPC can
    /// be created twice, a security group can be invisible for some seconds), the engine waits for eventual consistency
    /// after a create with an unknown outcome. Otherwise it would create a second one, or leave one that no plan
    /// contains.
    const UNIQUE_NAME: bool = true;

    /// Set if a [`TagIndex`](crate::TagIndex) contains this kind. Its attributes have an `arn`, and its spec has
    /// `tags`.
    const TAG_INDEXED: bool = false;

    /// Set if the resource carries the ownership tags. Without them, its parent or its name identifies it and its
    /// address.
    const TAGGED: bool = true;

    /// Set if [`Resource::delete`] removes the ownership tags and leaves the resource, which is deleted with its
    /// parent.
    const DELETE_UNTAGS: bool = false;

    /// Set if [`Resource::redact`] does anything.
    const REDACTS: bool = false;

    /// Immutable fields whose change alone does not trigger a replacement, mostly names. They keep their live values.
    /// So an imported resource keeps its name, and new naming rules replace nothing.
    const RETAINED_FIELDS: &'static [&'static str] = &[];

    /// Fields of the spec that are only read and that [`merge_live`](Self::merge_live) uses. A difference in them is
    /// neither a change nor drift. They are empty in a desired spec.
    const READ_ONLY_FIELDS: &'static [&'static str] = &[];

    /// The managed fields. Each is explicit, and all can be read back. Unordered values are sets or maps.
    type Spec: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// The attributes that AWS assigned, as far as the resource's id or its dependents need them.
    type Attrs: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// Refuses a spec that AWS would refuse. Texts may be [unknown](crate::unknown()).
    ///
    /// # Errors
    /// A message that says what is wrong, and what is right.
    fn validate(_spec: &Self::Spec) -> Result<(), String> {
        Ok(())
    }

    /// Removes from a spec what must not be shown or stored. It is called for records, which another version may have
    /// written; [`read`](Self::read) redacts what it returns.
    fn redact(_spec: &mut Self::Spec) {}

    /// Returns the attributes of a resource that does not exist yet: those that follow from the spec, and
    /// [`unknown()`](crate::unknown()) for all others.
    fn planned_attrs(spec: &Self::Spec) -> Self::Attrs;

    /// Returns the attributes after an update in place, as far as they are known in advance.
    fn attrs_after_update(attrs: &Self::Attrs, _spec: &Self::Spec) -> Self::Attrs {
        attrs.clone()
    }

    /// Returns whether a change of `field` (a field of the spec) requires a replacement.
    fn requires_replacement(_field: &str) -> bool {
        false
    }

    /// Returns whether a change of `field` from `old` to `new` requires a replacement, if that depends on the values.
    /// Texts of `new` may be unknown.
    fn change_requires_replacement(field: &str, _old: &Self::Spec, _new: &Self::Spec) -> bool {
        Self::requires_replacement(field)
    }

    /// Returns whether `new` can be created while `old` still exists, because it has another name, or none
    /// (create-before-destroy).
    fn can_coexist(_old: &Self::Spec, _new: &Self::Spec) -> bool {
        false
    }

    /// Returns the spec that applies until other resources are updated, if it differs from `new`. It keeps changes that
    /// users notice, such as the routing of requests, until last. `old` is absent for a resource that is created.
    fn interim_spec(_old: Option<&Self::Spec>, _new: &Self::Spec) -> Option<Interim<Self::Spec>> {
        None
    }

    /// Adds to `desired` what AWS does not release from `live` now, and copies the
    /// [`READ_ONLY_FIELDS`](Self::READ_ONLY_FIELDS). Called for an update in place of a kind that has such fields; must
    /// be repeatable.
    fn merge_live(_desired: &mut Self::Spec, _live: &Self::Spec) {}

    /// Returns why AWS would refuse to delete the resource, with the remedy. It is checked before anything is deleted.
    fn deletion_blocker(_spec: &Self::Spec, _attrs: &Self::Attrs) -> Option<String> {
        None
    }

    /// Returns the id of the resource in AWS, for people.
    fn id(attrs: &Self::Attrs) -> Option<String>;

    /// Returns the id with which `adopt` imports the resource, if the [id](Self::id) alone is not unique.
    fn import_id(attrs: &Self::Attrs) -> Option<String> {
        Self::id(attrs)
    }

    /// Returns whether `found` is another revision of the resource that is `recorded`, such as another revision of a
    /// task definition. Revisions coexist, and [`read`](Self::read) returns the one in use. A record of one revision
    /// says nothing about another, so they are not compared: another revision in use is not drift of this resource. A
    /// resource that uses a revision names it in its own spec, where an exchange of the revision is visible.
    fn is_other_revision(_recorded: &Self::Attrs, _found: &Self::Attrs) -> bool {
        false
    }

    /// Reads all resources of this kind in the workspace, in a few batched calls: those with the ownership tags, those
    /// with a desired name, and those in the snapshot. [`ReadScope::managed_address`] decides which of the tagged ones
    /// are managed; [`ReadScope::untagged`] must be returned as well.
    fn read(&self, scope: &ReadScope<Self>) -> impl Future<Output = Result<Vec<Found<Self>>, Failure>> + Send;

    /// Creates the resource with its tags, in one call. [`configure`](Self::configure) sets the rest, and
    /// [`wait_ready`](Self::wait_ready) waits.
    fn create(&self, cx: &Context, spec: &Self::Spec) -> impl Future<Output = Result<Self::Attrs, Failure>> + Send;

    /// Sets what the create call cannot set. Called after the create is recorded and before any dependent may start;
    /// must be repeatable.
    fn configure(
        &self,
        _cx: &Context,
        _attrs: &Self::Attrs,
        _spec: &Self::Spec,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Updates the resource in place. `changes` contains each field that differs, and at least one.
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

    /// Adds the ownership tags and changes nothing else; must be repeatable. Does nothing if the kind cannot carry
    /// tags.
    fn adopt(&self, _cx: &Context, _attrs: &Self::Attrs) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Removes the ownership tags and changes nothing else; must be repeatable.
    fn forget(&self, _cx: &Context, _attrs: &Self::Attrs) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }
}

/// A spec that a resource has temporarily, before its desired spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interim<S> {
    /// The spec.
    pub spec: S,
    /// The changes that must be done before the desired spec applies.
    pub until: Awaited,
}

/// The changes of other resources that an interim spec waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Changes of its dependents. Without a changed dependent there is no interim spec.
    Dependents,
    /// Changes of all other resources of its kind. Without a changed one there is no interim spec.
    Peers,
}

/// A resource that a read has found.
#[derive(Debug)]
pub enum Found<R: Resource> {
    /// A managed resource.
    Managed {
        /// The address, from its tags, its parent or its name.
        address: Address,
        /// The live spec.
        spec: R::Spec,
        /// The attributes that AWS assigned.
        attrs: R::Attrs,
        /// Set if it can be used; otherwise [`Resource::wait_ready`] waits for it.
        ready: bool,
    },
    /// An unmanaged resource with a name that the configuration needs.
    Unmanaged {
        /// The address that needs the name.
        address: Address,
        /// A description for people: `log group staging-pb_workers`.
        what: String,
    },
    /// A recorded resource without ownership tags of any owner. It is unmanaged until they are restored, and is
    /// returned in addition to anything else that was found of it.
    Untagged {
        /// The address under which it is recorded.
        address: Address,
        /// The attributes that AWS assigned.
        attrs: R::Attrs,
    },
}

/// The scope of a read of one kind.
pub struct ReadScope<R: Resource> {
    /// The desired resources of this kind. Texts may be unknown; names rarely are.
    pub desired: Vec<(Address, R::Spec)>,
    /// The recorded resources. Tags become visible some seconds after a create; ids are recorded at once.
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

    /// Returns the address in the ownership tags, if they are of this stack and workspace.
    #[must_use]
    pub fn address_from_tags(&self, tags: &BTreeMap<String, String>) -> Option<Address> {
        self.owner.address_from_tags(tags)
    }

    /// Returns the address of a resource with `tags` and one of `names`: the one in its ownership tags, or the one to
    /// which it is to be imported. A resource with the ownership tags of another stack or workspace has none.
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

    /// Returns the resources of this kind to import: the address, and the id, name or ARN in AWS.
    pub fn imports(&self) -> impl Iterator<Item = (&Address, &str)> {
        let desired = self.desired.iter().map(|(address, _)| address);
        desired.filter_map(|address| Some((address, self.imports.get(address)?.as_str())))
    }

    /// Returns whether a resource with this id, of any kind, is to be imported.
    #[must_use]
    pub fn is_import(&self, id: &str) -> bool {
        self.imports.values().any(|import| import == id)
    }

    /// Returns the address of the desired spec for which `is` returns true.
    pub fn find_desired(&self, is: impl Fn(&R::Spec) -> bool) -> Option<&Address> {
        self.desired.iter().find(|(_, spec)| is(spec)).map(|(address, _)| address)
    }

    /// Returns the address of the recorded attributes for which `is` returns true.
    pub fn find_recorded(&self, is: impl Fn(&R::Attrs) -> bool) -> Option<&Address> {
        self.recorded.iter().find(|(_, attrs)| is(attrs)).map(|(address, _)| address)
    }

    /// Returns the recorded attributes of another kind.
    #[must_use]
    pub fn recorded_of<K: Resource>(&self) -> Vec<K::Attrs> {
        of_kind::<K::Attrs>(K::KIND, &self.shared.recorded).map(|(_, attrs)| attrs).collect()
    }

    /// Returns the scope of another kind in this read, for a response that both kinds need (see
    /// [`shared`](Self::shared)). Records in a shape that this version does not know are omitted.
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

    /// Returns the tags of `arns`, by ARN: from the tag index where it matches the records, and from `ask` for the
    /// others.
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

    /// Returns whether the tag index rules out any unrecorded managed resource with an ARN for which `is` returns true.
    /// Always false without an index, or with one that lags behind.
    pub fn index_is_complete(&self, is: impl Fn(&str) -> bool) -> bool {
        self.shared.trusted.is_complete(is)
    }

    /// Returns a response that other kinds of this read need as well: the first caller requests it, the others wait for
    /// it. There is one per type `T`.
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

/// Returns the values of one kind with their type; those in another shape are omitted.
fn of_kind<T: DeserializeOwned>(kind: &'static str, all: &[KindValue]) -> impl Iterator<Item = (Address, T)> {
    let of_kind = all.iter().filter(move |one| one.kind == kind);
    of_kind.filter_map(move |one| Some((one.address.clone(), from_json(kind, &one.value).ok()?)))
}
