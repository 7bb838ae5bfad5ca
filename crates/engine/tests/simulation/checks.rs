//! Checks: planning reads them, a run waits for them once the resources that they depend on are ready, and they are
//! never recorded.

use crate::stack::{LateLedger, lines, plan_with_scope, run_with_scope};
use crate::world::{Attrs, Client, Fault, NET, SERVICE, Shared, Spec, owner};
use pb_engine::{
    Action, Address, Backoff, Check, Class, Context, Events, Failure, Goal, Graph, Operation, Outcome, Plan, PlanScope,
    Progress, Run, Verdict, apply_plan,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(35);

/// The condition that a service, identified by its id, can be reached.
#[derive(Default)]
struct Reached {
    sick: AtomicBool,
    reads: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

impl Check for Reached {
    const KIND: &'static str = "sim.reached";
    type Spec = String;

    async fn read(&self, id: &String) -> Result<Verdict, Failure> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.asked.lock().unwrap().push(id.clone());
        Ok(match self.sick.load(Ordering::Relaxed) {
            false => Verdict::Holds,
            true => Verdict::Fails { message: "not reached".to_owned(), details: Vec::new() },
        })
    }

    async fn wait(&self, cx: &Context, id: &String) -> Result<(), Failure> {
        self.asked.lock().unwrap().push(id.clone());
        let poll = || async {
            Ok(match self.sick.load(Ordering::Relaxed) {
                false => Progress::Ready(()),
                true => Progress::Pending("not reached".to_owned()),
            })
        };
        cx.wait("reach", Backoff::seconds(PERIOD), poll).await
    }
}

fn spec(name: &str, uses: &str, size: u32) -> Spec {
    Spec {
        name: name.to_owned(),
        uses: BTreeMap::from([("net".to_owned(), uses.to_owned())]),
        size,
        shape: String::new(),
        setting: false,
    }
}

/// Returns a graph with a service of this size that has a check, and a service without a check.
fn graph(world: &Shared, check: &Arc<Reached>, size: u32) -> Graph {
    let mut graph = Graph::new();
    let nets = graph.kind(Client::<NET>(Arc::clone(world)));
    let services = graph.kind(Client::<SERVICE>(Arc::clone(world)));
    let net = Spec { uses: BTreeMap::new(), ..spec("vpc", "", 1) };
    let net = graph.add("net/vpc", &nets, (), move |()| net.clone()).unwrap();
    let web = graph.add("fargate/web", &services, net, move |net: Attrs| spec("web", &net.id, size)).unwrap();
    graph.add("fargate/worker", &services, net, |net: Attrs| spec("worker", &net.id, 1)).unwrap();
    graph.add_check("edge/web_health", check, web, |web: Attrs| web.id).unwrap();
    graph
}

async fn planned(graph: &Graph, ledger: &LateLedger) -> Plan {
    plan_with_scope(graph, ledger, Goal::Deploy, &PlanScope::default()).await.unwrap()
}

async fn deploy(world: &Shared, graph: &Graph, ledger: &LateLedger) -> Outcome {
    run_with_scope(world, graph, ledger, Goal::Deploy, &PlanScope::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn failing_check_applies_no_step_again() {
    let (world, ledger, check) = (Shared::default(), LateLedger::default(), Arc::<Reached>::default());
    let graph = graph(&world, &check, 1);
    check.sick.store(true, Ordering::Relaxed);
    let first = deploy(&world, &graph, &ledger).await;
    assert!(!first.is_complete() && first.is_applied(), "{first:?}");
    let (failed, class) = (&first.failed[0], first.failed[0].failure.class);
    assert_eq!((failed.address.as_str(), failed.action, class), ("edge/web_health", Action::Check, Class::TimedOut));
    let snapshot = ledger.snapshot();
    assert!(snapshot.intents.is_none(), "all steps were done");
    assert_eq!(snapshot.resources.len(), 3, "a check is not recorded");

    let writes = world.lock().unwrap().writes;
    let plan = planned(&graph, &ledger).await;
    assert!(plan.is_empty() && plan.steps.len() == 3, "{:?}", lines(&plan));
    let failing: Vec<_> = plan.failing().map(|(check, message, _)| (check.address.as_str(), message)).collect();
    assert_eq!(failing, [("edge/web_health", "not reached")]);
    let since = tokio::time::Instant::now();
    assert!(!deploy(&world, &graph, &ledger).await.is_complete());
    assert!(since.elapsed() >= PERIOD);

    check.sick.store(false, Ordering::Relaxed);
    let plan = planned(&graph, &ledger).await;
    assert!(plan.failing().next().is_none() && !plan.checks[0].due);
    assert!(deploy(&world, &graph, &ledger).await.is_complete());
    assert_eq!((world.lock().unwrap().writes, ledger.snapshot()), (writes, snapshot));
}

#[tokio::test(start_paused = true)]
async fn check_is_due_when_the_run_changes_its_resource() {
    let (world, ledger, check) = (Shared::default(), LateLedger::default(), Arc::<Reached>::default());
    let first = planned(&graph(&world, &check, 1), &ledger).await;
    assert_eq!((&first.checks[0].verdict, first.checks[0].due), (&Verdict::Unknown, true));
    assert!(deploy(&world, &graph(&world, &check, 1), &ledger).await.is_complete());
    let changed = planned(&graph(&world, &check, 2), &ledger).await;
    assert_eq!((&changed.checks[0].verdict, changed.checks[0].due), (&Verdict::Holds, true));
    assert_eq!(changed.checks[0].about, [Address::new("fargate/web").unwrap()]);
    // The check does not depend on the worker.
    world.lock().unwrap().things.values_mut().find(|thing| thing.spec.name == "worker").unwrap().spec.size = 7;
    let besides = planned(&graph(&world, &check, 1), &ledger).await;
    assert_eq!((lines(&besides), besides.checks[0].due), (vec!["update fargate/worker".to_owned()], false));
}

#[tokio::test(start_paused = true)]
async fn check_is_read_once_with_and_without_a_snapshot() {
    let (world, ledger, check) = (Shared::default(), LateLedger::default(), Arc::<Reached>::default());
    let graph = graph(&world, &check, 1);
    deploy(&world, &graph, &ledger).await;
    let asked = || std::mem::take(&mut *check.asked.lock().unwrap());
    asked();
    planned(&graph, &ledger).await;
    let with_snapshot = asked();
    ledger.forget();
    planned(&graph, &ledger).await;
    assert_eq!((with_snapshot.len(), asked()), (1, with_snapshot));
}

#[tokio::test(start_paused = true)]
async fn check_of_failed_resource_is_skipped() {
    let (world, ledger, check) = (Shared::default(), LateLedger::default(), Arc::<Reached>::default());
    let graph = graph(&world, &check, 1);
    assert!(deploy(&world, &graph, &ledger).await.is_complete());
    let all = world.lock().unwrap().writes;
    let graph = self::graph(&world, &check, 2);
    world.lock().unwrap().faults.insert(all, Fault::Refused);
    let outcome = deploy(&world, &graph, &ledger).await;
    assert_eq!(outcome.failed[0].address.as_str(), "fargate/web");
    let (address, action, because) = &outcome.skipped[0];
    assert_eq!(
        (address.as_str(), *action, because.as_str()),
        ("edge/web_health", Action::Check, "depends on fargate/web")
    );
    assert!(!outcome.is_applied());
}

#[tokio::test(start_paused = true)]
async fn check_of_untargeted_resource_is_omitted() {
    let (world, ledger, check) = (Shared::default(), LateLedger::default(), Arc::<Reached>::default());
    let graph = graph(&world, &check, 1);
    deploy(&world, &graph, &ledger).await;
    check.sick.store(true, Ordering::Relaxed);
    for (target, checks) in [("fargate/worker", 0), ("fargate/web", 1)] {
        let part = PlanScope { targets: [Address::new(target).unwrap()].into(), ..PlanScope::default() };
        let plan = plan_with_scope(&graph, &ledger, Goal::Deploy, &part).await.unwrap();
        assert_eq!(plan.checks.len(), checks, "{target}");
        let outcome = run_with_scope(&world, &graph, &ledger, Goal::Deploy, &part).await.unwrap();
        assert_eq!(outcome.failed.len(), checks, "{target}");
    }
    let gone = plan_with_scope(&graph, &ledger, Goal::Destroy, &PlanScope::default()).await.unwrap();
    assert_eq!((gone.checks.len(), gone.changes().count()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn interrupted_check_leaves_the_run_incomplete() {
    let (world, ledger, check) = (Shared::default(), LateLedger::default(), Arc::<Reached>::default());
    let graph = graph(&world, &check, 1);
    deploy(&world, &graph, &ledger).await;
    check.sick.store(true, Ordering::Relaxed);
    let plan = planned(&graph, &ledger).await;
    let (stop, cancel) = pb_engine::Cancel::new();
    let run = Run {
        id: "run".into(),
        operation: Operation::Deploy,
        owner: Arc::new(owner()),
        events: Events::none(),
        cancel,
    };
    let later = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.send(pb_engine::Stop::Gently).unwrap();
    };
    let (outcome, ()) = tokio::join!(apply_plan(&graph, &plan, &ledger, &run), later);
    let outcome = outcome.unwrap();
    assert_eq!(outcome.failed[0].failure.class, Class::Interrupted);
    // The stop signal is already set when this run starts.
    let outcome = apply_plan(&graph, &plan, &ledger, &run).await.unwrap();
    assert_eq!(outcome.skipped[0].2, "the run was stopped");
    assert!(!outcome.is_complete() && outcome.is_applied());
}
