use super::{Effect, effects};
use pb_engine::{Action, Address, Change, Order, Plan, Step};
use serde_json::{Value, json};

const DELETE_FIRST: Action = Action::Replace { order: Order::DestroyBeforeCreate };

fn step(address: &str, kind: &str, action: Action, specs: (Option<Value>, Option<Value>), changed: &[&str]) -> Step {
    let change = |path: &&str| Change { path: (*path).to_owned(), before: None, after: None };
    Step {
        changes: changed.iter().map(change).collect(),
        before: specs.0,
        after: specs.1,
        ..Step::new(Address::new(address).unwrap(), kind, action)
    }
}

/// Returns the spec of a service with `count` tasks on `port`, of which `min_healthy_percent` stay healthy in a
/// rollout.
fn service(count: i32, min_healthy_percent: i32, port: u16) -> Value {
    json!({
        "name": "s", "cluster": "c", "task_definition": "s:1", "desired_count": count, "launch_type": "FARGATE",
        "subnets": ["subnet-1"], "security_groups": ["sg-1"], "assign_public_ip": true,
        "load_balancers": [{ "target_group_arn": "arn", "container": "s", "port": port }],
        "health_check_grace_seconds": 0, "min_healthy_percent": min_healthy_percent, "max_percent": 200,
        "circuit_breaker": { "enable": true, "rollback": true, "threshold": null },
        "propagate_tags": "SERVICE", "managed_tags": true, "execute_command": false, "status": "ACTIVE",
        "failed": false, "tags": {},
    })
}

fn rollout(key: &str, before: Value, after: Value) -> Step {
    let specs = (Some(before), Some(after));
    step(&format!("fargate/{key}"), "ecs.service", Action::Update, specs, &["task_definition"])
}

fn unchanged(key: &str) -> Step {
    let specs = (Some(service(1, 100, 5050)), Some(service(1, 100, 5050)));
    step(&format!("fargate/{key}"), "ecs.service", Action::NoOp, specs, &[])
}

fn rule(hosts: &[&str], paths: &[&str]) -> Value {
    json!({
        "listener_arn": "arn", "priority": 1001, "hosts": hosts, "paths": paths, "other_conditions": [],
        "target_group_arn": "arn", "tags": {},
    })
}

fn of(steps: Vec<Step>) -> Vec<Effect> {
    effects(&Plan { steps, ..Plan::default() })
}

/// Returns the only effect of a plan: the seconds of interruption and the text.
fn only(steps: Vec<Step>) -> (Option<u64>, String) {
    let effects = of(steps);
    assert_eq!(effects.len(), 1, "{effects:?}");
    (effects[0].interrupted, effects[0].text.clone())
}

#[test]
fn rollout_keeps_old_tasks_serving() {
    let (seconds, text) = only(vec![rollout("flask", service(2, 100, 5050), service(2, 100, 5050))]);
    assert_eq!((seconds, text.as_str()), (None, "the old tasks answer until the new ones are healthy"));
    let (seconds, text) = only(vec![rollout("flask", service(3, 50, 5050), service(3, 50, 8000))]);
    assert_eq!(seconds, None);
    assert!(text.starts_with("2 of 3 tasks answer") && text.contains("allow both ports"), "{text}");
}

#[test]
fn rollout_without_minimum_healthy_tasks_interrupts() {
    let (seconds, text) = only(vec![rollout("flask", service(1, 0, 5050), service(1, 0, 5050))]);
    assert_eq!(seconds, Some(90));
    assert!(text.contains("min_healthy_percent = 0 of 1 task)"), "{text}");
}

#[test]
fn replaced_load_balancer_interrupts_all_services() {
    let balancer = Step {
        replacement_fields: vec!["scheme".to_owned()],
        ..step("edge/balancer", "elbv2.load_balancer", DELETE_FIRST, (None, None), &["scheme"])
    };
    let effects = of(vec![balancer, unchanged("flask"), unchanged("api")]);
    assert_eq!(effects.iter().map(|effect| effect.interrupted).collect::<Vec<_>>(), [Some(300), Some(300)]);
    assert!(
        effects[0]
            .text
            .contains("edge/balancer is deleted before its replacement exists (AWS cannot change its scheme)")
    );
}

#[test]
fn queue_replacement_extends_interruption() {
    let replaced =
        step("fargate/flask", "ecs.service", DELETE_FIRST, (Some(service(1, 100, 1)), Some(service(1, 100, 1))), &[]);
    let queue = step("redis/jobqr", "elasticache.replication_group", DELETE_FIRST, (None, None), &[]);
    assert_eq!(only(vec![replaced.clone()]).0, Some(150));
    assert_eq!(only(vec![queue, replaced]).0, Some(870));
}

#[test]
fn requests_of_missing_services_go_to_flask() {
    let new = step("fargate/api", "ecs.service", Action::Create, (None, Some(service(1, 100, 8080))), &[]);
    let (seconds, text) = only(vec![unchanged("flask"), new]);
    assert!(seconds.is_none() && text.contains("until then flask answers them"), "{text}");
    let old = step("fargate/api", "ecs.service", Action::Delete, (Some(service(1, 100, 8080)), None), &[]);
    let (seconds, text) = only(vec![unchanged("flask"), old]);
    assert!(seconds.is_none() && text.contains("or to flask"), "{text}");
}

#[test]
fn rule_change_has_gap_only_if_hosts_and_paths_change() {
    let moved = |before, after| {
        let rule =
            step("edge/api_rule", "elbv2.listener_rule", Action::Update, (Some(before), Some(after)), &["hosts"]);
        only(vec![rule, unchanged("flask"), unchanged("api")]).1
    };
    assert!(moved(rule(&["a.org"], &[]), rule(&["b.org"], &[])).contains("none is lost"));
    assert!(moved(rule(&["a.org"], &["/a"]), rule(&["b.org"], &["/b"])).contains("for about a second"));
}

#[test]
fn invisible_plans_have_no_effect() {
    assert_eq!(of(vec![unchanged("flask")]), []);
    let mut worker = rollout("celery", service(1, 100, 1), service(1, 100, 1));
    for spec in [&mut worker.before, &mut worker.after].into_iter().flatten() {
        spec["load_balancers"] = json!([]);
    }
    assert_eq!(of(vec![unchanged("flask"), worker]), []);
    let first = step("fargate/flask", "ecs.service", Action::Create, (None, Some(service(1, 100, 5050))), &[]);
    assert_eq!(of(vec![first]), []);
    let last = step("fargate/flask", "ecs.service", Action::Delete, (Some(service(1, 100, 5050)), None), &[]);
    assert_eq!(of(vec![last]), []);
}
