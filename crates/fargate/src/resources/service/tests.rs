use super::fake::{Ecs, reads, writes};
use super::{Services, classify_refusal};
use crate::resources::service::spec::{
    self as service_spec, BreakerSpec, ServiceSpec, ServiceTargetSpec, ThresholdSpec,
};
use crate::testing::{Fake, attrs_of, deployment, name_tag, owned_ecs, standalone};
use aws_sdk_ecs::operation::update_service::UpdateServiceInput;
use aws_sdk_ecs::types::{
    AvailabilityZoneRebalancing, DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentEarlySuccessCriteria,
    DeploymentRolloutState as State, PropagateTags, ServiceDeploymentStatus as Status,
};
use aws_smithy_mocks::Rule;
use pb_engine::{Action, Class, Failure, Graph, Order, Resource, Standalone};
use std::collections::BTreeSet;
use std::time::Duration;

const WEB_1: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web:1";
const WEB_2: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web:2";

fn spec() -> ServiceSpec {
    let text = |text: &str| text.to_owned();
    let target = ServiceTargetSpec { target_group_arn: text("arn:tg"), container: text("web"), port: 5050 };
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
        tags: name_tag(),
    }
}

fn stack(fake: &Fake<Ecs>, spec: ServiceSpec) -> Standalone {
    let rules: Vec<Rule> = reads(fake).into_iter().chain(writes(fake)).collect();
    let client = pb_aws::mock_client!(aws_sdk_ecs, &rules);
    let mut graph = Graph::new();
    let kind = graph.kind(Services::new(client).rollout_timeout(Some(Duration::from_secs(60))));
    graph.add("fargate/web", &kind, (), move |()| spec.clone()).unwrap();
    standalone(graph)
}

async fn steady() -> Fake<Ecs> {
    let fake = Fake::<Ecs>::new();
    fake.get().rollout_state = Some(State::Completed);
    stack(&fake, spec()).deploy().await.unwrap();
    fake
}

#[tokio::test(start_paused = true)]
async fn service_is_created_with_token_and_tags_then_a_no_op() {
    let fake = steady().await;
    {
        let ecs = fake.get();
        let created = &ecs.created[0];
        let token = created.client_token().unwrap();
        assert!(!token.is_empty() && token.len() <= 36 && token.is_ascii(), "{token}");
        assert_eq!(created.tags(), owned_ecs("fargate/web"));
        assert_eq!(created.propagate_tags(), Some(&PropagateTags::Service));
        assert_eq!(created.health_check_grace_period_seconds(), Some(60));
        assert_eq!(created.availability_zone_rebalancing(), Some(&AvailabilityZoneRebalancing::Enabled));
    }
    assert!(stack(&fake, spec()).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn service_without_load_balancer_has_no_grace_period() {
    let fake = Fake::<Ecs>::new();
    fake.get().rollout_state = Some(State::Completed);
    let scheduler = ServiceSpec {
        load_balancers: BTreeSet::new(),
        health_check_grace_seconds: 0,
        min_healthy_percent: 0,
        max_percent: 100,
        ..spec()
    };
    stack(&fake, scheduler.clone()).deploy().await.unwrap();
    let created = fake.get().created[0].clone();
    assert_eq!((created.health_check_grace_period_seconds(), created.load_balancers().len()), (None, 0));
    assert_eq!(created.availability_zone_rebalancing(), Some(&AvailabilityZoneRebalancing::Disabled));
    assert!(stack(&fake, scheduler).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn service_create_retries_transient_refusals() {
    let fake = Fake::<Ecs>::new();
    fake.get().rollout_state = Some(State::Completed);
    let refusals = [
        ("ClusterNotFoundException", "Cluster not found."),
        ("InvalidParameterException", "Unable to Start a service that is still Draining."),
        ("InvalidParameterException", "The target group arn:tg does not have an associated load balancer."),
    ];
    fake.get().refusals = refusals.into();
    stack(&fake, spec()).deploy().await.unwrap();
    let tokens: BTreeSet<Option<String>> =
        fake.get().created.iter().map(|created| created.client_token.clone()).collect();
    assert_eq!((fake.get().created.len(), tokens.len()), (4, 1), "every attempt has the same token");
}

#[test]
fn refusal_messages_are_classified() {
    let class = |message: &str| {
        let failure = Failure { code: None, ..Failure::new(Class::Refused, "ecs:CreateService", message) };
        classify_refusal(failure).class
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
async fn service_count_change_starts_no_deployment() {
    let fake = steady().await;
    stack(&fake, ServiceSpec { desired_count: 5, ..spec() }).deploy().await.unwrap();
    let ecs = fake.get();
    let expected = UpdateServiceInput::builder().cluster("staging-main").service("staging-web").desired_count(5);
    assert_eq!(ecs.updated, [expected.build().unwrap()], "the call contains nothing else");
}

#[tokio::test(start_paused = true)]
async fn service_settings_change_in_one_call() {
    let fake = steady().await;
    let mut other = spec();
    other.circuit_breaker.threshold = None;
    other.max_percent = 150;
    other.assign_public_ip = false;
    stack(&fake, other.clone()).deploy().await.unwrap();
    assert_eq!(fake.get().updated.len(), 1);
    let threshold = fake.get().updated[0].deployment_configuration.clone().unwrap();
    let threshold = threshold.deployment_circuit_breaker.unwrap().threshold_configuration.unwrap();
    assert_eq!(
        (threshold.r#type().as_str(), threshold.value()),
        ("BOUNDED_PERCENT", 50),
        "the default is explicit when an update returns to it"
    );
    assert!(stack(&fake, other).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failed_rollout_is_started_again_by_the_next_deploy() {
    let fake = steady().await;
    fake.get().rollout_state = Some(State::Failed);
    let next = ServiceSpec { task_definition: WEB_2.to_owned(), ..spec() };
    let failure = stack(&fake, next.clone()).deploy().await.unwrap_err();
    assert_eq!((failure.class, failure.operation.as_str()), (Class::Failed, "roll out staging-web"));
    fake.get().rollout_state = Some(State::Completed);
    fake.get().service.as_mut().unwrap().deployments.as_mut().unwrap()[0].rollout_state = Some(State::Failed);
    stack(&fake, next).deploy().await.unwrap();
    assert_eq!(fake.get().updated[1].force_new_deployment(), Some(true));
    assert_eq!(fake.get().updated[1].task_definition(), None);
}

/// Returns the details of the failure of a rollout of revision 1 with these service deployments in ECS, and the
/// duration of the deploy.
async fn failed_deploy(deployments: &[(u32, Status)]) -> (Vec<String>, Duration) {
    let fake = Fake::<Ecs>::new();
    fake.get().rollout_state = Some(State::Failed);
    fake.get().deployments = deployments.to_vec();
    let since = tokio::time::Instant::now();
    (stack(&fake, spec()).deploy().await.unwrap_err().details(), since.elapsed())
}

#[tokio::test(start_paused = true)]
async fn failed_rollout_reports_the_rollback_outcome() {
    let nothing = "there is nothing to roll back to: no rollout of this service has succeeded";
    let back = "rolled back: the previous revision is serving again";
    let again = [(1, Status::RollbackSuccessful), (1, Status::Successful)];
    let before = [(1, Status::RollbackSuccessful), (7, Status::Successful)];
    let forgotten = [(1, Status::RollbackSuccessful)];
    for (deployments, words) in [
        (&before[..], back),
        (&again[..], back),
        (&forgotten[..], back),
        (&[(1, Status::RollbackFailed)][..], nothing),
        (&[(1, Status::Stopped)][..], nothing),
        (&[(1, Status::RollbackFailed), (7, Status::Successful)][..], "the rollback failed too"),
    ] {
        let (details, _) = failed_deploy(deployments).await;
        assert!(details.iter().any(|detail| detail == words), "{deployments:?}: {details:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_rollout_left_open_by_ecs_is_not_awaited() {
    let (details, took) = failed_deploy(&[(1, Status::InProgress)]).await;
    assert!(details.iter().any(|detail| detail.starts_with("there is nothing to roll back to")), "{details:?}");
    assert!(took < Duration::from_secs(40), "{took:?}");
    let (details, took) = failed_deploy(&[(1, Status::RollbackInProgress), (7, Status::Successful)]).await;
    assert!(details.iter().any(|detail| detail == "the rollback is still in progress"), "{details:?}");
    assert!(took >= Duration::from_secs(60), "a rollback is waited for: {took:?}");
}

/// Returns the failure of a rollout that ECS completed while its tasks are in a crash loop, and the number of rollouts
/// that were stopped.
async fn crash_loop(deployments: &[(u32, Status)], abort_on_crash_loop: bool) -> (Failure, usize) {
    let fake = Fake::<Ecs>::new();
    {
        let mut ecs = fake.get();
        (ecs.rollout_state, ecs.deployments, ecs.crashed_tasks) = (Some(State::Completed), deployments.to_vec(), 3);
    }
    let rules: Vec<Rule> = reads(&fake).into_iter().chain(writes(&fake)).collect();
    let client = pb_aws::mock_client!(aws_sdk_ecs, &rules);
    let mut graph = Graph::new();
    let kind = graph.kind(
        Services::new(client).rollout_timeout(Some(Duration::from_secs(60))).abort_on_crash_loop(abort_on_crash_loop),
    );
    graph.add("fargate/web", &kind, (), |()| spec()).unwrap();
    let failure = standalone(graph).deploy().await.unwrap_err();
    let stopped = fake.get().stop_calls;
    (failure, stopped)
}

#[tokio::test(start_paused = true)]
async fn completed_rollout_with_a_crash_loop_fails() {
    let (failure, stopped) = crash_loop(&[(1, Status::InProgress), (7, Status::Successful)], true).await;
    assert_eq!(failure.to_string(), "roll out staging-web: 3 tasks started and exited with an error");
    assert!(failure.details().iter().any(|detail| detail.starts_with("rolled back")), "{:?}", failure.details());
    assert_eq!(stopped, 1);
    let (failure, stopped) = crash_loop(&[(1, Status::InProgress), (7, Status::Successful)], false).await;
    assert!(failure.details().contains(&"the rollout continues in ECS".to_owned()), "{:?}", failure.details());
    assert_eq!(stopped, 0, "a caller that only reads stops nothing");
    let (failure, stopped) = crash_loop(&[(1, Status::InProgress)], true).await;
    assert!(
        failure.details().iter().any(|detail| detail.ends_with("ECS keeps starting tasks")),
        "{:?}",
        failure.details()
    );
    assert_eq!(stopped, 0, "there is nothing to roll back to");
}

#[tokio::test(start_paused = true)]
async fn old_revisions_are_deregistered_after_a_rollout() {
    let fake = steady().await;
    fake.get().revisions = 13;
    fake.get().rollout_state = Some(State::Failed);
    let next = ServiceSpec { task_definition: WEB_2.replace(":2", ":13"), ..spec() };
    stack(&fake, next.clone()).deploy().await.unwrap_err();
    assert!(fake.get().deregistered.is_empty(), "a rollback may need one of them");
    fake.get().rollout_state = Some(State::Completed);
    stack(&fake, ServiceSpec { desired_count: 3, ..next }).deploy().await.unwrap();
    assert_eq!(fake.get().deregistered, ["staging-web:3", "staging-web:1"]);
}

#[tokio::test(start_paused = true)]
async fn rollback_fails_although_all_tasks_run() {
    let fake = steady().await;
    fake.get().rollout_state = None;
    let next = ServiceSpec { task_definition: WEB_2.to_owned(), ..spec() };
    let standalone = stack(&fake, next);
    let deploying = standalone.deploy();
    let rolled_back = async {
        while fake.get().updated.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut ecs = fake.get();
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
async fn stale_read_after_an_update_is_not_a_rollback() {
    let fake = steady().await;
    fake.get().stale = 3;
    let next = ServiceSpec { task_definition: WEB_2.to_owned(), ..spec() };
    let made = stack(&fake, next).deploy().await.unwrap();
    assert_eq!(attrs_of(&made, "fargate/web")["deployment"], "ecs-svc/2");
    assert_eq!(fake.get().stale, 0);
}

#[tokio::test(start_paused = true)]
async fn rollout_without_an_end_times_out() {
    let fake = Fake::<Ecs>::new();
    let failure = stack(&fake, spec()).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.message.contains("gave up after 60 s: 0/2 running"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn rollout_of_an_earlier_run_is_awaited() {
    let fake = Fake::<Ecs>::new();
    stack(&fake, spec()).deploy().await.unwrap_err();
    let plan = stack(&fake, spec()).plan().await.unwrap();
    assert_eq!(plan.changes().map(|step| step.action).collect::<Vec<_>>(), [Action::Wait]);
    fake.get().rollout_state = Some(State::Completed);
    let made = stack(&fake, spec()).deploy().await.unwrap();
    assert_eq!(attrs_of(&made, "fargate/web")["deployment"], "ecs-svc/1");
    assert!(fake.get().updated.is_empty());
}

#[tokio::test(start_paused = true)]
async fn draining_service_is_gone_before_it_is_re_created() {
    let fake = steady().await;
    {
        let mut ecs = fake.get();
        ecs.draining = 6;
        let service = ecs.service.as_mut().unwrap();
        (service.status, service.desired_count) = (Some("DRAINING".to_owned()), 0);
    }
    let standalone = stack(&fake, spec());
    let plan = standalone.plan().await.unwrap();
    assert_eq!(plan.changes().next().unwrap().action, Action::Replace { order: Order::DestroyBeforeCreate });
    standalone.deploy().await.unwrap();
    assert_eq!(fake.get().created.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn service_delete_waits_until_it_is_gone() {
    let fake = steady().await;
    fake.get().draining = 4;
    stack(&fake, spec()).destroy().await.unwrap();
    assert_eq!(fake.get().deleted, 1);
    assert_eq!(fake.get().draining, 0);
    assert!(stack(&fake, spec()).read().await.unwrap().managed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn unmanaged_service_is_refused() {
    let fake = steady().await;
    fake.get().service.as_mut().unwrap().tags = None;
    let failure = stack(&fake, spec()).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.message.contains("ECS service staging-web in staging-main"), "{failure}");
}

#[test]
fn invalid_service_spec_is_refused() {
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

#[test]
fn rollout_settings_without_a_field_survive_an_update() {
    let early = DeploymentEarlySuccessCriteria::builder().enable(true).build();
    let breaker =
        DeploymentCircuitBreaker::builder().enable(false).rollback(false).reset_on_healthy_task(false).build();
    let live = DeploymentConfiguration::builder().early_success_criteria(early.clone()).maximum_percent(150);
    let live = live.deployment_circuit_breaker(breaker).bake_time_in_minutes(5).build();
    let sent = service_spec::deployment(&spec(), Some(&live), false).unwrap();
    assert_eq!((sent.maximum_percent(), sent.bake_time_in_minutes()), (Some(spec().max_percent), Some(5)));
    assert_eq!(sent.early_success_criteria(), Some(&early));
    let breaker = sent.deployment_circuit_breaker().unwrap();
    assert_eq!((breaker.enable(), breaker.reset_on_healthy_task()), (spec().circuit_breaker.enable, Some(false)));
}
