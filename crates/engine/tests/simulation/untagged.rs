//! Only tags decide ownership: a recorded resource that has lost its tags is neither changed nor deleted until they are
//! restored. A run waits for the tags of resources that were just created.

use crate::deployed;
use crate::stack::{Config, FIRST, LateLedger, graph, lines, plan, plan_with_scope, run};
use crate::world::{Fault, Shared, at, owner};
use pb_engine::{
    Action, Address, AdoptionPlan, Cancel, DriftKind, Events, Goal, Imports, Operation, PlanScope, Run,
    apply_ownership_changes, drift, observe, observe_with_imports, plan_adoption,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

/// Removes the tags of one resource. Returns its id.
fn strip_tags(world: &Shared, name: &str) -> String {
    let mut world = world.lock().unwrap();
    let (id, thing) = world.things.iter_mut().find(|(_, thing)| thing.spec.name == name).unwrap();
    thing.tags.clear();
    id.clone()
}

async fn adopt_imports(world: &Shared, ledger: &LateLedger, claims: &Imports) -> AdoptionPlan {
    let (graph, snapshot) = (graph(world, &FIRST), ledger.snapshot());
    let owner = Arc::new(owner());
    let observed = observe_with_imports(&graph, &snapshot, &owner, claims, &Cancel::never()).await.unwrap();
    let takeover = plan_adoption(&graph, &observed, &snapshot, claims).unwrap().unwrap();
    let (events, cancel) = (Events::none(), Cancel::never());
    let run = Run { id: "run".into(), operation: Operation::Adopt, owner, events, cancel };
    assert!(apply_ownership_changes(&graph, &takeover.plan, ledger, &run).await.unwrap().is_complete());
    takeover
}

#[tokio::test(start_paused = true)]
async fn resource_without_tags_is_refused_by_deploy_and_destroy() {
    for name in ["vpc", "queue", "queue-in-front", "jobqr", "flask-5050", "public", "http", "flask", "host"] {
        let (world, ledger) = deployed().await;
        let (id, writes) = (strip_tags(&world, name), world.lock().unwrap().writes);
        for goal in [Goal::Deploy, Goal::Destroy] {
            let refused = plan(&world, &ledger, &FIRST, goal).await.unwrap_err();
            assert!(refused.len() == 1 && refused[0].why.starts_with(&id), "{name}: {refused:?}");
            assert!(refused[0].why.contains("has lost this workspace's tags"), "{refused:?}");
        }
        assert_eq!(world.lock().unwrap().writes, writes);
    }
}

#[tokio::test(start_paused = true)]
async fn resource_without_tags_and_record_is_left_by_destroy() {
    let (world, ledger) = deployed().await;
    let id = strip_tags(&world, "host");
    ledger.forget();
    assert!(run(&world, &ledger, &FIRST, Goal::Destroy).await.unwrap().is_complete());
    assert_eq!(world.lock().unwrap().things.keys().collect::<Vec<_>>(), [&id]);
}

#[tokio::test(start_paused = true)]
async fn plan_of_other_targets_ignores_lost_tags() {
    let (world, ledger) = deployed().await;
    strip_tags(&world, "celery");
    let part = PlanScope { targets: BTreeSet::from([address("redis/jobqr")]), ..PlanScope::default() };
    let graph = graph(&world, &FIRST);
    assert!(plan_with_scope(&graph, &ledger, Goal::Deploy, &part).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn untagged_orphan_is_refused_with_hint_to_forget() {
    let (world, ledger) = deployed().await;
    strip_tags(&world, "celery");
    let smaller = Config { workers: false, ..FIRST };
    let refused = plan(&world, &ledger, &smaller, Goal::Deploy).await.unwrap_err();
    assert!(refused[0].why.contains("with `pb-deploy forget`"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn adopt_restores_lost_tags() {
    let (world, ledger) = deployed().await;
    let before = at(&world, "edge/balancer");
    let (balancer, net) = (strip_tags(&world, "public"), at(&world, "net/vpc").pop_first().unwrap());
    let claims = Imports::from([(address("edge/balancer"), balancer), (address("net/vpc"), net)]);
    let takeover = adopt_imports(&world, &ledger, &claims).await;
    let actions: Vec<Action> = takeover.plan.steps.iter().map(|step| step.action).collect();
    assert_eq!(actions, [Action::Adopt, Action::NoOp], "a tagged resource needs no change");
    assert_eq!(takeover.restored, BTreeSet::from([address("edge/balancer")]));
    assert!(takeover.afterwards.unwrap().is_empty());
    assert_eq!(at(&world, "edge/balancer"), before);
    assert!(plan(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn plan_after_adopt_refuses_other_untagged_resources() {
    let (world, ledger) = deployed().await;
    strip_tags(&world, "queue");
    let claims = Imports::from([(address("edge/balancer"), strip_tags(&world, "public"))]);
    let refused = adopt_imports(&world, &ledger, &claims).await.afterwards.unwrap_err();
    assert_eq!(refused.iter().map(|refused| refused.address.as_str()).collect::<Vec<_>>(), ["net/queue"]);
}

#[tokio::test(start_paused = true)]
async fn lost_tags_are_drift() {
    let (world, ledger) = deployed().await;
    strip_tags(&world, "public");
    let (graph, snapshot) = (graph(&world, &FIRST), ledger.snapshot());
    let observed = observe(&graph, &snapshot, &Arc::new(owner()), &Cancel::never()).await.unwrap();
    let seen = drift(&graph, &observed, &snapshot);
    assert_eq!(seen.iter().map(|drift| drift.what).collect::<Vec<_>>(), [DriftKind::Untagged]);
}

#[tokio::test(start_paused = true)]
async fn tags_not_visible_yet_are_waited_for() {
    for stored in [false, true] {
        for write in 0.. {
            let (world, ledger) = (Shared::default(), LateLedger::default());
            world.lock().unwrap().tags_lag = Duration::from_secs(4);
            world.lock().unwrap().faults = [(write, Fault::DiesAfter)].into();
            let whole = run(&world, &ledger, &FIRST, Goal::Deploy).await;
            if whole.is_some_and(|outcome| outcome.is_complete()) {
                assert!(write > 10, "{write}");
                break;
            }
            if stored {
                ledger.store();
            }
            let outcome = run(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap();
            assert!(outcome.is_complete(), "{write}: {outcome:?}");
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(lines(&plan(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap()), [""; 0]);
            let addresses = world.lock().unwrap().addresses();
            let distinct: BTreeSet<&String> = addresses.iter().collect();
            assert_eq!(distinct.len(), addresses.len(), "{write}: a resource exists twice");
        }
    }
}
