//! The wait for the latest releases of all services. It needs no lease, because it changes nothing.

use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::output::{GOOD, paint};
use crate::run::{earlier_releases, outcome};
use crate::signals;
use crate::stack::{names, target_health};
use crate::workspace::context::WorkspaceContext;
use crate::workspace::deployed;
use pb_engine::{Action, ErrorCode, Graph, MemoryLedger, Operation, Outcome, Plan, Resource, Run, Step, apply_plan};
use pb_fargate::Services;
use std::sync::Arc;
use std::time::Duration;

/// Waits until the latest releases serve, for at most `timeout`, and records the outcomes of the rollouts if the lease
/// is free.
///
/// # Errors
/// A read that fails. A rollout that failed is printed here and decides the result.
pub async fn wait_for_releases(
    reporter: &Reporter,
    context: &WorkspaceContext,
    timeout: Option<Duration>,
) -> Result<Exit, Error> {
    let (graph, plan) = graph(context, timeout)?;
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        operation: Operation::Wait,
        owner: Arc::clone(&context.owner),
        events: reporter.events(),
        cancel: signals::listen(),
    };
    reporter.begin(&run.id, run.operation);
    let ledger = MemoryLedger::default();
    let outcome = tokio::select! {
        outcome = apply_plan(&graph, &plan, &ledger, &run) => outcome?,
        () = reporter.report_long_waits() => Outcome::default(),
    };
    earlier_releases::record_after_wait(reporter, context, &plan, &outcome, &ledger.snapshot()).await;
    outcome::print_failures(reporter, &outcome, context.name());
    reporter.json("finished", &serde_json::json!({ "complete": outcome.is_complete() }));
    if outcome.is_complete() {
        reporter.message(&paint(GOOD, format!("All services of {} run the latest release.", context.name())));
    }
    Ok(outcome::exit(&outcome, &run))
}

/// Returns the graph of the recorded services with the checks of their targets, and the plan that waits for both.
fn graph(context: &WorkspaceContext, timeout: Option<Duration>) -> Result<(Graph, Plan), Error> {
    let mut graph = Graph::new();
    let kind = pb_fargate::register_services(&mut graph, &context.aws, deployed::observed_rollouts(context, timeout));
    let healthy = target_health::kind(&context.aws, &context.workspace, timeout);
    let mut steps = Vec::new();
    for address in deployed::services(context) {
        let record = &context.snapshot.resources[address];
        let service = context.snapshot.get::<Services>(address.as_str()).map_err(|failure| {
            Error::other(
                ErrorCode::StateUnreadable,
                format!("cannot read the record of {address}: {failure}"),
                "deploy with this version",
            )
        })?;
        let Some(spec) = service.map(|service| service.spec) else { continue };
        let (key, count) = (names::service_key(address), spec.desired_count);
        let handle = graph.add(address.as_str(), &kind, (), {
            let spec = spec.clone();
            move |()| spec.clone()
        })?;
        let at_least = target_health::at_least(&context.workspace, key, count);
        target_health::add(&mut graph, &healthy, (key, handle), &spec, at_least)?;
        steps.push(Step {
            before: Some(record.spec.clone()),
            after: Some(record.spec.clone()),
            attrs: Some(record.attrs.clone()),
            ..Step::new(address.clone(), Services::KIND, Action::Wait)
        });
    }
    let checks = if timeout.is_some() { graph.due_checks() } else { Vec::new() };
    Ok((graph, Plan { steps, checks, ..Plan::default() }))
}
