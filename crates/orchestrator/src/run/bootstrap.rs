//! `bootstrap` as an input of the pipeline: the prerequisites of the first deploy.

use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::output::{self, BOLD, paint};
use crate::run::finished::Finished;
use crate::run::outcome;
use crate::run::pipeline::{Input, Pass, Reading};
use pb_bootstrap::Bucket;
use pb_config::Workspace;
use pb_engine::{
    Action, Address, Failure, Goal, Graph, Operation, Outcome, Ownership, Plan, PlanScope, Resource, Snapshot,
    StepFailure, apply_plan, compute_plan, observe,
};
use pb_state::{ConditionalWrites, Store};
use std::sync::Arc;

/// A run that creates the prerequisites of the first deploy. There is no lease and no state yet. Neither is needed,
/// because all resources have unique names, and existing resources are used.
pub struct Bootstrap<'a> {
    pub workspace: &'a Workspace,
    pub graph: Graph,
    pub owner: Arc<Ownership>,
    pub account: String,
    pub store: Store,
    /// The failure to check whether the store supports conditional writes; mostly because it does not exist yet.
    pub probed: Option<Failure>,
}

impl Input for Bootstrap<'_> {
    type Planned = Plan;

    fn operation(&self) -> Operation {
        Operation::Bootstrap
    }

    async fn plan(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<Plan, Error> {
        let observed = observe(&self.graph, snapshot, &self.owner, &reading.cancel()).await?;
        let plan = compute_plan(&self.graph, &observed, snapshot, Goal::Deploy, &PlanScope::default())?;
        plan.map_err(Error::Refused)
    }

    fn show(&self, reporter: &Reporter, plan: &Plan) {
        reporter.json("plan", plan);
        let place = format!("{} (account {})", self.workspace.region, self.account);
        let title = if plan.is_empty() { String::new() } else { format!("To bootstrap {place}:\n\n") };
        reporter.message(&format!("{title}{}", output::plan::text(plan, plan.is_empty())));
    }

    /// An empty plan is applied too, because its outputs are printed.
    fn is_done(&self, _plan: &Plan, _snapshot: &Snapshot) -> bool {
        false
    }

    fn question(&self, plan: &Plan) -> Option<String> {
        (!plan.is_empty()).then(|| self.operation().to_string())
    }

    /// Existing resources are used as they are, so a plan that has changed since it was shown needs no new approval.
    fn approve(&self, _reporter: &Reporter, _shown: Option<&Plan>, _pass: &Pass<'_, Self>) -> Result<(), Error> {
        Ok(())
    }

    async fn apply(&self, pass: &Pass<'_, Self>) -> Result<Outcome, Error> {
        Ok(apply_plan(&self.graph, pass.planned, pass.ledger, pass.run).await?)
    }

    async fn verify(&self, reporter: &Reporter, pass: &Pass<'_, Self>, outcome: &mut Outcome) {
        if !outcome.is_complete() || self.probed.is_none() {
            return;
        }
        match probe_conditions(&self.store).await {
            Ok(None) => {}
            Ok(Some(unknown)) => reporter.message(&format!(
                "Cannot check whether the bucket supports conditional writes ({unknown}). See `pb-deploy doctor {}`.",
                self.workspace.name
            )),
            Err(failure) => outcome.failed.extend(bucket(pass).map(|address| StepFailure {
                address,
                action: Action::Check,
                failure,
                remains: None,
            })),
        }
    }

    fn summarize(&self, finished: &Finished<'_, Self::Planned>) {
        if !finished.planned.is_empty() {
            outcome::print_summary(finished, "Bootstrapped");
        }
    }

    fn finish(&self, finished: &Finished<'_, Self::Planned>) -> Exit {
        let Finished { reporter, workspace, outcome, run, .. } = finished;
        let complete = outcome.is_complete();
        reporter.json("finished", &serde_json::json!({ "complete": complete, "outputs": outcome.outputs }));
        if !complete {
            reporter.message(&format!(
                "Run `pb-deploy bootstrap {workspace}` again to finish. It uses what was already created."
            ));
        }
        let servers = outcome.outputs.get("name_servers").and_then(serde_json::Value::as_array);
        if let Some(servers) = servers.filter(|_| complete) {
            let servers: Vec<&str> = servers.iter().filter_map(serde_json::Value::as_str).collect();
            let zone = paint(BOLD, &self.workspace.zone);
            reporter.message(&format!(
                "At your domain registrar, set the name servers of {zone} to:\n  {}",
                servers.join("\n  ")
            ));
        }
        outcome::exit(outcome, run)
    }
}

/// Returns the address of the state bucket.
fn bucket(pass: &Pass<'_, Bootstrap<'_>>) -> Option<Address> {
    pass.planned.steps.iter().find(|step| step.kind == Bucket::KIND).map(|step| step.address.clone())
}

/// Probes whether the state bucket supports conditional writes. Returns the failure of the probe if there was one, most
/// often because the bucket does not exist yet.
///
/// # Errors
/// A store that ignores conditions.
pub async fn probe_conditions(store: &Store) -> Result<Option<Failure>, Failure> {
    match store.probe_conditional_writes().await {
        Ok(ConditionalWrites::Enforced) => Ok(None),
        Ok(ConditionalWrites::Ignored(failure)) => Err(failure),
        Err(failure) => Ok(Some(failure)),
    }
}
