//! Planning and execution of ownership changes: importing existing resources and forgetting managed ones. They change
//! only ownership tags and records.

use crate::apply::ledger::{Entry, Ledger};
use crate::apply::operations::Operations;
use crate::apply::phase::run_unless_lost;
use crate::apply::run::Run;
use crate::model::address::Address;
use crate::model::event::Event;
use crate::model::failure::{Class, Failure};
use crate::model::goal::{Goal, PlanScope};
use crate::model::observed::{Imports, Live, Observed, Untagged};
use crate::model::outcome::{Outcome, Remains, StepFailure};
use crate::model::plan::{Action, Plan, Step};
use crate::model::plan_error::PlanError;
use crate::model::snapshot::{Intent, Intents, Record, Snapshot};
use crate::plan::planner::draft_plan;
use crate::resource::graph::Graph;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Maximum number of resources whose ownership changes in parallel.
const AT_A_TIME: usize = 8;

/// The steps of an adoption, with the deploy plan that would follow it.
pub struct AdoptionPlan {
    /// One step for each imported resource; a no-op if the resource is already managed.
    pub plan: Plan,
    /// The plan of a deploy after the adoption, or the reasons why it would be refused.
    pub afterwards: Result<Plan, Vec<PlanError>>,
    /// The steps of this deploy, even if it would be refused.
    pub later: Vec<Step>,
    /// The addresses at which the adoption restores the lost tags of a recorded resource.
    pub restored: BTreeSet<Address>,
}

/// Plans the adoption of `imports`, which must have been passed to the read that returned `observed`. Pure.
///
/// # Errors
/// The outer error is `Bug`. The inner error lists every import that is not possible: the address is not configured,
/// the resource does not exist or belongs to another stack or workspace, or another managed resource has the address.
pub fn plan_adoption(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    imports: &Imports,
) -> Result<Result<AdoptionPlan, Vec<PlanError>>, Failure> {
    let (mut steps, mut refused) = (Vec::new(), Vec::new());
    let (mut then, mut after, mut restored) = (observed.clone(), snapshot.clone(), BTreeSet::new());
    for (address, id) in imports {
        match plan_import(graph, observed, snapshot, address, id) {
            Err(why) => refused.push(PlanError::new(address.clone(), why)),
            Ok(step) => {
                let spec = step.before.clone().unwrap_or_default();
                let attrs = step.attrs.clone().unwrap_or_default();
                if step.action == Action::Adopt {
                    let record = Record { kind: step.kind.clone(), spec, attrs, ready: true };
                    after.resources.insert(address.clone(), record);
                    let before = then.untagged.len();
                    then.untagged.retain(|_, untagged| !is_same(graph, untagged, &step));
                    restored.extend((then.untagged.len() < before).then(|| address.clone()));
                }
                steps.push(step);
            }
        }
    }
    if !refused.is_empty() {
        return Ok(Err(refused));
    }
    let (later, refused) = draft_plan(graph, &then, &after, Goal::Deploy, &PlanScope::default())?;
    let (steps_later, plan) = (later.steps.clone(), Plan { steps, ..Plan::default() });
    let afterwards = if refused.is_empty() { Ok(later) } else { Err(refused) };
    Ok(Ok(AdoptionPlan { plan, afterwards, later: steps_later, restored }))
}

fn plan_import(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    address: &Address,
    id: &str,
) -> Result<Step, String> {
    let Some(node) = graph.nodes.iter().find(|node| node.address == *address) else {
        let known: Vec<&str> = graph.addresses().map(Address::as_str).collect();
        return Err(format!("no resource is configured at this address; configured addresses: {}", known.join(", ")));
    };
    let found = observed.managed.get(address).map(Vec::as_slice).unwrap_or_default();
    let live = match found {
        [only] if only.kind == node.kind.name() => only,
        [] | [_] => {
            let kind = node.kind.name();
            return Err(format!(
                "{id} does not exist, is not of kind {kind}, or belongs to another stack or workspace"
            ));
        }
        several => {
            let ids = several.iter().filter_map(|live| node.kind.id(&live.attrs));
            return Err(format!("several resources would have this address: {}", ids.collect::<Vec<_>>().join(", ")));
        }
    };
    let recorded = snapshot.resources.get(address).is_some_and(|record| record.attrs == live.attrs);
    let step = ownership_step(graph, address, live, Action::Adopt);
    let untagged = observed.untagged.values().any(|untagged| is_same(graph, untagged, &step));
    let action = if recorded && !untagged { Action::NoOp } else { Action::Adopt };
    Ok(Step { action, ..step })
}

/// Returns whether the step imports the untagged resource.
fn is_same(graph: &Graph, untagged: &Untagged, step: &Step) -> bool {
    let import_id = || graph.kinds.get(step.kind.as_str())?.import_id(step.attrs.as_ref()?);
    untagged.kind == step.kind && import_id().as_ref() == Some(&untagged.import_id)
}

/// Plans to forget the resources at `addresses`. Pure.
///
/// # Errors
/// One error for each address without a managed or recorded resource.
pub fn plan_forget(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    addresses: &[Address],
) -> Result<Plan, Vec<PlanError>> {
    let (mut steps, mut refused) = (Vec::new(), Vec::new());
    for address in addresses {
        let found = observed.managed.get(address).map(Vec::as_slice).unwrap_or_default();
        steps.extend(found.iter().map(|live| ownership_step(graph, address, live, Action::Forget)));
        match snapshot.resources.get(address) {
            Some(record) if found.is_empty() => {
                // The resource no longer exists. Only its record remains to be removed.
                let Record { kind, spec, attrs, ready } = record.clone();
                steps.push(ownership_step(graph, address, &Live { kind, spec, attrs, ready }, Action::Forget));
            }
            None if found.is_empty() => {
                let why =
                    "no managed resource at this address; list the addresses with `pb-deploy state list`".to_owned();
                refused.push(PlanError::new(address.clone(), why));
            }
            _ => {}
        }
    }
    if refused.is_empty() { Ok(Plan { steps, ..Plan::default() }) } else { Err(refused) }
}

pub(crate) fn ownership_step(graph: &Graph, address: &Address, live: &Live, action: Action) -> Step {
    Step {
        id: graph.kinds.get(live.kind.as_str()).and_then(|kind| kind.id(&live.attrs)),
        before: Some(live.spec.clone()),
        attrs: Some(live.attrs.clone()),
        ..Step::new(address.clone(), live.kind.clone(), action)
    }
}

/// Executes a plan whose steps adopt, forget or move resources. A step that fails does not stop the other steps.
///
/// # Errors
/// The same errors as [`apply_plan`](crate::apply_plan()).
pub async fn apply_ownership_changes(
    graph: &Graph,
    plan: &Plan,
    ledger: &dyn Ledger,
    run: &Run,
) -> Result<Outcome, Failure> {
    let intent = |step: &Step| Intent {
        address: step.address.clone(),
        kind: step.kind.clone(),
        action: step.action,
        was: step.attrs.clone(),
    };
    let steps: Vec<Intent> = plan.writes().map(intent).collect();
    if steps.is_empty() {
        return Ok(Outcome::default());
    }
    ledger.begin(Intents { plan: run.id.clone(), operation: run.operation, steps, written: false }).await?;
    let done = stream::iter(plan.writes().map(|step| apply_step(graph, step, ledger, run))).buffer_unordered(AT_A_TIME);
    let done: Vec<(&Step, Result<(), Failure>)> = done.collect().await;
    let mut outcome = Outcome::default();
    for (step, result) in done {
        let (address, action) = (step.address.clone(), step.action);
        match result {
            Ok(()) => outcome.done.push((address, action)),
            Err(failure) if failure.class == Class::Interrupted => {
                outcome.skipped.push((address, action, "the run was stopped".to_owned()));
            }
            Err(failure) => {
                let remains = Some(Remains::Exists);
                outcome.failed.push(StepFailure { address, action, failure, remains });
            }
        }
    }
    outcome.unrecorded = ledger.end(outcome.is_complete()).await.err();
    Ok(outcome)
}

async fn apply_step<'a>(
    graph: &Graph,
    step: &'a Step,
    ledger: &dyn Ledger,
    run: &Run,
) -> (&'a Step, Result<(), Failure>) {
    let (address, action) = (&step.address, step.action);
    if run.cancel.is_stopped() {
        let because = "the run was stopped".to_owned();
        run.events.send(Event::Skipped { address: address.clone(), action, because: because.clone() });
        return (step, Err(Failure::new(Class::Interrupted, address.as_str(), because)));
    }
    let since = Instant::now();
    run.events.send(Event::Started { address: address.clone(), kind: step.kind.clone(), action });
    let result = run_unless_lost(ledger, change_tags(graph, step, run)).await;
    match &result {
        Ok(()) => {
            ledger.record(ledger_entry(step));
            let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            run.events.send(Event::Done { address: address.clone(), action, id: step.id.clone(), millis });
        }
        Err(failure) => {
            let failure = failure.clone();
            let remains = Some(Remains::Exists);
            run.events.send(Event::Failed { address: address.clone(), action, failure, remains });
        }
    }
    (step, result)
}

/// Returns the ledger entry that records a finished step.
pub(crate) fn ledger_entry(step: &Step) -> Entry {
    let (spec, attrs) = (step.before.clone().unwrap_or_default(), step.attrs.clone().unwrap_or_default());
    let record = Record { kind: step.kind.clone(), spec, attrs, ready: true };
    match (step.action, &step.from) {
        (Action::Forget, _) => Entry::Remove(step.address.clone()),
        (_, Some(from)) => Entry::Moved { from: from.clone(), to: step.address.clone(), unrecorded: record },
        (_, None) => Entry::Put(step.address.clone(), record),
    }
}

async fn change_tags(graph: &Graph, step: &Step, run: &Run) -> Result<(), Failure> {
    let Some(kind) = graph.kinds.get(step.kind.as_str()) else {
        return Err(Failure::new(Class::Bug, format!("start {}", step.address), "unknown kind"));
    };
    let cx = run.context(&step.address, graph.max_wait, false);
    Operations { kind, cx: &cx }.change_ownership(step.attrs.as_ref().unwrap_or(&Value::Null), step.action).await
}
