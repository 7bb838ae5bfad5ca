//! The parts of a step: what is called for each, and in which order.

use super::{Acting, Message};
use crate::failure::{Class, Failure};
use crate::graph::{Node, Until};
use crate::plan::{Action, Step};
use crate::schedule::Task;
use crate::verbs::Made;
use crate::work::{News, Work, guarded};
use futures_util::future::FutureExt;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

impl<'a> Acting<'a> {
    pub(super) fn start_make(&mut self, task: Task, step: &'a Step, spec: Value, since: Instant) {
        let attrs = step.attrs.clone().unwrap_or_default();
        let spec = if self.is_finished_later(task) { self.meanwhile(task, step, &spec) } else { spec };
        match step.action {
            Action::NoOp => self.hear(Message { task, since, news: Ok(News::Settled { spec, attrs }) }),
            Action::Await => self.then(task, since, move |work| async move { work.settle(spec, attrs).await }),
            Action::Update => self.then(task, since, move |work| async move {
                let before = step.before.as_ref().unwrap_or(&Value::Null);
                let attrs = work.limited(work.verbs().update(attrs, before, &spec)).await?;
                Ok(News::Named { spec, attrs })
            }),
            _ => self.then(task, since, move |work| async move {
                match work.limited(work.verbs().create(&spec)).await? {
                    Made::New(attrs) => Ok(News::Created { spec, attrs }),
                    Made::There { spec: before, attrs } => {
                        let attrs = work.limited(work.verbs().update(attrs, &before, &spec)).await?;
                        Ok(News::Named { spec, attrs })
                    }
                }
            }),
        }
    }

    /// Updates the resource from its interim spec to the wanted one.
    pub(super) fn start_finish(&mut self, task: Task, step: &Step, spec: Value, since: Instant) {
        let attrs = self.values[task.step()].clone().unwrap_or_default();
        let meanwhile = self.meanwhile(task, step, &spec);
        self.then(task, since, move |work| async move {
            let attrs = work.limited(work.verbs().update(attrs, &meanwhile, &spec)).await?;
            Ok(News::Settled { spec, attrs })
        });
    }

    fn meanwhile(&self, task: Task, step: &Step, spec: &Value) -> Value {
        let kind = &self.graph.nodes[task.step()].kind;
        kind.meanwhile(step.before.as_ref(), spec).map_or_else(|| spec.clone(), |interim| interim.spec)
    }

    /// Returns whether another task of the plan needs this one to be ready.
    fn is_needed(&self, task: Task) -> bool {
        let needed = |(need, until): &(Task, Until)| *need == task && *until == Until::Settled;
        self.schedule.needs.values().any(|needs| needs.iter().any(needed))
    }

    pub(super) fn is_finished_later(&self, task: Task) -> bool {
        matches!(task, Task::Make(_)) && self.schedule.needs.contains_key(&Task::Finish(task.step()))
    }

    /// Returns whether another address has taken over what the step was about.
    pub(super) fn is_taken_over(&self, step: &Step) -> bool {
        let is_same = |(node, attrs): (&Node, &Option<Value>)| {
            node.address != step.address
                && node.kind.name() == step.kind
                && step.id.is_some()
                && attrs.as_ref().and_then(|attrs| node.kind.id(attrs)) == step.id
        };
        self.graph.nodes.iter().zip(&self.values).any(is_same)
    }

    pub(super) fn start_drop(&mut self, task: Task, step: &'a Step, since: Instant) {
        if self.is_taken_over(step) {
            return self.hear(Message { task, since, news: Ok(News::Gone) });
        }
        self.then(task, since, move |work| async move {
            let attrs = step.attrs.as_ref().unwrap_or(&Value::Null);
            work.verbs().delete(attrs).await?;
            Ok(News::Gone)
        });
    }

    /// Runs one part of a task; what it tells is heard by [`hear`](Self::hear).
    pub(super) fn then<F>(&mut self, task: Task, since: Instant, part: impl FnOnce(Arc<Work>) -> F)
    where
        F: Future<Output = Result<News, Failure>> + Send + 'a,
    {
        let step = &self.plan.steps[task.step()];
        let Some(kind) = self.graph.kinds.get(step.kind.as_str()) else {
            let failure = Failure::new(Class::Bug, format!("start {}", step.address), "its kind is not known");
            return self.hear(Message { task, since, news: Err(failure) });
        };
        let cx = self.run.context(&step.address, self.graph.within, self.is_needed(task));
        let part = part(Arc::new(Work { kind: Arc::clone(kind), cx, calls: Arc::clone(&self.calls) }));
        let news = guarded(self.ledger, part);
        self.running.push(async move { Message { task, since, news: news.await } }.boxed());
    }
}
