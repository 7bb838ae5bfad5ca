//! Plans with targets, requested replacements, ignored fields, and drift.

use crate::stack::{Config, FIRST, LateLedger, graph, lines, plan, plan_with_scope, run, run_with_scope};
use crate::world::{Shared, at};
use crate::{assert_no_changes, deployed};
use pb_engine::{Action, Address, Cancel, DriftKind, Goal, Origin, PlanScope, drift, observe};
use std::collections::BTreeSet;
use std::sync::Arc;

fn addresses(texts: &[&str]) -> BTreeSet<Address> {
    texts.iter().map(|text| Address::new(*text).unwrap()).collect()
}

fn targets(texts: &[&str]) -> PlanScope {
    PlanScope { targets: addresses(texts), ..PlanScope::default() }
}

/// Changes the size of one resource without the engine.
fn resize(world: &Shared, name: &str, size: u32) {
    let mut world = world.lock().unwrap();
    let thing = world.things.values_mut().find(|thing| thing.spec.name == name).unwrap();
    thing.spec.size = size;
}

#[tokio::test(start_paused = true)]
async fn target_is_created_with_its_dependencies_only() {
    let (world, ledger) = (Shared::default(), LateLedger::default());
    let graph = graph(&world, &FIRST);
    let part = targets(&["redis/jobqr"]);
    let made = plan_with_scope(&graph, &ledger, Goal::Deploy, &part).await.unwrap();
    assert!(lines(&made).contains(&"create net/vpc".to_owned()), "{:?}", lines(&made));
    assert!(!lines(&made).iter().any(|line| line.contains("fargate/")), "{:?}", lines(&made));
    assert!(run_with_scope(&world, &graph, &ledger, Goal::Deploy, &part).await.unwrap().is_complete());
    assert_eq!(ledger.snapshot().resources.len(), world.lock().unwrap().things.len());
    assert!(plan_with_scope(&graph, &ledger, Goal::Deploy, &part).await.unwrap().is_empty());
    assert!(run(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap().is_complete());
    assert_no_changes(&world, &ledger, &FIRST).await;
}

#[tokio::test(start_paused = true)]
async fn untargeted_resource_keeps_drift_record_and_outputs() {
    let (world, ledger) = deployed().await;
    let before = ledger.snapshot();
    resize(&world, "celery", 7);
    resize(&world, "flask", 7);
    let graph = graph(&world, &FIRST);
    let part = targets(&["fargate/flask"]);
    let planned = plan_with_scope(&graph, &ledger, Goal::Deploy, &part).await.unwrap();
    assert_eq!(lines(&planned), ["update fargate/flask"]);
    assert!(run_with_scope(&world, &graph, &ledger, Goal::Deploy, &part).await.unwrap().is_complete());
    let after = ledger.snapshot();
    assert_eq!((&after.resources, &after.outputs), (&before.resources, &before.outputs));
    let rest = plan(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap();
    assert_eq!(lines(&rest), ["update fargate/celery"]);
    assert_eq!(rest.changes().next().unwrap().origin, Some(Origin::Drift));
}

#[tokio::test(start_paused = true)]
async fn target_is_destroyed_with_its_dependents() {
    let (world, ledger) = deployed().await;
    let graph = graph(&world, &FIRST);
    let part = targets(&["edge/targets"]);
    let planned = plan_with_scope(&graph, &ledger, Goal::Destroy, &part).await.unwrap();
    let gone: BTreeSet<_> = planned.changes().map(|step| step.address.as_str()).collect();
    assert_eq!(gone, BTreeSet::from(["edge/listener", "edge/targets", "fargate/flask"]));
    assert!(run_with_scope(&world, &graph, &ledger, Goal::Destroy, &part).await.unwrap().is_complete());
    let left = ledger.snapshot();
    assert_eq!(left.resources.len(), world.lock().unwrap().things.len());
    assert!(left.outputs.contains_key("url"), "the load balancer still exists");
    assert!(run(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap().is_complete());
    assert_no_changes(&world, &ledger, &FIRST).await;
}

#[tokio::test(start_paused = true)]
async fn resource_with_untargeted_dependents_is_not_replaced() {
    let (world, ledger) = deployed().await;
    let graph = graph(&world, &Config { port: 6060, ..FIRST });
    let refused = plan_with_scope(&graph, &ledger, Goal::Deploy, &targets(&["edge/targets"])).await.unwrap_err();
    let why: Vec<_> = refused.iter().map(|refused| refused.why.as_str()).collect();
    assert!(refused.iter().all(|refused| refused.address.as_str() == "edge/targets"), "{refused:?}");
    assert!(why.iter().any(|why| why.contains("add `--target edge/listener`")), "{why:?}");
    let part = targets(&["edge/targets", "edge/listener", "fargate/flask"]);
    assert!(run_with_scope(&world, &graph, &ledger, Goal::Deploy, &part).await.unwrap().is_complete());
    assert_no_changes(&world, &ledger, &Config { port: 6060, ..FIRST }).await;
}

#[tokio::test(start_paused = true)]
async fn requested_replacement_needs_no_change() {
    let (world, ledger) = deployed().await;
    let old = at(&world, "redis/jobqr");
    let graph = graph(&world, &FIRST);
    let part = PlanScope { replace: addresses(&["redis/jobqr"]), ..PlanScope::default() };
    let planned = plan_with_scope(&graph, &ledger, Goal::Deploy, &part).await.unwrap();
    assert!(lines(&planned).contains(&"delete-then-create redis/jobqr".to_owned()), "{:?}", lines(&planned));
    let step = planned.changes().find(|step| step.address.as_str() == "redis/jobqr").unwrap();
    assert_eq!(step.reason.as_deref(), Some("requested with --replace"));
    assert!(run_with_scope(&world, &graph, &ledger, Goal::Deploy, &part).await.unwrap().is_complete());
    assert_ne!(at(&world, "redis/jobqr"), old);
    assert_no_changes(&world, &ledger, &FIRST).await;
}

#[tokio::test(start_paused = true)]
async fn ignored_field_keeps_its_live_value() {
    let (world, ledger) = deployed().await;
    resize(&world, "celery", 7);
    let celery = Address::new("fargate/celery").unwrap();
    let mut graph = graph(&world, &FIRST);
    assert!(graph.ignore(&celery, "size") && !graph.ignore(&Address::new("no/thing").unwrap(), "size"));
    assert!(plan_with_scope(&graph, &ledger, Goal::Deploy, &PlanScope::default()).await.unwrap().is_empty());
    let snapshot = ledger.snapshot();
    let observed = observe(&graph, &snapshot, &Arc::new(crate::world::owner()), &Cancel::never()).await.unwrap();
    assert_eq!(drift(&graph, &observed, &snapshot), []);
    // A replacement also keeps the live value of the field.
    let part = PlanScope { replace: addresses(&["fargate/celery"]), ..PlanScope::default() };
    assert!(run_with_scope(&world, &graph, &ledger, Goal::Deploy, &part).await.unwrap().is_complete());
    let sizes = |world: &Shared| {
        let world = world.lock().unwrap();
        let celery = world.things.values().filter(|thing| thing.spec.name == "celery");
        celery.map(|thing| thing.spec.size).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&world), [7]);
}

#[tokio::test(start_paused = true)]
async fn origin_distinguishes_drift_and_configuration() {
    let (world, ledger) = deployed().await;
    let origin = async |config: &Config| {
        let plan = plan(&world, &ledger, config, Goal::Deploy).await.unwrap();
        let step = plan.steps.iter().find(|step| step.address.as_str() == "fargate/task").unwrap().clone();
        (step.origin, step.drift.len())
    };
    assert_eq!(origin(&FIRST).await, (None, 0));
    assert_eq!(origin(&Config { size: 2, ..FIRST }).await, (Some(Origin::Configuration), 0));
    resize(&world, "task", 9);
    assert_eq!(origin(&FIRST).await, (Some(Origin::Drift), 1));
    assert_eq!(origin(&Config { size: 2, ..FIRST }).await, (Some(Origin::Both), 1), "both changed one field");
}

#[tokio::test(start_paused = true)]
async fn drift_compares_the_last_run_with_aws() {
    let (world, ledger) = deployed().await;
    let drifted = async |snapshot: &pb_engine::Snapshot| {
        let graph = graph(&world, &Config { size: 2, ..FIRST });
        let observed = observe(&graph, snapshot, &Arc::new(crate::world::owner()), &Cancel::never()).await.unwrap();
        let drifts = drift(&graph, &observed, snapshot);
        drifts.into_iter().map(|drift| (drift.address.as_str().to_owned(), drift.what)).collect::<Vec<_>>()
    };
    let mut snapshot = ledger.snapshot();
    assert_eq!(drifted(&snapshot).await, [], "a changed configuration is not drift");
    resize(&world, "celery", 7);
    {
        let mut world = world.lock().unwrap();
        let rule = world.things.iter().find(|(_, thing)| thing.spec.name == "queue-in-front").unwrap().0.clone();
        world.things.remove(&rule);
    }
    snapshot.resources.remove(&Address::new("edge/record").unwrap());
    let expected = [
        ("fargate/celery".to_owned(), DriftKind::Changed),
        ("net/queue_in_front".to_owned(), DriftKind::Deleted),
        ("edge/record".to_owned(), DriftKind::Appeared),
    ];
    assert_eq!(drifted(&snapshot).await, expected);
}

#[test]
fn untargeted_action_is_idle() {
    assert!(Action::Untargeted.is_idle() && Action::NoOp.is_idle());
    assert!(!Action::Wait.is_idle() && !Action::Delete.is_idle());
}
