//! Whether a rollout came to be, and why not.
//!
//! As many running tasks as wanted, with one deployment, is also what a service looks like after ECS has rolled back. So the
//! only success is that the deployment which we started has completed, with our revision. (ECS developer guide: How the
//! deployment circuit breaker detects failures)

use crate::container::log_of_ecs;
use crate::revisions;
use crate::service_spec::{ACTIVE, primary};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{Container, Deployment, DeploymentRolloutState, DesiredStatus, Service, ServiceEvent, Task};
use aws_sdk_ecs::types::{ContainerDefinition, TaskDefinition};
use pb_engine::{Class, Failure};
use std::collections::BTreeMap;

/// How many events of the service are told when it fails.
const EVENTS: usize = 5;
/// How many different ends of tasks are told when it fails.
const ENDS: usize = 3;
/// Names that DescribeTasks takes in one call. (ECS API: DescribeTasks)
const TASKS_A_CALL: usize = 100;

/// What a rollout is about.
pub(crate) struct Wanted<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Name of the service.
    pub service: &'a str,
    /// Id of the deployment that we started.
    pub deployment: &'a str,
    /// ARN of the revision that it is to bring.
    pub task_definition: &'a str,
}

/// How far a rollout is.
#[derive(Debug, PartialEq)]
pub(crate) enum Rollout {
    /// Our deployment serves our revision.
    Done,
    /// Not yet, in words.
    Going(String),
    /// It never will, in words.
    Failed(String),
}

/// How far the rollout is.
pub(crate) fn judge(service: &Service, wanted: &Wanted<'_>) -> Rollout {
    if let Some(status) = service.status().filter(|status| *status != ACTIVE) {
        return Rollout::Failed(format!("the service is {status}: somebody deletes it"));
    }
    let ours = service.deployments().iter().find(|deployment| deployment.id() == Some(wanted.deployment));
    if let Some(ours) = ours.filter(|ours| ours.rollout_state() == Some(&DeploymentRolloutState::Failed)) {
        let reason = ours.rollout_state_reason().unwrap_or("the deployment failed");
        return Rollout::Failed(reason.trim_end_matches('.').to_owned());
    }
    let Some(primary) = primary(service) else {
        return Rollout::Going("no deployment yet".to_owned());
    };
    if primary.id() != Some(wanted.deployment) {
        return Rollout::Failed(other(primary, wanted));
    }
    if primary.task_definition().is_some_and(|arn| arn != wanted.task_definition) {
        return Rollout::Failed(format!("the deployment brings {} instead", revision(primary)));
    }
    let (running, desired) = (primary.running_count(), service.desired_count());
    // Where there is no state, the counts of a single deployment are all there is to know.
    let completed = primary.rollout_state().is_none_or(|state| *state == DeploymentRolloutState::Completed);
    if completed && running == desired && service.deployments().len() == 1 {
        return Rollout::Done;
    }
    let state = primary.rollout_state().map_or("under way", DeploymentRolloutState::as_str);
    let mut words = format!("{running} of {desired} running, deployment {state}");
    if primary.failed_tasks() > 0 {
        words = format!("{words}, {} tasks failed", primary.failed_tasks());
    }
    match events(service, Some(primary)).next() {
        Some(event) => Rollout::Going(format!("{words}; {event}")),
        None => Rollout::Going(words),
    }
}

/// What took the place of our deployment.
fn other(primary: &Deployment, wanted: &Wanted<'_>) -> String {
    let reason = primary.rollout_state_reason().unwrap_or_default().trim_end_matches('.');
    let came = revision(primary);
    if reason.contains("rolling back") {
        format!("ECS rolled back to {came}: {reason}")
    } else if primary.task_definition() == Some(wanted.task_definition) {
        format!("somebody started another deployment of {came}")
    } else {
        format!("the service runs {came} instead: ECS rolled back, or somebody deployed meanwhile")
    }
}

fn revision(deployment: &Deployment) -> &str {
    crate::last_part(deployment.task_definition().unwrap_or_default())
}

/// The latest events first, since `deployment` was started; without the name of the service in front of them.
fn events<'a>(service: &'a Service, deployment: Option<&'a Deployment>) -> impl Iterator<Item = String> {
    let since = deployment.and_then(Deployment::created_at);
    let is_new = move |event: &&ServiceEvent| match (event.created_at(), since) {
        (Some(at), Some(since)) => at >= since,
        _ => true,
    };
    service.events().iter().filter(is_new).filter_map(ServiceEvent::message).map(|message| {
        let plain = message.strip_prefix("(service ").and_then(|rest| rest.split_once(") "));
        brief(plain.map_or(message, |(_, rest)| rest).trim_end_matches('.'))
    })
}

/// `text` with ids of tasks cut to eight characters, as many as people need to find one.
fn brief(text: &str) -> String {
    let is_id = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let cut = |word: &str| match word.trim_end_matches(')') {
        id if is_id(id) => word.replace(id, &id[..8]),
        _ => word.to_owned(),
    };
    text.split(' ').map(cut).collect::<Vec<String>>().join(" ")
}

/// The failure of a rollout: the reason, how its tasks ended, and the last events.
pub(crate) async fn failed(
    client: &Client,
    wanted: &Wanted<'_>,
    service: Option<&Service>,
    class: Class,
    reason: &str,
) -> Failure {
    let mut parts = vec![reason.to_owned()];
    let tasks = stopped(client, wanted).await;
    let ends = ends(&tasks);
    if !ends.is_empty() {
        parts.push(format!("stopped tasks: {}", ends.join("; ")));
    }
    let deployment = service.and_then(|service| {
        let ours = service.deployments().iter().find(|deployment| deployment.id() == Some(wanted.deployment));
        ours.or_else(|| primary(service))
    });
    let events: Vec<String> =
        service.into_iter().flat_map(|service| events(service, deployment)).take(EVENTS).collect();
    if !events.is_empty() {
        parts.push(format!("last events: {}", events.join("; ")));
    }
    let failure = Failure::new(class, format!("roll out {}", wanted.service), parts.join("; "));
    match log(client, wanted, tasks.first()).await {
        Some(command) => failure.hint(format!("its log may say more: {command}")),
        None => failure,
    }
}

/// The stopped tasks of our deployment, or of the service when none are. What cannot be had is left out.
async fn stopped(client: &Client, wanted: &Wanted<'_>) -> Vec<Task> {
    let call = client.list_tasks().cluster(wanted.cluster).service_name(wanted.service);
    let listed = call.desired_status(DesiredStatus::Stopped).max_results(TASKS_A_CALL as i32).send().await;
    let arns = listed.map(|listed| listed.task_arns.unwrap_or_default()).unwrap_or_default();
    if arns.is_empty() {
        return Vec::new();
    }
    let described = client.describe_tasks().cluster(wanted.cluster).set_tasks(Some(arns)).send().await;
    let tasks = described.map(|described| described.tasks.unwrap_or_default()).unwrap_or_default();
    let (ours, others): (Vec<Task>, Vec<Task>) =
        tasks.into_iter().partition(|task| task.started_by() == Some(wanted.deployment));
    let mut tasks = if ours.is_empty() { others } else { ours };
    tasks.sort_by_key(|task| std::cmp::Reverse(task.stopped_at().map(DateTime::secs)));
    tasks
}

/// The different ends of tasks, each with how many ended so.
fn ends(tasks: &[Task]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for task in tasks {
        let end = end(task);
        if !counts.contains_key(&end) {
            order.push(end.clone());
        }
        *counts.entry(end).or_default() += 1;
    }
    order
        .into_iter()
        .take(ENDS)
        .map(|end| format!("{} x {end}", counts.get(&end).copied().unwrap_or_default()))
        .collect()
}

/// How one task ended: its reason, and the exit code or reason of each container.
fn end(task: &Task) -> String {
    let reason = task.stopped_reason().unwrap_or("no reason given").trim_end_matches('.');
    let containers: Vec<String> = task.containers().iter().filter_map(|container| exit(container, reason)).collect();
    if containers.is_empty() { reason.to_owned() } else { format!("{reason} ({})", containers.join(", ")) }
}

fn exit(container: &Container, known: &str) -> Option<String> {
    let name = container.name().unwrap_or_default();
    let reason = container.reason().filter(|reason| !known.contains(reason.trim_end_matches('.')));
    match (container.exit_code(), reason) {
        (Some(code), Some(reason)) => Some(format!("{name} exited with {code}: {reason}")),
        (Some(code), None) => Some(format!("{name} exited with {code}")),
        (None, Some(reason)) => Some(format!("{name}: {reason}")),
        (None, None) => None,
    }
}

/// The command that shows the log of a task.
async fn log(client: &Client, wanted: &Wanted<'_>, task: Option<&Task>) -> Option<String> {
    let revision = revisions::describe(client, wanted.task_definition).await.ok()??;
    let (name, log) = first_log(&revision.definition)?;
    let (group, prefix) = (log.group, log.stream_prefix);
    Some(match task.and_then(Task::task_arn).map(crate::last_part) {
        Some(task) => format!("aws logs tail {group} --log-stream-names {prefix}/{name}/{task}"),
        None => format!("aws logs tail {group} --log-stream-name-prefix {prefix}/"),
    })
}

fn first_log(definition: &TaskDefinition) -> Option<(&str, crate::container::LogSpec)> {
    let log = |container: &ContainerDefinition| container.log_configuration().and_then(log_of_ecs);
    let mut containers = definition.container_definitions().iter();
    containers.find_map(|container| Some((container.name().unwrap_or_default(), log(container)?)))
}

#[cfg(test)]
mod tests {
    use super::{Class, Rollout, Wanted, failed, judge};
    use crate::testing::{deployment, refused};
    use aws_sdk_ecs::Client;
    use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionOutput;
    use aws_sdk_ecs::operation::describe_tasks::DescribeTasksOutput;
    use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
    use aws_sdk_ecs::primitives::DateTime;
    use aws_sdk_ecs::types::{
        Container, ContainerDefinition, Deployment, DeploymentRolloutState as State, DesiredStatus, LogConfiguration,
        LogDriver, Service, ServiceEvent, Task, TaskDefinition,
    };
    use aws_smithy_mocks::mock;

    const WANTED: Wanted<'_> =
        Wanted { cluster: "c", service: "staging-web", deployment: "ecs-svc/2", task_definition: "arn/web:2" };

    fn service(status: &str, desired: i32, deployments: Vec<Deployment>) -> Service {
        Service::builder().status(status).desired_count(desired).set_deployments(Some(deployments)).build()
    }

    fn failed_words(service: &Service) -> String {
        match judge(service, &WANTED) {
            Rollout::Failed(words) => words,
            other => panic!("{other:?}"),
        }
    }

    fn older(mut deployment: Deployment) -> Deployment {
        deployment.status = Some("ACTIVE".to_owned());
        deployment
    }

    #[test]
    fn done_is_our_deployment_completed_alone_with_all_tasks() {
        let done = deployment("ecs-svc/2", "arn/web:2", 2, State::Completed);
        assert_eq!(judge(&service("ACTIVE", 2, vec![done.clone()]), &WANTED), Rollout::Done);
        let going = |service: Service| matches!(judge(&service, &WANTED), Rollout::Going(_));
        assert!(going(service("ACTIVE", 3, vec![done.clone()])), "a task is missing");
        let old = older(deployment("ecs-svc/1", "arn/web:1", 1, State::Completed));
        assert!(going(service("ACTIVE", 2, vec![done, old])), "old tasks still run");
        let counts = deployment("ecs-svc/2", "arn/web:2", 2, State::InProgress);
        assert!(going(service("ACTIVE", 2, vec![counts])), "the counts fit, and the deployment is not complete");
        assert!(going(service("ACTIVE", 2, Vec::new())), "no deployment yet");
    }

    #[test]
    fn without_a_state_the_counts_decide() {
        let mut plain = deployment("ecs-svc/2", "arn/web:2", 1, State::Completed);
        plain.rollout_state = None;
        assert_eq!(judge(&service("ACTIVE", 1, vec![plain.clone()]), &WANTED), Rollout::Done);
        assert!(matches!(judge(&service("ACTIVE", 2, vec![plain]), &WANTED), Rollout::Going(_)));
    }

    #[test]
    fn a_rollback_is_no_success() {
        // All tasks run, of the revision before: this is what the counts alone take for a success.
        let mut back = deployment("ecs-svc/1", "arn/web:1", 2, State::Completed);
        let words = failed_words(&service("ACTIVE", 2, vec![back.clone()]));
        assert!(words.contains("the service runs web:1 instead"), "{words}");
        back.rollout_state_reason = Some("ECS deployment circuit breaker: rolling back to deploymentId 1.".to_owned());
        let words = failed_words(&service("ACTIVE", 2, vec![back.clone()]));
        assert!(words.starts_with("ECS rolled back to web:1: ECS deployment circuit breaker"), "{words}");
        let mut ours = older(deployment("ecs-svc/2", "arn/web:2", 0, State::Failed));
        ours.rollout_state_reason = Some("ECS deployment circuit breaker: tasks failed to start.".to_owned());
        let words = failed_words(&service("ACTIVE", 2, vec![back, ours]));
        assert_eq!(words, "ECS deployment circuit breaker: tasks failed to start");
    }

    #[test]
    fn a_deployment_of_somebody_else_is_no_success() {
        let theirs = deployment("ecs-svc/3", "arn/web:2", 2, State::Completed);
        assert!(failed_words(&service("ACTIVE", 2, vec![theirs])).contains("somebody started another deployment"));
        assert!(failed_words(&service("DRAINING", 0, Vec::new())).contains("DRAINING"));
    }

    #[test]
    fn while_it_goes_on_it_says_how_far_it_is() {
        let mut ours = deployment("ecs-svc/2", "arn/web:2", 1, State::InProgress);
        ours.created_at = Some(DateTime::from_secs(100));
        let mut service = service("ACTIVE", 4, vec![ours]);
        let event = |secs, text: &str| {
            ServiceEvent::builder()
                .created_at(DateTime::from_secs(secs))
                .message(format!("(service web) {text}."))
                .build()
        };
        service.events = Some(vec![event(90, "has reached a steady state")]);
        let words = "1 of 4 running, deployment IN_PROGRESS".to_owned();
        assert_eq!(judge(&service, &WANTED), Rollout::Going(words.clone()), "an event of before is no news");
        service.events = Some(vec![event(101, "has started 1 tasks: (task 0123456789abcdef0123456789abcdef)")]);
        assert_eq!(judge(&service, &WANTED), Rollout::Going(format!("{words}; has started 1 tasks: (task 01234567)")));
    }

    fn task(id: &str, started_by: &str, stopped_at: i64, code: i32) -> Task {
        Task::builder()
            .task_arn(format!("arn:aws:ecs:us-east-2:1:task/c/{id}"))
            .started_by(started_by)
            .stopped_at(DateTime::from_secs(stopped_at))
            .stopped_reason("Essential container in task exited")
            .containers(Container::builder().name("web").exit_code(code).build())
            .build()
    }

    #[tokio::test]
    async fn a_failure_tells_how_its_tasks_ended_and_where_the_log_is() {
        let listed = mock!(Client::list_tasks)
            .match_requests(|input| input.desired_status() == Some(&DesiredStatus::Stopped))
            .then_output(|| ListTasksOutput::builder().task_arns("a").build());
        let described = mock!(Client::describe_tasks).then_output(|| {
            let tasks = [task("old", "ecs-svc/1", 9, 0), task("t1", "ecs-svc/2", 1, 1), task("t2", "ecs-svc/2", 2, 1)];
            DescribeTasksOutput::builder().set_tasks(Some(tasks.to_vec())).build()
        });
        let revision = mock!(Client::describe_task_definition).then_output(|| {
            let log = LogConfiguration::builder().log_driver(LogDriver::Awslogs);
            let log = log.options("awslogs-group", "g").options("awslogs-stream-prefix", "p").build().unwrap();
            let container = ContainerDefinition::builder().name("web").log_configuration(log).build();
            let definition = TaskDefinition::builder().container_definitions(container).build();
            DescribeTaskDefinitionOutput::builder().task_definition(definition).build()
        });
        let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &described, &revision]);
        let mut service = service("ACTIVE", 2, Vec::new());
        let event = |number: u32| ServiceEvent::builder().message(format!("(service web) event {number}.")).build();
        service.events = Some((1..9).map(event).collect());
        let failure = failed(&client, &WANTED, Some(&service), Class::Failed, "why").await;
        assert_eq!(
            failure.to_string(),
            "roll out staging-web: why; stopped tasks: 2 x Essential container in task exited (web exited with 1); \
             last events: event 1; event 2; event 3; event 4; event 5"
        );
        assert_eq!(failure.hint.unwrap(), "its log may say more: aws logs tail g --log-stream-names p/web/t2");
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_left_out_of_a_failure() {
        let listed = mock!(Client::list_tasks).then_http_response(|| refused("AccessDeniedException", "no"));
        let revision =
            mock!(Client::describe_task_definition).then_http_response(|| refused("AccessDeniedException", "no"));
        let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revision]);
        let failure = failed(&client, &WANTED, None, Class::TimedOut, "why").await;
        assert_eq!((failure.to_string().as_str(), failure.class), ("roll out staging-web: why", Class::TimedOut));
    }
}
