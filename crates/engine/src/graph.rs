//! The resources of a stack and their dependencies.

use crate::address::Address;
use crate::check::{Check, CheckNode, ErasedCheck};
use crate::diff::keep_ignored;
use crate::failure::{Class, Failure};
use crate::inputs::Inputs;
use crate::kind::{AnyKind, Erased, to_json};
use crate::preflight::PreflightCheck;
use crate::resource::Resource;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// The resources of a stack and their dependencies.
#[derive(Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) kinds: BTreeMap<&'static str, Arc<dyn AnyKind>>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) checks: Vec<CheckNode>,
    /// Upper bound on the wait of a step.
    pub(crate) max_wait: Option<Duration>,
    pub(crate) preflight_checks: Vec<Box<dyn PreflightCheck>>,
}

pub(crate) type Make = Box<dyn Fn(&Values) -> Result<Value, Failure> + Send + Sync>;

/// A resource of the graph.
pub(crate) struct Node {
    pub address: Address,
    pub kind: Arc<dyn AnyKind>,
    pub inputs: Vec<Edge>,
    pub make: Make,
    /// The paths of the ignored fields.
    pub ignored: Vec<String>,
}

/// A value that a run publishes.
pub(crate) struct Output {
    pub name: String,
    pub make: Make,
}

/// A dependency: the node, and the readiness that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub struct Edge {
    pub(crate) node: usize,
    pub(crate) readiness: Readiness,
}

/// The readiness that a resource must have before a dependent may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// It has its name.
    Created,
    /// It can be used.
    Ready,
}

/// The known attributes of each node, by its index in the graph.
#[doc(hidden)]
pub type Values = Vec<Option<Value>>;

/// A kind of resource that is registered in a graph, with its client.
pub struct Kind<R>(Arc<R>);

impl<R> Clone for Kind<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A reference to the future attributes of a resource in the graph. Cheap to copy.
pub struct Handle<A> {
    pub(crate) node: usize,
    pub(crate) readiness: Readiness,
    attrs: PhantomData<fn() -> A>,
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Handle<A> {}

impl<A> Handle<A> {
    /// Reduces the dependency to the name of the resource. A DNS record needs the name of a load balancer, not that it
    /// is active.
    #[must_use]
    pub fn created(self) -> Self {
        Self { readiness: Readiness::Created, ..self }
    }
}

impl Graph {
    /// Creates a graph without resources.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a kind. Managed resources of registered kinds are found, and deleted if the graph does not contain
    /// them.
    pub fn kind<R: Resource>(&mut self, resource: R) -> Kind<R> {
        let resource = Arc::new(resource);
        self.kinds.insert(R::KIND, Arc::new(Erased(Arc::clone(&resource))));
        Kind(resource)
    }

    /// Adds a resource whose spec is computed from the attributes of `inputs`. `make` must be pure: it is called for
    /// the plan, with unknown texts for parents that do not exist yet, and again when the parents exist.
    ///
    /// # Errors
    /// `Bug` if the address is malformed or taken.
    pub fn add<R: Resource, I: Inputs>(
        &mut self,
        address: &str,
        kind: &Kind<R>,
        inputs: I,
        make: impl Fn(I::Attrs) -> R::Spec + Send + Sync + 'static,
    ) -> Result<Handle<R::Attrs>, Failure> {
        let address = self.free_address(address)?;
        let mut edges = Vec::new();
        inputs.edges(&mut edges);
        self.nodes.push(Node {
            address,
            kind: Arc::new(Erased(Arc::clone(&kind.0))),
            inputs: edges,
            make: Box::new(move |values| to_json(R::KIND, &make(inputs.attrs(values)?))),
            ignored: Vec::new(),
        });
        Ok(Handle { node: self.nodes.len() - 1, readiness: Readiness::Ready, attrs: PhantomData })
    }

    /// Adds a condition that must hold once `inputs` match their desired specs. `make` must be pure, as that of
    /// [`add`](Self::add).
    ///
    /// # Errors
    /// `Bug` if the address is malformed or taken.
    pub fn add_check<C: Check, I: Inputs>(
        &mut self,
        address: &str,
        check: &Arc<C>,
        inputs: I,
        make: impl Fn(I::Attrs) -> C::Spec + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let address = self.free_address(address)?;
        let mut edges = Vec::new();
        inputs.edges(&mut edges);
        self.checks.push(CheckNode {
            address,
            kind: Arc::new(ErasedCheck(Arc::clone(check))),
            inputs: edges,
            make: Box::new(move |values| to_json(C::KIND, &make(inputs.attrs(values)?))),
        });
        Ok(())
    }

    /// Parses an address and checks that it is free.
    fn free_address(&self, address: &str) -> Result<Address, Failure> {
        let bug = |message: String| Failure::new(Class::Bug, format!("add {address}"), message);
        let address = Address::new(address).map_err(|e| bug(e.to_string()))?;
        let mut taken = self.addresses().chain(self.checks.iter().map(|check| &check.address));
        if taken.any(|taken| *taken == address) {
            return Err(bug("this address is already taken".to_owned()));
        }
        Ok(address)
    }

    /// Adds an output that is computed from attributes.
    pub fn output<I: Inputs, T: Serialize>(
        &mut self,
        name: &str,
        inputs: I,
        make: impl Fn(I::Attrs) -> T + Send + Sync + 'static,
    ) {
        let make: Make = Box::new(move |values| to_json("output", &make(inputs.attrs(values)?)));
        self.outputs.push(Output { name: name.to_owned(), make });
    }

    /// Backoff each wait of a step, and each call that is retried because AWS refuses it for now, to `within`. Without
    /// it, each has its own timeout of at most half an hour.
    pub fn wait_at_most(&mut self, within: Duration) {
        self.max_wait = Some(within);
    }

    /// Adds a check that runs before a plan with writes is shown or applied; see [`preflight`](crate::preflight()).
    pub fn add_preflight_check(&mut self, check: impl PreflightCheck + 'static) {
        self.preflight_checks.push(Box::new(check));
    }

    /// Ignores changes of a field by others: `path` is written as in a plan and covers everything below it. An existing
    /// resource keeps its value of the field; a new one gets the value of the graph. Returns whether the address
    /// exists.
    pub fn ignore(&mut self, address: &Address, path: impl Into<String>) -> bool {
        let node = self.nodes.iter_mut().find(|node| node.address == *address);
        node.map(|node| node.ignored.push(path.into())).is_some()
    }

    /// Returns the ignored fields of a resource.
    #[must_use]
    pub fn ignored(&self, address: &Address) -> &[String] {
        self.nodes.iter().find(|node| node.address == *address).map_or(&[], |node| &node.ignored)
    }

    /// Returns a spec of the resource at `address` without its ignored fields.
    #[must_use]
    pub fn without_ignored(&self, address: &Address, spec: &Value) -> Value {
        let mut kept = spec.clone();
        keep_ignored(&mut kept, &Value::Null, self.ignored(address));
        kept
    }

    /// Returns each resource with its dependencies, parents first.
    pub fn edges(&self) -> impl Iterator<Item = (&Address, Vec<&Address>)> {
        self.nodes.iter().map(|node| {
            let needed = node.inputs.iter().map(|edge| &self.nodes[edge.node].address);
            (&node.address, needed.collect())
        })
    }

    /// Returns the nodes that depend on the node at `index` directly.
    pub(crate) fn dependents(&self, index: usize) -> impl Iterator<Item = usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(move |(_, node)| node.inputs.iter().any(|edge| edge.node == index)).map(|(user, _)| user)
    }

    /// Returns the addresses of the graph, parents first.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.nodes.iter().map(|node| &node.address)
    }

    /// Returns the kind of each address, in the same order.
    pub fn node_kinds(&self) -> impl Iterator<Item = &'static str> {
        self.nodes.iter().map(|node| node.kind.name())
    }

    /// Returns the registered kinds, each with the kinds whose deletion it blocks.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        self.kinds.values().map(|kind| (kind.name(), kind.blocks_deletion_of()))
    }

    /// Returns the spec of each node as far as it follows from the configuration alone: everything that AWS assigns is
    /// unknown.
    ///
    /// # Errors
    /// `Bug` if a spec cannot be serialized.
    pub fn specs(&self) -> Result<Vec<(Address, Value)>, Failure> {
        let mut values: Values = Vec::with_capacity(self.nodes.len());
        let mut specs = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let spec = (node.make)(&values)?;
            values.push(Some(node.kind.planned_attrs(&spec)?));
            specs.push((node.address.clone(), spec));
        }
        Ok(specs)
    }

    /// Validates the specs as far as they follow from the configuration. Returns an address and a message for each
    /// problem.
    ///
    /// # Errors
    /// `Bug` if a spec cannot be serialized.
    pub fn validate(&self) -> Result<Vec<(Address, String)>, Failure> {
        let problem = |(node, (address, spec)): (&Node, (Address, Value))| {
            node.kind.validate(&spec).err().map(|message| (address, message))
        };
        Ok(self.nodes.iter().zip(self.specs()?).filter_map(problem).collect())
    }
}
