//! The executor of plans: starts each step as soon as its dependencies are ready.

mod checks;
mod phases;
mod revert;
mod started_checks;

use crate::apply::guards::check_guards;
use crate::apply::ledger::{Entry, Ledger};
use crate::apply::phase::PhaseResult;
use crate::apply::run::Run;
use crate::model::address::Address;
use crate::model::diff::{diff, differs_only_where_unknown, keep_ignored};
use crate::model::event::Event;
use crate::model::failure::{Class, Failure};
use crate::model::outcome::{Outcome, Remains, StepFailure};
use crate::model::plan::{Action, Plan, Step};
use crate::model::snapshot::{Intent, Intents, Record};
use crate::model::unknown::has_unknown;
use crate::plan::planner::with_retained_fields;
use crate::plan::schedule::{Schedule, Task, deletes};
use crate::resource::graph::Graph;
use crate::resource::readiness::{Readiness, Values};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use started_checks::Checks;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

/// Maximum number of steps that create or update resources in parallel. Deletes, and steps that only wait, are not
/// limited.
const CALLS_AT_A_TIME: usize = 32;

/// Executes a plan. Each step starts as soon as its dependencies are ready. If a step fails, its dependents are skipped
/// and all other steps continue. The ledger records what a stopped or failed run leaves behind, so that the next plan
/// finds it.
///
/// # Errors
/// If a guard does not hold or the intents cannot be stored durably, in which case nothing has been changed in AWS. A failed step is not an error
/// of `apply_plan`, and neither is a failure to store the end of the run: both are part of the outcome.
pub async fn apply_plan(graph: &Graph, plan: &Plan, ledger: &dyn Ledger, run: &Run) -> Result<Outcome, Failure> {
    let schedule = Schedule::new(graph, plan).map_err(|refused| {
        Failure::new(Class::Bug, "order the steps", format!("{}: {}", refused.address, refused.why))
    })?;
    check_guards(graph, plan, run).await?;
    let steps: Vec<Intent> = plan
        .writes()
        .map(|step| Intent {
            address: step.address.clone(),
            kind: step.kind.clone(),
            action: step.action,
            was: step.attrs.clone(),
        })
        .collect();
    if !steps.is_empty() {
        ledger.begin(Intents { plan: run.id.clone(), operation: run.operation, steps, written: false }).await?;
    }
    let mut executor = Executor {
        graph,
        plan,
        ledger,
        run,
        schedule,
        values: untargeted_attrs(graph, plan),
        reached: HashMap::new(),
        started: HashSet::new(),
        created: HashSet::new(),
        running: FuturesUnordered::new(),
        calls: Arc::new(tokio::sync::Semaphore::new(CALLS_AT_A_TIME)),
        checks: Checks::default(),
        outcome: Outcome::default(),
    };
    executor.run_tasks().await;
    executor.revert_created().await;
    let mut outcome = executor.into_outcome();
    outcome.unrecorded = ledger.end(outcome.is_applied()).await.err();
    Ok(outcome)
}

/// Returns the known attributes of the resources that are not targeted.
fn untargeted_attrs(graph: &Graph, plan: &Plan) -> Values {
    let attrs = |address: &Address| {
        let step = plan.steps.iter().find(|step| step.action == Action::Untargeted && step.address == *address);
        step.and_then(|step| step.attrs.clone())
    };
    graph.nodes.iter().map(|node| attrs(&node.address)).collect()
}

struct Executor<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    ledger: &'a dyn Ledger,
    run: &'a Run,
    schedule: Schedule,
    values: Values,
    reached: HashMap<Task, Readiness>,
    started: HashSet<Task>,
    /// The indices of the steps whose resources were created, or existed already.
    created: HashSet<usize>,
    running: FuturesUnordered<BoxFuture<'a, TaskResult>>,
    calls: Arc<tokio::sync::Semaphore>,
    checks: Checks<'a>,
    outcome: Outcome,
}

/// The result of one phase of a task.
struct TaskResult {
    task: Task,
    since: Instant,
    result: Result<PhaseResult, Failure>,
}

impl<'a> Executor<'a> {
    async fn run_tasks(&mut self) {
        let cancel = self.run.cancel.clone();
        let mut reported = false;
        self.start_ready();
        self.start_checks();
        while !(self.running.is_empty() && self.checks.running.is_empty()) {
            tokio::select! {
                // The stop is reported before the steps that it interrupts.
                biased;
                () = cancel.stopped(), if !reported => {
                    reported = true;
                    self.run.events.send(Event::Stopping);
                }
                Some(message) = self.running.next() => self.on_result(message),
                Some(ended) = self.checks.running.next() => self.on_check(ended),
            }
            self.start_ready();
            self.start_checks();
        }
    }

    /// Starts every task whose dependencies are met. A no-op finishes at once, which may allow further tasks to start.
    fn start_ready(&mut self) {
        loop {
            let met = |(need, readiness): &(Task, Readiness)| {
                self.reached.get(need).is_some_and(|reached| reached >= readiness)
            };
            let mut ready: Vec<Task> = self
                .schedule
                .needs
                .iter()
                .filter(|(task, needs)| !self.started.contains(task) && needs.iter().all(met))
                .map(|(task, _)| *task)
                .collect();
            ready.sort_unstable();
            let stopped = self.run.cancel.is_stopped() || self.ledger.lost().is_some();
            ready.retain(|task| !stopped || self.plan.steps[task.step()].action == Action::NoOp);
            if ready.is_empty() {
                return;
            }
            for task in ready {
                self.started.insert(task);
                self.start(task);
            }
        }
    }

    fn start(&mut self, task: Task) {
        let step = &self.plan.steps[task.step()];
        if step.action != Action::NoOp {
            let (address, kind) = (step.address.clone(), step.kind.clone());
            self.run.events.send(Event::Started { address, kind, action: task_action(task, step) });
        }
        let since = Instant::now();
        match (task, self.spec(task, step)) {
            (Task::Delete(_), _) => self.start_delete(task, step, since),
            (Task::Apply(_), Ok(spec)) => self.start_apply(task, step, spec, since),
            (Task::Finish(_), Ok(spec)) => self.start_finish(task, step, spec, since),
            (_, Err(failure)) => self.on_result(TaskResult { task, since, result: Err(failure) }),
        }
    }

    /// Returns the final spec of a task, computed from the attributes of its dependencies. It must equal the planned
    /// spec except where the planned spec was unknown. A delete has no spec.
    fn spec(&self, task: Task, step: &Step) -> Result<Value, Failure> {
        if matches!(task, Task::Delete(_)) {
            return Ok(Value::Null);
        }
        let node = &self.graph.nodes[task.step()];
        let mut spec = (node.make)(&self.values)?;
        if let (Some(_), Some(after)) = (&step.before, &step.after) {
            keep_ignored(&mut spec, after, &node.ignored);
            spec = with_retained_fields(&node.kind, after, &spec);
        }
        let planned = step.after.as_ref().unwrap_or(&Value::Null);
        let bug = |what: String| Err(Failure::new(Class::Bug, format!("compute the spec of {}", step.address), what));
        if has_unknown(&spec) {
            return bug("a required value is still unknown".to_owned());
        }
        let other = diff(planned, &spec).into_iter().find(|change| !differs_only_where_unknown(planned, change));
        match other {
            Some(change) => bug(format!("{} differs from the plan", change.path)),
            None => Ok(spec),
        }
    }

    fn on_result(&mut self, message: TaskResult) {
        let TaskResult { task, since, result } = message;
        let step = &self.plan.steps[task.step()];
        match result {
            Err(failure) => self.on_failed(task, step, failure),
            Ok(PhaseResult::Created { spec, attrs }) => {
                self.created.insert(task.step());
                self.record_resource(step, &spec, &attrs, false);
                self.spawn_phase(task, since, move |context| async move {
                    context.limited(context.operations().configure(&attrs, &spec)).await?;
                    Ok(PhaseResult::Identified { spec, attrs })
                });
            }
            Ok(PhaseResult::Identified { spec, attrs }) => {
                self.created.insert(task.step());
                self.record_resource(step, &spec, &attrs, false);
                self.values[task.step()] = Some(attrs.clone());
                self.reached.insert(task, Readiness::Created);
                let id = self.id(step, &attrs);
                self.run.events.send(Event::Created { address: step.address.clone(), id });
                self.spawn_phase(task, since, move |context| async move { context.wait_ready(spec, attrs).await });
            }
            Ok(PhaseResult::Ready { spec, attrs }) => {
                self.record_resource(step, &spec, &attrs, true);
                let id = self.id(step, &attrs);
                self.values[task.step()] = Some(attrs);
                self.on_done(task, step, since, id);
            }
            Ok(PhaseResult::Deleted) => {
                // After a create-before-destroy replacement, the address belongs to the successor.
                if !matches!(step.action, Action::Replace { order: crate::model::plan::Order::CreateBeforeDestroy })
                    && !self.address_stays_in_use(step)
                {
                    self.ledger.record(Entry::Remove(step.address.clone()));
                }
                self.on_done(task, step, since, step.id.clone());
            }
        }
    }

    /// Returns whether another resource remains at the address of a deleted resource.
    fn address_stays_in_use(&self, step: &Step) -> bool {
        step.action == Action::Delete
            && self.plan.steps.iter().any(|other| other.address == step.address && other.action != Action::Delete)
    }

    fn record_resource(&self, step: &Step, spec: &Value, attrs: &Value, ready: bool) {
        let record = Record { kind: step.kind.clone(), spec: spec.clone(), attrs: attrs.clone(), ready };
        self.ledger.record(Entry::Put(step.address.clone(), record));
    }

    fn id(&self, step: &Step, attrs: &Value) -> Option<String> {
        self.graph.kinds.get(step.kind.as_str()).and_then(|kind| kind.id(attrs))
    }

    fn on_done(&mut self, task: Task, step: &Step, since: Instant, id: Option<String>) {
        self.reached.insert(task, Readiness::Ready);
        let is_half_done = step.action == Action::Update && self.has_finish_task(task);
        if step.action == Action::NoOp || is_half_done {
            return;
        }
        let action = task_action(task, step);
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.run.events.send(Event::Done { address: step.address.clone(), action, id, millis });
        // The update that completes a create is part of the create and is not counted separately.
        if !(matches!(task, Task::Finish(_)) && step.action == Action::Create) {
            self.outcome.done.push((step.address.clone(), action));
        }
    }

    fn on_failed(&mut self, task: Task, step: &Step, failure: Failure) {
        // Once the ledger is lost, every task fails with the reason for the loss, so its failure says nothing about the
        // result of its call.
        if is_refused(&failure) && self.ledger.lost().is_none() {
            self.abort_create(task, step);
        }
        let (address, action) = (step.address.clone(), task_action(task, step));
        let remains = Some(self.remains(task, action, &failure));
        self.run.events.send(Event::Failed { address: address.clone(), action, failure: failure.clone(), remains });
        self.outcome.failed.push(StepFailure { address, action, failure, remains });
    }

    /// Returns the state in which a failed task leaves its resource.
    fn remains(&self, task: Task, action: Action, failure: &Failure) -> Remains {
        let had_no_effect = is_refused(failure) && self.ledger.lost().is_none();
        match action {
            Action::Create if self.created.contains(&task.step()) => Remains::Exists,
            Action::Create | Action::Replace { .. } if had_no_effect => Remains::Nothing,
            Action::Delete if had_no_effect || failure.class == Class::InUse => Remains::Exists,
            Action::Create | Action::Replace { .. } | Action::Delete => Remains::MayExist,
            _ => Remains::Exists,
        }
    }

    /// Records that a create had no effect, so that the next run need not look for the resource.
    fn abort_create(&self, task: Task, step: &Step) {
        if matches!(task, Task::Apply(_)) {
            self.ledger.record(Entry::CreateAborted(step.address.clone()));
        }
    }

    /// Adds the steps that were never started and the outputs to the outcome.
    fn into_outcome(mut self) -> Outcome {
        let mut left: Vec<&Task> = self.schedule.needs.keys().filter(|task| !self.started.contains(task)).collect();
        left.sort_unstable();
        for task in left {
            let step = &self.plan.steps[task.step()];
            let is_part = matches!(task, Task::Finish(index) if !self.reached.contains_key(&Task::Apply(*index)));
            if step.action == Action::NoOp || is_part {
                continue;
            }
            let (address, action) = (step.address.clone(), task_action(*task, step));
            let because = self.skip_reason(*task);
            self.abort_create(*task, step);
            self.run.events.send(Event::Skipped { address: address.clone(), action, because: because.clone() });
            self.outcome.skipped.push((address, action, because));
        }
        let outputs = self.graph.outputs.iter();
        self.outcome.outputs =
            outputs.filter_map(|output| Some((output.name.clone(), (output.make)(&self.values).ok()?))).collect();
        self.ledger.record(Entry::Outputs(self.outcome.outputs.clone()));
        self.skip_checks();
        if self.outcome.is_applied() {
            // An earlier, interrupted run may have deleted resources without recording the deletion. The read for this
            // plan has shown that they no longer exist.
            let kept = self.plan.steps.iter().filter(|step| step.action != Action::Delete);
            self.ledger.record(Entry::RetainOnly(kept.map(|step| step.address.clone()).collect()));
        }
        self.outcome
    }

    fn skip_reason(&self, task: Task) -> String {
        if let Some(lost) = self.ledger.lost() {
            return lost.to_string();
        }
        let needs = self.schedule.needs.get(&task).into_iter().flatten();
        let unmet = needs.filter(|(need, readiness)| self.reached.get(need).is_none_or(|reached| reached < readiness));
        match unmet.map(|(need, _)| need.step()).next() {
            Some(index) => format!("depends on {}", self.plan.steps[index].address),
            None => "the run was stopped".to_owned(),
        }
    }
}

/// Returns the action of a task, which may be only a part of its step.
fn task_action(task: Task, step: &Step) -> Action {
    match task {
        Task::Delete(_) => Action::Delete,
        Task::Finish(_) => Action::Update,
        Task::Apply(_) if deletes(step) => Action::Create,
        Task::Apply(_) => step.action,
    }
}

/// Returns whether the request of a failed step had no effect.
fn is_refused(failure: &Failure) -> bool {
    matches!(failure.class, Class::Refused | Class::Denied | Class::Credentials | Class::Unmanaged)
}
