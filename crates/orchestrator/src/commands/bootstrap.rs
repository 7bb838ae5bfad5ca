//! `bootstrap`: creates the prerequisites of the first deploy.

use crate::cli::{Consent, Global};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::output::{BOLD, paint};
use crate::run::outcome::print_summary;
use crate::workspace::context::{connect, load_workspace, state_location};
use crate::workspace::prerequisites;
use crate::{confirmation, output, signals};
use pb_bootstrap::BootstrapSpec;
use pb_config::Workspace;
use pb_engine::{
    Class, Failure, Goal, Graph, MemoryLedger, Plan, PlanScope, Run, Snapshot, apply_plan, compute_plan, observe,
};
use pb_rules::secrets;
use pb_state::{ConditionalWrites, Store};
use std::sync::Arc;
use std::time::Instant;

/// Plans, shows the plan, asks for confirmation and applies the plan. There is no lease and no state yet. Neither is
/// needed, because all resources have unique names, and existing resources are used.
///
/// # Errors
/// An error before the run begins. Failures of the run itself are printed here and decide the exit code.
pub async fn bootstrap(global: &Global, name: &str, zone: bool, consent: &Consent) -> Result<Exit, Error> {
    let reporter = Reporter::new(global.json, global.verbose);
    let workspace = load_workspace(global, name)?;
    let aws = connect(global, &workspace).await?;
    let account = prerequisites::account(&aws, &workspace).await?;
    let store = Store::new(&aws, &state_location(&workspace));
    // An existing bucket is used as it is. If its store ignores conditions, nothing is created.
    let probed = probe_conditions(&store).await?;
    let mut graph = Graph::new();
    pb_bootstrap::bootstrap(&mut graph, &aws, &spec(&workspace, &account, zone))?;
    let cancel = signals::listen();
    let owner = Arc::new(pb_bootstrap::shared_owner(&workspace.stack));
    let nothing = Snapshot::default();
    let observed = observe(&graph, &nothing, &owner, &cancel).await?;
    let plan =
        compute_plan(&graph, &observed, &nothing, Goal::Deploy, &PlanScope::default())?.map_err(Error::Refused)?;
    show_plan(&reporter, &plan, &format!("{} (account {account})", workspace.region));
    if !plan.is_empty() {
        confirmation::confirm(name, "bootstrap", consent.yes)?;
    }
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        operation: "bootstrap".to_owned(),
        owner,
        events: reporter.events(),
        cancel,
    };
    let since = Instant::now();
    let outcome = apply_plan(&graph, &plan, &MemoryLedger::default(), &run).await?;
    if !plan.is_empty() {
        print_summary(&reporter, &outcome, &run, "Bootstrapped", name, since);
    }
    if outcome.is_complete()
        && probed.is_some()
        && let Some(unknown) = probe_conditions(&store).await?
    {
        reporter.message(&format!(
            "Cannot check whether the bucket supports conditional writes ({unknown}). See `pb-deploy doctor {name}`."
        ));
    }
    reporter.json("finished", &serde_json::json!({ "complete": outcome.is_complete(), "outputs": outcome.outputs }));
    if !outcome.is_complete() {
        reporter
            .message(&format!("Run `pb-deploy bootstrap {name}` again to finish. It uses what was already created."));
        let stopped = outcome.failed.iter().all(|unfinished| unfinished.failure.class == Class::Interrupted);
        return Ok(if run.cancel.is_stopped() && stopped { Exit::Interrupted } else { Exit::Failed });
    }
    let servers = outcome.outputs.get("name_servers").and_then(serde_json::Value::as_array);
    if let Some(servers) = servers {
        let servers: Vec<&str> = servers.iter().filter_map(serde_json::Value::as_str).collect();
        let zone = paint(BOLD, &workspace.zone);
        reporter.message(&format!(
            "At your domain registrar, set the name servers of {zone} to:\n  {}",
            servers.join("\n  ")
        ));
    }
    Ok(Exit::Done)
}

/// Probes whether the state bucket supports conditional writes. Returns the failure of the probe if there was one, most
/// often because the bucket does not exist yet.
///
/// # Errors
/// A store that ignores conditions.
async fn probe_conditions(store: &Store) -> Result<Option<Failure>, Error> {
    match store.probe_conditional_writes().await {
        Ok(ConditionalWrites::Enforced) => Ok(None),
        Ok(ConditionalWrites::Ignored(failure)) => Err(failure.into()),
        Err(failure) => Ok(Some(failure)),
    }
}

/// Returns the desired prerequisites of a workspace.
pub fn spec(workspace: &Workspace, account: &str, zone: bool) -> BootstrapSpec {
    let references = workspace.services.all().flat_map(|(_, service)| service.secrets.values());
    BootstrapSpec {
        secrets: references.filter_map(|one| secrets::permission(one)).map(|(_, arn)| arn).collect(),
        secrets_policy: format!("{}.{}.{}.secrets", workspace.stack, workspace.name, workspace.region),
        account: account.to_owned(),
        bucket: workspace.state.bucket.clone(),
        region: workspace.region.clone(),
        table: workspace.state.lock_table.clone(),
        execution_role: workspace.roles.execution.clone(),
        zone: zone.then(|| workspace.zone.clone()),
    }
}

fn show_plan(reporter: &Reporter, plan: &Plan, place: &str) {
    reporter.json("plan", plan);
    let title = if plan.is_empty() { String::new() } else { format!("To bootstrap {place}:\n\n") };
    reporter.message(&format!("{title}{}", output::plan::text(plan, plan.is_empty())));
}
