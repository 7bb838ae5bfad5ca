//! `wait`: follows the latest releases to their end.

use crate::cli::{Global, WaitOptions};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::output::{GOOD, paint};
use crate::run::releases::SERVICE;
use crate::run::service_change::{DeployedWorkspace, step};
use crate::run::{earlier_releases, outcome, releases};
use crate::signals;
use crate::stack::target_health;
use pb_engine::{Action, Graph, MemoryLedger, Outcome, Plan, Run, Step, apply_plan};
use pb_fargate::ServiceSpec;
use std::sync::Arc;

/// Waits until the latest releases serve. Changes nothing in AWS, but records the outcomes of the rollouts if the lease
/// is free.
///
/// # Errors
/// A read that fails. A rollout that failed is printed here and decides the exit code.
pub async fn wait(global: &Global, name: &str, wait: &WaitOptions) -> Result<Exit, Error> {
    let deployed = DeployedWorkspace::open(global, name).await?;
    let reporter = Reporter::new(global.json, global.verbose);
    let mut graph = Graph::new();
    let kind =
        pb_fargate::register_services(&mut graph, &deployed.aws, deployed.rollout_timeout(wait), usize::MAX, false);
    let healthy = target_health::kind(&deployed.aws, &deployed.workspace, deployed.rollout_timeout(wait));
    let mut steps = Vec::new();
    for address in deployed.services() {
        let record = &deployed.snapshot.resources[address];
        let spec: ServiceSpec = serde_json::from_value(record.spec.clone()).map_err(|e| {
            Error::other(format!("cannot read the record of {address}: {e}"), "deploy with this version")
        })?;
        let (key, count) = (releases::key(address), spec.desired_count);
        let service = graph.add(address.as_str(), &kind, (), {
            let spec = spec.clone();
            move |()| spec.clone()
        })?;
        let at_least = target_health::at_least(&deployed.workspace, key, count);
        target_health::add(&mut graph, &healthy, (key, service), &spec, at_least)?;
        let (before, attrs) = (Some(record.spec.clone()), Some(record.attrs.clone()));
        let after = before.clone();
        steps.push(Step { before, after, attrs, ..step(address, SERVICE, Action::Wait, None) });
    }
    let run = Run {
        id: String::new(),
        operation: "wait".to_owned(),
        owner: Arc::new(deployed.location.owner.clone()),
        events: reporter.events(),
        cancel: signals::listen(),
    };
    let checks = if deployed.rollout_timeout(wait).is_some() { graph.due_checks() } else { Vec::new() };
    let plan = Plan { steps, checks };
    let ledger = MemoryLedger::default();
    let outcome = tokio::select! {
        outcome = apply_plan(&graph, &plan, &ledger, &run) => outcome?,
        () = reporter.report_long_waits() => Outcome::default(),
    };
    earlier_releases::record_after_wait(&reporter, global, &deployed, &plan, &outcome, &ledger.snapshot()).await;
    outcome::print_failures(&reporter, &outcome, name);
    if !outcome.is_complete() {
        reporter.json("finished", &serde_json::json!({ "complete": false }));
        return Ok(outcome::exit(&outcome, &run));
    }
    reporter.json("finished", &serde_json::json!({ "complete": true }));
    reporter.message(&paint(GOOD, format!("All services of {name} run the latest release.")));
    Ok(Exit::Done)
}
