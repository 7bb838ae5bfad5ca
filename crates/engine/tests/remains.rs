//! The state in which failed steps leave their resources, as data.

#![expect(clippy::unwrap_used, reason = "a panic makes the test fail")]

use pb_engine::testing::{Fake, FakeSpec, FakeWorld};
use pb_engine::{Cancel, Events, MemoryLedger, Ownership, PlanScope};
use pb_engine::{Class, Failure, Goal, Graph, Outcome, Remains, Run, apply_plan, compute_plan, observe};
use std::sync::Arc;

async fn run(world: &FakeWorld, ledger: &MemoryLedger, value: &'static str, goal: Goal) -> Outcome {
    let mut graph = Graph::new();
    let kind = graph.kind(Fake(world.clone()));
    graph.add("test/thing", &kind, (), move |()| FakeSpec { value: value.to_owned() }).unwrap();
    let owner = Arc::new(Ownership { stack: "s".to_owned(), workspace: "w".to_owned() });
    let cancel = Cancel::never();
    let observed = observe(&graph, &ledger.snapshot(), &owner, &cancel).await.unwrap();
    let plan = compute_plan(&graph, &observed, &ledger.snapshot(), goal, &PlanScope::default()).unwrap().unwrap();
    let run = Run { id: "r".to_owned(), operation: goal.into(), owner, events: Events::none(), cancel };
    apply_plan(&graph, &plan, ledger, &run).await.unwrap()
}

async fn remains(world: &FakeWorld, value: &'static str, goal: Goal, call: &str, class: Class) -> Option<Remains> {
    let ledger = MemoryLedger::default();
    assert!(run(world, &ledger, "one", Goal::Deploy).await.is_complete());
    world.fail(call, Failure::new(class, call, "it fails"));
    let outcome = run(world, &ledger, value, goal).await;
    outcome.failed.first().unwrap().remains
}

#[tokio::test(start_paused = true)]
async fn failed_create_leaves_nothing_only_if_it_was_refused() {
    for (class, expected) in [
        (Class::Refused, Remains::Nothing),
        (Class::Denied, Remains::Nothing),
        (Class::Failed, Remains::MayExist),
        (Class::TimedOut, Remains::MayExist),
    ] {
        let world = FakeWorld::default();
        world.fail("create test/thing", Failure::new(class, "create", "it fails"));
        let outcome = run(&world, &MemoryLedger::default(), "one", Goal::Deploy).await;
        assert_eq!(outcome.failed.first().unwrap().remains, Some(expected), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_update_leaves_the_resource() {
    for class in [Class::Refused, Class::TimedOut] {
        let world = FakeWorld::default();
        let left = remains(&world, "two", Goal::Deploy, "update test/thing", class).await;
        assert_eq!(left, Some(Remains::Exists), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_delete_leaves_the_resource_if_it_was_refused() {
    for (class, expected) in [(Class::Refused, Remains::Exists), (Class::TimedOut, Remains::MayExist)] {
        let world = FakeWorld::default();
        let left = remains(&world, "two", Goal::Destroy, "delete test/thing", class).await;
        assert_eq!(left, Some(expected), "{class:?}");
    }
}
