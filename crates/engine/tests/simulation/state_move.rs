//! Moves: a resource is given the address that it has in the changed configuration, and is otherwise unchanged.

use crate::stack::{Config, FIRST, LateLedger, graph, lines, plan};
use crate::world::{Fault, Shared, at, owner};
use crate::{assert_no_changes, deployed};
use pb_engine::{
    Action, Address, Cancel, Events, Goal, MovePlan, Operation, Outcome, PlanError, Release, ReleaseOutcome, Released,
    Run, Scaled, apply_ownership_changes, observe, plan_move,
};
use std::sync::Arc;

const OLD: &str = "fargate/celery";
const NEW: &str = "fargate/workers";
const RENAMED: Config = Config { workers_at: NEW, ..FIRST };

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

async fn plan_workers(
    world: &Shared,
    ledger: &LateLedger,
    config: &Config,
    (from, to): (&str, &str),
) -> Result<MovePlan, Vec<PlanError>> {
    let (graph, snapshot) = (graph(world, config), ledger.snapshot());
    let observed = observe(&graph, &snapshot, &Arc::new(owner()), &Cancel::never()).await.unwrap();
    plan_move(&graph, &observed, &snapshot, &[(address(from), address(to))]).unwrap()
}

/// Moves the workers to their new address. Returns `None` if the process died.
async fn move_workers(world: &Shared, ledger: &LateLedger) -> Option<Outcome> {
    let moved = plan_workers(world, ledger, &RENAMED, (OLD, NEW)).await.ok()?;
    assert_eq!(lines(&moved.plan), ["move fargate/workers"]);
    assert_eq!(lines(&moved.afterwards.unwrap()), [""; 0], "a deploy has nothing to do afterwards");
    let run = Run {
        id: "run".into(),
        operation: Operation::Move,
        owner: Arc::new(owner()),
        events: Events::none(),
        cancel: Cancel::never(),
    };
    let (graph, death) = (graph(world, &RENAMED), Arc::clone(&world.lock().unwrap().death));
    let outcome = tokio::select! {
        outcome = apply_ownership_changes(&graph, &moved.plan, ledger, &run) => Some(outcome.unwrap()),
        () = death.notified() => None,
    };
    world.lock().unwrap().dead = false;
    outcome
}

#[tokio::test(start_paused = true)]
async fn renamed_address_is_moved_instead_of_replaced() {
    let (world, ledger) = deployed().await;
    let before = at(&world, OLD);
    let without_move = plan(&world, &ledger, &RENAMED, Goal::Deploy).await.unwrap();
    assert!(lines(&without_move).contains(&format!("delete {OLD}")), "without a move, the resource is deleted");
    assert!(move_workers(&world, &ledger).await.unwrap().is_complete());
    assert_eq!((at(&world, NEW), at(&world, OLD).len()), (before, 0));
    let recorded = ledger.snapshot().resources;
    assert!(recorded.contains_key(&address(NEW)) && !recorded.contains_key(&address(OLD)));
    assert_no_changes(&world, &ledger, &RENAMED).await;
}

#[tokio::test(start_paused = true)]
async fn state_move_survives_every_fault_and_a_lost_snapshot() {
    for fault in [Fault::Refused, Fault::Throttled, Fault::AnswerLost, Fault::DiesBefore, Fault::DiesAfter] {
        let (world, ledger) = deployed().await;
        let before = at(&world, OLD);
        let first = world.lock().unwrap().writes;
        world.lock().unwrap().faults = [(first, fault)].into();
        for _ in 0..2 {
            if move_workers(&world, &ledger).await.is_some_and(|outcome| outcome.is_complete()) {
                break;
            }
        }
        assert!(ledger.snapshot().intents.is_none(), "{fault:?}");
        assert_eq!(at(&world, NEW), before, "{fault:?}");
        assert!(!ledger.snapshot().resources.contains_key(&address(OLD)), "{fault:?}");
        assert_no_changes(&world, &ledger, &RENAMED).await;
    }
    let (world, ledger) = deployed().await;
    ledger.forget();
    assert!(move_workers(&world, &ledger).await.unwrap().is_complete());
    assert_no_changes(&world, &ledger, &RENAMED).await;
}

#[tokio::test(start_paused = true)]
async fn impossible_state_move_is_refused_with_its_reason() {
    let (world, ledger) = deployed().await;
    for (config, pair, why) in [
        (&FIRST, (OLD, NEW), "no resource is configured at fargate/workers"),
        (&RENAMED, ("fargate/nothing", NEW), "no managed resource at this address"),
        (&FIRST, (OLD, "fargate/flask"), "fargate/flask already has a managed resource"),
        (
            &RENAMED,
            ("fargate/task", NEW),
            "the resource is of kind sim.task, but fargate/workers is of kind sim.service",
        ),
        (&FIRST, (OLD, OLD), "source and destination are the same address"),
    ] {
        let refused = plan_workers(&world, &ledger, config, pair).await.err().unwrap();
        assert!(refused.len() == 1 && refused[0].why.contains(why), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn state_move_takes_releases_and_scaled_count_along() {
    let (world, ledger) = deployed().await;
    let released = Released { from: None, to: "task-1:1".to_owned(), image: None, outcome: ReleaseOutcome::Succeeded };
    let release = Release {
        run: "r".to_owned(),
        at: "2026-11-22T19:30:00Z".to_owned(),
        who: "ana".to_owned(),
        operation: Operation::Deploy,
        services: [(address(OLD), released)].into(),
    };
    let mut snapshot = ledger.snapshot();
    pb_engine::Entry::Released(release).apply(&mut snapshot);
    pb_engine::Entry::Scaled(address(OLD), Some(Scaled { count: 8, configured: 4 })).apply(&mut snapshot);
    let moved = plan_workers(&world, &ledger, &RENAMED, (OLD, NEW)).await.unwrap();
    let [step] = moved.plan.steps.as_slice() else { panic!("one step") };
    assert_eq!((step.action, step.from.as_ref()), (Action::Move, Some(&address(OLD))));
    let unrecorded = snapshot.resources[&address(OLD)].clone();
    let entry = pb_engine::Entry::Moved { from: address(OLD), to: address(NEW), unrecorded };
    // The entry is applied twice, as when a run is repeated.
    entry.clone().apply(&mut snapshot);
    entry.apply(&mut snapshot);
    assert_eq!(snapshot.releases[0].services.keys().collect::<Vec<_>>(), [&address(NEW)]);
    assert_eq!(snapshot.scaled.keys().collect::<Vec<_>>(), [&address(NEW)]);
}
