use super::world::{Ecs, reads, writes};
use super::{Services, refine};
use crate::service_spec::{BreakerSpec, ServiceSpec, TargetSpec, ThresholdSpec};
use crate::testing::{World, alone, attrs_of, deployment, named, owned_ecs};
use aws_sdk_ecs::operation::update_service::UpdateServiceInput;
use aws_sdk_ecs::types::{
    AvailabilityZoneRebalancing, DeploymentRolloutState as State, PropagateTags, ServiceDeploymentStatus as Status,
};
use aws_smithy_mocks::Rule;
use pb_engine::{Action, Standalone, Class, Failure, Graph, Order, Resource};
use std::collections::BTreeSet;
use std::time::Duration;

const WEB_1: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web:1";
const WEB_2: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web:2";

fn spec() -> ServiceSpec {
    let text = |text: &str| text.to_owned();
    let target = TargetSpec { target_group_arn: text("arn:tg"), container: text("web"), port: 5050 };
    ServiceSpec {
        name: text("staging-web"),
        cluster: text("staging-main"),
        task_definition: text(WEB_1),
        desired_count: 2,
        launch_type: text("FARGATE"),
        subnets: [text("subnet-2"), text("subnet-1")].into(),
        security_groups: BTreeSet::from([text("sg-1")]),
        assign_public_ip: true,
        load_balancers: BTreeSet::from([target]),
        health_check_grace_seconds: 60,
        min_healthy_percent: 100,
        max_percent: 200,
        circuit_breaker: BreakerSpec { enable: true, rollback: true, threshold: Some(ThresholdSpec::count(3)) },
        propagate_tags: text("SERVICE"),
        managed_tags: true,
        execute_command: false,
        status: text("ACTIVE"),
        failed: false,
        tags: named(),
    }
}

fn wanted(world: &World<Ecs>, spec: ServiceSpec) -> Standalone {
    let rules: Vec<Rule> = reads(world).into_iter().chain(writes(world)).collect();
    let client = pb_aws::mock_client!(aws_sdk_ecs, &rules);
    let mut graph = Graph::new();
    let kind = graph.kind(Services::new(client).rollout_within(Some(Duration::from_secs(60))));
    graph.add("fargate/web", &kind, (), move |()| spec.clone()).unwrap();
    alone(graph)
}

async fn steady() -> World<Ecs> {
    let world = World::<Ecs>::new();
    world.get().ends = Some(State::Completed);
    wanted(&world, spec()).deploy().await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn made_with_token_and_tags_and_then_left_alone() {
    let world = steady().await;
    {
        let ecs = world.get();
        let created = &ecs.created[0];
        let token = created.client_token().unwrap();
        assert!(!token.is_empty() && token.len() <= 36 && token.is_ascii(), "{token}");
        assert_eq!(created.tags(), owned_ecs("fargate/web"));
        assert_eq!(created.propagate_tags(), Some(&PropagateTags::Service));
        assert_eq!(created.health_check_grace_period_seconds(), Some(60));
        assert_eq!(created.availability_zone_rebalancing(), None);
    }
    assert!(wanted(&world, spec()).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_load_balancer_there_is_no_grace_and_one_at_a_time_no_rebalancing() {
    let world = World::<Ecs>::new();
    world.get().ends = Some(State::Completed);
    let scheduler = ServiceSpec {
        load_balancers: BTreeSet::new(),
        health_check_grace_seconds: 0,
        min_healthy_percent: 0,
        max_percent: 100,
        ..spec()
    };
    wanted(&world, scheduler.clone()).deploy().await.unwrap();
    let created = world.get().created[0].clone();
    assert_eq!((created.health_check_grace_period_seconds(), created.load_balancers().len()), (None, 0));
    assert_eq!(created.availability_zone_rebalancing(), Some(&AvailabilityZoneRebalancing::Disabled));
    assert!(wanted(&world, scheduler).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_create_waits_for_what_passes() {
    let world = World::<Ecs>::new();
    world.get().ends = Some(State::Completed);
    let refusals = [
        ("ClusterNotFoundException", "Cluster not found."),
        ("InvalidParameterException", "Unable to Start a service that is still Draining."),
        ("InvalidParameterException", "The target group arn:tg does not have an associated load balancer."),
    ];
    world.get().refusals = refusals.into();
    wanted(&world, spec()).deploy().await.unwrap();
    let tokens: BTreeSet<Option<String>> =
        world.get().created.iter().map(|created| created.client_token.clone()).collect();
    assert_eq!((world.get().created.len(), tokens.len()), (4, 1), "every try has the same token");
}

#[test]
fn refusals_in_words_have_their_class() {
    let class = |message: &str| {
        let failure = Failure { code: None, ..Failure::new(Class::Refused, "ecs:CreateService", message) };
        refine(failure).class
    };
    assert_eq!(class("Creation of service was not idempotent."), Class::Exists);
    assert_eq!(
        class("Error retrieving security group information: (ErrorCode: InvalidGroup.NotFound)"),
        Class::NotFound
    );
    let role = "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role \
                being passed has the proper permissions.";
    assert_eq!(class(role), Class::NotFound);
    assert_eq!(class("Tasks may not be negative"), Class::Refused);
}

#[tokio::test(start_paused = true)]
async fn another_count_starts_no_deployment_and_waits_for_the_tasks() {
    let world = steady().await;
    wanted(&world, ServiceSpec { desired_count: 5, ..spec() }).deploy().await.unwrap();
    let ecs = world.get();
    let expected = UpdateServiceInput::builder().cluster("staging-main").service("staging-web").desired_count(5);
    assert_eq!(ecs.updated, [expected.build().unwrap()], "nothing else is in the call");
}

#[tokio::test(start_paused = true)]
async fn settings_are_changed_in_one_call() {
    let world = steady().await;
    let mut other = spec();
    other.circuit_breaker.threshold = None;
    other.max_percent = 150;
    other.assign_public_ip = false;
    wanted(&world, other.clone()).deploy().await.unwrap();
    assert_eq!(world.get().updated.len(), 1);
    let threshold = world.get().updated[0].deployment_configuration.clone().unwrap();
    let threshold = threshold.deployment_circuit_breaker.unwrap().threshold_configuration.unwrap();
    assert_eq!(
        (threshold.r#type().as_str(), threshold.value()),
        ("BOUNDED_PERCENT", 50),
        "written out to go back to it"
    );
    assert!(wanted(&world, other).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_fails_is_a_failure_and_is_started_again() {
    let world = steady().await;
    world.get().ends = Some(State::Failed);
    let next = ServiceSpec { task_definition: WEB_2.to_owned(), ..spec() };
    let failure = wanted(&world, next.clone()).deploy().await.unwrap_err();
    assert_eq!((failure.class, failure.operation.as_str()), (Class::Failed, "roll out staging-web"));
    world.get().ends = Some(State::Completed);
    world.get().service.as_mut().unwrap().deployments.as_mut().unwrap()[0].rollout_state = Some(State::Failed);
    wanted(&world, next).deploy().await.unwrap();
    assert_eq!(world.get().updated[1].force_new_deployment(), Some(true));
    assert_eq!(world.get().updated[1].task_definition(), None);
}

/// What is told after a rollout of revision 1 that failed, where ECS remembers these.
async fn told(rolled: &[(u32, Status)]) -> (Vec<String>, Duration) {
    let world = World::<Ecs>::new();
    world.get().ends = Some(State::Failed);
    world.get().rolled = rolled.to_vec();
    let since = tokio::time::Instant::now();
    (wanted(&world, spec()).deploy().await.unwrap_err().details, since.elapsed())
}

#[tokio::test(start_paused = true)]
async fn what_came_of_the_rollback_is_told() {
    let nothing = "there is nothing to go back to: none of its rollouts has succeeded yet";
    let back = "rolled back: the revision before serves again";
    let again = [(1, Status::RollbackSuccessful), (1, Status::Successful)];
    let before = [(1, Status::RollbackSuccessful), (7, Status::Successful)];
    let forgotten = [(1, Status::RollbackSuccessful)];
    for (rolled, words) in [
        (&before[..], back),
        (&again[..], back),
        (&forgotten[..], back),
        (&[(1, Status::RollbackFailed)][..], nothing),
        (&[(1, Status::Stopped)][..], nothing),
        (&[(1, Status::RollbackFailed), (7, Status::Successful)][..], "the rollback failed too"),
    ] {
        let (details, _) = told(rolled).await;
        assert!(details.iter().any(|detail| detail == words), "{rolled:?}: {details:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_rollout_that_ecs_leaves_open_is_not_waited_for_until_the_end() {
    let (details, took) = told(&[(1, Status::InProgress)]).await;
    assert!(details.iter().any(|detail| detail.starts_with("there is nothing to go back to")), "{details:?}");
    assert!(took < Duration::from_secs(40), "{took:?}");
    let (details, took) = told(&[(1, Status::RollbackInProgress), (7, Status::Successful)]).await;
    assert!(details.iter().any(|detail| detail == "the rollback still goes on"), "{details:?}");
    assert!(took >= Duration::from_secs(60), "a rollback is waited for: {took:?}");
}

/// What is told when two tasks have ended again and again, and ECS calls the rollout completed.
async fn crashing(rolled: &[(u32, Status)], gives_up: bool) -> (Failure, usize) {
    let world = World::<Ecs>::new();
    {
        let mut ecs = world.get();
        (ecs.ends, ecs.rolled, ecs.crashed) = (Some(State::Completed), rolled.to_vec(), 3);
    }
    let rules: Vec<Rule> = reads(&world).into_iter().chain(writes(&world)).collect();
    let client = pb_aws::mock_client!(aws_sdk_ecs, &rules);
    let mut graph = Graph::new();
    let kind = graph.kind(Services::new(client).rollout_within(Some(Duration::from_secs(60))).gives_up(gives_up));
    graph.add("fargate/web", &kind, (), |()| spec()).unwrap();
    let failure = alone(graph).deploy().await.unwrap_err();
    let stopped = world.get().stopped;
    (failure, stopped)
}

#[tokio::test(start_paused = true)]
async fn a_completed_rollout_whose_tasks_end_again_and_again_has_failed() {
    let (failure, stopped) = crashing(&[(1, Status::InProgress), (7, Status::Successful)], true).await;
    assert_eq!(failure.to_string(), "roll out staging-web: 3 tasks ran and ended with an error");
    assert!(failure.details.iter().any(|detail| detail.starts_with("rolled back")), "{:?}", failure.details);
    assert_eq!(stopped, 1);
    let (failure, stopped) = crashing(&[(1, Status::InProgress), (7, Status::Successful)], false).await;
    assert!(failure.details.contains(&"the rollout was left to go on".to_owned()), "{:?}", failure.details);
    assert_eq!(stopped, 0, "who only looks stops nothing");
    let (failure, stopped) = crashing(&[(1, Status::InProgress)], true).await;
    assert!(
        failure.details.iter().any(|detail| detail.ends_with("ECS goes on starting tasks")),
        "{:?}",
        failure.details
    );
    assert_eq!(stopped, 0, "there is nothing to go back to");
}

#[tokio::test(start_paused = true)]
async fn old_revisions_go_once_a_rollout_has_succeeded() {
    let world = steady().await;
    world.get().revisions = 13;
    world.get().ends = Some(State::Failed);
    let next = ServiceSpec { task_definition: WEB_2.replace(":2", ":13"), ..spec() };
    wanted(&world, next.clone()).deploy().await.unwrap_err();
    assert!(world.get().deregistered.is_empty(), "one of them may be what the service goes back to");
    world.get().ends = Some(State::Completed);
    wanted(&world, ServiceSpec { desired_count: 3, ..next }).deploy().await.unwrap();
    assert_eq!(world.get().deregistered, ["staging-web:3", "staging-web:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_a_failure_though_all_tasks_run() {
    let world = steady().await;
    world.get().ends = None;
    let next = ServiceSpec { task_definition: WEB_2.to_owned(), ..spec() };
    let alone = wanted(&world, next);
    let deploying = alone.deploy();
    let rolled_back = async {
        while world.get().updated.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut ecs = world.get();
        let service = ecs.service.as_mut().unwrap();
        service.task_definition = Some(WEB_1.to_owned());
        service.deployments = Some(vec![deployment("ecs-svc/1", WEB_1, 2, State::Completed)]);
    };
    let (outcome, ()) = tokio::join!(deploying, rolled_back);
    let failure = outcome.unwrap_err();
    assert_eq!(failure.class, Class::Failed);
    assert!(failure.message.contains("staging-web:1 instead"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn what_was_before_the_update_is_no_rollback() {
    let world = steady().await;
    world.get().stale = 3;
    let next = ServiceSpec { task_definition: WEB_2.to_owned(), ..spec() };
    let made = wanted(&world, next).deploy().await.unwrap();
    assert_eq!(attrs_of(&made, "fargate/web")["deployment"], "ecs-svc/2");
    assert_eq!(world.get().stale, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_does_not_end_is_given_up() {
    let world = World::<Ecs>::new();
    let failure = wanted(&world, spec()).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.message.contains("gave up after 60 s: 0 of 2 running"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_another_run_left_is_waited_for() {
    let world = World::<Ecs>::new();
    wanted(&world, spec()).deploy().await.unwrap_err();
    let plan = wanted(&world, spec()).plan().await.unwrap();
    assert_eq!(plan.changes().map(|step| step.action).collect::<Vec<_>>(), [Action::Wait]);
    world.get().ends = Some(State::Completed);
    let made = wanted(&world, spec()).deploy().await.unwrap();
    assert_eq!(attrs_of(&made, "fargate/web")["deployment"], "ecs-svc/1");
    assert!(world.get().updated.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_drains_is_gone_before_another_is_made() {
    let world = steady().await;
    {
        let mut ecs = world.get();
        ecs.draining = 6;
        let service = ecs.service.as_mut().unwrap();
        (service.status, service.desired_count) = (Some("DRAINING".to_owned()), 0);
    }
    let alone = wanted(&world, spec());
    let plan = alone.plan().await.unwrap();
    assert_eq!(plan.changes().next().unwrap().action, Action::Replace { order: Order::DestroyBeforeCreate });
    alone.deploy().await.unwrap();
    assert_eq!(world.get().created.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_delete_waits_until_it_is_gone() {
    let world = steady().await;
    world.get().draining = 4;
    wanted(&world, spec()).destroy().await.unwrap();
    assert_eq!(world.get().deleted, 1);
    assert_eq!(world.get().draining, 0);
    assert!(wanted(&world, spec()).read().await.unwrap().managed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_refused() {
    let world = steady().await;
    world.get().service.as_mut().unwrap().tags = None;
    let failure = wanted(&world, spec()).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.message.contains("ECS service staging-web in staging-main"), "{failure}");
}

#[test]
fn what_ecs_does_not_take_is_refused() {
    type Change = fn(&mut ServiceSpec);
    let table: [(Change, &str); 6] = [
        (|spec| spec.load_balancers.clear(), "health_check_grace_seconds"),
        (|spec| spec.max_percent = 100, "rollout"),
        (|spec| spec.subnets.clear(), "subnets"),
        (|spec| spec.name = "a b".to_owned(), "name"),
        (|spec| spec.circuit_breaker.enable = false, "circuit_breaker"),
        (|spec| spec.launch_type = "EC2".to_owned(), "launch_type"),
    ];
    assert_eq!(Services::validate(&spec()), Ok(()));
    for (change, word) in table {
        let mut spec = spec();
        change(&mut spec);
        let why = Services::validate(&spec).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
}
