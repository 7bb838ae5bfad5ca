//! Changes that users notice are made after the changes of the resources that serve them, and are not made if those
//! fail.

#![expect(clippy::unwrap_used, reason = "a panic makes the test fail")]

use pb_engine::{
    Action, Address, Awaited, Cause, Change, Class, Context, FailedRollout, Failure, Found, Goal, Graph, Interim,
    MemoryLedger, Outcome, Ownership, PlanScope, ReadScope, Resource, Run,
};
use pb_engine::{Cancel, Events, apply_plan, compute_plan, observe};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The existing resources, by id, and the calls that were made.
#[derive(Default)]
struct World {
    things: BTreeMap<String, (&'static str, Address, Spec)>,
    calls: Vec<String>,
    /// The failure that every update of a service returns, if set.
    failure: Option<Failure>,
}

type Shared = Arc<Mutex<World>>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Spec {
    name: String,
    value: String,
    /// The ids of the resources that this one uses.
    uses: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Attrs {
    id: String,
}

impl World {
    fn set(&mut self, verb: &str, kind: &'static str, (id, address): (String, &Address), spec: &Spec) -> Attrs {
        self.calls.push(format!("{verb} {address} {}", spec.value));
        self.things.insert(id.clone(), (kind, address.clone(), spec.clone()));
        Attrs { id }
    }

    /// Returns the values of the resources at an address.
    fn at(&self, address: &str) -> Vec<&str> {
        let all = self.things.values().filter(|(_, at, _)| at.as_str() == address);
        all.map(|(_, _, spec)| spec.value.as_str()).collect()
    }
}

/// Defines a resource kind whose operations change the world.
macro_rules! kind {
    ($name:ident, $kind:literal, { $($more:tt)* }) => {
        struct $name(Shared);

        impl Resource for $name {
            const KIND: &'static str = $kind;
            type Spec = Spec;
            type Attrs = Attrs;
            $($more)*

            fn planned_attrs(_: &Spec) -> Attrs {
                Attrs { id: pb_engine::unknown() }
            }

            fn id(attrs: &Attrs) -> Option<String> {
                Some(attrs.id.clone())
            }

            async fn read(&self, _: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
                let world = self.0.lock().unwrap();
                let mine = world.things.iter().filter(|(_, (kind, ..))| *kind == $kind);
                let found = mine.map(|(id, (_, address, spec))| Found::Managed {
                    address: address.clone(),
                    spec: spec.clone(),
                    attrs: Attrs { id: id.clone() },
                    ready: true,
                });
                Ok(found.collect())
            }

            async fn create(&self, cx: &Context, spec: &Spec) -> Result<Attrs, Failure> {
                let id = format!("{}-{}", spec.name, spec.value);
                Ok(self.0.lock().unwrap().set("create", $kind, (id, cx.address()), spec))
            }

            async fn update(&self, cx: &Context, attrs: &Attrs, spec: &Spec, _: &[Change]) -> Result<Attrs, Failure> {
                let mut world = self.0.lock().unwrap();
                match world.failure.clone().filter(|_| $kind == "test.service") {
                    Some(failure) => Err(failure),
                    None => Ok(world.set("update", $kind, (attrs.id.clone(), cx.address()), spec)),
                }
            }

            async fn delete(&self, cx: &Context, attrs: &Attrs) -> Result<(), Failure> {
                let mut world = self.0.lock().unwrap();
                let (_, _, spec) = world.things.remove(&attrs.id).unwrap();
                world.calls.push(format!("delete {} {}", cx.address(), spec.value));
                Ok(())
            }
        }
    };
}

kind!(Rule, "test.rule", {
    fn requires_replacement(field: &str) -> bool {
        field == "value"
    }

    fn can_coexist(_: &Spec, _: &Spec) -> bool {
        true
    }
});
kind!(Door, "test.door", {
    fn interim_spec(old: Option<&Spec>, new: &Spec) -> Option<Interim<Spec>> {
        let spec = old.cloned().unwrap_or_else(|| Spec { value: "closed".to_owned(), ..new.clone() });
        Some(Interim { spec, until: Awaited::Dependents })
    }
});
kind!(Route, "test.route", {
    const DELETED_AFTER_PEERS: bool = true;

    fn can_coexist(_: &Spec, _: &Spec) -> bool {
        true
    }

    fn interim_spec(old: Option<&Spec>, new: &Spec) -> Option<Interim<Spec>> {
        let Some(old) = old else {
            let spec = Spec { value: "closed".to_owned(), ..new.clone() };
            return Some(Interim { spec, until: Awaited::Dependents });
        };
        let value = format!("{}+{}", old.value, new.value);
        Some(Interim { spec: Spec { value, ..new.clone() }, until: Awaited::Peers })
    }
});
kind!(Gate, "test.gate", {
    fn interim_spec(old: Option<&Spec>, _: &Spec) -> Option<Interim<Spec>> {
        old.map(|old| Interim { spec: old.clone(), until: Awaited::DependentsOfKind("test.route") })
    }
});
kind!(Service, "test.service", {
    const RELIES_ON: &'static [&'static str] = &["test.rule"];
});

/// Returns a graph of a service that depends on a rule at the address `rule` and on a door.
fn graph(world: &Shared, rule: &'static str, value: &'static str) -> Graph {
    let mut graph = Graph::new();
    let rules = graph.kind(Rule(Arc::clone(world)));
    let doors = graph.kind(Door(Arc::clone(world)));
    let services = graph.kind(Service(Arc::clone(world)));
    let spec = move |name: &str, uses: Vec<String>| Spec { name: name.to_owned(), value: value.to_owned(), uses };
    let rule = graph.add(rule, &rules, (), move |()| spec("rule", Vec::new())).unwrap();
    let door = graph.add("test/door", &doors, (), move |()| spec("door", Vec::new())).unwrap();
    graph
        .add("test/service", &services, (rule, door), move |(rule, door)| spec("service", vec![rule.id, door.id]))
        .unwrap();
    graph
}

async fn run(graph: &Graph, ledger: &MemoryLedger) -> Outcome {
    let owner = Arc::new(Ownership { stack: "s".to_owned(), workspace: "w".to_owned() });
    let snapshot = ledger.snapshot();
    let observed = observe(graph, &snapshot, &owner, &Cancel::never()).await.unwrap();
    let plan = compute_plan(graph, &observed, &snapshot, Goal::Deploy, &PlanScope::default()).unwrap().unwrap();
    let (id, operation) = ("run".to_owned(), pb_engine::Operation::Deploy);
    let run = Run { id, operation, owner, events: Events::none(), cancel: Cancel::never() };
    apply_plan(graph, &plan, ledger, &run).await.unwrap()
}

/// Returns a world in which the graph is deployed with the value `one`, and its ledger.
async fn deployed(rule: &'static str) -> (Shared, MemoryLedger) {
    let (world, ledger) = (Shared::default(), MemoryLedger::default());
    assert!(run(&graph(&world, rule, "one"), &ledger).await.is_complete());
    (world, ledger)
}

fn calls(world: &Shared) -> Vec<String> {
    std::mem::take(&mut world.lock().unwrap().calls)
}

fn rolled_back() -> Failure {
    let rollout = FailedRollout { rolled_back: true, ..FailedRollout::default() };
    Failure::new(Class::Failed, "roll out", "it was rolled back").cause(Cause::Rollout(Box::new(rollout)))
}

#[tokio::test]
async fn new_door_stays_closed_until_its_service_is_there() {
    let (world, _) = deployed("test/rule").await;
    let calls = calls(&world);
    let at = |call: &str| calls.iter().position(|known| known == call).unwrap();
    assert!(at("create test/door closed") < at("create test/service one"), "{calls:?}");
    assert_eq!(calls.last().unwrap(), "update test/door one");
}

#[tokio::test]
async fn gate_changes_after_the_last_change_of_its_routes() {
    let (world, ledger) = (Shared::default(), MemoryLedger::default());
    let graph = |value: &'static str| {
        let mut graph = Graph::new();
        let (gates, routes) = (graph.kind(Gate(Arc::clone(&world))), graph.kind(Route(Arc::clone(&world))));
        let spec = move |name: &str, uses| Spec { name: name.to_owned(), value: value.to_owned(), uses };
        let gate = graph.add("test/gate", &gates, (), move |()| spec("gate", Vec::new())).unwrap();
        for address in ["test/a", "test/b"] {
            graph.add(address, &routes, gate, move |gate| spec(address, vec![gate.id])).unwrap();
        }
        graph
    };
    assert!(run(&graph("one"), &ledger).await.is_complete());
    calls(&world);
    assert!(run(&graph("two"), &ledger).await.is_complete());
    let calls = calls(&world);
    assert!(calls.contains(&"update test/a one+two".to_owned()), "{calls:?}");
    assert_eq!(calls.last().unwrap(), "update test/gate two", "{calls:?}");
}

#[tokio::test]
async fn door_and_old_rule_change_after_the_service() {
    let (world, ledger) = deployed("test/rule").await;
    calls(&world);
    let outcome = run(&graph(&world, "test/rule", "two"), &ledger).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    let mut calls = calls(&world);
    calls[2..].sort();
    let expected = ["create test/rule two", "update test/service two", "delete test/rule one", "update test/door two"];
    assert_eq!(calls, expected);
    let changed = outcome.done.iter().filter(|(address, _)| address.as_str() == "test/door");
    assert_eq!(changed.map(|(_, action)| *action).collect::<Vec<_>>(), [Action::Update]);
}

#[tokio::test]
async fn replaced_rule_is_deleted_after_the_service_has_changed() {
    let (world, ledger) = deployed("test/rule_one").await;
    calls(&world);
    assert!(run(&graph(&world, "test/rule_two", "two"), &ledger).await.is_complete());
    let calls = calls(&world);
    let at = |call: &str| calls.iter().position(|known| known == call).unwrap();
    assert!(at("update test/service two") < at("delete test/rule_one one"), "{calls:?}");
}

#[tokio::test]
async fn rolled_back_service_keeps_its_door_and_rule_and_no_other() {
    for (first, second) in [("test/rule", "test/rule"), ("test/rule_one", "test/rule_two")] {
        let (world, ledger) = deployed(first).await;
        let before = ledger.snapshot().resources;
        world.lock().unwrap().failure = Some(rolled_back());
        let outcome = run(&graph(&world, second, "two"), &ledger).await;
        assert!(outcome.skipped.iter().any(|(address, ..)| address.as_str() == "test/door"), "{outcome:?}");
        {
            let world = world.lock().unwrap();
            assert_eq!((world.at("test/door"), world.at(first)), (vec!["one"], vec!["one"]));
            assert_eq!(world.things.len(), 3, "{:?}", world.calls);
        }
        assert_eq!(ledger.snapshot().resources.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        calls(&world);
        world.lock().unwrap().failure = None;
        assert!(run(&graph(&world, first, "one"), &ledger).await.is_complete());
        assert!(calls(&world).is_empty(), "reverting the configuration changes nothing");
    }
}

#[tokio::test]
async fn partially_changed_service_keeps_both_rules() {
    let (world, ledger) = deployed("test/rule").await;
    world.lock().unwrap().failure = Some(rolled_back().cause(Cause::Api));
    assert!(!run(&graph(&world, "test/rule", "two"), &ledger).await.is_complete());
    assert_eq!(world.lock().unwrap().at("test/rule"), ["one", "two"]);
}

/// Returns a graph of routes with these names and values, each with its own service.
fn routes(world: &Shared, values: &[(&'static str, &'static str)]) -> Graph {
    let mut graph = Graph::new();
    let routes = graph.kind(Route(Arc::clone(world)));
    let services = graph.kind(Service(Arc::clone(world)));
    for (name, value) in values {
        let spec = |value: &str, uses| Spec { name: (*name).to_owned(), value: value.to_owned(), uses };
        let route = spec(value, Vec::new());
        let route = graph.add(&format!("test/{name}"), &routes, (), move |()| route.clone()).unwrap();
        let service = spec("same", Vec::new());
        let make = move |route: Attrs| Spec { uses: vec![route.id], ..service.clone() };
        graph.add(&format!("test/{name}_service"), &services, route, make).unwrap();
    }
    graph
}

/// Returns the calls for routes, in order, that a change from one set of routes to another makes.
async fn route_changes(from: &[(&'static str, &'static str)], to: &[(&'static str, &'static str)]) -> Vec<String> {
    let (world, ledger) = (Shared::default(), MemoryLedger::default());
    assert!(run(&routes(&world, from), &ledger).await.is_complete());
    calls(&world);
    let outcome = run(&routes(&world, to), &ledger).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert!(run(&routes(&world, to), &ledger).await.done.is_empty(), "everything matches");
    calls(&world).into_iter().filter(|call| !call.contains("_service")).collect()
}

#[tokio::test]
async fn routes_that_exchange_values_have_both_in_between() {
    let mut calls = route_changes(&[("a", "one"), ("b", "two")], &[("a", "two"), ("b", "one")]).await;
    calls[..2].sort();
    calls[2..].sort();
    let interim = ["update test/a one+two", "update test/b two+one"];
    assert_eq!(
        (&calls[..2], &calls[2..]),
        (&interim.map(String::from)[..], &["update test/a two", "update test/b one"].map(String::from)[..])
    );
}

#[tokio::test]
async fn single_route_is_updated_in_one_part() {
    assert_eq!(route_changes(&[("a", "one")], &[("a", "two")]).await, ["update test/a two"]);
}

#[tokio::test]
async fn route_is_deleted_once_its_successor_has_a_service() {
    let calls = route_changes(&[("a", "one")], &[("b", "one")]).await;
    assert_eq!(calls, ["create test/b closed", "update test/b one", "delete test/a one"]);
}

#[tokio::test]
async fn route_with_a_new_successor_waits_for_its_service() {
    let calls = route_changes(&[("a", "one")], &[("a", "two"), ("b", "one")]).await;
    let at = |call: &str| calls.iter().position(|known| known == call).unwrap();
    assert!(at("update test/b one") < at("update test/a two"), "{calls:?}");
}
