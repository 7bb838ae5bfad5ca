//! A stack in the simulated cloud with the structure of the real one, and the commands of a user.

use crate::world::{
    Attrs, BALANCER, CACHE, Client, GROUP, LISTENER, NET, RECORD, RULE, SERVICE, Shared, Spec, TARGET, TASK, owner,
};
use pb_engine::{
    Action, Cancel, Entry, Events, Failure, Goal, Graph, Handle, Intents, Ledger, Outcome, Plan, PlanError, PlanScope,
    Run, Snapshot, apply_plan, compute_plan, observe, with_checks,
};
use std::sync::{Arc, Mutex};

/// The configuration of the stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub size: u32,
    pub net: &'static str,
    pub group: &'static str,
    pub cache: &'static str,
    pub port: u32,
    pub workers: bool,
    /// The address of the workers.
    pub workers_at: &'static str,
}

pub const FIRST: Config = Config {
    size: 1,
    net: "10.0.0.0/16",
    group: "queue",
    cache: "redis",
    port: 5050,
    workers: true,
    workers_at: "fargate/celery",
};

fn spec(name: &str, uses: &[(&str, &str)]) -> Spec {
    Spec {
        name: name.to_owned(),
        uses: uses.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        size: 1,
        shape: String::new(),
        setting: true,
    }
}

pub fn graph(world: &Shared, config: &Config) -> Graph {
    build(world, config).unwrap()
}

fn build(world: &Shared, config: &Config) -> Result<Graph, Failure> {
    let mut graph = Graph::new();
    let nets = graph.kind(Client::<NET>(Arc::clone(world)));
    let groups = graph.kind(Client::<GROUP>(Arc::clone(world)));
    let rules = graph.kind(Client::<RULE>(Arc::clone(world)));
    let caches = graph.kind(Client::<CACHE>(Arc::clone(world)));
    let targets = graph.kind(Client::<TARGET>(Arc::clone(world)));
    let balancers = graph.kind(Client::<BALANCER>(Arc::clone(world)));
    let listeners = graph.kind(Client::<LISTENER>(Arc::clone(world)));
    let tasks = graph.kind(Client::<TASK>(Arc::clone(world)));
    let services = graph.kind(Client::<SERVICE>(Arc::clone(world)));
    let records = graph.kind(Client::<RECORD>(Arc::clone(world)));

    let shape = config.net;
    let net = graph.add("net/vpc", &nets, (), move |()| Spec { shape: shape.into(), ..spec("vpc", &[]) })?;
    let group = |graph: &mut Graph, address: &str, name: &'static str| {
        graph.add(address, &groups, net, move |net: Attrs| spec(name, &[("net", &net.id)]))
    };
    let front: Handle<Attrs> = group(&mut graph, "net/front", "front")?;
    let queue = group(&mut graph, "net/queue", config.group)?;
    graph.add("net/queue_in_front", &rules, (queue, front), |(queue, front): (Attrs, Attrs)| {
        spec("queue-in-front", &[("group", &queue.id), ("peer", &front.id)])
    })?;
    let shape = config.cache;
    let cache = graph.add("redis/jobqr", &caches, queue, move |queue: Attrs| Spec {
        shape: shape.into(),
        ..spec("jobqr", &[("group", &queue.id)])
    })?;
    let port = config.port;
    let target = graph.add("edge/targets", &targets, net, move |net: Attrs| Spec {
        shape: port.to_string(),
        ..spec(&format!("flask-{port}"), &[("net", &net.id)])
    })?;
    let balancer = graph.add("edge/balancer", &balancers, (front, net), |(front, net): (Attrs, Attrs)| {
        spec("public", &[("group", &front.id), ("net", &net.id)])
    })?;
    let listener = graph.add(
        "edge/listener",
        &listeners,
        (balancer.created(), target),
        |(balancer, target): (Attrs, Attrs)| spec("http", &[("balancer", &balancer.id), ("target", &target.id)]),
    )?;
    graph
        .add("edge/record", &records, balancer.created(), |balancer: Attrs| spec("host", &[("alias", &balancer.id)]))?;
    let size = config.size;
    let task = graph.add("fargate/task", &tasks, cache, move |cache: Attrs| Spec {
        size,
        ..spec("task", &[("redis", &cache.endpoint)])
    })?;
    graph.add(
        "fargate/flask",
        &services,
        (task, front, target, listener),
        |(task, front, target, _): (Attrs, Attrs, Attrs, Attrs)| {
            spec("flask", &[("task", &task.id), ("group", &front.id), ("target", &target.id)])
        },
    )?;
    if config.workers {
        graph.add(config.workers_at, &services, (task, queue), |(task, queue): (Attrs, Attrs)| {
            spec("celery", &[("task", &task.id), ("group", &queue.id)])
        })?;
    }
    graph.output("url", balancer, |balancer: Attrs| balancer.endpoint);
    Ok(graph)
}

/// A ledger that stores the intents at once and all other entries at the end of the run, so that a process that dies
/// loses them.
#[derive(Default, Clone)]
pub struct LateLedger {
    stored: Arc<Mutex<Snapshot>>,
    waiting: Arc<Mutex<Vec<Entry>>>,
}

impl LateLedger {
    pub fn snapshot(&self) -> Snapshot {
        self.stored.lock().unwrap().clone()
    }

    /// Stores the waiting entries, as a process may do just before it dies.
    pub fn store(&self) {
        let mut stored = self.stored.lock().unwrap();
        self.waiting.lock().unwrap().drain(..).for_each(|entry| entry.apply(&mut stored));
    }

    pub fn forget(&self) {
        *self.stored.lock().unwrap() = Snapshot::default();
    }
}

impl Ledger for LateLedger {
    fn begin(&self, intents: Intents) -> futures_util::future::BoxFuture<'_, Result<(), Failure>> {
        self.waiting.lock().unwrap().clear();
        self.stored.lock().unwrap().intents = Some(intents);
        Box::pin(async { Ok(()) })
    }

    fn record(&self, entry: Entry) {
        self.waiting.lock().unwrap().push(entry);
    }

    fn lost(&self) -> Option<Failure> {
        None
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot()
    }

    fn end(&self, complete: bool) -> futures_util::future::BoxFuture<'_, Result<(), Failure>> {
        let mut stored = self.stored.lock().unwrap();
        self.waiting.lock().unwrap().drain(..).for_each(|entry| entry.apply(&mut stored));
        if complete {
            stored.intents = None;
        }
        Box::pin(async { Ok(()) })
    }
}

pub async fn plan(world: &Shared, ledger: &LateLedger, config: &Config, goal: Goal) -> Result<Plan, Vec<PlanError>> {
    plan_with_scope(&graph(world, config), ledger, goal, &PlanScope::default()).await
}

pub async fn plan_with_scope(
    graph: &Graph,
    ledger: &LateLedger,
    goal: Goal,
    part: &PlanScope,
) -> Result<Plan, Vec<PlanError>> {
    let snapshot = ledger.snapshot();
    let (owner, cancel) = (Arc::new(owner()), Cancel::never());
    let observed = with_checks(graph, &snapshot, observe(graph, &snapshot, &owner, &cancel)).await.unwrap();
    compute_plan(graph, &observed, &snapshot, goal, part).unwrap()
}

/// Plans and applies `goal`. Returns `None` if the process died.
pub async fn run(world: &Shared, ledger: &LateLedger, config: &Config, goal: Goal) -> Option<Outcome> {
    run_with_scope(world, &graph(world, config), ledger, goal, &PlanScope::default()).await
}

pub async fn run_with_scope(
    world: &Shared,
    graph: &Graph,
    ledger: &LateLedger,
    goal: Goal,
    part: &PlanScope,
) -> Option<Outcome> {
    let plan = plan_with_scope(graph, ledger, goal, part).await.unwrap();
    let run = Run {
        id: "run".into(),
        operation: goal.into(),
        owner: Arc::new(owner()),
        events: Events::none(),
        cancel: Cancel::never(),
    };
    let death = Arc::clone(&world.lock().unwrap().death);
    let outcome = tokio::select! {
        outcome = apply_plan(graph, &plan, ledger, &run) => Some(outcome.unwrap()),
        () = death.notified() => None,
    };
    world.lock().unwrap().dead = false;
    outcome
}

/// Returns the steps of a plan that do something, one line each, such as `update edge/listener`.
pub fn lines(plan: &Plan) -> Vec<String> {
    let line = |step: &pb_engine::Step| {
        let word = match step.action {
            Action::NoOp => "keep",
            Action::Create => "create",
            Action::Update => "update",
            Action::Replace { order: pb_engine::Order::CreateBeforeDestroy } => "create-then-delete",
            Action::Replace { order: pb_engine::Order::DestroyBeforeCreate } => "delete-then-create",
            Action::Delete => "delete",
            Action::Wait => "await",
            Action::Untargeted => "leave",
            Action::Adopt => "adopt",
            Action::Forget => "forget",
            Action::Move => "move",
            Action::Check => "check",
        };
        format!("{word} {}", step.address)
    };
    plan.changes().map(line).collect()
}
