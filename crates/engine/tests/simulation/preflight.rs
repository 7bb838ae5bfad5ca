//! Preflight checks: the plans for which they run, and the steps that they receive.

use crate::deployed;
use crate::stack::{Config, FIRST, LateLedger, graph, plan};
use crate::world::{CACHE, Client, GROUP, Shared, TARGET, TASK, owner};
use futures_util::future::BoxFuture;
use pb_engine::{Address, Cancel, Failure, Goal, PlanError, Planned, PreflightCheck, observe, preflight};
use std::sync::{Arc, Mutex};

/// A preflight check that refuses every deletion of a group, and notes the steps of other resource kinds.
#[derive(Clone, Default)]
struct Probe(Arc<Mutex<Vec<String>>>);

impl PreflightCheck for Probe {
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>> {
        let groups = planned.deleted::<Client<GROUP>>();
        let mut seen = self.0.lock().unwrap();
        seen.push(format!("groups {} of {}", groups.len(), planned.managed::<Client<GROUP>>().len()));
        seen.extend(planned.added::<Client<TARGET>>().into_iter().map(|(at, spec)| format!("{at} {}", spec.name)));
        seen.extend(planned.added::<Client<CACHE>>().into_iter().map(|(at, spec)| format!("{at} {}", spec.name)));
        let updated = planned.updated::<Client<TASK>>();
        seen.extend(updated.into_iter().map(|(old, new)| format!("{} {} to {}", new.name, old.size, new.size)));
        let refused =
            groups.into_iter().map(|(address, spec, _)| PlanError::new(address, format!("{} is kept", spec.name)));
        let refused = refused.collect();
        Box::pin(async { Ok(refused) })
    }
}

/// Plans `config` and runs the preflight check on the plan. Returns the errors, and the steps that the check noted.
async fn run_check(world: &Shared, ledger: &LateLedger, config: &Config, goal: Goal) -> (Vec<PlanError>, Vec<String>) {
    let (mut graph, probe) = (graph(world, config), Probe::default());
    graph.add_preflight_check(probe.clone());
    let observed = observe(&graph, &ledger.snapshot(), &Arc::new(owner()), &Cancel::never()).await.unwrap();
    let plan = plan(world, ledger, config, goal).await.unwrap();
    let refused = preflight(&graph, &observed, &owner(), &plan).await.unwrap();
    let seen = probe.0.lock().unwrap().clone();
    (refused, seen)
}

#[tokio::test(start_paused = true)]
async fn preflight_checks_see_only_plans_with_writes() {
    let (world, ledger) = deployed().await;
    assert_eq!(run_check(&world, &ledger, &FIRST, Goal::Deploy).await, (vec![], vec![]));
    let (refused, seen) = run_check(&world, &ledger, &FIRST, Goal::Destroy).await;
    assert_eq!(seen, ["groups 2 of 2"]);
    let group = |at: &str, name: &str| PlanError::new(Address::new(at).unwrap(), format!("{name} is kept"));
    assert_eq!(refused, [group("net/front", "front"), group("net/queue", "queue")]);
}

#[tokio::test(start_paused = true)]
async fn added_resources_exclude_destroy_before_create() {
    let (world, ledger) = (Shared::default(), LateLedger::default());
    let (_, seen) = run_check(&world, &ledger, &FIRST, Goal::Deploy).await;
    assert_eq!(seen, ["groups 0 of 0", "edge/targets flask-5050", "redis/jobqr jobqr"]);
    let (world, ledger) = deployed().await;
    // The new target group has another name; the cache keeps its name, so the old cache is deleted first.
    let changed = Config { port: 8000, cache: "valkey", size: 2, ..FIRST };
    let (refused, seen) = run_check(&world, &ledger, &changed, Goal::Deploy).await;
    assert_eq!(refused, []);
    assert_eq!(seen, ["groups 0 of 2", "edge/targets flask-8000", "task 1 to 2"]);
}
