use super::{HealthyTargets, HealthyTargetsSpec};
use crate::LoadBalancerClient as Client;
use crate::testing::{error_meta, standalone};
use aws_sdk_elasticloadbalancingv2::operation::describe_target_health::{
    DescribeTargetHealthError, DescribeTargetHealthOutput,
};
use aws_sdk_elasticloadbalancingv2::types::error::TargetGroupNotFoundException;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetHealth, TargetHealthDescription, TargetHealthStateEnum,
};
use aws_smithy_mocks::{Rule, mock};
use pb_engine::{Check, Class, Graph, Verdict};
use std::sync::Arc;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(35);

fn check(rules: &[&Rule]) -> HealthyTargets {
    HealthyTargets::new(pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, rules.iter().copied()), PERIOD)
}

fn spec(at_least: i32) -> HealthyTargetsSpec {
    HealthyTargetsSpec { target_group_arn: "arn:group".to_owned(), service: "staging-flask".to_owned(), at_least }
}

fn answer(states: &[&str]) -> DescribeTargetHealthOutput {
    answer_with(states, "500")
}

/// Returns targets in these states; unhealthy ones answer health checks with `code`.
fn answer_with(states: &[&str], code: &str) -> DescribeTargetHealthOutput {
    let target = |(number, state): (usize, &&str)| {
        let mut health = TargetHealth::builder().state(TargetHealthStateEnum::from(*state));
        if *state == "unhealthy" {
            health = health.description(format!("Health checks failed with these codes: [{code}]."));
        }
        let target = TargetDescription::builder().id(format!("10.0.1.{number}")).port(5050).build();
        TargetHealthDescription::builder().target(target).target_health(health.build()).build()
    };
    let all = states.iter().enumerate().map(target).collect();
    DescribeTargetHealthOutput::builder().set_target_health_descriptions(Some(all)).build()
}

fn targets(states: &'static [&'static str]) -> Rule {
    mock!(Client::describe_target_health)
        .match_requests(|call| call.target_group_arn() == Some("arn:group"))
        .then_output(move || answer(states))
}

#[tokio::test]
async fn enough_healthy_targets_pass_the_check() {
    let rule = targets(&["healthy", "draining", "healthy"]);
    assert_eq!(check(&[&rule]).read(&spec(2)).await.unwrap(), Verdict::Holds);
    assert_eq!(check(&[]).read(&spec(0)).await.unwrap(), Verdict::Holds, "no call is needed");
}

#[tokio::test]
async fn too_few_healthy_targets_fail_with_each_reason() {
    let rule = targets(&["healthy", "unhealthy"]);
    let Verdict::Fails { message, details } = check(&[&rule]).read(&spec(2)).await.unwrap() else { panic!() };
    assert_eq!(message, "1 of 2 targets of staging-flask is healthy");
    let reason = "target 10.0.1.1:5050: unhealthy: Health checks failed with these codes: [500]";
    assert_eq!(details, ["target 10.0.1.0:5050: healthy", reason]);
}

#[test]
fn shortage_of_targets_agrees_in_number() {
    let texts = [(0, 1), (0, 3), (1, 2), (2, 3)].map(|(healthy, needed)| super::shortage(healthy, needed, " of w", ""));
    assert_eq!(
        texts,
        [
            "no target of w is healthy (1 needed)",
            "no target of w is healthy (3 needed)",
            "1 of 2 targets of w is healthy",
            "2 of 3 targets of w are healthy",
        ]
    );
    assert_eq!(super::shortage(2, 3, "", " after 5 s"), "2 of 3 targets are healthy after 5 s");
}

#[tokio::test]
async fn missing_target_group_counts_as_one_without_targets() {
    let rule = mock!(Client::describe_target_health).then_error(|| {
        let gone = TargetGroupNotFoundException::builder().meta(error_meta("TargetGroupNotFound")).build();
        DescribeTargetHealthError::TargetGroupNotFoundException(gone)
    });
    let Verdict::Fails { message, details } = check(&[&rule]).read(&spec(1)).await.unwrap() else { panic!() };
    assert_eq!(message, "no target of staging-flask is healthy (1 needed)");
    assert_eq!(details, ["no target is registered"]);
}

/// Deploys a graph that contains only the check, and returns the time that this took.
async fn deployed(rule: &Rule) -> Result<Duration, pb_engine::Failure> {
    let mut graph = Graph::new();
    graph.add_check("edge/flask_health", &Arc::new(check(&[rule])), (), |()| spec(1))?;
    let began = tokio::time::Instant::now();
    standalone(graph).deploy().await.map(|_| began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn wait_ends_once_targets_are_healthy() {
    let rule = mock!(Client::describe_target_health)
        .sequence()
        .output(|| answer(&["initial"]))
        .times(5)
        .output(|| answer(&["healthy"]))
        .build();
    let took = deployed(&rule).await.unwrap();
    assert!(took >= Duration::from_millis(600) && took < PERIOD, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn unhealthy_targets_fail_after_one_health_period() {
    let began = tokio::time::Instant::now();
    let failure = deployed(&targets(&["unhealthy"])).await.unwrap_err();
    assert!(began.elapsed() >= PERIOD && began.elapsed() < PERIOD + Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(failure.class, Class::Failed);
    assert_eq!(failure.message, "no target is healthy after 35 s (1 needed)");
    assert!(failure.details()[0].contains("unhealthy: Health checks failed"), "{:?}", failure.details());
    assert_eq!(failure.hint, None, "500 has no single cause");
}

#[tokio::test(start_paused = true)]
async fn status_with_a_known_cause_has_a_hint() {
    for (code, words) in [("308", "with the slash"), ("404", "no page"), ("400", "TRUSTED_HOSTS")] {
        let rule = mock!(Client::describe_target_health).then_output(move || answer_with(&["unhealthy"], code));
        let hint = deployed(&rule).await.unwrap_err().hint.unwrap_or_default();
        assert!(hint.contains(words), "{code}: {hint}");
    }
}
