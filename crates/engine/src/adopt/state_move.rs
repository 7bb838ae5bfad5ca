//! Moves of resources to other addresses, after a rename in the configuration.
//! [`apply_ownership_changes`](crate::apply_ownership_changes()) executes the plan.

use crate::adopt::adoption::{ledger_entry, ownership_step};
use crate::model::address::Address;
use crate::model::failure::Failure;
use crate::model::goal::{Goal, PlanScope};
use crate::model::observed::{Live, Observed};
use crate::model::plan::{Action, Plan, Step};
use crate::model::plan_error::PlanError;
use crate::model::snapshot::Snapshot;
use crate::plan::planner::{compute_plan, lost_tags_error};
use crate::resource::graph::{Graph, Node};

/// The steps of a move, with the deploy plan that would follow it.
pub struct MovePlan {
    /// One step for each resource whose address changes.
    pub plan: Plan,
    /// The plan of a deploy after the move, or the reasons why it would be refused.
    pub afterwards: Result<Plan, Vec<PlanError>>,
}

/// Plans the move of resources from the first to the second address of each pair. Pure.
///
/// # Errors
/// The outer error is `Bug`. The inner error lists every move that is not possible: no managed resource has the first
/// address, the second is not configured or is of another kind, or a managed resource already has it.
pub fn plan_move(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    pairs: &[(Address, Address)],
) -> Result<Result<MovePlan, Vec<PlanError>>, Failure> {
    let (mut steps, mut refused) = (Vec::new(), Vec::new());
    let (mut then, mut after) = (observed.clone(), snapshot.clone());
    for (from, to) in pairs {
        match plan_one_move(graph, &then, snapshot, from, to) {
            Err(why) => refused.push(PlanError::new(from.clone(), why)),
            Ok(step) => {
                if let Some(found) = then.managed.remove(from) {
                    then.managed.insert(to.clone(), found);
                }
                ledger_entry(&step).apply(&mut after);
                steps.push(step);
            }
        }
    }
    if !refused.is_empty() {
        return Ok(Err(refused));
    }
    let afterwards = compute_plan(graph, &then, &after, Goal::Deploy, &PlanScope::default())?;
    Ok(Ok(MovePlan { plan: Plan { steps, ..Plan::default() }, afterwards }))
}

fn plan_one_move(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    from: &Address,
    to: &Address,
) -> Result<Step, String> {
    if from == to {
        return Err("source and destination are the same address".to_owned());
    }
    let Some(node) = graph.nodes.iter().find(|node| node.address == *to) else {
        return Err(format!("no resource is configured at {to}; change the configuration first"));
    };
    let here = |address: &Address| observed.managed.get(address).map(Vec::as_slice).unwrap_or_default();
    let live = match (here(from), here(to)) {
        ([only], []) => only,
        // An earlier run has changed the tag and was interrupted before it recorded the new address.
        ([], [only]) if is_recorded(node, snapshot, from, only) => only,
        ([], _) if observed.untagged.contains_key(from) => return Err(lost_tags_error(from.as_str())),
        ([], _) => {
            return Err(
                "no managed resource at this address; list the addresses with `pb-deploy state list`".to_owned()
            );
        }
        (_, [_, ..]) => return Err(format!("{to} already has a managed resource")),
        (several, []) => {
            return Err(format!(
                "{} resources have this address; run `pb-deploy deploy` first, which keeps one",
                several.len()
            ));
        }
    };
    if live.kind != node.kind.name() {
        return Err(format!("the resource is of kind {}, but {to} is of kind {}", live.kind, node.kind.name()));
    }
    if !node.kind.tagged() {
        return Err(format!("a resource of kind {} carries no tags, so its address cannot be changed", live.kind));
    }
    Ok(Step { from: Some(from.clone()), ..ownership_step(graph, to, live, Action::Move) })
}

/// Returns whether the snapshot still records the resource at its old address.
fn is_recorded(node: &Node, snapshot: &Snapshot, from: &Address, live: &Live) -> bool {
    let record = snapshot.resources.get(from).filter(|record| record.kind == live.kind);
    record.is_some_and(|record| node.kind.id(&record.attrs) == node.kind.id(&live.attrs))
}
