//! Whether a rollout came to be, and why not.
//!
//! As many running tasks as wanted, with one deployment, is also what a service looks like after ECS has rolled back. So the
//! only success is that the deployment which we started has completed, with our revision. (ECS developer guide: How the
//! deployment circuit breaker detects failures)

use crate::service_spec::{ACTIVE, primary};
use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, Service, ServiceEvent};

/// What a rollout is about.
pub(crate) struct ExpectedDeployment<'a> {
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
pub(crate) enum RolloutStatus {
    /// Our deployment serves our revision.
    Succeeded,
    /// Not yet, in words.
    InProgress(String),
    /// It never will, in words.
    Failed(String),
}

/// How far the rollout is.
pub(crate) fn rollout_status(service: &Service, expected: &ExpectedDeployment<'_>) -> RolloutStatus {
    if let Some(status) = service.status().filter(|status| *status != ACTIVE) {
        return RolloutStatus::Failed(format!("the service is {status}: somebody deletes it"));
    }
    let ours = service.deployments().iter().find(|deployment| deployment.id() == Some(expected.deployment));
    if let Some(ours) = ours.filter(|ours| ours.rollout_state() == Some(&DeploymentRolloutState::Failed)) {
        let reason = ours.rollout_state_reason().unwrap_or("the deployment failed");
        return RolloutStatus::Failed(reason.trim_end_matches('.').to_owned());
    }
    let Some(primary) = primary(service) else {
        return RolloutStatus::InProgress("no deployment yet".to_owned());
    };
    if primary.id() != Some(expected.deployment) {
        return RolloutStatus::Failed(superseded_by(primary, expected));
    }
    if primary.task_definition().is_some_and(|arn| arn != expected.task_definition) {
        return RolloutStatus::Failed(format!("the deployment brings {} instead", revision_name(primary)));
    }
    let (running, desired) = (primary.running_count(), service.desired_count());
    // Where there is no state, the counts of a single deployment are all there is to know.
    let completed = primary.rollout_state().is_none_or(|state| *state == DeploymentRolloutState::Completed);
    if completed && running == desired && service.deployments().len() == 1 {
        return RolloutStatus::Succeeded;
    }
    let state = primary.rollout_state().map_or("under way", DeploymentRolloutState::as_str);
    let mut words = format!("{running} of {desired} running, deployment {state}");
    if primary.failed_tasks() > 0 {
        let tasks = if primary.failed_tasks() == 1 { "task" } else { "tasks" };
        words = format!("{words}, {} {tasks} failed", primary.failed_tasks());
    }
    match events(service, Some(primary)).next() {
        Some(event) => RolloutStatus::InProgress(format!("{words}; {event}")),
        None => RolloutStatus::InProgress(words),
    }
}

/// Whether our deployment has failed, and ECS works towards nothing else.
pub(crate) fn is_failed_without_rollback(service: &Service, expected: &ExpectedDeployment<'_>) -> bool {
    primary(service).is_some_and(|primary| {
        primary.id() == Some(expected.deployment) && primary.rollout_state() == Some(&DeploymentRolloutState::Failed)
    })
}

/// What took the place of our deployment.
fn superseded_by(primary: &Deployment, expected: &ExpectedDeployment<'_>) -> String {
    let reason = primary.rollout_state_reason().unwrap_or_default().trim_end_matches('.');
    let came = revision_name(primary);
    if reason.contains("rolling back") {
        format!("ECS rolled back to {came}: {reason}")
    } else if primary.task_definition() == Some(expected.task_definition) {
        format!("somebody started another deployment of {came}")
    } else {
        format!("the service runs {came} instead: ECS rolled back, or somebody deployed meanwhile")
    }
}

pub(crate) fn revision_name(deployment: &Deployment) -> &str {
    crate::last_part(deployment.task_definition().unwrap_or_default())
}

/// The latest events first, since `deployment` was started; without the name of the service in front of them.
pub(crate) fn events<'a>(service: &'a Service, deployment: Option<&'a Deployment>) -> impl Iterator<Item = String> {
    let since = deployment.and_then(Deployment::created_at);
    let is_new = move |event: &&ServiceEvent| match (event.created_at(), since) {
        (Some(at), Some(since)) => at >= since,
        _ => true,
    };
    service.events().iter().filter(is_new).filter_map(ServiceEvent::message).map(|message| {
        let plain = message.strip_prefix("(service ").and_then(|rest| rest.split_once(") "));
        shorten_ids(plain.map_or(message, |(_, rest)| rest).trim_end_matches('.'))
    })
}

/// `text` as people read it: ids of tasks cut to eight characters, and target groups by their names.
pub(crate) fn shorten_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let cut = |word: &str| {
        let bare = word.trim_end_matches([')', ',', '.']);
        match bare.split_once(":targetgroup/").and_then(|(_, rest)| rest.split('/').next()) {
            Some(name) => word.replace(bare, name),
            None if is_id(bare) => word.replace(bare, &bare[..8]),
            None => word.to_owned(),
        }
    };
    text.split(' ').map(cut).collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{ExpectedDeployment, RolloutStatus, rollout_status};
    use crate::testing::deployment;
    use aws_sdk_ecs::primitives::DateTime;
    use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState as State, Service, ServiceEvent};

    const EXPECTED: ExpectedDeployment<'_> = ExpectedDeployment {
        cluster: "c",
        service: "staging-web",
        deployment: "ecs-svc/2",
        task_definition: "arn/web:2",
    };

    fn service(status: &str, desired: i32, deployments: Vec<Deployment>) -> Service {
        Service::builder().status(status).desired_count(desired).set_deployments(Some(deployments)).build()
    }

    fn failure_reason(service: &Service) -> String {
        match rollout_status(service, &EXPECTED) {
            RolloutStatus::Failed(words) => words,
            other => panic!("{other:?}"),
        }
    }

    fn older(mut deployment: Deployment) -> Deployment {
        deployment.status = Some("ACTIVE".to_owned());
        deployment
    }

    #[test]
    fn rollout_succeeds_when_only_our_deployment_is_completed() {
        let done = deployment("ecs-svc/2", "arn/web:2", 2, State::Completed);
        assert_eq!(rollout_status(&service("ACTIVE", 2, vec![done.clone()]), &EXPECTED), RolloutStatus::Succeeded);
        let going = |service: Service| matches!(rollout_status(&service, &EXPECTED), RolloutStatus::InProgress(_));
        assert!(going(service("ACTIVE", 3, vec![done.clone()])), "a task is missing");
        let old = older(deployment("ecs-svc/1", "arn/web:1", 1, State::Completed));
        assert!(going(service("ACTIVE", 2, vec![done, old])), "old tasks still run");
        let counts = deployment("ecs-svc/2", "arn/web:2", 2, State::InProgress);
        assert!(going(service("ACTIVE", 2, vec![counts])), "the counts fit, and the deployment is not complete");
        assert!(going(service("ACTIVE", 2, Vec::new())), "no deployment yet");
    }

    #[test]
    fn rollout_without_a_state_is_decided_by_counts() {
        let mut plain = deployment("ecs-svc/2", "arn/web:2", 1, State::Completed);
        plain.rollout_state = None;
        assert_eq!(rollout_status(&service("ACTIVE", 1, vec![plain.clone()]), &EXPECTED), RolloutStatus::Succeeded);
        assert!(matches!(rollout_status(&service("ACTIVE", 2, vec![plain]), &EXPECTED), RolloutStatus::InProgress(_)));
    }

    #[test]
    fn rollback_is_a_failed_rollout() {
        // All tasks run, of the revision before: this is what the counts alone take for a success.
        let mut back = deployment("ecs-svc/1", "arn/web:1", 2, State::Completed);
        let words = failure_reason(&service("ACTIVE", 2, vec![back.clone()]));
        assert!(words.contains("the service runs web:1 instead"), "{words}");
        back.rollout_state_reason = Some("ECS deployment circuit breaker: rolling back to deploymentId 1.".to_owned());
        let words = failure_reason(&service("ACTIVE", 2, vec![back.clone()]));
        assert!(words.starts_with("ECS rolled back to web:1: ECS deployment circuit breaker"), "{words}");
        let mut ours = older(deployment("ecs-svc/2", "arn/web:2", 0, State::Failed));
        ours.rollout_state_reason = Some("ECS deployment circuit breaker: tasks failed to start.".to_owned());
        let words = failure_reason(&service("ACTIVE", 2, vec![back, ours]));
        assert_eq!(words, "ECS deployment circuit breaker: tasks failed to start");
    }

    #[test]
    fn deployment_of_another_run_is_a_failed_rollout() {
        let theirs = deployment("ecs-svc/3", "arn/web:2", 2, State::Completed);
        assert!(failure_reason(&service("ACTIVE", 2, vec![theirs])).contains("somebody started another deployment"));
        assert!(failure_reason(&service("DRAINING", 0, Vec::new())).contains("DRAINING"));
    }

    #[test]
    fn rollout_in_progress_reports_counts_and_event() {
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
        let group = "arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/staging-web-80/8bf414b399b73fe8";
        assert_eq!(
            rollout_status(&service, &EXPECTED),
            RolloutStatus::InProgress(words.clone()),
            "an event of before is no news"
        );
        service.events = Some(vec![event(101, "has started 1 tasks: (task 0123456789abcdef0123456789abcdef)")]);
        assert_eq!(
            rollout_status(&service, &EXPECTED),
            RolloutStatus::InProgress(format!("{words}; has started 1 tasks: (task 01234567)"))
        );
        service.events = Some(vec![event(101, &format!("registered 1 targets in (target-group {group})"))]);
        let named = format!("{words}; registered 1 targets in (target-group staging-web-80)");
        assert_eq!(rollout_status(&service, &EXPECTED), RolloutStatus::InProgress(named));
    }
}
