//! The phases of each task: their order, and the calls that they make.

use super::{Executor, TaskResult};
use crate::apply::operations::CreateResult;
use crate::apply::phase::{PhaseContext, PhaseResult, run_unless_lost};
use crate::model::failure::{Class, Failure};
use crate::model::plan::{Action, Step};
use crate::plan::schedule::Task;
use crate::resource::graph::Node;
use crate::resource::readiness::Readiness;
use futures_util::future::FutureExt;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

impl<'a> Executor<'a> {
    pub(super) fn start_apply(&mut self, task: Task, step: &'a Step, spec: Value, since: Instant) {
        let attrs = step.attrs.clone().unwrap_or_default();
        let spec = if self.has_finish_task(task) { self.interim_spec(task, step, &spec) } else { spec };
        match step.action {
            Action::NoOp => self.on_result(TaskResult { task, since, result: Ok(PhaseResult::Ready { spec, attrs }) }),
            Action::Wait => {
                // The resource exists already, so dependents that do not need it to be ready may start.
                self.values[task.step()] = Some(attrs.clone());
                self.reached.insert(task, Readiness::Created);
                self.spawn_phase(task, since, move |context| async move { context.wait_ready(spec, attrs).await });
            }
            Action::Update => self.spawn_phase(task, since, move |context| async move {
                let before = step.before.as_ref().unwrap_or(&Value::Null);
                let attrs = context.limited(context.operations().update(attrs, before, &spec)).await?;
                Ok(PhaseResult::Identified { spec, attrs })
            }),
            _ => self.spawn_phase(task, since, move |context| async move {
                match context.limited(context.operations().create(&spec)).await? {
                    CreateResult::New(attrs) => Ok(PhaseResult::Created { spec, attrs }),
                    CreateResult::Existing { spec: before, attrs } => {
                        let attrs = context.limited(context.operations().update(attrs, &before, &spec)).await?;
                        Ok(PhaseResult::Identified { spec, attrs })
                    }
                }
            }),
        }
    }

    /// Updates the resource from its interim spec to the desired one.
    pub(super) fn start_finish(&mut self, task: Task, step: &Step, spec: Value, since: Instant) {
        let attrs = self.values[task.step()].clone().unwrap_or_default();
        let interim = self.interim_spec(task, step, &spec);
        self.spawn_phase(task, since, move |context| async move {
            let attrs = context.limited(context.operations().update(attrs, &interim, &spec)).await?;
            Ok(PhaseResult::Ready { spec, attrs })
        });
    }

    fn interim_spec(&self, task: Task, step: &Step, spec: &Value) -> Value {
        let kind = &self.graph.nodes[task.step()].kind;
        kind.interim_spec(step.before.as_ref(), spec).map_or_else(|| spec.clone(), |interim| interim.spec)
    }

    /// Returns whether another task of the plan needs the resource of this task to be ready.
    fn is_needed(&self, task: Task) -> bool {
        let needed = |(need, readiness): &(Task, Readiness)| *need == task && *readiness == Readiness::Ready;
        self.schedule.needs.values().any(|needs| needs.iter().any(needed))
    }

    pub(super) fn has_finish_task(&self, task: Task) -> bool {
        matches!(task, Task::Apply(_)) && self.schedule.needs.contains_key(&Task::Finish(task.step()))
    }

    /// Returns whether another address has taken over the resource of the step.
    pub(super) fn is_taken_over(&self, step: &Step) -> bool {
        let is_same = |(node, attrs): (&Node, &Option<Value>)| {
            node.address != step.address
                && node.kind.name() == step.kind
                && step.id.is_some()
                && attrs.as_ref().and_then(|attrs| node.kind.id(attrs)) == step.id
        };
        self.graph.nodes.iter().zip(&self.values).any(is_same)
    }

    pub(super) fn start_delete(&mut self, task: Task, step: &'a Step, since: Instant) {
        if self.is_taken_over(step) {
            return self.on_result(TaskResult { task, since, result: Ok(PhaseResult::Deleted) });
        }
        self.spawn_phase(task, since, move |context| async move {
            let attrs = step.attrs.as_ref().unwrap_or(&Value::Null);
            context.operations().delete(attrs).await?;
            Ok(PhaseResult::Deleted)
        });
    }

    /// Spawns one phase of a task. [`on_result`](Self::on_result) handles its result.
    pub(super) fn spawn_phase<F>(&mut self, task: Task, since: Instant, part: impl FnOnce(Arc<PhaseContext>) -> F)
    where
        F: Future<Output = Result<PhaseResult, Failure>> + Send + 'a,
    {
        let step = &self.plan.steps[task.step()];
        let Some(kind) = self.graph.kinds.get(step.kind.as_str()) else {
            let failure = Failure::new(Class::Bug, format!("start {}", step.address), "unknown kind");
            return self.on_result(TaskResult { task, since, result: Err(failure) });
        };
        let cx = self.run.context(&step.address, self.graph.max_wait, self.is_needed(task));
        let part = part(Arc::new(PhaseContext { kind: Arc::clone(kind), cx, calls: Arc::clone(&self.calls) }));
        let result = run_unless_lost(self.ledger, part);
        self.running.push(async move { TaskResult { task, since, result: result.await } }.boxed());
    }
}
