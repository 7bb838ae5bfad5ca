use super::{Client, DIAGNOSIS_INTERVAL, INTERVALS, ReadyCheck, ReadyWatch, is_recent, phrase};
use crate::rollout::status::ExpectedDeployment;
use crate::tasks::logs::Logs;
use crate::testing::Fake;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsOutput;
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_sdk_cloudwatchlogs::types::{FilteredLogEvent, OutputLogEvent};
use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionOutput;
use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{ContainerDefinition, Deployment, LogConfiguration, LogDriver, Service, TaskDefinition};
use aws_smithy_mocks::{Rule, mock};
use std::time::{Duration, SystemTime};
use tokio::time::{advance, pause};

const EXPECTED: ExpectedDeployment<'_> = ExpectedDeployment {
    cluster: "c",
    service: "staging-celery",
    deployment: "ecs-svc/1",
    task_definition: "celery:1",
};

/// A service of two tasks with their logs.
#[derive(Default)]
struct Aws {
    tasks: Vec<&'static str>,
    /// Tasks that have logged the text.
    ready: Vec<&'static str>,
    /// Last line of the other tasks.
    last_line: &'static str,
    /// Set if the revision has no log configuration.
    has_no_log: bool,
    filter_calls: usize,
    list_calls: usize,
}

fn ecs(aws: &Fake<Aws>) -> [Rule; 2] {
    let [listed, described] = [aws.clone(), aws.clone()];
    [
        mock!(Client::list_tasks).then_compute_output(move |call| {
            assert_eq!(
                (call.service_name(), call.desired_status().unwrap().as_str()),
                (Some("staging-celery"), "RUNNING")
            );
            let mut aws = listed.get();
            aws.list_calls += 1;
            let arns = aws.tasks.iter().map(|id| format!("arn:aws:ecs:us-east-2:1:task/c/{id}")).collect();
            ListTasksOutput::builder().set_task_arns(Some(arns)).build()
        }),
        mock!(Client::describe_task_definition).then_compute_output(move |_| {
            let options =
                [("awslogs-group", "g"), ("awslogs-region", "r"), ("awslogs-stream-prefix", "staging-celery")];
            let mut log = LogConfiguration::builder().log_driver(LogDriver::Awslogs);
            for (name, value) in options {
                log = log.options(name, value);
            }
            let log = (!described.get().has_no_log).then(|| log.build().unwrap());
            let container = ContainerDefinition::builder().name("celery").set_log_configuration(log).build();
            let definition = TaskDefinition::builder().container_definitions(container).build();
            DescribeTaskDefinitionOutput::builder().task_definition(definition).build()
        }),
    ]
}

/// Returns rules of which the first answers with an empty page, as CloudWatch Logs may.
fn logs(aws: &Fake<Aws>) -> [Rule; 2] {
    let [filtered, read] = [aws.clone(), aws.clone()];
    [
        mock!(aws_sdk_cloudwatchlogs::Client::filter_log_events).then_compute_output(move |call| {
            assert_eq!(call.log_stream_name_prefix(), Some("staging-celery/celery/"));
            assert_eq!((call.filter_pattern(), call.start_time()), (Some("\"ready.\""), Some(40_000)));
            if call.next_token().is_none() {
                return FilterLogEventsOutput::builder().next_token("more").build();
            }
            let mut aws = filtered.get();
            aws.filter_calls += 1;
            let line = |id: &&str| {
                let stream = format!("staging-celery/celery/{id}");
                FilteredLogEvent::builder().log_stream_name(stream).timestamp(1).message("celery@h ready.").build()
            };
            FilterLogEventsOutput::builder().set_events(Some(aws.ready.iter().map(line).collect())).build()
        }),
        mock!(aws_sdk_cloudwatchlogs::Client::get_log_events).then_compute_output(move |call| {
            assert_eq!(call.log_stream_name(), Some("staging-celery/celery/b"));
            let line = OutputLogEvent::builder().message(read.get().last_line).build();
            GetLogEventsOutput::builder().events(line).build()
        }),
    ]
}

fn service(desired: i32, age: Duration) -> Service {
    let created = DateTime::from_secs(100);
    let created = if age.is_zero() { created } else { DateTime::from(SystemTime::now() - age) };
    let deployment = Deployment::builder().id("ecs-svc/1").status("PRIMARY").created_at(created).build();
    Service::builder().desired_count(desired).deployments(deployment).build()
}

async fn check(watch: &mut ReadyWatch, aws: &Fake<Aws>) -> ReadyCheck {
    let [list, describe] = ecs(aws);
    let [filter, read] = logs(aws);
    let ecs = pb_aws::mock_client!(aws_sdk_ecs, [&list, &describe]);
    let logs = Logs::of(pb_aws::mock_client!(aws_sdk_cloudwatchlogs, [&filter, &read]));
    watch.check(&ecs, &logs, &EXPECTED, &service(2, Duration::ZERO)).await.unwrap()
}

fn two_tasks() -> Fake<Aws> {
    let aws = Fake::<Aws>::new();
    aws.get().tasks = vec!["a", "b"];
    aws
}

#[tokio::test]
async fn rollout_is_ready_when_each_task_has_logged_the_text() {
    pause();
    let (aws, mut watch) = (two_tasks(), ReadyWatch::new("ready."));
    aws.get().ready = vec!["a", "old"];
    assert_eq!(check(&mut watch, &aws).await, ReadyCheck::Pending("1 of 2 tasks logged `ready.`".to_owned()));
    assert_eq!(watch.waiting(), ["b"]);
    check(&mut watch, &aws).await;
    assert_eq!(aws.get().filter_calls, 1, "the log is not read again at once");
    // The task is replaced by another one, which is ready.
    aws.get().tasks = vec!["a", "c"];
    aws.get().ready = vec!["c"];
    advance(INTERVALS.0).await;
    assert_eq!(check(&mut watch, &aws).await, ReadyCheck::Ready);
}

#[tokio::test]
async fn service_without_tasks_or_logs_is_ready() {
    let (aws, mut watch) = (two_tasks(), ReadyWatch::new("ready."));
    aws.get().has_no_log = true;
    assert_eq!(check(&mut watch, &aws).await, ReadyCheck::Ready);
    let (ecs, logs) =
        (pb_aws::mock_client!(aws_sdk_ecs, []), Logs::of(pb_aws::mock_client!(aws_sdk_cloudwatchlogs, [])));
    let stopped = service(0, Duration::ZERO);
    let found = ReadyWatch::new("ready.").check(&ecs, &logs, &EXPECTED, &stopped).await.unwrap();
    assert_eq!(found, ReadyCheck::Ready, "no call is made");
}

#[tokio::test]
async fn task_that_ecs_does_not_list_yet_is_awaited() {
    let (aws, mut watch) = (two_tasks(), ReadyWatch::new("ready."));
    aws.get().tasks = vec!["a"];
    aws.get().ready = vec!["a"];
    assert_eq!(check(&mut watch, &aws).await, ReadyCheck::Pending("waiting for ECS to list all tasks".to_owned()));
}

#[tokio::test]
async fn refused_password_that_persists_ends_the_wait() {
    pause();
    let (aws, mut watch) = (two_tasks(), ReadyWatch::new("ready."));
    let line =
        "consumer: Cannot connect to redis://:hunter2@q:6400/0: invalid username-password pair or user is disabled..";
    aws.get().ready = vec!["a"];
    aws.get().last_line = line;
    let mut seconds = 0;
    let failed = loop {
        match check(&mut watch, &aws).await {
            ReadyCheck::Pending(_) => advance(Duration::from_secs(1)).await,
            end => break end,
        }
        seconds += 1;
        assert!(seconds < 300, "it ends");
    };
    let ReadyCheck::Failed(words) = failed else { panic!("{failed:?}") };
    assert!(words.starts_with("1 of 2 tasks logged `ready.`; another logs: consumer: Cannot connect to "), "{words}");
    assert!(words.contains("invalid username-password pair") && !words.contains("hunter2"), "{words}");
    assert!((30..120).contains(&seconds), "{seconds}");
    // A task that becomes ready shows that the symptom is not permanent.
    let (aws, mut watch) = (two_tasks(), ReadyWatch::new("ready."));
    aws.get().last_line = line;
    aws.get().tasks = vec!["b", "a"];
    check(&mut watch, &aws).await;
    advance(DIAGNOSIS_INTERVAL).await;
    check(&mut watch, &aws).await;
    assert!(watch.symptom.is_some());
    aws.get().ready = vec!["a"];
    advance(INTERVALS.0).await;
    check(&mut watch, &aws).await;
    assert!(watch.symptom.is_none());
}

#[test]
fn phrase_escapes_quotes_and_backslashes() {
    assert_eq!(phrase("beat: Starting..."), "\"beat: Starting...\"");
    assert_eq!(phrase(r#"say "hi" \o/"#), r#""say \"hi\" \\o/""#);
}

#[test]
fn only_a_recent_deployment_has_its_whole_log() {
    let hours = |hours: u64| service(1, Duration::from_secs(hours * 3600));
    assert!(is_recent(&hours(23)) && !is_recent(&hours(25)));
}
