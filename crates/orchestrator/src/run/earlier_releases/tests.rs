use super::{conclusions, only_rollouts_left};
use pb_engine::{
    Action, Address, Cause, Class, FailedRollout, Failure, Operation, Outcome, Plan, Record, Release, ReleaseOutcome,
    Released, Remains, Snapshot, Step, StepFailure, unknown,
};
use serde_json::{Value, json};

const OLD: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-flask:1";
const NEW: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-flask:2";

fn flask() -> Address {
    Address::new("fargate/flask").unwrap()
}

fn spec(definition: &str) -> Value {
    json!({ "task_definition": definition, "desired_count": 1 })
}

fn step(action: Action, before: &str, after: &str, deployment: &str) -> Plan {
    let step = Step {
        before: Some(spec(before)),
        after: Some(spec(after)),
        attrs: Some(json!({ "deployment": deployment })),
        ..Step::new(flask(), "ecs.service", action)
    };
    Plan { steps: vec![step], ..Plan::default() }
}

fn failed(class: Class) -> Outcome {
    let failure = Failure::new(class, "roll out staging-flask", "tasks failed");
    Outcome {
        failed: vec![StepFailure { address: flask(), action: Action::Update, failure, remains: Some(Remains::Exists) }],
        ..Outcome::default()
    }
}

fn done() -> Outcome {
    Outcome { done: vec![(flask(), Action::Wait)], ..Outcome::default() }
}

/// Returns a snapshot with a service whose deployment is `ecs-svc/2`.
fn snapshot(from: &str, outcome: ReleaseOutcome) -> Snapshot {
    let record = Record {
        kind: "ecs.service".to_owned(),
        spec: spec(NEW),
        attrs: json!({ "deployment": "ecs-svc/2" }),
        ready: false,
    };
    let released = Released { from: Some(from.to_owned()), to: NEW.to_owned(), image: None, outcome };
    let release = Release {
        run: "r1".to_owned(),
        at: "2026-11-30T00:00:00Z".to_owned(),
        who: "ana".to_owned(),
        operation: Operation::Deploy,
        services: [(flask(), released)].into(),
    };
    Snapshot { resources: [(flask(), record)].into(), releases: vec![release], ..Snapshot::default() }
}

fn concluded(plan: &Plan, outcome: &Outcome, before: &Snapshot, waited: bool) -> Option<ReleaseOutcome> {
    conclusions(plan, outcome, before, waited).pop().map(|conclusion| {
        assert_eq!((conclusion.run.as_str(), &conclusion.address), ("r1", &flask()));
        conclusion.outcome
    })
}

#[test]
fn followed_rollout_sets_the_outcome_of_its_release() {
    let waits = step(Action::Wait, NEW, NEW, "ecs-svc/2");
    let open = snapshot(OLD, ReleaseOutcome::Interrupted);
    assert_eq!(concluded(&waits, &done(), &open, true), Some(ReleaseOutcome::Succeeded));
    assert_eq!(concluded(&waits, &done(), &open, false), None, "--no-wait observes nothing");
    let why = ReleaseOutcome::Failed("tasks failed".to_owned());
    assert_eq!(concluded(&waits, &failed(Class::Failed), &open, true), Some(why));
    for class in [Class::Interrupted, Class::TimedOut, Class::Denied, Class::Throttled] {
        assert_eq!(concluded(&waits, &failed(class), &open, true), None, "{class:?} says nothing about the rollout");
    }
    let known = snapshot(OLD, ReleaseOutcome::Failed("the first reason".to_owned()));
    assert_eq!(concluded(&waits, &failed(Class::Failed), &known, true), None, "the first reason stays");
    assert_eq!(concluded(&waits, &done(), &known, true), Some(ReleaseOutcome::Succeeded));
    assert_eq!(concluded(&waits, &done(), &snapshot(OLD, ReleaseOutcome::Succeeded), true), None);
}

#[test]
fn rollout_of_another_revision_sets_no_outcome() {
    let open = snapshot(OLD, ReleaseOutcome::Interrupted);
    assert_eq!(concluded(&step(Action::Wait, OLD, OLD, "ecs-svc/3"), &done(), &open, true), None);
    assert_eq!(concluded(&step(Action::Update, OLD, NEW, "ecs-svc/3"), &done(), &open, true), None);
}

#[test]
fn restart_outcome_comes_from_its_own_deployment_only() {
    let open = snapshot(NEW, ReleaseOutcome::Interrupted);
    let found = |deployment| concluded(&step(Action::NoOp, NEW, NEW, deployment), &Outcome::default(), &open, true);
    assert_eq!(found("ecs-svc/2"), Some(ReleaseOutcome::Succeeded));
    assert_eq!(found("ecs-svc/1"), None, "ECS rolled back to the previous deployment, which has the same revision");
}

#[test]
fn only_rollouts_left_is_true_for_unfinished_waits_alone() {
    let mut now = snapshot(OLD, ReleaseOutcome::Interrupted);
    let update = step(Action::Update, OLD, NEW, "ecs-svc/1");
    assert!(only_rollouts_left(&update, &failed(Class::Interrupted), &now));
    assert!(only_rollouts_left(&update, &failed(Class::TimedOut), &now));
    assert!(only_rollouts_left(&step(Action::Update, OLD, &unknown(), "x"), &failed(Class::TimedOut), &now));
    assert!(!only_rollouts_left(&update, &failed(Class::Failed), &now));
    assert!(!only_rollouts_left(&update, &done(), &now), "nothing is left");
    let mut back = failed(Class::Interrupted);
    let rollback = Some("rolled back: the previous revision is serving again".to_owned());
    let rollout = FailedRollout { rolled_back: true, rollback, ..FailedRollout::default() };
    back.failed[0].failure.cause = Cause::Rollout(Box::new(rollout));
    assert!(!only_rollouts_left(&update, &back, &now), "the update has to be repeated");
    let mut skipped = failed(Class::Interrupted);
    skipped.skipped.push((Address::new("edge/record").unwrap(), Action::Update, "stopped".to_owned()));
    assert!(!only_rollouts_left(&update, &skipped, &now), "another step was skipped");
    now.resources.get_mut(&flask()).unwrap().spec = spec(OLD);
    assert!(!only_rollouts_left(&update, &failed(Class::Interrupted), &now), "the update was not made");
}
