//! The checks of a run. The run waits for each check once the resources that it depends on are ready.

use super::Executor;
use super::started_checks::Ended;
use crate::apply::phase::run_unless_lost;
use crate::model::event::Event;
use crate::model::failure::{Class, Failure};
use crate::model::outcome::StepFailure;
use crate::model::plan::Action;
use crate::model::unknown::has_unknown;
use crate::plan::schedule::Task;
use crate::resource::check::CheckNode;
use crate::resource::readiness::Edge;
use futures_util::future::FutureExt;
use tokio::time::Instant;

impl<'a> Executor<'a> {
    /// Starts the wait for every due check whose inputs are ready.
    pub(super) fn start_checks(&mut self) {
        if self.run.cancel.is_stopped() || self.ledger.lost().is_some() {
            return;
        }
        let graph = self.graph;
        for (index, check) in graph.checks.iter().enumerate() {
            let is_ready = self.is_due(check) && check.inputs.iter().all(|edge| self.is_reached(*edge));
            if is_ready && self.checks.started.insert(index) {
                self.start_check(index, check);
            }
        }
    }

    fn start_check(&mut self, index: usize, check: &'a CheckNode) {
        let (address, kind) = (check.address.clone(), check.kind.name().to_owned());
        self.run.events.send(Event::Started { address, kind, action: Action::Check });
        let (since, ledger, cx) =
            (Instant::now(), self.ledger, self.run.context(&check.address, self.graph.max_wait, false));
        let spec = (check.make)(&self.values);
        let wait = async move {
            let spec = spec?;
            if has_unknown(&spec) {
                let message = "a required value is still unknown";
                return Err(Failure::new(Class::Bug, format!("check {}", check.address), message));
            }
            run_unless_lost(ledger, check.kind.wait(cx, spec)).await
        };
        self.checks.running.push(async move { Ended { check: index, since, result: wait.await } }.boxed());
    }

    pub(super) fn on_check(&mut self, ended: Ended) {
        let address = self.graph.checks[ended.check].address.clone();
        match ended.result {
            Ok(()) => {
                let millis = u64::try_from(ended.since.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.run.events.send(Event::Done { address, action: Action::Check, id: None, millis });
            }
            Err(failure) => {
                let action = Action::Check;
                self.run.events.send(Event::Failed {
                    address: address.clone(),
                    action,
                    failure: failure.clone(),
                    remains: None,
                });
                self.outcome.failed.push(StepFailure { address, action, failure, remains: None });
            }
        }
    }

    /// Adds the due checks that were never started to the outcome, as skipped.
    pub(super) fn skip_checks(&mut self) {
        let graph = self.graph;
        for (index, check) in graph.checks.iter().enumerate() {
            if !self.is_due(check) || self.checks.started.contains(&index) {
                continue;
            }
            let unmet = check.inputs.iter().find(|edge| !self.is_reached(**edge));
            let because = match (self.ledger.lost(), unmet) {
                (Some(lost), _) => lost.to_string(),
                (None, Some(edge)) => format!("depends on {}", graph.nodes[edge.node].address),
                (None, None) => "the run was stopped".to_owned(),
            };
            let (address, action) = (check.address.clone(), Action::Check);
            self.run.events.send(Event::Skipped { address: address.clone(), action, because: because.clone() });
            self.outcome.skipped.push((address, action, because));
        }
    }

    fn is_due(&self, check: &CheckNode) -> bool {
        self.plan.checks.iter().any(|planned| planned.due && planned.address == check.address)
    }

    fn is_reached(&self, edge: Edge) -> bool {
        let later = Task::Finish(edge.node);
        let task = if self.schedule.needs.contains_key(&later) { later } else { Task::Apply(edge.node) };
        self.reached.get(&task).is_some_and(|reached| *reached >= edge.readiness)
    }
}
