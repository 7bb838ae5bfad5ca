//! `rollback`, `restart` and `scale` as inputs of the pipeline: changes of services without a deploy. Like a deploy,
//! they store intents before the first write and record the outcome. A rollback also repairs the routing to the
//! services.

mod graph;
mod lines;
pub mod revisions;
mod routing;

use crate::cli::{Consent, OnInterrupt, WaitOptions};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::output::{BAD, BOLD, GOOD, paint};
use crate::run::approval::same_writes;
use crate::run::finished::Finished;
use crate::run::interrupted::InterruptedRun;
use crate::run::pipeline::{Input, Pass, Reading};
use crate::run::{earlier_releases, outcome, releases};
use crate::stack::names;
use crate::workspace::context::WorkspaceContext;
use crate::workspace::deployed;
use crate::{invocation, workspace};
use pb_engine::{
    Action, Address, Entry, ErrorCode, Graph, Observed, Operation, Outcome, PartialLedger, Plan, Resource, Scaled,
    Snapshot, Step, apply_plan, observe,
};
use pb_fargate::{ServiceChange, Services};
use std::collections::BTreeMap;
use std::time::Duration;

/// A run that changes services without a deploy.
pub struct ServiceRun<'a> {
    pub context: &'a WorkspaceContext,
    pub operation: Operation,
    /// The change of each service.
    pub changes: BTreeMap<Address, ServiceChange>,
    /// Set if the changes undo the last release. Another release, which was made since the plan was shown, is not
    /// undone.
    pub undoes_release: bool,
    /// Set to also repair the routing from the load balancer to the services.
    pub repair_routing: bool,
    pub yes: bool,
    pub wait: &'a WaitOptions,
}

/// The plan of a change, with the graph of its steps.
pub struct PlannedChange {
    pub plan: Plan,
    graph: Graph,
}

impl Input for ServiceRun<'_> {
    type Planned = PlannedChange;

    fn operation(&self) -> Operation {
        self.operation
    }

    async fn plan(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<PlannedChange, Error> {
        let observed = self.observe(snapshot, reading).await?;
        let mut steps = self.steps(&observed)?;
        if self.repair_routing {
            steps = routing::with_repairs(&self.context.aws, &observed, steps).await?;
        }
        let within = self.rollout_timeout();
        let graph = graph::graph(self.context, &steps, within)?;
        let checks = if within.is_some() { graph.due_checks() } else { Vec::new() };
        Ok(PlannedChange { plan: Plan { steps, checks, ..Plan::default() }, graph })
    }

    fn show(&self, reporter: &Reporter, planned: &PlannedChange) {
        if reporter.is_json() {
            return reporter.json("plan", &planned.plan);
        }
        let lines: Vec<String> = planned.plan.changes().map(|step| lines::line(step, self.operation)).collect();
        let text = lines.join("\n");
        reporter.message(if lines.is_empty() { "Nothing to do." } else { &text });
    }

    fn is_done(&self, planned: &PlannedChange, _snapshot: &Snapshot) -> bool {
        planned.plan.is_empty()
    }

    /// A plan that the user confirmed is applied exactly, and a release that the shown plan did not undo is not undone.
    fn approve(&self, reporter: &Reporter, shown: Option<&PlannedChange>, pass: &Pass<'_, Self>) -> Result<(), Error> {
        let plan = &pass.planned.plan;
        if shown.is_some_and(|shown| same_writes(&shown.plan, plan)) {
            return Ok(());
        }
        reporter.message("The running services have changed since they were shown:");
        self.show(reporter, pass.planned);
        if plan.writes().next().is_none() || (self.yes && !self.undoes_release) {
            return Ok(());
        }
        let hint = format!("check the services as they are now, then run `{}` again", invocation::rerun_command(""));
        Err(Error::other(
            ErrorCode::PlanChanged,
            "the running services have changed since they were shown; nothing was changed",
            hint,
        ))
    }

    async fn apply(&self, pass: &Pass<'_, Self>) -> Result<Outcome, Error> {
        let ledger = PartialLedger::new(pass.ledger).merge::<Services>(ServiceChange::recorded);
        Ok(apply_plan(&pass.planned.graph, &pass.planned.plan, &ledger, pass.run).await?)
    }

    async fn on_interrupt(&self, reporter: &Reporter, pass: &Pass<'_, Self>, outcome: &mut Outcome) {
        let (context, operation) = (self.context, self.operation);
        // A change of the count is not a rollout, so it cannot be rolled back.
        let on_interrupt = (operation == Operation::Scale).then_some(OnInterrupt::Leave);
        InterruptedRun { reporter, aws: &context.aws, workspace: context.name(), operation, on_interrupt }
            .handle_rollouts(&pass.planned.plan, outcome, &pass.ledger.snapshot())
            .await;
    }

    fn record(&self, pass: &Pass<'_, Self>, outcome: &Outcome) {
        let (plan, ledger, waits) = (&pass.planned.plan, pass.ledger, self.rollout_timeout().is_some());
        let own_intents = pass.before.intents.as_ref().is_none_or(|intents| intents.written);
        earlier_releases::record_outcomes(plan, outcome, pass.before, ledger, waits, own_intents);
        for (address, change) in &self.changes {
            if let (ServiceChange::Count(count), Some(configured)) = (change, self.configured_count(address)) {
                ledger.record(Entry::Scaled(address.clone(), Some(Scaled { count: *count, configured })));
            }
        }
        if let Some(release) = releases::release_of_run(plan, outcome, &ledger.snapshot(), None, pass.run, waits) {
            ledger.record(Entry::Released(release));
        }
    }

    fn summarize(&self, finished: &Finished<'_, Self::Planned>) {
        let Finished { reporter, workspace, outcome, run, .. } = finished;
        if !outcome.is_complete() {
            reporter.message(&format!("{}.", paint(BAD, outcome::unsuccessful(outcome, run, workspace))));
            outcome::print_failures(reporter, outcome, workspace);
        }
    }

    fn finish(&self, finished: &Finished<'_, Self::Planned>) -> Exit {
        let Finished { reporter, workspace, outcome, run, .. } = finished;
        if outcome.is_complete() {
            if self.wait.no_wait {
                reporter.message(&format!("Started. Check the result with `pb-deploy wait {workspace}`."));
            } else {
                let done = paint(GOOD, "Done:");
                reporter.message(&format!("{done} {} of {}.", self.operation, paint(BOLD, workspace)));
            }
            if self.operation == Operation::Rollback {
                reporter.message(
                    "The next deploy will use the configured image again. To keep this revision, set its image in \
                     pb_deploy.toml.",
                );
            }
        }
        reporter.json("finished", &serde_json::json!({ "complete": outcome.is_complete() }));
        outcome::exit(outcome, run)
    }
}

impl<'a> ServiceRun<'a> {
    /// Returns a run that changes services and nothing else.
    pub fn new(
        context: &'a WorkspaceContext,
        operation: Operation,
        changes: BTreeMap<Address, ServiceChange>,
        consent: &Consent,
        wait: &'a WaitOptions,
    ) -> Self {
        let (undoes_release, repair_routing, yes) = (false, false, consent.yes);
        Self { context, operation, changes, undoes_release, repair_routing, yes, wait }
    }

    /// Reads the services, and the routing to them if it may be repaired.
    async fn observe(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<Observed, Error> {
        let mut graph = Graph::new();
        let rollouts = deployed::observed_rollouts(self.context, None);
        pb_fargate::register_services(&mut graph, &self.context.aws, rollouts);
        if self.repair_routing {
            graph::Kinds::register(&mut graph, &self.context.aws);
        }
        let mut observed = observe(&graph, snapshot, &self.context.owner, &reading.cancel()).await?;
        observed.untagged.retain(|_, untagged| untagged.kind == Services::KIND);
        workspace::untagged::refuse(self.context.name(), &observed.untagged)?;
        Ok(observed)
    }

    /// Returns a step for each service that does not match the requested change yet.
    fn steps(&self, observed: &Observed) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for (address, change) in &self.changes {
            let Some(live) = observed.managed.get(address).and_then(|found| found.first()) else {
                return Err(Error::other(
                    ErrorCode::NotDeployed,
                    format!("{address} does not exist"),
                    "deploy it first",
                ));
            };
            steps.push(change.step(address, live)?);
        }
        steps.retain(|step| step.action != Action::NoOp);
        Ok(steps)
    }

    /// Returns whether the routing from the load balancer to the services needs to be repaired.
    ///
    /// # Errors
    /// A read that fails.
    pub async fn needs_repair(&self) -> Result<bool, Error> {
        let planned = self.plan(&self.context.snapshot, Reading::Preview).await?;
        Ok(!planned.plan.is_empty())
    }

    fn rollout_timeout(&self) -> Option<Duration> {
        deployed::rollout_timeout(self.context, self.wait)
    }

    fn configured_count(&self, address: &Address) -> Option<i32> {
        let key = names::service_key(address);
        let mut services = self.context.workspace.services.all();
        services.find(|(known, _)| *known == key).map(|(_, service)| service.count)
    }
}
