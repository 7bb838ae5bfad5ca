use super::{Class, ExpectedDeployment, FailureReport, RollbackOutcome};
use crate::testing::{deployment, refused};
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionOutput;
use aws_sdk_ecs::operation::describe_tasks::DescribeTasksOutput;
use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    Container, ContainerDefinition, DeploymentRolloutState as State, DesiredStatus, LogConfiguration, LogDriver,
    Service, ServiceEvent, Task, TaskDefinition,
};
use aws_smithy_mocks::{Rule, mock};

const EXPECTED: ExpectedDeployment<'_> =
    ExpectedDeployment { cluster: "c", service: "staging-web", deployment: "ecs-svc/2", task_definition: "arn/web:2" };

fn task(id: &str, started_by: &str, stopped_at: i64, code: i32) -> Task {
    Task::builder()
        .task_arn(format!("arn:aws:ecs:us-east-2:1:task/c/{id}"))
        .started_by(started_by)
        .stopped_at(DateTime::from_secs(stopped_at))
        .stopped_reason("Essential container in task exited")
        .containers(Container::builder().name("web").exit_code(code).build())
        .build()
}

/// Returns a client of a fake ECS in which these tasks have stopped.
fn ecs(tasks: Vec<Task>) -> Client {
    let listed = mock!(Client::list_tasks)
        .match_requests(|input| input.desired_status() == Some(&DesiredStatus::Stopped))
        .then_output(|| ListTasksOutput::builder().task_arns("a").build());
    let described = mock!(Client::describe_tasks)
        .then_output(move || DescribeTasksOutput::builder().set_tasks(Some(tasks.clone())).build());
    let revision = mock!(Client::describe_task_definition).then_output(|| {
        let log = LogConfiguration::builder().log_driver(LogDriver::Awslogs);
        let log = log.options("awslogs-group", "g").options("awslogs-stream-prefix", "p").build().unwrap();
        let container = ContainerDefinition::builder().name("web").log_configuration(log).build();
        let definition = TaskDefinition::builder().container_definitions(container).build();
        DescribeTaskDefinitionOutput::builder().task_definition(definition).build()
    });
    pb_aws::mock_client!(aws_sdk_ecs, [&listed, &described, &revision])
}

/// Returns a service that was rolled back.
fn service() -> Service {
    let event = |number: u32| ServiceEvent::builder().message(format!("(service web) event {number}.")).build();
    Service::builder()
        .status("ACTIVE")
        .desired_count(2)
        .running_count(1)
        .deployments(deployment("ecs-svc/1", "arn/web:1", 1, State::InProgress))
        .set_events(Some((1..9).rev().map(event).collect()))
        .build()
}

#[tokio::test]
async fn failure_report_has_exits_events_log_and_running_tasks() {
    let lines = mock!(aws_sdk_cloudwatchlogs::Client::get_log_events)
        .match_requests(|input| {
            (input.log_group_name(), input.log_stream_name()) == (Some("g"), Some("p/web/t2"))
                && input.start_from_head() == Some(false)
        })
        .then_output(|| {
            let line = |text: &str| OutputLogEvent::builder().message(text).build();
            GetLogEventsOutput::builder().events(line("starting\n")).events(line("fatal: no settings")).build()
        });
    let ecs = ecs(vec![task("old", "ecs-svc/1", 9, 3), task("t1", "ecs-svc/2", 1, 1), task("t2", "ecs-svc/2", 2, 1)]);
    let logs = pb_aws::mock_client!(aws_sdk_cloudwatchlogs, [&lines]);
    let report = FailureReport { ecs: &ecs, logs: Some(&logs), expected: &EXPECTED, not_ready: &[] };
    let rolled_back = RollbackOutcome { rolled_back: true, text: "rolled back".to_owned() };
    let failure = report.failure((Class::Failed, "why"), Some(&service()), None, Some(rolled_back)).await;
    assert_eq!(failure.to_string(), "roll out staging-web: why");
    assert_eq!(
        failure.details(),
        [
            "stopped: 2 x Essential container in task exited (web exited with code 1)",
            "event: event 4",
            "event: event 5",
            "event: event 6",
            "event: event 7",
            "event: event 8",
            "log: starting",
            "log: fatal: no settings",
            "rolled back",
            "running now: 1 of 2 tasks (1 on web:1)",
        ]
    );
}

#[tokio::test]
async fn failure_report_omits_tasks_of_other_rollouts() {
    let ecs = ecs(vec![task("old", "ecs-svc/1", 9, 1)]);
    let logs = pb_aws::mock_client!(aws_sdk_cloudwatchlogs, [] as [&Rule; 0]);
    let report = FailureReport { ecs: &ecs, logs: Some(&logs), expected: &EXPECTED, not_ready: &[] };
    let failure = report.failure((Class::Failed, "why"), Some(&service()), None, None).await;
    let count = |word: &str| failure.details().iter().filter(|detail| detail.starts_with(word)).count();
    assert_eq!((count("stopped:"), count("log:"), count("event:")), (0, 0, 5), "{:?}", failure.details());
}

#[tokio::test]
async fn failure_report_mentions_an_empty_log() {
    let none = mock!(aws_sdk_cloudwatchlogs::Client::get_log_events)
        .then_http_response(|| refused("ResourceNotFoundException", "no such stream"));
    let ecs = ecs(vec![task("t2", "ecs-svc/2", 2, 1)]);
    let logs = pb_aws::mock_client!(aws_sdk_cloudwatchlogs, [&none]);
    let report = FailureReport { ecs: &ecs, logs: Some(&logs), expected: &EXPECTED, not_ready: &[] };
    let failure = report.failure((Class::Failed, "why"), None, None, None).await;
    let silent = "log: the container wrote nothing (log group g, stream p/web/t2)".to_owned();
    assert!(failure.details().contains(&silent), "{:?}", failure.details());
}

#[tokio::test]
async fn failure_report_omits_what_cannot_be_read() {
    let listed = mock!(Client::list_tasks).then_http_response(|| refused("AccessDeniedException", "no"));
    let revision =
        mock!(Client::describe_task_definition).then_http_response(|| refused("AccessDeniedException", "no"));
    let ecs = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revision]);
    let report = FailureReport { ecs: &ecs, logs: None, expected: &EXPECTED, not_ready: &[] };
    let failure = report.failure((Class::TimedOut, "why"), None, None, None).await;
    assert_eq!((failure.to_string().as_str(), failure.class), ("roll out staging-web: why", Class::TimedOut));
    assert!(failure.details().is_empty(), "{:?}", failure.details());
}
