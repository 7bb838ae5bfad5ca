use super::{CrashCheck, CrashWatch, QUIET_PERIOD, has_crashed, threshold};
use crate::testing::deployment;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    Container, DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentRolloutState as State, Service, Task,
    TaskStopCode, ThresholdConfiguration, ThresholdType,
};

fn service(desired: i32, enable: bool, given: Option<(ThresholdType, i32)>, counted: i32) -> Service {
    let given = given.map(|(kind, value)| ThresholdConfiguration::builder().r#type(kind).value(value).build().unwrap());
    let breaker = DeploymentCircuitBreaker::builder().enable(enable).rollback(enable);
    let breaker = breaker.set_threshold_configuration(given).build();
    let mut ours = deployment("ecs-svc/2", "arn/web:2", 1, State::InProgress);
    ours.failed_tasks = counted;
    Service::builder()
        .desired_count(desired)
        .deployments(ours)
        .deployment_configuration(DeploymentConfiguration::builder().deployment_circuit_breaker(breaker).build())
        .build()
}

#[test]
fn crash_threshold_equals_that_of_the_circuit_breaker() {
    let count = |tasks| Some((ThresholdType::Count, tasks));
    let bounded = Some((ThresholdType::BoundedPercent, 10));
    let unbounded = Some((ThresholdType::UnboundedPercent, 10));
    for (desired, given, most) in [
        (1, None, 3),
        (9, None, 5),
        (1000, None, 200),
        (9, count(2), 2),
        (9, bounded, 3),
        (9, unbounded.clone(), 1),
        (100, unbounded, 10),
    ] {
        assert_eq!(threshold(&service(desired, true, given.clone(), 0)), Some(most), "{desired} {given:?}");
    }
    assert_eq!(threshold(&service(9, false, count(2), 0)), None, "no breaker");
    assert_eq!(threshold(&Service::builder().build()), None);
}

#[test]
fn only_task_that_ran_and_exited_with_an_error_is_a_crash() {
    let task = |ran: bool, code: TaskStopCode, exit: Option<i32>| {
        let container = Container::builder().set_exit_code(exit).build();
        let task = Task::builder().stop_code(code).containers(container);
        task.set_started_at(ran.then(|| DateTime::from_secs(1))).build()
    };
    assert!(has_crashed(&task(true, TaskStopCode::EssentialContainerExited, Some(1))));
    assert!(!has_crashed(&task(true, TaskStopCode::EssentialContainerExited, Some(0))));
    assert!(
        !has_crashed(&task(false, TaskStopCode::EssentialContainerExited, Some(1))),
        "it never started: ECS counts it"
    );
    assert!(!has_crashed(&task(true, TaskStopCode::ServiceSchedulerInitiated, Some(137))), "ECS stopped it");
    assert!(!has_crashed(&task(true, TaskStopCode::TaskFailedToStart, None)));
    assert!(!has_crashed(&task(true, TaskStopCode::InfrastructureHealth, Some(1))), "its host failed");
}

#[tokio::test(start_paused = true)]
async fn crash_loop_fails_unless_ecs_counts_the_tasks() {
    let three = |counted| service(4, true, None, counted);
    let mut watch = CrashWatch::new();
    assert_eq!(watch.evaluate(0, &three(0)), CrashCheck::None);
    assert_eq!(watch.evaluate(1, &three(0)), CrashCheck::Recent("1 task started and exited with an error".to_owned()));
    assert_eq!(
        watch.evaluate(3, &three(0)),
        CrashCheck::TooMany("3 tasks started and exited with an error".to_owned())
    );
    assert_eq!(watch.evaluate(3, &three(3)), CrashCheck::Recent("3 tasks started and exited with an error".to_owned()));
    let without = service(4, false, None, 0);
    assert!(matches!(watch.evaluate(9, &without), CrashCheck::Recent(_)), "without a breaker no rollout is aborted");
}

#[tokio::test(start_paused = true)]
async fn crash_is_ignored_after_the_quiet_period() {
    let mut watch = CrashWatch::new();
    let service = service(4, true, None, 0);
    assert!(matches!(watch.evaluate(1, &service), CrashCheck::Recent(_)));
    tokio::time::advance(QUIET_PERIOD).await;
    assert_eq!(watch.evaluate(1, &service), CrashCheck::None);
    assert!(matches!(watch.evaluate(2, &service), CrashCheck::Recent(_)));
}
