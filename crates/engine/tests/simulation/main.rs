//! The engine over a simulated cloud, on a paused clock.

#![expect(clippy::unwrap_used, reason = "a panic makes the test fail")]

mod checks;
mod faults;
mod guards;
mod lost_lease;
mod plan_scope;
mod preflight;
mod stack;
mod state_move;
mod untagged;
mod waits;
mod world;

use pb_engine::Goal;
use stack::{Config, FIRST, LateLedger, lines, plan, run};
use std::sync::Arc;
use tokio::time::Instant;
use world::{Shared, at};

async fn deployed() -> (Shared, LateLedger) {
    let (world, ledger) = (Shared::default(), LateLedger::default());
    assert!(run(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap().is_complete());
    (world, ledger)
}

/// Plans and applies `config`, and checks that nothing is left to do. Returns the lines of the plan that was applied.
async fn change(world: &Shared, ledger: &LateLedger, config: &Config) -> Vec<String> {
    let lines = lines(&plan(world, ledger, config, Goal::Deploy).await.unwrap());
    let outcome = run(world, ledger, config, Goal::Deploy).await.unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_no_changes(world, ledger, config).await;
    lines
}

async fn assert_no_changes(world: &Shared, ledger: &LateLedger, config: &Config) {
    let plan = plan(world, ledger, config, Goal::Deploy).await.unwrap();
    assert!(plan.is_empty(), "left to do: {:?}", lines(&plan));
    let mut addresses = world.lock().unwrap().addresses();
    let all = addresses.len();
    addresses.dedup();
    assert_eq!(all, addresses.len(), "a resource exists twice");
    assert_eq!(all, stack::graph(world, config).addresses().count());
}

#[tokio::test(start_paused = true)]
async fn first_deploy_takes_as_long_as_the_critical_path() {
    let since = Instant::now();
    let (world, ledger) = deployed().await;
    // The cache takes 300 s to become ready, and then the service takes 60 s; polls are at most 5 s apart, and calls
    // take 40 ms.
    assert!((360..373).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    assert_no_changes(&world, &ledger, &FIRST).await;
    assert_eq!(ledger.snapshot().outputs["url"], format!("{}.example", at(&world, "edge/balancer").first().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn second_deploy_writes_nothing() {
    let (world, ledger) = deployed().await;
    let writes = world.lock().unwrap().writes;
    run(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap();
    assert_eq!(world.lock().unwrap().writes, writes);
}

#[tokio::test(start_paused = true)]
async fn lost_snapshot_loses_no_resource() {
    let (world, ledger) = deployed().await;
    ledger.forget();
    assert_no_changes(&world, &ledger, &FIRST).await;
    run(&world, &ledger, &FIRST, Goal::Destroy).await.unwrap();
    assert!(world.lock().unwrap().things.is_empty());
}

#[tokio::test(start_paused = true)]
async fn changed_task_is_updated_before_its_services() {
    let (world, ledger) = deployed().await;
    let lines = change(&world, &ledger, &Config { size: 2, ..FIRST }).await;
    assert_eq!(lines, ["update fargate/task", "update fargate/flask", "update fargate/celery"]);
}

#[tokio::test(start_paused = true)]
async fn renamed_resource_is_created_before_the_old_one_is_deleted() {
    let (world, ledger) = deployed().await;
    let old = at(&world, "edge/targets");
    let lines = change(&world, &ledger, &Config { port: 6060, ..FIRST }).await;
    assert_eq!(lines, ["create-then-delete edge/targets", "update edge/listener", "update fargate/flask"]);
    assert_ne!(at(&world, "edge/targets"), old);
}

#[tokio::test(start_paused = true)]
async fn resource_with_the_same_name_is_deleted_before_it_is_created() {
    let (world, ledger) = deployed().await;
    let lines = change(&world, &ledger, &Config { cache: "valkey", ..FIRST }).await;
    assert_eq!(
        lines,
        ["delete-then-create redis/jobqr", "update fargate/task", "update fargate/flask", "update fargate/celery"]
    );
}

#[tokio::test(start_paused = true)]
async fn changed_network_replaces_everything_in_it() {
    let (world, ledger) = deployed().await;
    let lines = change(&world, &ledger, &Config { net: "10.1.0.0/16", ..FIRST }).await;
    assert_eq!(lines[0], "create-then-delete net/vpc");
    assert!(lines.contains(&"delete-then-create net/front".to_owned()), "{lines:?}");
    assert!(lines.contains(&"delete-then-create edge/balancer".to_owned()), "{lines:?}");
    assert!(lines.contains(&"update edge/record".to_owned()), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn unconfigured_resource_is_deleted() {
    let (world, ledger) = deployed().await;
    let lines = change(&world, &ledger, &Config { workers: false, ..FIRST }).await;
    assert_eq!(lines, ["delete fargate/celery"]);
    assert!(at(&world, "fargate/celery").is_empty());
}

#[tokio::test(start_paused = true)]
async fn plan_after_drift_has_origin_drift_and_repairs_it() {
    let (world, ledger) = deployed().await;
    {
        let mut world = world.lock().unwrap();
        let rule = world.things.iter().find(|(_, thing)| thing.spec.name == "queue-in-front").unwrap().0.clone();
        world.things.remove(&rule);
        let task = world.things.values_mut().find(|thing| thing.spec.name == "task").unwrap();
        task.spec.shape = String::new();
        task.spec.size = 9;
        task.revision += 1;
    }
    let drifted = plan(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap();
    assert_eq!(drifted.changes().next().unwrap().origin, Some(pb_engine::Origin::Drift));
    let lines = change(&world, &ledger, &FIRST).await;
    assert!(
        lines.starts_with(&["create net/queue_in_front".to_owned(), "update fargate/task".to_owned()]),
        "{lines:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn unmanaged_resource_is_refused_and_left_alone() {
    let (world, ledger) = deployed().await;
    {
        let mut world = world.lock().unwrap();
        let cache = world.things.values_mut().find(|thing| thing.spec.name == "jobqr").unwrap();
        cache.tags.clear();
    }
    ledger.forget();
    let refused = plan(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap_err();
    assert_eq!(refused[0].address.as_str(), "redis/jobqr");
    assert!(refused[0].why.contains("is not managed by this workspace"), "{}", refused[0].why);
}

#[tokio::test(start_paused = true)]
async fn destroy_takes_as_long_as_the_critical_path() {
    let (world, ledger) = deployed().await;
    let since = Instant::now();
    assert!(run(&world, &ledger, &FIRST, Goal::Destroy).await.unwrap().is_complete());
    assert!(world.lock().unwrap().things.is_empty());
    assert!(ledger.snapshot().resources.is_empty());
    // The network interfaces of the load balancer linger for 120 s and block the deletion of its security group, which
    // blocks the deletion of the network.
    assert!((120..130).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn stopped_run_finishes_calls_and_starts_no_others() {
    let (world, ledger) = (Shared::default(), LateLedger::default());
    let graph = stack::graph(&world, &FIRST);
    let plan = plan(&world, &ledger, &FIRST, Goal::Deploy).await.unwrap();
    let (stop, cancel) = pb_engine::Cancel::new();
    let run = pb_engine::Run {
        id: "run".into(),
        operation: pb_engine::Operation::Deploy,
        owner: Arc::new(world::owner()),
        events: pb_engine::Events::none(),
        cancel,
    };
    let since = Instant::now();
    let stopping = async {
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        stop.send(pb_engine::Stop::Gently).unwrap();
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = pb_engine::apply_plan(&graph, &plan, &ledger, &run) => outcome.unwrap(),
        () = stopping => unreachable!(),
    };
    assert!(since.elapsed().as_secs() < 32);
    assert!(!outcome.is_complete());
    assert!(outcome.skipped.iter().any(|(address, ..)| address.as_str() == "fargate/task"));
    let recorded = ledger.snapshot().resources;
    assert_eq!(recorded.len(), world.lock().unwrap().things.len(), "everything that was created is recorded");
    assert!(change(&world, &ledger, &FIRST).await.contains(&"await redis/jobqr".to_owned()));
}
