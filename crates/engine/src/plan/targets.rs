//! The resources that a plan with targets covers.

use crate::model::address::Address;
use crate::model::goal::{Goal, PlanScope};
use crate::resource::graph::Graph;
use std::collections::BTreeSet;

impl PlanScope {
    /// Returns the targets with all their dependencies or dependents; `None` means all resources.
    pub(crate) fn closure(&self, graph: &Graph, goal: Goal) -> Option<BTreeSet<Address>> {
        if self.is_all() {
            return None;
        }
        let mut within = self.targets.clone();
        match goal {
            // `graph.nodes` lists each node after all its dependencies.
            Goal::Deploy => {
                for node in graph.nodes.iter().rev() {
                    if within.contains(&node.address) {
                        let needed = node.inputs.iter().map(|edge| graph.nodes[edge.node].address.clone());
                        within.extend(needed.collect::<Vec<_>>());
                    }
                }
            }
            Goal::Destroy => {
                for node in &graph.nodes {
                    if node.inputs.iter().any(|edge| within.contains(&graph.nodes[edge.node].address)) {
                        within.insert(node.address.clone());
                    }
                }
            }
        }
        Some(within)
    }
}
