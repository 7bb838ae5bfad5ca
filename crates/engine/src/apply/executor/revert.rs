//! Deletion of resources that were created for a change that was rolled back.

use super::Executor;
use crate::apply::ledger::Entry;
use crate::apply::phase::{PhaseContext, run_unless_lost};
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::outcome::Remains;
use crate::model::plan::{Action, Order, Step};
use crate::model::snapshot::Record;
use crate::plan::schedule::Task;
use crate::resource::readiness::Readiness;
use futures_util::future::join_all;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

impl Executor<'_> {
    /// Deletes resources that this run created for dependents whose changes were rolled back, such as the rule for the
    /// new port of a service whose rollout was rolled back. A predecessor of such a resource still exists and is
    /// recorded again.
    pub(super) async fn revert_created(&mut self) {
        if self.run.cancel.is_stopped() || self.ledger.lost().is_some() {
            return;
        }
        let unneeded: Vec<usize> = (0..self.graph.nodes.len()).filter(|index| self.is_unneeded(*index)).collect();
        let deletes = unneeded.iter().map(|index| self.delete_created(*index));
        let results = join_all(deletes.collect::<Vec<_>>()).await;
        for (index, result) in unneeded.into_iter().zip(results) {
            self.on_reverted(&self.plan.steps[index], result);
        }
    }

    /// Returns whether this run created the resource of a node without deleting a predecessor, and the changes of all
    /// its changed dependents failed and were rolled back.
    fn is_unneeded(&self, index: usize) -> bool {
        let is_created = self.reached.get(&Task::Apply(index)) == Some(&Readiness::Ready);
        if !is_created || self.started.contains(&Task::Delete(index)) || self.is_exchanged(index) {
            return false;
        }
        let is_new = matches!(
            self.plan.steps[index].action,
            Action::Create | Action::Replace { order: Order::CreateBeforeDestroy }
        );
        let kind = self.graph.nodes[index].kind.name();
        let users: Vec<usize> = self.graph.dependents(index).filter(|user| self.is_changed(*user)).collect();
        let relies = |user: &usize| self.graph.nodes[*user].kind.relies_on().contains(&kind);
        is_new && users.iter().any(relies) && users.iter().all(|user| self.is_rolled_back(*user))
    }

    /// Returns whether the node took over the resource of another address, or another node took over the resource at
    /// the address of this node.
    fn is_exchanged(&self, index: usize) -> bool {
        let id = |attrs: &Value| self.graph.nodes[index].kind.id(attrs);
        let created = self.values[index].as_ref().and_then(id);
        let was = |step: &Step| step.kind == self.plan.steps[index].kind && step.id.is_some() && step.id == created;
        self.is_taken_over(&self.plan.steps[index]) || self.plan.steps.iter().any(was)
    }

    fn is_changed(&self, index: usize) -> bool {
        let action = self.plan.steps[index].action;
        !action.is_idle() && action != Action::Wait
    }

    fn is_rolled_back(&self, index: usize) -> bool {
        let address = &self.plan.steps[index].address;
        self.outcome.failed.iter().any(|failed| failed.address == *address && failed.failure.is_rolled_back())
    }

    async fn delete_created(&self, index: usize) -> (Instant, Result<(), Failure>) {
        let (since, step) = (Instant::now(), &self.plan.steps[index]);
        let (address, kind) = (step.address.clone(), step.kind.clone());
        self.run.events.send(Event::Started { address, kind, action: Action::Delete });
        let context = PhaseContext {
            kind: Arc::clone(&self.graph.nodes[index].kind),
            cx: self.run.context(&step.address, self.graph.max_wait, false),
            calls: Arc::clone(&self.calls),
        };
        let attrs = self.values[index].clone().unwrap_or(Value::Null);
        (since, run_unless_lost(self.ledger, context.operations().delete(&attrs)).await)
    }

    fn on_reverted(&mut self, step: &Step, (since, result): (Instant, Result<(), Failure>)) {
        let address = step.address.clone();
        let action = Action::Delete;
        if let Err(failure) = result {
            // The outcome does not change: the next plan finds the resource.
            let remains = Some(Remains::MayExist);
            return self.run.events.send(Event::Failed { address, action, failure, remains });
        }
        self.ledger.record(match (&step.before, &step.attrs) {
            (Some(spec), Some(attrs)) => Entry::Put(
                address.clone(),
                Record { kind: step.kind.clone(), spec: spec.clone(), attrs: attrs.clone(), ready: true },
            ),
            _ => Entry::Remove(address.clone()),
        });
        self.ledger.record(Entry::CreateAborted(address.clone()));
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.run.events.send(Event::Done { address: address.clone(), action, id: None, millis });
        self.outcome.done.push((address, action));
    }
}
