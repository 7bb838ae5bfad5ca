//! Standalone runs of a graph, for programs that use one concern or one resource.

use crate::apply::executor::apply_plan;
use crate::apply::ledger::MemoryLedger;
use crate::apply::run::Run;
use crate::model::cause::Refusal;
use crate::model::event::Events;
use crate::model::failure::{Class, Failure};
use crate::model::goal::{Goal, PlanScope};
use crate::model::observed::Observed;
use crate::model::outcome::Outcome;
use crate::model::ownership::Ownership;
use crate::model::plan::Plan;
use crate::model::plan_error::PlanError;
use crate::model::snapshot::Snapshot;
use crate::plan::planner::compute_plan;
use crate::plan::preflight::preflight;
use crate::read::checks::with_checks;
use crate::read::observe::observe;
use crate::resource::graph::Graph;
use crate::resource::wait::Cancel;
use std::sync::Arc;

/// A graph that runs without an orchestrator, with a ledger in memory. Managed resources are found by their tags, so a
/// program needs no state between two runs.
pub struct Standalone {
    graph: Graph,
    owner: Arc<Ownership>,
    ledger: MemoryLedger,
    events: Events,
    cancel: Cancel,
}

impl Standalone {
    /// Creates a standalone run of `graph` for `owner`.
    #[must_use]
    pub fn new(owner: Ownership, graph: Graph) -> Self {
        Self {
            graph,
            owner: Arc::new(owner),
            ledger: MemoryLedger::default(),
            events: Events::none(),
            cancel: Cancel::never(),
        }
    }

    /// Sets the receiver of events.
    #[must_use]
    pub fn events(self, events: Events) -> Self {
        Self { events, ..self }
    }

    /// Sets the signal that stops the run.
    #[must_use]
    pub fn cancel(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }

    /// Reads the resources of the workspace.
    ///
    /// # Errors
    /// The error of a failed read.
    pub async fn read(&self) -> Result<Observed, Failure> {
        let snapshot = self.ledger.snapshot();
        with_checks(&self.graph, &snapshot, observe(&self.graph, &snapshot, &self.owner, &self.cancel)).await
    }

    /// Returns the plan of a [`deploy`](Self::deploy).
    ///
    /// # Errors
    /// The error of a failed read; `Refused` if no plan can be computed, or if a preflight check finds an obstacle.
    pub async fn plan(&self) -> Result<Plan, Failure> {
        self.decide(Goal::Deploy).await
    }

    /// Creates missing resources and updates those that differ. Returns the records of all resources.
    ///
    /// # Errors
    /// The first failure. The next call continues with the resources that exist by then.
    pub async fn deploy(&self) -> Result<Snapshot, Failure> {
        self.run(Goal::Deploy).await
    }

    /// Deletes all managed resources.
    ///
    /// # Errors
    /// The first failure. The next call continues with the resources that exist by then.
    pub async fn destroy(&self) -> Result<Snapshot, Failure> {
        self.run(Goal::Destroy).await
    }

    async fn decide(&self, goal: Goal) -> Result<Plan, Failure> {
        let observed = self.read().await?;
        let plan = compute_plan(&self.graph, &observed, &self.ledger.snapshot(), goal, &PlanScope::default())?;
        let plan = plan.map_err(|refused| not_planned(&refused))?;
        let blocked = preflight(&self.graph, &observed, &self.owner, &plan).await?;
        if blocked.is_empty() { Ok(plan) } else { Err(not_planned(&blocked)) }
    }

    async fn run(&self, goal: Goal) -> Result<Snapshot, Failure> {
        let plan = self.decide(goal).await?;
        let run = Run {
            id: random_id(),
            operation: goal.into(),
            owner: Arc::clone(&self.owner),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
        };
        let Outcome { failed, skipped, unrecorded, .. } = apply_plan(&self.graph, &plan, &self.ledger, &run).await?;
        match (failed.into_iter().next(), skipped.into_iter().next()) {
            (Some(first), _) => Err(first.failure),
            (None, Some((address, _, because))) => Err(Failure::new(Class::Interrupted, address.as_str(), because)),
            (None, None) => unrecorded.map_or_else(|| Ok(self.ledger.snapshot()), Err),
        }
    }
}

fn not_planned(refused: &[PlanError]) -> Failure {
    let why: Vec<String> = refused.iter().map(|refused| format!("{}: {}", refused.address, refused.why)).collect();
    Failure::refused(Refusal::Plan, "plan", why.join("; "))
}

/// Returns an id that no other run has. Client tokens are derived from it.
fn random_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}{:016x}", RandomState::new().hash_one(0), RandomState::new().hash_one(1))
}
