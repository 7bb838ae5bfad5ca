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

/// A kind of resource: what is desired of it, what AWS assigns to it, and the verbs. The value itself holds the client.
///
/// The engine decides which verb is called; a verb never asks itself "create or update?". The engine also does what would
/// otherwise stand in every verb: it looks for a create whose answer was lost, takes "already there" for success when what
/// is there is ours, takes "not found" on delete for success, and tries again what is not ready, throttled or still in use.
/// A verb therefore makes its calls, gives failures the right [`Class`](crate::Class), and that is all.
pub trait Resource: Send + Sync + Sized + 'static {
    /// `service.thing`, such as `ec2.vpc`.
    const KIND: &'static str;

    /// Kinds that AWS does not let go while one of this kind uses them. Deletes are ordered by it.
    const BLOCKS_DELETION_OF: &'static [&'static str] = &[];

    /// Kinds that one of this kind relies on while it runs, though AWS would delete them all the same. What is deleted of them
    /// is deleted after all changes and deletes of this kind, and stays where one of those fails.
    const RELIES_ON: &'static [&'static str] = &[];

    /// Set when [`Resource::create`] takes over what is at another address of ours and stands in its way. Where it does not, the
    /// other one is deleted first.
    const CREATE_REUSES_EXISTING: bool = false;

    /// Set when resources of this kind take over from each other, as listener rules take over requests. One is then deleted only
    /// after all others have got what they gain.
    const DELETED_AFTER_PEERS: bool = false;

    /// Whether AWS refuses a second one where one is already, and shows at once the one that is there. Where it does not (a VPC
    /// can be made twice, a group can be missed for some seconds), the engine waits out eventual consistency after a create
    /// whose outcome is not known: else another is made, or the one that is there is in nobody's plan.
    const UNIQUE_NAME: bool = true;

    /// Whether a [`TagIndex`](crate::TagIndex) tells of this kind: its attributes have an `arn`, its spec has `tags`.
    const TAG_INDEXED: bool = false;

    /// Whether it carries the ownership tags. What cannot is known by its parent or its name, and so is its address.
    const TAGGED: bool = true;

    /// Set when [`Resource::delete`] takes the ownership tags off and leaves the resource itself, which goes with its
    /// parent.
    const DELETE_UNTAGS: bool = false;

    /// Whether [`Resource::redact`] does anything.
    const REDACTS: bool = false;

    /// Fields that AWS cannot change and that no resource is replaced for when nothing else forces it: names, mostly. What
    /// stands there is kept. So what was taken over under another name stays, and a new naming moves nothing.
    const RETAINED_FIELDS: &'static [&'static str] = &[];

    /// Fields of the spec that are only read, and decide about others in [`retain`](Self::retain). A difference in them is
    /// neither a change nor drift. A desired spec leaves them empty.
    const READ_ONLY_FIELDS: &'static [&'static str] = &[];

    /// What is desired; each managed field is explicit, and all of it can be read back. What is unordered is a set or a map.
    type Spec: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// What AWS assigned, as far as it is needed to name the resource or by its dependents.
    type Attrs: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// Refuses a spec that AWS would refuse. Texts may be [unknown](crate::unknown()) yet.
    ///
    /// # Errors
    /// In words: what is wrong, and what is right.
    fn validate(_spec: &Self::Spec) -> Result<(), String> {
        Ok(())
    }

    /// Takes out of a spec what is not to be shown or kept. It is asked about what was recorded, which another version may have
    /// done; what is read hides it by itself.
    fn redact(_spec: &mut Self::Spec) {}

    /// The attributes of one that is yet to be made: what follows from the spec, and [`unknown()`](crate::unknown()) for
    /// the rest.
    fn planned_attrs(spec: &Self::Spec) -> Self::Attrs;

    /// The attributes after an update in place, as far as they are known before it.
    fn attrs_after_update(attrs: &Self::Attrs, _spec: &Self::Spec) -> Self::Attrs {
        attrs.clone()
    }

    /// Whether a change of `field` (a field of the spec) needs another resource instead of this one.
    fn requires_replacement(_field: &str) -> bool {
        false
    }

    /// Whether a change of `field` from `old` to `new` needs another resource, where that depends on the values. Texts of
    /// `new` may be unknown yet.
    fn change_requires_replacement(field: &str, _old: &Self::Spec, _new: &Self::Spec) -> bool {
        Self::requires_replacement(field)
    }

    /// Whether `new` can be made while `old` is still there: another name, or no name at all.
    fn can_coexist(_old: &Self::Spec, _new: &Self::Spec) -> bool {
        false
    }

    /// Returns the spec that applies until others are updated, if it differs from `new`. With it, changes that users notice,
    /// such as the routing of requests, come last. `old` is absent for a resource that is created.
    fn interim_spec(_old: Option<&Self::Spec>, _new: &Self::Spec) -> Option<Interim<Self::Spec>> {
        None
    }

    /// Adds to `desired` what AWS does not let `live` lose now, and copies the [`READ_ONLY_FIELDS`](Self::READ_ONLY_FIELDS) fields. Called for
    /// an update in place of a kind that has such fields; must be repeatable.
    fn merge_live(_wanted: &mut Self::Spec, _live: &Self::Spec) {}

    /// Why AWS would refuse to delete what was observed, known before anything is torn down; and what to do.
    fn deletion_blocker(_spec: &Self::Spec, _attrs: &Self::Attrs) -> Option<String> {
        None
    }

    /// What AWS calls it, for people.
    fn id(attrs: &Self::Attrs) -> Option<String>;

    /// The name by which `adopt` takes it over, where the [id](Self::id) alone is not unique.
    fn import_id(attrs: &Self::Attrs) -> Option<String> {
        Self::id(attrs)
    }

    /// Returns whether `found` is another edition of the resource that is `recorded`, such as another revision of a task
    /// definition. Editions exist side by side, and [`read`](Self::read) reports the one that is in use. A record of one edition
    /// says nothing about another, so the two are not compared: that another edition is in use is no drift of this resource.
    /// Whatever uses an edition names it in its own spec, and shows there when somebody exchanged it.
    fn is_other_revision(_recorded: &Self::Attrs, _found: &Self::Attrs) -> bool {
        false
    }

    /// All of this kind in the workspace, in a few batched calls: those that carry our tags, those that stand in the names
    /// that are desired, and those that the snapshot remembers. Of what carries tags, [`ReadScope::managed_address`] decides whose it is, and
    /// [`ReadScope::untagged`] is reported as well.
    fn read(&self, scope: &ReadScope<Self>) -> impl Future<Output = Result<Vec<Found<Self>>, Failure>> + Send;

    /// Makes it, with its tags in the call itself: one call. [`complete`](Self::configure) sets the rest,
    /// [`settle`](Self::wait_ready) waits.
    fn create(&self, cx: &Context, spec: &Self::Spec) -> impl Future<Output = Result<Self::Attrs, Failure>> + Send;

    /// Sets what the create call cannot set. Called once the create is recorded, before any dependent may start; must be
    /// repeatable.
    fn configure(
        &self,
        _cx: &Context,
        _attrs: &Self::Attrs,
        _spec: &Self::Spec,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Changes it in place. `changes` holds each field that differs, and at least one.
    fn update(
        &self,
        cx: &Context,
        attrs: &Self::Attrs,
        spec: &Self::Spec,
        changes: &[Change],
    ) -> impl Future<Output = Result<Self::Attrs, Failure>> + Send;

    /// Waits until it can be used, and completes the attributes.
    fn wait_ready(
        &self,
        _cx: &Context,
        attrs: Self::Attrs,
    ) -> impl Future<Output = Result<Self::Attrs, Failure>> + Send {
        async { Ok(attrs) }
    }

    /// Deletes it and waits until it is gone.
    fn delete(&self, cx: &Context, attrs: &Self::Attrs) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Puts the ownership tags on what is there, and changes nothing else; must be repeatable. Nothing where a kind cannot
    /// carry tags.
    fn adopt(&self, _cx: &Context, _attrs: &Self::Attrs) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Takes the ownership tags off, and changes nothing else; must be repeatable.
    fn forget(&self, _cx: &Context, _attrs: &Self::Attrs) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }
}

/// The spec of a resource until it can become as desired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interim<S> {
    /// The spec.
    pub spec: S,
    /// The changes that come before the desired spec.
    pub until: Awaited,
}

/// The changes of other resources that an interim spec waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Those of its dependents. Without a changed dependent there is no interim spec.
    Dependents,
    /// Those of all other resources of its kind. Without one that changes there is no interim spec.
    Peers,
}

/// What stands in AWS.
#[derive(Debug)]
pub enum Found<R: Resource> {
    /// One of ours.
    Managed {
        /// Its address, from its tags, its parent or its name.
        address: Address,
        /// What it is like now.
        spec: R::Spec,
        /// The attributes that AWS assigned.
        attrs: R::Attrs,
        /// Whether it can be used; otherwise [`Resource::wait_ready`] waits for it.
        ready: bool,
    },
    /// Something in a name that we want, which is not ours.
    Unmanaged {
        /// The address whose name it stands in.
        address: Address,
        /// What it is, for people: `log group staging-pb_workers`.
        what: String,
    },
    /// A resource that the snapshot records and that carries the ownership tags of nobody. It is not ours until they are
    /// on it again, and is reported beside what else was found of it.
    Untagged {
        /// The address under which it is recorded.
        address: Address,
        /// The attributes that AWS assigned.
        attrs: R::Attrs,
    },
}

/// What a sweep over one kind looks for.
pub struct ReadScope<R: Resource> {
    /// What the graph wants of this kind. Texts may be unknown yet, names rarely are.
    pub desired: Vec<(Address, R::Spec)>,
    /// What the snapshot says was there. Tags are visible only some seconds after a create, ids are recorded at once.
    pub recorded: Vec<(Address, R::Attrs)>,
    pub(crate) imports: Arc<BTreeMap<Address, String>>,
    pub(crate) owner: Arc<Ownership>,
    pub(crate) shared: Shared,
}

impl<R: Resource> ReadScope<R> {
    /// Whose resources are looked for.
    #[must_use]
    pub fn owner(&self) -> &Ownership {
        &self.owner
    }

    /// The address whose ownership tags these are, when they are of this stack and workspace.
    #[must_use]
    pub fn address_from_tags(&self, tags: &BTreeMap<String, String>) -> Option<Address> {
        self.owner.address_from_tags(tags)
    }

    /// The address of what carries `tags` and is called one of `names`: the one that its ownership tags name, or the one at
    /// which it is to be taken over. What carries the ownership tags of another stack or workspace has none.
    #[must_use]
    pub fn managed_address(&self, tags: &BTreeMap<String, String>, names: &[&str]) -> Option<Address> {
        self.address_from_tags(tags).or_else(|| self.import_address(tags, names).cloned())
    }

    fn import_address(&self, tags: &BTreeMap<String, String>, names: &[&str]) -> Option<&Address> {
        let free = !self.owner.is_other(tags);
        self.imports().find(|(_, id)| free && names.contains(id)).map(|(address, _)| address)
    }

    /// The resource with `attrs` and `tags`, when the snapshot records it and it carries the ownership tags of nobody: a
    /// recorded id is enough to read a resource, and not to own it.
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

    /// What of this kind is asked to be taken over: the address, and what AWS calls it, by id, name or ARN.
    pub fn imports(&self) -> impl Iterator<Item = (&Address, &str)> {
        let desired = self.desired.iter().map(|(address, _)| address);
        desired.filter_map(|address| Some((address, self.imports.get(address)?.as_str())))
    }

    /// Whether something of this name, of whatever kind, is asked to be taken over.
    #[must_use]
    pub fn is_import(&self, id: &str) -> bool {
        self.imports.values().any(|import_address| import_address == id)
    }

    /// The address at which the graph wants something for which `is` holds.
    pub fn find_desired(&self, is: impl Fn(&R::Spec) -> bool) -> Option<&Address> {
        self.desired.iter().find(|(_, spec)| is(spec)).map(|(address, _)| address)
    }

    /// The address under which the snapshot remembers something for which `is` holds.
    pub fn find_recorded(&self, is: impl Fn(&R::Attrs) -> bool) -> Option<&Address> {
        self.recorded.iter().find(|(_, attrs)| is(attrs)).map(|(address, _)| address)
    }

    /// What the snapshot remembers of another kind.
    #[must_use]
    pub fn recorded_of<K: Resource>(&self) -> Vec<K::Attrs> {
        of_kind::<K::Attrs>(K::KIND, &self.shared.recorded).map(|(_, attrs)| attrs).collect()
    }

    /// Returns the scope of another kind in this sweep, for an answer that both kinds need (see [`shared`](Self::shared)). What
    /// was recorded in a shape that this version does not know is left out.
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

    /// The tags of what has these ARNs, by ARN: as an index tells them, where it agrees with what is recorded; `ask` is asked
    /// for the others.
    ///
    /// # Errors
    /// What `ask` fails with.
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

    /// Whether an index rules out that there is anything of ours for whose ARN `is` holds, but what is recorded. Without an
    /// index, or with one that lags, it does not.
    pub fn index_is_complete(&self, is: impl Fn(&str) -> bool) -> bool {
        self.shared.trusted.is_complete(is)
    }

    /// An answer that other kinds of this sweep need as well: the first to come asks, the others wait for it. There is one
    /// for each type `T`.
    ///
    /// # Errors
    /// What `ask` fails with.
    pub async fn shared<T, F>(&self, ask: F) -> Result<Arc<T>, Failure>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.shared.cache.get(ask).await
    }
}

/// Those of one kind, typed; without those of another shape.
fn of_kind<T: DeserializeOwned>(kind: &'static str, all: &[KindValue]) -> impl Iterator<Item = (Address, T)> {
    let of_kind = all.iter().filter(move |one| one.kind == kind);
    of_kind.filter_map(move |one| Some((one.address.clone(), from_json(kind, &one.value).ok()?)))
}
