//! The checks of a plan.

use crate::model::address::Address;
use crate::model::check::{PlannedCheck, Verdict};
use crate::model::failure::Failure;
use crate::model::observed::Observed;
use crate::model::plan::Step;
use crate::resource::check::CheckNode;
use crate::resource::graph::Graph;
use crate::resource::readiness::{Edge, Values};
use std::collections::BTreeSet;

impl CheckNode {
    fn planned(&self, graph: &Graph, verdict: Verdict, due: bool) -> PlannedCheck {
        let about: BTreeSet<&Address> = self.inputs.iter().map(|edge| &graph.nodes[edge.node].address).collect();
        PlannedCheck {
            address: self.address.clone(),
            kind: self.kind.name().to_owned(),
            about: about.into_iter().cloned().collect(),
            verdict,
            due,
        }
    }
}

impl Graph {
    /// Returns all checks of the graph, marked as due, for plans that [`compute_plan()`](crate::compute_plan()) did not
    /// compute.
    #[must_use]
    pub fn due_checks(&self) -> Vec<PlannedCheck> {
        self.checks.iter().map(|check| check.planned(self, Verdict::Unknown, true)).collect()
    }
}

/// Returns the checks of a plan: those whose inputs are all part of the plan.
///
/// # Errors
/// `Bug` if a spec cannot be serialized.
pub(crate) fn plan_checks(
    graph: &Graph,
    observed: &Observed,
    steps: &[Step],
    values: &Values,
) -> Result<Vec<PlannedCheck>, Failure> {
    let mut changed: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for (node, step) in graph.nodes.iter().zip(steps) {
        changed.push(!step.action.is_idle() || node.inputs.iter().any(|edge| changed[edge.node]));
    }
    let is_known = |edge: &Edge| values.get(edge.node).is_some_and(Option::is_some);
    let planned = graph.checks.iter().filter(|check| check.inputs.iter().all(is_known)).map(|check| {
        let spec = (check.make)(values)?;
        let read = observed.checks.get(&check.address).filter(|checked| checked.spec == spec);
        let verdict = read.map_or(Verdict::Unknown, |checked| checked.verdict.clone());
        let due = verdict != Verdict::Holds || check.inputs.iter().any(|edge| changed[edge.node]);
        Ok(check.planned(graph, verdict, due))
    });
    planned.collect()
}
