//! The resources of a stack and their dependencies.

use crate::model::address::Address;
use crate::model::diff::keep_ignored;
use crate::model::failure::{Class, Failure};
use crate::resource::check::{Check, CheckNode, ErasedCheck};
use crate::resource::contract::Resource;
use crate::resource::guard::{Guard, GuardNode};
use crate::resource::inputs::{Handle, Inputs};
use crate::resource::json::to_json;
use crate::resource::kind::{AnyKind, Erased};
use crate::resource::preflight_check::PreflightCheck;
use crate::resource::readiness::{Edge, Make, Values};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The resources of a stack and their dependencies.
#[derive(Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) kinds: BTreeMap<&'static str, Arc<dyn AnyKind>>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) checks: Vec<CheckNode>,
    /// Upper bound on each wait of a step.
    pub(crate) max_wait: Option<Duration>,
    pub(crate) preflight_checks: Vec<Box<dyn PreflightCheck>>,
    pub(crate) guards: Vec<GuardNode>,
}

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

/// A resource kind that is registered in a graph, with its client.
pub struct Kind<R>(Arc<R>);

impl<R> Clone for Kind<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Graph {
    /// Creates a graph without resources.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a resource kind. Reads find the managed resources of all registered kinds, and a deploy deletes those
    /// that the graph does not contain.
    pub fn kind<R: Resource>(&mut self, resource: R) -> Kind<R> {
        let resource = Arc::new(resource);
        self.kinds.insert(R::KIND, Arc::new(Erased(Arc::clone(&resource))));
        Kind(resource)
    }

    /// Adds a resource whose spec is computed from the attributes of `inputs`. `make` must be pure: it is called for
    /// the plan, with unknown values for dependencies that do not exist yet, and again when the dependencies exist.
    ///
    /// # Errors
    /// `Bug` if the address is malformed or already taken.
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
        Ok(Handle::new(self.nodes.len() - 1))
    }

    /// Adds a condition that must hold once `inputs` match their desired specs. As in [`add`](Self::add), `make` must
    /// be pure.
    ///
    /// # Errors
    /// `Bug` if the address is malformed or already taken.
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

    /// Adds a condition that must hold before the plans to which it applies are applied. `address` names it in plans and
    /// events.
    ///
    /// # Errors
    /// `Bug` if the address is malformed or already taken.
    pub fn add_guard(&mut self, address: &str, guard: impl Guard + 'static) -> Result<(), Failure> {
        let address = self.free_address(address)?;
        self.guards.push(GuardNode { address, guard: Box::new(guard) });
        Ok(())
    }

    /// Parses an address and checks that no node, check or guard has it yet.
    fn free_address(&self, address: &str) -> Result<Address, Failure> {
        let bug = |message: String| Failure::new(Class::Bug, format!("add {address}"), message);
        let address = Address::new(address).map_err(|e| bug(e.to_string()))?;
        let checks = self.checks.iter().map(|check| &check.address);
        let mut taken = self.addresses().chain(checks).chain(self.guards.iter().map(|guard| &guard.address));
        if taken.any(|taken| *taken == address) {
            return Err(bug("this address is already taken".to_owned()));
        }
        Ok(address)
    }

    /// Adds an output whose value is computed from the attributes of `inputs`.
    pub fn output<I: Inputs, T: Serialize>(
        &mut self,
        name: &str,
        inputs: I,
        make: impl Fn(I::Attrs) -> T + Send + Sync + 'static,
    ) {
        let make: Make = Box::new(move |values| to_json("output", &make(inputs.attrs(values)?)));
        self.outputs.push(Output { name: name.to_owned(), make });
    }

    /// Limits every wait of a step, and every call that is retried because AWS refuses it temporarily, to `within`.
    /// Without this limit, each of them has its own timeout of at most half an hour.
    pub fn wait_at_most(&mut self, within: Duration) {
        self.max_wait = Some(within);
    }

    /// Adds a preflight check, which runs before a plan with writes is shown or applied; see
    /// [`preflight`](crate::preflight()).
    pub fn add_preflight_check(&mut self, check: impl PreflightCheck + 'static) {
        self.preflight_checks.push(Box::new(check));
    }

    /// Ignores changes to a field that are made outside of pb-deploy. `path` is written as in a plan and covers all
    /// fields below it. An existing resource keeps its live value of the field; a new resource gets the value from the
    /// graph. Returns whether the graph contains a resource at the address.
    pub fn ignore(&mut self, address: &Address, path: impl Into<String>) -> bool {
        let node = self.nodes.iter_mut().find(|node| node.address == *address);
        node.map(|node| node.ignored.push(path.into())).is_some()
    }

    /// Returns the paths of the ignored fields of a resource.
    #[must_use]
    pub fn ignored(&self, address: &Address) -> &[String] {
        self.nodes.iter().find(|node| node.address == *address).map_or(&[], |node| &node.ignored)
    }

    /// Returns `spec`, which is a spec of the resource at `address`, without the ignored fields of the resource.
    #[must_use]
    pub fn without_ignored(&self, address: &Address, spec: &Value) -> Value {
        let mut kept = spec.clone();
        keep_ignored(&mut kept, &Value::Null, self.ignored(address));
        kept
    }

    /// Returns the address of each resource with the addresses of its dependencies. Every resource comes after its
    /// dependencies.
    pub fn edges(&self) -> impl Iterator<Item = (&Address, Vec<&Address>)> {
        self.nodes.iter().map(|node| {
            let needed = node.inputs.iter().map(|edge| &self.nodes[edge.node].address);
            (&node.address, needed.collect())
        })
    }

    /// Returns the address of each check with the addresses of the resources that it depends on.
    pub fn check_edges(&self) -> impl Iterator<Item = (&Address, Vec<&Address>)> {
        self.checks.iter().map(|check| {
            let needed = check.inputs.iter().map(|edge| &self.nodes[edge.node].address);
            (&check.address, needed.collect())
        })
    }

    /// Returns the nodes that depend on the node at `index` directly.
    pub(crate) fn dependents(&self, index: usize) -> impl Iterator<Item = usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(move |(_, node)| node.inputs.iter().any(|edge| edge.node == index)).map(|(user, _)| user)
    }

    /// Returns the addresses of all resources. Every resource comes after its dependencies.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.nodes.iter().map(|node| &node.address)
    }

    /// Returns the kind of each resource, in the order of [`addresses`](Self::addresses).
    pub fn node_kinds(&self) -> impl Iterator<Item = &'static str> {
        self.nodes.iter().map(|node| node.kind.name())
    }

    /// Returns the registered resource kinds, each with the kinds whose deletion it blocks.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        self.kinds.values().map(|kind| (kind.name(), kind.blocks_deletion_of()))
    }

    /// Returns whether a kind is registered and a tag index contains its resources.
    pub(crate) fn is_tag_indexed(&self, kind: &str) -> bool {
        self.kinds.get(kind).is_some_and(|kind| kind.tag_indexed())
    }

    /// Returns the spec of each node as far as it follows from the configuration alone: every value that AWS assigns is
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
