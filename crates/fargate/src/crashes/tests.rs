use super::{Crashes, Crashing, QUIET, crashed, threshold};
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
fn the_threshold_is_that_of_the_breaker() {
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
fn a_crash_is_a_task_that_ran_and_ended_by_itself_with_an_error() {
    let task = |ran: bool, code: TaskStopCode, exit: Option<i32>| {
        let container = Container::builder().set_exit_code(exit).build();
        let task = Task::builder().stop_code(code).containers(container);
        task.set_started_at(ran.then(|| DateTime::from_secs(1))).build()
    };
    assert!(crashed(&task(true, TaskStopCode::EssentialContainerExited, Some(1))));
    assert!(!crashed(&task(true, TaskStopCode::EssentialContainerExited, Some(0))));
    assert!(!crashed(&task(false, TaskStopCode::EssentialContainerExited, Some(1))), "it never ran: ECS counts it");
    assert!(!crashed(&task(true, TaskStopCode::ServiceSchedulerInitiated, Some(137))), "ECS stopped it");
    assert!(!crashed(&task(true, TaskStopCode::TaskFailedToStart, None)));
}

#[tokio::test(start_paused = true)]
async fn too_many_are_a_failure_unless_ecs_counts_them_itself() {
    let three = |counted| service(4, true, None, counted);
    let mut crashing = Crashing::new();
    assert_eq!(crashing.judge(0, &three(0)), Crashes::None);
    assert_eq!(crashing.judge(1, &three(0)), Crashes::Some("1 task ran and ended with an error".to_owned()));
    assert_eq!(crashing.judge(3, &three(0)), Crashes::TooMany("3 tasks ran and ended with an error".to_owned()));
    assert_eq!(crashing.judge(3, &three(3)), Crashes::Some("3 tasks ran and ended with an error".to_owned()));
    let without = service(4, false, None, 0);
    assert!(matches!(crashing.judge(9, &without), Crashes::Some(_)), "without a breaker nothing is given up");
}

#[tokio::test(start_paused = true)]
async fn one_that_passed_is_forgiven_after_a_while() {
    let mut crashing = Crashing::new();
    let service = service(4, true, None, 0);
    assert!(matches!(crashing.judge(1, &service), Crashes::Some(_)));
    tokio::time::advance(QUIET).await;
    assert_eq!(crashing.judge(1, &service), Crashes::None);
    assert!(matches!(crashing.judge(2, &service), Crashes::Some(_)));
}
