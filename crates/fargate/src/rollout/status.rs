//! Rollout status and failure reason.
//!
//! After a rollback by ECS, a service also has only one deployment, and all desired tasks are running. A rollout has
//! therefore succeeded only if the deployment that this program started has completed with its revision. (ECS developer
//! guide: How the deployment circuit breaker detects failures)

use crate::resources::service::spec::{ACTIVE, primary};
use aws_sdk_ecs::types::{
    Deployment, DeploymentConfiguration, DeploymentEarlySuccessCriteria, DeploymentLifecycleHookTargetType,
    DeploymentRolloutState, Service, ServiceEvent,
};

/// The deployment that this program started, and its revision.
pub(crate) struct ExpectedDeployment<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Name of the service.
    pub service: &'a str,
    /// Id of the deployment.
    pub deployment: &'a str,
    /// ARN of the revision.
    pub task_definition: &'a str,
}

/// Status of a rollout.
#[derive(Debug, PartialEq)]
pub(crate) enum RolloutStatus {
    /// The expected deployment has completed with its revision.
    Succeeded,
    /// In progress; the text describes the progress.
    InProgress(String),
    /// Failed; the text is the reason.
    Failed(String),
}

/// Returns the status of a rollout.
pub(crate) fn rollout_status(service: &Service, expected: &ExpectedDeployment<'_>) -> RolloutStatus {
    if let Some(status) = service.status().filter(|status| *status != ACTIVE) {
        return RolloutStatus::Failed(format!("the service is {status}: it is being deleted"));
    }
    let ours = service.deployments().iter().find(|deployment| deployment.id() == Some(expected.deployment));
    if let Some(ours) = ours.filter(|ours| ours.rollout_state() == Some(&DeploymentRolloutState::Failed)) {
        let reason = ours.rollout_state_reason().unwrap_or("the deployment failed");
        return RolloutStatus::Failed(reason.trim_end_matches('.').to_owned());
    }
    let Some(primary) = primary(service) else {
        return RolloutStatus::InProgress("waiting for the deployment to appear".to_owned());
    };
    if primary.id() != Some(expected.deployment) {
        return RolloutStatus::Failed(superseded_by(primary, expected));
    }
    if primary.task_definition().is_some_and(|arn| arn != expected.task_definition) {
        return RolloutStatus::Failed(format!("the deployment runs {} instead", revision_name(primary)));
    }
    let (running, desired) = (primary.running_count(), service.desired_count());
    // If ECS returns no rollout state, the counts decide: all desired tasks run, in a single deployment.
    let completed = primary.rollout_state().is_none_or(|state| *state == DeploymentRolloutState::Completed);
    // With early success criteria, ECS may complete the deployment while old tasks still run.
    let is_last = service.deployments().len() == 1 || (primary.rollout_state().is_some() && ends_early(service));
    if completed && running == desired && is_last {
        return RolloutStatus::Succeeded;
    }
    let progress = progress(service, primary);
    match events(service, Some(primary)).next() {
        Some(event) => RolloutStatus::InProgress(format!("{progress}; {event}")),
        None => RolloutStatus::InProgress(progress),
    }
}

/// Returns whether ECS may complete a deployment before the old tasks are gone. (ECS API:
/// DeploymentEarlySuccessCriteria)
fn ends_early(service: &Service) -> bool {
    let criteria = service.deployment_configuration().and_then(DeploymentConfiguration::early_success_criteria);
    criteria.is_some_and(DeploymentEarlySuccessCriteria::enable)
}

/// Returns whether a lifecycle hook may pause a deployment of the service until somebody continues it.
pub(crate) fn may_pause(service: &Service) -> bool {
    let hooks = service.deployment_configuration().map(DeploymentConfiguration::lifecycle_hooks).unwrap_or_default();
    hooks.iter().any(|hook| hook.target_type() == Some(&DeploymentLifecycleHookTargetType::Pause))
}

/// Describes the tasks of a rollout in progress: `new 1/4 running, old 4 serving, 1 task failed`.
fn progress(service: &Service, primary: &Deployment) -> String {
    let (running, desired) = (primary.running_count(), service.desired_count());
    let others = service.deployments().iter().filter(|deployment| deployment.id() != primary.id());
    let old: i32 = others.map(Deployment::running_count).sum();
    let mut text = match old {
        0 => format!("{running}/{desired} running"),
        _ => format!("new {running}/{desired} running, old {old} serving"),
    };
    if old == 0 && running == desired {
        text.push_str(", waiting for ECS to complete the deployment");
    }
    if primary.failed_tasks() > 0 {
        text = format!("{text}, {} failed", crate::text::counted(primary.failed_tasks(), "task"));
    }
    text
}

/// Returns whether the expected deployment has failed and ECS has not started to roll back.
pub(crate) fn is_failed_without_rollback(service: &Service, expected: &ExpectedDeployment<'_>) -> bool {
    primary(service).is_some_and(|primary| {
        primary.id() == Some(expected.deployment) && primary.rollout_state() == Some(&DeploymentRolloutState::Failed)
    })
}

/// Describes why another deployment has replaced the expected one.
fn superseded_by(primary: &Deployment, expected: &ExpectedDeployment<'_>) -> String {
    let reason = primary.rollout_state_reason().unwrap_or_default().trim_end_matches('.');
    let current = revision_name(primary);
    if reason.contains("rolling back") {
        format!("ECS rolled back to {current}: {reason}")
    } else if primary.task_definition() == Some(expected.task_definition) {
        format!("another deployment of {current} was started")
    } else {
        format!("the service runs {current} instead: ECS rolled back, or another deployment was started")
    }
}

/// Returns the family and number of the revision of a deployment.
pub(crate) fn revision_name(deployment: &Deployment) -> &str {
    crate::names::last_part(deployment.task_definition().unwrap_or_default())
}

/// Returns the events since `deployment` was started, latest first, without the service name at their beginning.
pub(crate) fn events<'a>(service: &'a Service, deployment: Option<&'a Deployment>) -> impl Iterator<Item = String> {
    let since = deployment.and_then(Deployment::created_at);
    let is_new = move |event: &&ServiceEvent| match (event.created_at(), since) {
        (Some(at), Some(since)) => at >= since,
        _ => true,
    };
    service.events().iter().filter(is_new).filter_map(ServiceEvent::message).map(|message| {
        let plain = message.strip_prefix("(service ").and_then(|rest| rest.split_once(") "));
        reworded(shorten_ids(plain.map_or(message, |(_, rest)| rest).trim_end_matches('.')))
    })
}

/// Rewords an event about started tasks or registered targets so that the noun agrees with the count: ECS writes `has
/// started 1 tasks: (task 253e85bf)` and `registered 1 targets in (target-group web)`. Returns other events unchanged.
fn reworded(event: String) -> String {
    let started = |event: &str| {
        let (_, tasks) = event.strip_prefix("has started ")?.split_once(" tasks: ")?;
        let tasks: Option<Vec<&str>> =
            tasks.split(") ").map(|task| task.strip_prefix("(task ").map(|id| id.trim_end_matches(')'))).collect();
        Some(match &tasks?[..] {
            [one] => format!("starting task {one}"),
            all => format!("starting {} tasks: {}", all.len(), all.join(", ")),
        })
    };
    let registered = |event: &str| {
        let (count, group) = event.strip_prefix("registered ")?.split_once(" targets in (target-group ")?;
        let targets = crate::text::counted(count.parse::<usize>().ok()?, "target");
        Some(format!("registered {targets} in target group {}", group.strip_suffix(')')?))
    };
    started(&event).or_else(|| registered(&event)).unwrap_or(event)
}

/// Shortens task ids to eight characters, and the ARNs of target groups to their names.
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
    use super::{ExpectedDeployment, RolloutStatus, may_pause, rollout_status};
    use crate::testing::deployment;
    use aws_sdk_ecs::primitives::DateTime;
    use aws_sdk_ecs::types::{
        Deployment, DeploymentConfiguration, DeploymentEarlySuccessCriteria, DeploymentLifecycleHook,
        DeploymentLifecycleHookTargetType as Kind, DeploymentRolloutState as State, Service, ServiceEvent,
    };

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
        assert!(going(service("ACTIVE", 2, vec![counts])), "the counts match, but the deployment is not completed");
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
        // All desired tasks run, but with the previous revision. According to the counts alone, the rollout would have
        // succeeded.
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
        assert!(
            failure_reason(&service("ACTIVE", 2, vec![theirs])).contains("another deployment of web:2 was started")
        );
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
        let progress = "1/4 running".to_owned();
        let group = "arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/staging-web-80/8bf414b399b73fe8";
        assert_eq!(
            rollout_status(&service, &EXPECTED),
            RolloutStatus::InProgress(progress.clone()),
            "an event before the deployment is ignored"
        );
        service.events = Some(vec![event(101, "has started 1 tasks: (task 0123456789abcdef0123456789abcdef)")]);
        assert_eq!(
            rollout_status(&service, &EXPECTED),
            RolloutStatus::InProgress(format!("{progress}; starting task 01234567"))
        );
        service.events = Some(vec![event(101, &format!("registered 1 targets in (target-group {group})"))]);
        let named = format!("{progress}; registered 1 target in target group staging-web-80");
        assert_eq!(rollout_status(&service, &EXPECTED), RolloutStatus::InProgress(named));
        service.events = Some(vec![event(101, "has started 2 tasks: (task a1) (task b2)")]);
        service.deployments.as_mut().unwrap().push(older(deployment("ecs-svc/1", "arn/web:1", 4, State::Completed)));
        let both = "new 1/4 running, old 4 serving; starting 2 tasks: a1, b2".to_owned();
        assert_eq!(rollout_status(&service, &EXPECTED), RolloutStatus::InProgress(both));
    }

    #[test]
    fn early_success_counts_while_old_tasks_run() {
        let early = DeploymentEarlySuccessCriteria::builder().enable(true).build();
        let configured = |configuration| {
            let ours = deployment("ecs-svc/2", "arn/web:2", 2, State::Completed);
            let old = older(deployment("ecs-svc/1", "arn/web:1", 1, State::Completed));
            let mut service = service("ACTIVE", 2, vec![ours, old]);
            service.deployment_configuration = Some(configuration);
            rollout_status(&service, &EXPECTED)
        };
        let plain = DeploymentConfiguration::builder();
        assert!(matches!(configured(plain.clone().build()), RolloutStatus::InProgress(_)));
        assert_eq!(configured(plain.early_success_criteria(early).build()), RolloutStatus::Succeeded);
    }

    #[test]
    fn only_pause_hooks_may_pause_a_rollout() {
        let with = |target: Kind| {
            let hook = DeploymentLifecycleHook::builder().target_type(target).build();
            let configuration = DeploymentConfiguration::builder().lifecycle_hooks(hook).build();
            may_pause(&Service::builder().deployment_configuration(configuration).build())
        };
        assert!(with(Kind::Pause) && !with(Kind::AwsLambda) && !may_pause(&Service::builder().build()));
    }
}
