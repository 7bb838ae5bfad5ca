//! Guards: conditions that a run checks before the first step of the plans to which they apply.

use crate::stack::{Config, FIRST, LateLedger, graph, plan};
use crate::world::{CACHE, Client, Shared, owner};
use crate::{assert_no_changes, deployed};
use futures_util::future::BoxFuture;
use pb_engine::{
    Class, Context, Event, Events, Failure, Goal, Graph, Guard, Operation, Outcome, Plan, Refusal, Run, apply_plan,
};
use std::sync::{Arc, Mutex};

/// A guard of caches that are deleted. It refuses if a cache still has content.
struct Emptiness {
    content: u32,
}

impl Guard for Emptiness {
    fn notice(&self, plan: &Plan) -> Option<String> {
        plan.deleted::<Client<CACHE>>().first().map(|(address, ..)| format!("{address} is counted"))
    }

    fn check<'a>(&'a self, _cx: &'a Context, plan: &'a Plan) -> BoxFuture<'a, Result<String, Failure>> {
        assert_eq!(plan.existing::<Client<CACHE>>().len(), 1);
        let refused = || Err(Failure::refused(Refusal::Plan, "count", format!("{} left", self.content)));
        Box::pin(async move { if self.content > 0 { refused() } else { Ok("empty".to_owned()) } })
    }
}

fn guarded(world: &Shared, config: &Config, content: u32) -> Graph {
    let mut graph = graph(world, config);
    graph.add_guard("redis/content", Emptiness { content }).unwrap();
    graph
}

/// Plans and applies `config` with the guard. Returns the announcements of guards, the result and the event lines.
async fn apply(
    world: &Shared,
    ledger: &LateLedger,
    (config, goal, content): (&Config, Goal, u32),
) -> (Vec<String>, Result<Outcome, Failure>, Vec<String>) {
    let graph = guarded(world, config, content);
    let plan = crate::stack::plan_with_scope(&graph, ledger, goal, &pb_engine::PlanScope::default()).await.unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let events = Events::new(move |event| match event {
        Event::Started { address, .. } => sink.lock().unwrap().push(format!("started {address}")),
        Event::Done { address, id, .. } => {
            sink.lock().unwrap().push(format!("done {address} {}", id.unwrap_or_default()));
        }
        _ => {}
    });
    let (owner, cancel) = (Arc::new(owner()), pb_engine::Cancel::never());
    let run = Run { id: "run".into(), operation: Operation::from(goal), owner, events, cancel };
    let result = apply_plan(&graph, &plan, ledger, &run).await;
    let announced = plan.guards.iter().map(|guard| format!("{}: {}", guard.address, guard.notice)).collect();
    let lines = lines.lock().unwrap().clone();
    (announced, result, lines)
}

const REPLACED: Config = Config { cache: "valkey", ..FIRST };

#[tokio::test(start_paused = true)]
async fn refused_guard_leaves_everything_as_it_was() {
    for (config, goal) in [(&FIRST, Goal::Destroy), (&REPLACED, Goal::Deploy)] {
        let (world, ledger) = deployed().await;
        let (writes, snapshot) = (world.lock().unwrap().writes, ledger.snapshot());
        let (announced, result, lines) = apply(&world, &ledger, (config, goal, 3)).await;
        assert_eq!(announced, ["redis/content: redis/jobqr is counted"]);
        let failure = result.unwrap_err();
        assert_eq!((failure.class, failure.message.as_str()), (Class::Refused, "3 left"));
        assert_eq!(lines, ["started redis/content"]);
        assert_eq!((world.lock().unwrap().writes, ledger.snapshot()), (writes, snapshot));
        assert_no_changes(&world, &ledger, &FIRST).await;
    }
}

#[tokio::test(start_paused = true)]
async fn guard_that_holds_is_checked_before_the_first_step() {
    let (world, ledger) = deployed().await;
    let (_, result, lines) = apply(&world, &ledger, (&REPLACED, Goal::Deploy, 0)).await;
    assert!(result.unwrap().is_complete());
    assert_eq!(lines[..2], ["started redis/content", "done redis/content empty"]);
    let (_, result, _) = apply(&world, &ledger, (&REPLACED, Goal::Destroy, 0)).await;
    assert!(result.unwrap().is_complete() && world.lock().unwrap().things.is_empty());
}

#[tokio::test(start_paused = true)]
async fn plan_without_the_guarded_deletion_ignores_the_guard() {
    let (world, ledger) = deployed().await;
    let change = Config { size: 2, ..FIRST };
    let (announced, result, lines) = apply(&world, &ledger, (&change, Goal::Deploy, 3)).await;
    assert!(result.unwrap().is_complete());
    assert_eq!(announced, [""; 0]);
    assert!(!lines.iter().any(|line| line.contains("redis/content")), "{lines:?}");
    assert!(plan(&world, &ledger, &change, Goal::Deploy).await.unwrap().guards.is_empty());
}
