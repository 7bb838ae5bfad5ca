//! Giving what is there another address, when the configuration calls it otherwise. [`apply_ownership_changes`](crate::apply_ownership_changes()) runs
//! the plan.

use crate::address::Address;
use crate::adoption::{ledger_entry, ownership_step};
use crate::failure::Failure;
use crate::goal::{Goal, PlanScope};
use crate::graph::{Graph, Node};
use crate::observe::{Live, Observed};
use crate::plan::{Action, Plan, Step};
use crate::planner::{PlanError, compute_plan, lost_tags_error};
use crate::snapshot::Snapshot;

/// What giving other addresses comes to.
pub struct MovePlan {
    /// One step for each thing that gets another address.
    pub plan: Plan,
    /// What a deploy would do afterwards; or what would stand in its way.
    pub afterwards: Result<Plan, Vec<PlanError>>,
}

/// What it takes to have what stands at the first address of each pair stand at the second. Pure.
///
/// # Errors
/// The outer error is `Bug`. The inner one lists each pair that cannot be had: nothing of ours at the first address, nothing
/// wanted at the second or something else, something of ours there already.
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
            Err(why) => refused.push(PlanError { address: from.clone(), why }),
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
        return Err("this is the address that it has".to_owned());
    }
    let Some(node) = graph.nodes.iter().find(|node| node.address == *to) else {
        return Err(format!("the configuration wants nothing at {to}: change the configuration first"));
    };
    let here = |address: &Address| observed.managed.get(address).map(Vec::as_slice).unwrap_or_default();
    let live = match (here(from), here(to)) {
        ([only], []) => only,
        // An earlier run has set the tag, and died before that was recorded.
        ([], [only]) if is_recorded(node, snapshot, from, only) => only,
        ([], _) if observed.untagged.contains_key(from) => return Err(lost_tags_error(from.as_str())),
        ([], _) => return Err("nothing of ours stands here: `state list` shows what does".to_owned()),
        (_, [_, ..]) => return Err(format!("something of ours stands at {to} already")),
        (several, []) => return Err(format!("{} stand here: deploy first, which leaves one", several.len())),
    };
    if live.kind != node.kind.name() {
        return Err(format!("it is of the kind {}, and {to} is of the kind {}", live.kind, node.kind.name()));
    }
    if !node.kind.tagged() {
        return Err(format!("what is of the kind {} carries no tags: its address follows from what it is", live.kind));
    }
    Ok(Step { from: Some(from.clone()), ..ownership_step(graph, to, live, Action::Move) })
}

/// Whether the snapshot still remembers this very thing at the address that it had.
fn is_recorded(node: &Node, snapshot: &Snapshot, from: &Address, live: &Live) -> bool {
    let record = snapshot.resources.get(from).filter(|record| record.kind == live.kind);
    record.is_some_and(|record| node.kind.id(&record.attrs) == node.kind.id(&live.attrs))
}
