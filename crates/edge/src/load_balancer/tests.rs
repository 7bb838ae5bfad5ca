use super::{LoadBalancer, LoadBalancerSpec};
use crate::LoadBalancerClient as Client;
use crate::testing::{error_body, error_meta, name_tag, ownership_tags, standalone, tags};
use aws_sdk_elasticloadbalancingv2::operation::create_load_balancer::CreateLoadBalancerOutput;
use aws_sdk_elasticloadbalancingv2::operation::delete_load_balancer::DeleteLoadBalancerOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_load_balancer_attributes::DescribeLoadBalancerAttributesOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_load_balancers::{
    DescribeLoadBalancersError, DescribeLoadBalancersOutput,
};
use aws_sdk_elasticloadbalancingv2::operation::modify_load_balancer_attributes::ModifyLoadBalancerAttributesOutput;
use aws_sdk_elasticloadbalancingv2::operation::set_security_groups::SetSecurityGroupsOutput;
use aws_sdk_elasticloadbalancingv2::types::{
    AvailabilityZone, LoadBalancer as AwsLoadBalancer, LoadBalancerAttribute, LoadBalancerSchemeEnum,
    LoadBalancerState, LoadBalancerStateEnum,
};
use aws_smithy_mocks::{MockResponse, Rule, mock};
use pb_engine::{Action, Class, Graph, Order, Resource, Standalone};
use std::collections::BTreeSet;
use std::sync::Mutex;

fn spec() -> LoadBalancerSpec {
    LoadBalancerSpec {
        name: "staging-public".to_owned(),
        scheme: "internet-facing".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        subnet_ids: ["subnet-1".to_owned(), "subnet-2".to_owned()].into(),
        security_group_ids: ["sg-1".to_owned()].into(),
        deletion_protection: Some(false),
        idle_timeout: Some(60),
        drop_invalid_headers: true,
        tags: name_tag("staging-public"),
    }
}

fn with(spec: LoadBalancerSpec, rules: &[&Rule]) -> Standalone {
    let client = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, rules.iter().copied());
    let mut graph = Graph::new();
    let kind = graph.kind(LoadBalancer::new(client));
    graph.add("edge/balancer", &kind, (), move |()| spec.clone()).unwrap();
    standalone(graph)
}

fn balancer(state: &str) -> AwsLoadBalancer {
    let zone = |subnet: &str| AvailabilityZone::builder().subnet_id(subnet).build();
    AwsLoadBalancer::builder()
        .load_balancer_arn("arn:lb")
        .load_balancer_name("staging-public")
        .dns_name("Staging-Public-1.us-east-2.elb.amazonaws.com")
        .canonical_hosted_zone_id("Z3AADJGX6KTTL2")
        .scheme(LoadBalancerSchemeEnum::InternetFacing)
        .vpc_id("vpc-1")
        .availability_zones(zone("subnet-2"))
        .availability_zones(zone("subnet-1"))
        .security_groups("sg-1")
        .state(LoadBalancerState::builder().code(LoadBalancerStateEnum::from(state)).reason("because").build())
        .build()
}

/// Mocks reads of the load balancer: each read returns the next state, and the last state is repeated. An empty state
/// means that the load balancer does not exist.
fn states(states: &'static [&'static str]) -> Rule {
    let next = Mutex::new(0);
    mock!(Client::describe_load_balancers).then_compute_response(move |call| {
        let mut next = next.lock().unwrap();
        let state = states[(*next).min(states.len() - 1)];
        *next += 1;
        match state {
            "" if !call.load_balancer_arns().is_empty() => {
                MockResponse::Error(DescribeLoadBalancersError::generic(error_meta("LoadBalancerNotFound")))
            }
            "" => MockResponse::Output(DescribeLoadBalancersOutput::builder().build()),
            state => {
                MockResponse::Output(DescribeLoadBalancersOutput::builder().load_balancers(balancer(state)).build())
            }
        }
    })
}

fn attributes(protected: &'static str) -> Rule {
    mock!(Client::describe_load_balancer_attributes).then_output(move || {
        let attribute = |key: &str, value: &str| LoadBalancerAttribute::builder().key(key).value(value).build();
        DescribeLoadBalancerAttributesOutput::builder()
            .attributes(attribute("access_logs.s3.enabled", "false"))
            .attributes(attribute("deletion_protection.enabled", protected))
            .attributes(attribute("idle_timeout.timeout_seconds", "60"))
            .attributes(attribute("routing.http.drop_invalid_header_fields.enabled", "true"))
            .build()
    })
}

fn set_attributes(protected: &'static str) -> Rule {
    mock!(Client::modify_load_balancer_attributes)
        .match_requests(move |call| {
            let is = |key: &str, value: &str| {
                call.attributes().iter().any(|it| it.key() == Some(key) && it.value() == Some(value))
            };
            call.load_balancer_arn() == Some("arn:lb")
                && is("deletion_protection.enabled", protected)
                && is("idle_timeout.timeout_seconds", "60")
                && is("routing.http.drop_invalid_header_fields.enabled", "true")
        })
        .then_output(|| ModifyLoadBalancerAttributesOutput::builder().build())
}

fn ownership() -> Rule {
    tags(ownership_tags("edge/balancer", "staging-public"))
}

#[tokio::test(start_paused = true)]
async fn create_sets_tags_and_attributes_and_waits_until_active() {
    let create = mock!(Client::create_load_balancer)
        .match_requests(|call| {
            ownership_tags("edge/balancer", "staging-public").iter().all(|tag| call.tags().contains(tag))
                && call.subnets() == ["subnet-1", "subnet-2"]
                && call.security_groups() == ["sg-1"]
                && call.scheme() == Some(&LoadBalancerSchemeEnum::InternetFacing)
        })
        .sequence()
        // The gateway was attached a moment ago and is not visible yet.
        .http_status(400, error_body("InvalidSubnet", "VPC vpc-1 has no internet gateway"))
        .output(|| CreateLoadBalancerOutput::builder().load_balancers(balancer("provisioning")).build())
        .build();
    let (states, set) = (states(&["", "", "provisioning", "active"]), set_attributes("true"));
    let wanted = LoadBalancerSpec { deletion_protection: Some(true), ..spec() };
    let snapshot = with(wanted, &[&states, &create, &set]).deploy().await.unwrap();
    let attrs = &snapshot.resources.values().next().unwrap().attrs;
    assert_eq!(attrs["dns_name"], "staging-public-1.us-east-2.elb.amazonaws.com");
    assert_eq!(attrs["hosted_zone_id"], "Z3AADJGX6KTTL2");
    assert_eq!((create.num_calls(), set.num_calls(), states.num_calls()), (2, 1, 4));
}

#[tokio::test(start_paused = true)]
async fn deployed_load_balancer_is_a_no_op_or_waited_for() {
    let plan = with(spec(), &[&states(&["active"]), &ownership(), &attributes("false")]).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let plan = with(spec(), &[&states(&["provisioning"]), &ownership(), &attributes("false")]).plan().await.unwrap();
    assert_eq!(plan.steps[0].action, Action::Wait);
}

#[tokio::test(start_paused = true)]
async fn update_writes_only_changed_settings() {
    let groups = mock!(Client::set_security_groups)
        .match_requests(|call| call.security_groups() == ["sg-2"])
        .then_output(|| SetSecurityGroupsOutput::builder().build());
    let set = set_attributes("false");
    let wanted = LoadBalancerSpec { security_group_ids: ["sg-2".to_owned()].into(), ..spec() };
    let rules = [&states(&["active"]), &ownership(), &attributes("true"), &groups, &set];
    with(wanted, &rules).deploy().await.unwrap();
    // Deletion protection, which was turned on outside of pb-deploy, is turned off; subnets and tags are not written.
    assert_eq!((groups.num_calls(), set.num_calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn deletion_protection_refuses_destroy_and_replacement() {
    let rules = [&states(&["active"]), &ownership(), &attributes("true")];
    let failure = with(spec(), &rules).destroy().await.unwrap_err();
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.message.contains("set deletion_protection = false for this workspace"), "{failure}");
    let internal = LoadBalancerSpec { scheme: "internal".to_owned(), deletion_protection: Some(true), ..spec() };
    let failure = with(internal, &rules).plan().await.unwrap_err();
    assert!(failure.message.contains("it has to be replaced, but deletion protection is on"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn changed_name_is_retained_unless_a_replacement_is_forced() {
    let named = LoadBalancerSpec { name: "staging-front".to_owned(), ..spec() };
    for (wanted, action) in [
        (named.clone(), Action::NoOp),
        (
            LoadBalancerSpec { scheme: "internal".to_owned(), ..named },
            Action::Replace { order: Order::CreateBeforeDestroy },
        ),
    ] {
        let plan = with(wanted, &[&states(&["active"]), &ownership(), &attributes("false")]).plan().await.unwrap();
        assert_eq!(plan.steps[0].action, action);
    }
    for wanted in [
        LoadBalancerSpec { scheme: "internal".to_owned(), ..spec() },
        LoadBalancerSpec { vpc_id: "vpc-2".to_owned(), ..spec() },
    ] {
        let plan = with(wanted, &[&states(&["active"]), &ownership(), &attributes("false")]).plan().await.unwrap();
        assert_eq!(plan.steps[0].action, Action::Replace { order: Order::DestroyBeforeCreate });
    }
}

#[tokio::test(start_paused = true)]
async fn unmanaged_load_balancer_of_the_name_refuses_the_plan() {
    let failure = with(spec(), &[&states(&["active"]), &tags(Vec::new())]).plan().await.unwrap_err();
    assert!(failure.message.contains("load balancer staging-public already exists"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn load_balancer_in_state_failed_is_an_error() {
    let failure = {
        let rules = [&states(&["provisioning", "failed"]), &ownership(), &attributes("false")];
        with(spec(), &rules).deploy().await.unwrap_err()
    };
    assert_eq!(failure.class, Class::Failed);
    assert!(failure.message.contains("because"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn delete_waits_until_the_load_balancer_is_gone() {
    let delete = mock!(Client::delete_load_balancer)
        .match_requests(|call| call.load_balancer_arn() == Some("arn:lb"))
        .then_output(|| DeleteLoadBalancerOutput::builder().build());
    let states = states(&["active", "active", ""]);
    with(spec(), &[&states, &ownership(), &attributes("false"), &delete]).destroy().await.unwrap();
    assert_eq!((delete.num_calls(), states.num_calls()), (1, 3));
}

#[test]
fn invalid_specs_are_refused() {
    let groups: BTreeSet<String> = (0..6).map(|number| format!("sg-{number}")).collect();
    for (wrong, why) in [
        (LoadBalancerSpec { name: "internal-x".to_owned(), ..spec() }, "internal-"),
        (LoadBalancerSpec { name: "x".repeat(33), ..spec() }, "33 characters"),
        (LoadBalancerSpec { subnet_ids: ["subnet-1".to_owned()].into(), ..spec() }, "two subnets"),
        (LoadBalancerSpec { security_group_ids: groups, ..spec() }, "five security groups"),
        (LoadBalancerSpec { scheme: "public".to_owned(), ..spec() }, "not a scheme"),
        (LoadBalancerSpec { idle_timeout: Some(0), ..spec() }, "between 1 and 4000"),
    ] {
        let refused = LoadBalancer::validate(&wrong).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(LoadBalancer::validate(&spec()), Ok(()));
}
