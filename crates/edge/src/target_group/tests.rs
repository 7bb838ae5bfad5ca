use super::{DEREGISTRATION_DELAY, HealthCheck, TargetGroup, TargetGroupSpec};
use crate::LoadBalancerClient as Client;
use crate::testing::{error_meta, name_tag, ownership_tags, standalone, tags};
use aws_sdk_elasticloadbalancingv2::operation::create_target_group::CreateTargetGroupOutput;
use aws_sdk_elasticloadbalancingv2::operation::delete_target_group::{DeleteTargetGroupError, DeleteTargetGroupOutput};
use aws_sdk_elasticloadbalancingv2::operation::describe_target_group_attributes::DescribeTargetGroupAttributesOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_target_groups::DescribeTargetGroupsOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_target_health::DescribeTargetHealthOutput;
use aws_sdk_elasticloadbalancingv2::operation::modify_target_group::ModifyTargetGroupOutput;
use aws_sdk_elasticloadbalancingv2::operation::modify_target_group_attributes::ModifyTargetGroupAttributesOutput;
use aws_sdk_elasticloadbalancingv2::types::{
    Matcher, ProtocolEnum, TargetGroup as Group, TargetGroupAttribute, TargetHealth, TargetHealthDescription,
    TargetHealthStateEnum, TargetTypeEnum,
};
use aws_smithy_mocks::{Rule, mock};
use pb_engine::{Action, Awaited, Graph, Interim, Order, Resource, Standalone};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

fn spec() -> TargetGroupSpec {
    TargetGroupSpec {
        name: "staging-flask-5050".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        port: 5050,
        protocol: "HTTP".to_owned(),
        target_type: "ip".to_owned(),
        health: HealthCheck {
            path: "/hello".to_owned(),
            matcher: "200".to_owned(),
            interval: 10,
            timeout: 5,
            healthy: 2,
            unhealthy: 3,
        },
        deregistration_delay: 15,
        tags: name_tag("staging-flask-5050"),
    }
}

fn with(spec: TargetGroupSpec, rules: &[&Rule]) -> Standalone {
    let client = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, rules.iter().copied());
    let mut graph = Graph::new();
    let kind = graph.kind(TargetGroup::new(client));
    graph.add("edge/targets", &kind, (), move |()| spec.clone()).unwrap();
    standalone(graph)
}

fn group(name: &str) -> Group {
    Group::builder()
        .target_group_arn(format!("arn:{name}"))
        .target_group_name(name)
        .vpc_id("vpc-1")
        .port(5050)
        .protocol(ProtocolEnum::Http)
        .target_type(TargetTypeEnum::Ip)
        .health_check_path("/hello")
        .matcher(Matcher::builder().http_code("200").build())
        .health_check_interval_seconds(10)
        .health_check_timeout_seconds(5)
        .healthy_threshold_count(2)
        .unhealthy_threshold_count(3)
        .build()
}

/// Mocks a list of target groups in two pages, in which the group with this name is on the second page.
fn listed(name: &'static str) -> Rule {
    mock!(Client::describe_target_groups).then_compute_output(move |call| {
        let answer = DescribeTargetGroupsOutput::builder();
        match call.marker() {
            None => answer.target_groups(group("somebody-elses")).next_marker("more").build(),
            Some(_) => answer.target_groups(group(name)).build(),
        }
    })
}

fn attributes() -> Rule {
    mock!(Client::describe_target_group_attributes).then_output(|| {
        let attribute = TargetGroupAttribute::builder().key(DEREGISTRATION_DELAY).value("15").build();
        DescribeTargetGroupAttributesOutput::builder().attributes(attribute).build()
    })
}

fn set_delay() -> Rule {
    mock!(Client::modify_target_group_attributes)
        .match_requests(|call| {
            let [attribute] = call.attributes() else { return false };
            (attribute.key(), attribute.value()) == (Some(DEREGISTRATION_DELAY), Some("15"))
        })
        .then_output(|| ModifyTargetGroupAttributesOutput::builder().build())
}

fn ownership() -> Rule {
    tags(ownership_tags("edge/targets", "staging-flask-5050"))
}

#[tokio::test(start_paused = true)]
async fn create_sets_tags_and_attributes() {
    let create = mock!(Client::create_target_group)
        .match_requests(|call| {
            ownership_tags("edge/targets", "staging-flask-5050").iter().all(|tag| call.tags().contains(tag))
                && call.target_type() == Some(&TargetTypeEnum::Ip)
                && call.health_check_path() == Some("/hello")
                && call.health_check_timeout_seconds() == Some(5)
                && call.matcher().and_then(Matcher::http_code) == Some("200")
        })
        .then_output(|| CreateTargetGroupOutput::builder().target_groups(group("staging-flask-5050")).build());
    let set_delay = set_delay();
    with(spec(), &[&listed("other"), &create, &set_delay]).deploy().await.unwrap();
    assert_eq!((create.num_calls(), set_delay.num_calls()), (1, 1));
}

/// Mocks the health of the group's only target: each read returns the next state, and the last state is repeated.
fn targets(states: &'static [&'static str]) -> Rule {
    let looks = AtomicUsize::new(0);
    mock!(Client::describe_target_health).then_compute_output(move |_| {
        let look = looks.fetch_add(1, Ordering::Relaxed).min(states.len() - 1);
        let health = TargetHealth::builder().state(TargetHealthStateEnum::from(states[look])).build();
        let target = TargetHealthDescription::builder().target_health(health).build();
        DescribeTargetHealthOutput::builder().target_health_descriptions(target).build()
    })
}

/// Mocks a call that changes the path of the health check to `path`.
fn checks(path: &'static str) -> Rule {
    mock!(Client::modify_target_group)
        .match_requests(move |call| call.health_check_path() == Some(path))
        .then_output(|| ModifyTargetGroupOutput::builder().build())
}

fn other_path() -> TargetGroupSpec {
    TargetGroupSpec { health: HealthCheck { path: "/ready".to_owned(), ..spec().health }, ..spec() }
}

#[tokio::test(start_paused = true)]
async fn deployed_target_group_is_a_no_op_and_checks_update_in_place() {
    let plan = with(spec(), &[&listed("staging-flask-5050"), &ownership(), &attributes()]).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");

    let (serve, modify, back) = (targets(&["healthy"]), checks("/ready"), checks("/hello"));
    let rules = [&listed("staging-flask-5050"), &ownership(), &attributes(), &serve, &modify, &back];
    let standalone = with(other_path(), &rules);
    let paths: Vec<String> =
        standalone.plan().await.unwrap().steps[0].changes.iter().map(|change| change.path.clone()).collect();
    assert_eq!(paths, ["health.path"]);
    let began = Instant::now();
    standalone.deploy().await.unwrap();
    assert_eq!((modify.num_calls(), back.num_calls()), (1, 0));
    // The period consists of three checks at intervals of ten seconds, and the timeout of the last check.
    assert!(began.elapsed() >= Duration::from_secs(35), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn health_checks_that_no_target_passes_are_restored() {
    let (fail, modify, back) = (targets(&["healthy", "healthy", "unhealthy"]), checks("/ready"), checks("/hello"));
    let rules = [&listed("staging-flask-5050"), &ownership(), &attributes(), &fail, &modify, &back];
    let failure = with(other_path(), &rules).deploy().await.unwrap_err();
    assert!(failure.message.contains("no target of staging-flask-5050 passes the new health check"), "{failure}");
    assert_eq!((modify.num_calls(), back.num_calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn health_checks_without_healthy_targets_change_at_once() {
    let (none, modify) = (targets(&["initial"]), checks("/ready"));
    let began = Instant::now();
    let rules = [&listed("staging-flask-5050"), &ownership(), &attributes(), &none, &modify];
    with(other_path(), &rules).deploy().await.unwrap();
    assert_eq!((modify.num_calls(), none.num_calls()), (1, 1));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn old_health_check_stays_until_the_dependents_are_updated() {
    let slower = TargetGroupSpec { health: HealthCheck { interval: 20, ..spec().health }, ..spec() };
    assert_eq!(TargetGroup::interim_spec(None, &other_path()), None);
    assert_eq!(TargetGroup::interim_spec(Some(&spec()), &slower), None);
    let interim = TargetGroup::interim_spec(Some(&spec()), &other_path());
    assert_eq!(interim, Some(Interim { spec: spec(), until: Awaited::Dependents }));
}

#[tokio::test(start_paused = true)]
async fn changed_port_keeps_the_target_group() {
    let wanted = TargetGroupSpec { name: "staging-flask-5051".to_owned(), port: 5051, ..spec() };
    let plan = with(wanted, &[&listed("staging-flask-5050"), &ownership(), &attributes()]).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let wanted = TargetGroupSpec { vpc_id: "vpc-2".to_owned(), ..spec() };
    let plan = with(wanted, &[&listed("staging-flask-5050"), &ownership(), &attributes()]).plan().await.unwrap();
    assert_eq!(plan.steps[0].action, Action::Replace { order: Order::DestroyBeforeCreate });
}

#[tokio::test(start_paused = true)]
async fn delete_waits_while_a_listener_uses_the_target_group() {
    let delete = mock!(Client::delete_target_group)
        .sequence()
        .error(|| DeleteTargetGroupError::generic(error_meta("ResourceInUse")))
        .output(|| DeleteTargetGroupOutput::builder().build())
        .build();
    let rules = [&listed("staging-flask-5050"), &ownership(), &attributes(), &delete];
    with(spec(), &rules).destroy().await.unwrap();
    assert_eq!(delete.num_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn unmanaged_target_group_of_the_name_refuses_the_plan() {
    let failure = with(spec(), &[&listed("staging-flask-5050"), &tags(Vec::new())]).plan().await.unwrap_err();
    assert!(failure.message.contains("target group staging-flask-5050 already exists"), "{failure}");
}

#[test]
fn invalid_specs_are_refused() {
    let health = |health: HealthCheck| TargetGroupSpec { health, ..spec() };
    for (wrong, why) in [
        (TargetGroupSpec { name: "x".repeat(33), ..spec() }, "33 characters"),
        (TargetGroupSpec { deregistration_delay: 3601, ..spec() }, "3600"),
        (health(HealthCheck { timeout: 10, ..spec().health }), "not shorter"),
        (health(HealthCheck { path: "hello".to_owned(), ..spec().health }), "does not start with"),
        (health(HealthCheck { healthy: 1, ..spec().health }), "between 2 and 10"),
        (health(HealthCheck { matcher: "2xx".to_owned(), ..spec().health }), "codes from 200"),
    ] {
        let refused = TargetGroup::validate(&wrong).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(TargetGroup::validate(&spec()), Ok(()));
}
