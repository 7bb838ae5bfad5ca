//! What a run is to bring about, and with which part of the stack.

use crate::address::Address;
use crate::graph::Graph;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a run is to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// What the graph wants is there, and nothing else of ours.
    Deploy,
    /// Nothing of ours is there.
    Destroy,
}

/// Which part of a stack a run is about, and what of it is made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanScope {
    /// Only these, with what they need (to be made) or with what needs them (to be destroyed). Empty is everything.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub targets: BTreeSet<Address>,
    /// What is replaced also where nothing about it differs.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub replace: BTreeSet<Address>,
}

impl PlanScope {
    /// Whether the run is about everything.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.targets.is_empty()
    }

    /// The targets together with all that has to come with them; `None` is everything.
    pub(crate) fn closure(&self, graph: &Graph, goal: Goal) -> Option<BTreeSet<Address>> {
        if self.is_all() {
            return None;
        }
        let mut within = self.targets.clone();
        match goal {
            // A node comes after all that it needs.
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
