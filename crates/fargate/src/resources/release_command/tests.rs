use super::{MARK_TAG, ReleaseCommandSpec, ReleaseCommands, mark};
use crate::tags::{Tags, to_ecs};
use crate::testing::{Fake, name_tag, owned_tags, refused, standalone};
use aws_sdk_cloudwatchlogs::Client as LogsClient;
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionOutput;
use aws_sdk_ecs::operation::describe_tasks::DescribeTasksOutput;
use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::operation::run_task::RunTaskOutput;
use aws_sdk_ecs::operation::tag_resource::TagResourceOutput;
use aws_sdk_ecs::types::{
    AssignPublicIp, Container, ContainerDefinition, Failure, LogConfiguration, LogDriver, Task, TaskDefinition,
};
use aws_smithy_mocks::{Rule, mock};
use pb_engine::{Graph, Standalone};
use std::time::Duration;

const REVISION: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web:3";
const TASK: &str = "arn:aws:ecs:us-east-2:1:task/c/0123456789abcdef0123456789abcdef";

fn spec() -> ReleaseCommandSpec {
    ReleaseCommandSpec {
        cluster: "staging-c".to_owned(),
        family: "staging-web".to_owned(),
        task_definition: REVISION.to_owned(),
        container: "web".to_owned(),
        command: ["flask", "db", "upgrade"].map(str::to_owned).to_vec(),
        subnet: "subnet-1".to_owned(),
        security_group: "sg-1".to_owned(),
        tags: name_tag(),
    }
}

/// State of the fake ECS.
#[derive(Default)]
struct Ecs {
    /// Tags of the revision.
    tags: Tags,
    task: Option<Task>,
    runs: usize,
    /// Reason with which the next RunTask is refused.
    refuse: Option<&'static str>,
}

/// Returns the mock rules of a fake ECS in which each task stops at once with `exit_code`.
fn ecs_rules(ecs: &Fake<Ecs>, exit_code: i32) -> Vec<Rule> {
    let (a, b, c, d, e) = (ecs.clone(), ecs.clone(), ecs.clone(), ecs.clone(), ecs.clone());
    vec![
        mock!(Client::describe_task_definition).then_compute_output(move |_| {
            let log = LogConfiguration::builder().log_driver(LogDriver::Awslogs).options("awslogs-group", "g");
            let log = log.options("awslogs-region", "r").options("awslogs-stream-prefix", "staging-web").build();
            let container = ContainerDefinition::builder().name("web").log_configuration(log.unwrap()).build();
            let definition = TaskDefinition::builder().task_definition_arn(REVISION).container_definitions(container);
            let tags = to_ecs(owned_tags("fargate/web_task").into_iter().chain(a.get().tags.clone()).collect());
            DescribeTaskDefinitionOutput::builder().task_definition(definition.build()).set_tags(Some(tags)).build()
        }),
        mock!(Client::list_tasks)
            .match_requests(|call| call.started_by() == Some("pb-deploy/before"))
            .then_compute_output(move |_| {
                ListTasksOutput::builder().set_task_arns(b.get().task.as_ref().map(|_| vec![TASK.to_owned()])).build()
            }),
        mock!(Client::describe_tasks).then_compute_output(move |_| {
            DescribeTasksOutput::builder().set_tasks(c.get().task.clone().map(|task| vec![task])).build()
        }),
        mock!(Client::run_task)
            .match_requests(|call| {
                let own = &call.overrides().unwrap().container_overrides()[0];
                let network = call.network_configuration().unwrap().awsvpc_configuration().unwrap();
                let tags = crate::tags::from_ecs(call.tags());
                own.name() == Some("web")
                    && own.command() == ["flask", "db", "upgrade"]
                    && call.client_token().is_some_and(|token| token.len() == 32)
                    && network.assign_public_ip() == Some(&AssignPublicIp::Enabled)
                    && (network.subnets(), network.security_groups())
                        == (&["subnet-1".to_owned()][..], &["sg-1".to_owned()][..])
                    && owned_tags("fargate/before").iter().all(|(key, value)| tags.get(key) == Some(value))
                    && tags.get(MARK_TAG) == Some(&mark(&spec()))
            })
            .then_compute_output(move |call| {
                let mut ecs = d.get();
                if let Some(reason) = ecs.refuse.take() {
                    return RunTaskOutput::builder().failures(Failure::builder().reason(reason).build()).build();
                }
                ecs.runs += 1;
                let container = Container::builder().name("web").exit_code(exit_code).build();
                let task = Task::builder().task_arn(TASK).task_definition_arn(REVISION).last_status("STOPPED");
                let task = task.stopped_reason("Essential container in task exited").containers(container);
                ecs.task = Some(task.set_tags(Some(call.tags().to_vec())).build());
                RunTaskOutput::builder().set_tasks(ecs.task.clone().map(|task| vec![task])).build()
            }),
        mock!(Client::tag_resource).match_requests(|call| call.resource_arn() == Some(REVISION)).then_compute_output(
            move |call| {
                e.get().tags.extend(crate::tags::from_ecs(call.tags()));
                TagResourceOutput::builder().build()
            },
        ),
    ]
}

fn stack(spec: ReleaseCommandSpec, rules: &[Rule]) -> Standalone {
    let lines = mock!(LogsClient::get_log_events)
        .match_requests(|call| call.log_stream_name() == Some("staging-web/web/0123456789abcdef0123456789abcdef"))
        .then_output(|| {
            let event = |text: &str| OutputLogEvent::builder().message(text).build();
            GetLogEventsOutput::builder().events(event("upgrading")).events(event("no such column\n")).build()
        });
    let logs = pb_aws::mock_client!(aws_sdk_cloudwatchlogs, [&lines]);
    let client = pb_aws::mock_client!(aws_sdk_ecs, rules.iter());
    let mut graph = Graph::new();
    let kind = graph.kind(ReleaseCommands::new(client, logs, Duration::from_secs(60)));
    graph.add("fargate/before", &kind, (), move |()| spec.clone()).unwrap();
    standalone(graph)
}

#[tokio::test(start_paused = true)]
async fn release_command_that_succeeded_marks_the_revision() {
    let ecs = Fake::<Ecs>::new();
    let rules = ecs_rules(&ecs, 0);
    stack(spec(), &rules).deploy().await.unwrap();
    assert_eq!(ecs.get().tags[MARK_TAG], mark(&spec()));
    // ECS forgets stopped tasks after an hour.
    ecs.get().task = None;
    assert!(stack(spec(), &rules).plan().await.unwrap().is_empty());
    let other = ReleaseCommandSpec { command: vec!["other".to_owned()], ..spec() };
    assert!(!stack(other, &rules).plan().await.unwrap().is_empty());
    assert_eq!(ecs.get().runs, 1);
}

#[tokio::test(start_paused = true)]
async fn release_command_skips_a_marked_revision() {
    let ecs = Fake::<Ecs>::new();
    let rules = ecs_rules(&ecs, 0);
    stack(spec(), &rules).deploy().await.unwrap();
    ecs.get().task = None;
    // The plan finds another revision in use, as after a rollback, so it contains the release command, although the
    // command has already succeeded with the revision that is rolled out.
    let older = mock!(Client::describe_task_definition)
        .match_requests(|call| call.task_definition() == Some("staging-web"))
        .then_output(|| {
            let definition =
                TaskDefinition::builder().task_definition_arn("arn:aws:ecs:us-east-2:1:task-definition/staging-web:2");
            let tags = to_ecs(owned_tags("fargate/web_task"));
            DescribeTaskDefinitionOutput::builder().task_definition(definition.build()).set_tags(Some(tags)).build()
        });
    let rules: Vec<Rule> = std::iter::once(older).chain(rules).collect();
    stack(spec(), &rules).deploy().await.unwrap();
    assert_eq!(ecs.get().runs, 1);
}

#[tokio::test(start_paused = true)]
async fn release_command_failure_reports_exit_code_reason_and_log() {
    let ecs = Fake::<Ecs>::new();
    let rules = ecs_rules(&ecs, 7);
    let failure = stack(spec(), &rules).deploy().await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "run a task: `flask db upgrade` exited with code 7: Essential container in task exited; last log lines: \
         upgrading | no such column"
    );
    assert!(ecs.get().tags.is_empty());
    assert!(!stack(spec(), &rules).plan().await.unwrap().is_empty(), "the next deploy runs it again");
}

#[tokio::test(start_paused = true)]
async fn release_command_retries_without_capacity_fails_when_refused() {
    let ecs = Fake::<Ecs>::new();
    ecs.get().refuse = Some("Capacity is unavailable at this time. Please try again later");
    stack(spec(), &ecs_rules(&ecs, 0)).deploy().await.unwrap();
    assert_eq!(ecs.get().runs, 1);
    let refused_role = [mock!(Client::run_task).then_http_response(|| refused("ClientException", "no role"))];
    let ecs = Fake::<Ecs>::new();
    let rules = ecs_rules(&ecs, 0);
    let rules: Vec<Rule> = refused_role.into_iter().chain(rules).collect();
    let failure = stack(spec(), &rules).deploy().await.unwrap_err();
    assert!(failure.message.contains("no role"), "{failure}");
}
