//! Waits and retries end within the limit that is set for the graph, and report each reason once.

use crate::deployed;
use crate::stack::{FIRST, LateLedger, graph, plan_with_scope};
use crate::world::{Fault, Shared, Spec, Thing, at, owner};
use pb_engine::{Cancel, Class, Event, Events, Goal, Outcome, PlanScope, Run, apply_plan};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const WITHIN: Duration = Duration::from_secs(60);

/// Plans and applies `goal` with a limit on waits. Returns the outcome and the reasons that were reported at `address`.
async fn run(world: &Shared, ledger: &LateLedger, goal: Goal, address: &'static str) -> (Outcome, Vec<String>) {
    let mut graph = graph(world, &FIRST);
    graph.wait_at_most(WITHIN);
    let plan = plan_with_scope(&graph, ledger, goal, &PlanScope::default()).await.unwrap();
    let reported: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&reported);
    let events = Events::new(move |event| match event {
        Event::Waiting { address: at, what } if at.as_str() == address => sink.lock().unwrap().push(what),
        Event::Retrying { address: at, failure } if at.as_str() == address => {
            sink.lock().unwrap().push(failure.to_string());
        }
        _ => {}
    });
    let owner = Arc::new(owner());
    let run = Run { id: "run".into(), operation: goal.into(), owner, events, cancel: Cancel::never() };
    let outcome = apply_plan(&graph, &plan, ledger, &run).await.unwrap();
    let reported = reported.lock().unwrap().clone();
    (outcome, reported)
}

/// Adds an unmanaged rule that uses the security group of the queue.
fn unmanaged_rule(world: &Shared) {
    let queue = at(world, "net/queue").pop_first().unwrap();
    let uses = BTreeMap::from([("group".to_owned(), queue)]);
    let spec = Spec { name: "foreign".into(), uses, size: 1, shape: String::new(), setting: true };
    let thing = Thing { kind: "sim.rule", spec, tags: BTreeMap::new(), revision: 0, made: Instant::now() };
    world.lock().unwrap().things.insert("rule-foreign".to_owned(), thing);
}

#[tokio::test(start_paused = true)]
async fn refused_delete_ends_within_the_limit_and_reports_once() {
    let (world, ledger) = deployed().await;
    unmanaged_rule(&world);
    // Other deletes also fail, because some resources linger for longer than the limit, so only the security group of
    // the queue is examined.
    let since = Instant::now();
    let (outcome, reported) = run(&world, &ledger, Goal::Destroy, "net/queue").await;
    let failed = outcome.failed.iter().find(|failed| failed.address.as_str() == "net/queue").unwrap();
    assert_eq!(failed.failure.class, Class::InUse);
    assert!(failed.failure.message.ends_with("; retried for 60 s"), "{}", failed.failure);
    let mut causes = reported.clone();
    causes.dedup();
    assert_eq!(reported, causes, "the same cause is not reported twice in a row");
    assert!(since.elapsed() < 3 * WITHIN, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn throttled_create_ends_within_the_limit() {
    let (world, ledger) = (Shared::default(), LateLedger::default());
    world.lock().unwrap().faults = (0..10_000).map(|call| (call, Fault::Throttled)).collect();
    let since = Instant::now();
    let (outcome, reported) = run(&world, &ledger, Goal::Deploy, "net/vpc").await;
    assert!(!outcome.is_complete());
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(since.elapsed() <= WITHIN + Duration::from_secs(1), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_slow_resource_ends_within_the_limit() {
    let (world, ledger) = (Shared::default(), LateLedger::default());
    let (outcome, _) = run(&world, &ledger, Goal::Deploy, "redis/jobqr").await;
    let failed = outcome.failed.iter().find(|failed| failed.address.as_str() == "redis/jobqr").unwrap();
    assert_eq!(failed.failure.class, Class::TimedOut);
    assert!(failed.failure.message.contains("gave up after 60 s"), "{}", failed.failure);
}
