//! Dependencies between the nodes of a graph, and the attributes that are known of each node.

use crate::model::failure::Failure;
use serde_json::Value;

/// A dependency on a node, with the readiness that its resource must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub struct Edge {
    pub(crate) node: usize,
    pub(crate) readiness: Readiness,
}

/// The readiness that a resource must have before a dependent may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// The resource exists and has its name.
    Created,
    /// The resource can be used.
    Ready,
}

/// The known attributes of each node, by the index of the node in the graph.
#[doc(hidden)]
pub type Values = Vec<Option<Value>>;

/// A computation of a spec or an output from the known attributes.
pub(crate) type Make = Box<dyn Fn(&Values) -> Result<Value, Failure> + Send + Sync>;
