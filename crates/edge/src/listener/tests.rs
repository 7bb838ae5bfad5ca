//! Tests of the resource kind for listeners.

use super::attributes::HSTS;
use super::{Listener, ListenerSpec, forward_target};
use crate::LoadBalancerClient as Client;
use crate::testing::{error_meta, name_tag, ownership_tags, standalone};
use aws_sdk_elasticloadbalancingv2::operation::create_listener::{CreateListenerError, CreateListenerOutput};
use aws_sdk_elasticloadbalancingv2::operation::delete_listener::DeleteListenerError;
use aws_sdk_elasticloadbalancingv2::operation::describe_listener_attributes::DescribeListenerAttributesOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_listeners::DescribeListenersOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_load_balancers::DescribeLoadBalancersOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_tags::DescribeTagsOutput;
use aws_sdk_elasticloadbalancingv2::operation::modify_listener::ModifyListenerOutput;
use aws_sdk_elasticloadbalancingv2::operation::modify_listener_attributes::ModifyListenerAttributesOutput;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Certificate, ForwardActionConfig, Listener as AwsListener, ListenerAttribute, LoadBalancer,
    ProtocolEnum, Tag, TagDescription, TargetGroupTuple,
};
use aws_smithy_mocks::{Rule, mock};
use pb_engine::{Awaited, Graph, Resource, Standalone, UNKNOWN};

const CERTIFICATE: &str = "arn:aws:acm:us-east-2:123456789012:certificate/1";

fn spec() -> ListenerSpec {
    ListenerSpec {
        load_balancer_arn: "arn:lb".to_owned(),
        port: 80,
        protocol: "HTTP".to_owned(),
        target_group_arn: "arn:tg".to_owned(),
        certificate_arn: None,
        ssl_policy: None,
        hsts: None,
        tags: name_tag("staging-public-80"),
    }
}

fn with(spec: ListenerSpec, rules: &[&Rule]) -> Standalone {
    let client = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, rules.iter().copied());
    let mut graph = Graph::new();
    let kind = graph.kind(Listener::new(client));
    graph.add("edge/listener", &kind, (), move |()| spec.clone()).unwrap();
    standalone(graph)
}

/// Returns a forward action in the form of AWS's responses, which have additional fields.
fn forward(arn: &str) -> Action {
    let tuple = TargetGroupTuple::builder().target_group_arn(arn).weight(1).build();
    let config = ForwardActionConfig::builder().target_groups(tuple).build();
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(arn).forward_config(config).build()
}

fn listener() -> AwsListener {
    AwsListener::builder()
        .listener_arn("arn:listener")
        .load_balancer_arn("arn:lb")
        .port(80)
        .protocol(ProtocolEnum::Http)
        .default_actions(forward("arn:tg"))
        .build()
}

/// Mocks an account with a managed load balancer and `listeners`, which have the tags `listener_tags`.
fn account(listeners: Vec<AwsListener>, listener_tags: Vec<Tag>) -> [Rule; 3] {
    let balancers = mock!(Client::describe_load_balancers).then_output(|| {
        let lb = LoadBalancer::builder().load_balancer_arn("arn:lb").load_balancer_name("staging-public").build();
        DescribeLoadBalancersOutput::builder().load_balancers(lb).build()
    });
    let listeners = mock!(Client::describe_listeners)
        .match_requests(|call| call.load_balancer_arn() == Some("arn:lb"))
        .then_output(move || DescribeListenersOutput::builder().set_listeners(Some(listeners.clone())).build());
    let tags = mock!(Client::describe_tags).then_compute_output(move |call| {
        let described = call.resource_arns().iter().map(|arn| {
            let tags =
                if arn == "arn:lb" { ownership_tags("edge/balancer", "staging-public") } else { listener_tags.clone() };
            TagDescription::builder().resource_arn(arn).set_tags(Some(tags)).build()
        });
        DescribeTagsOutput::builder().set_tag_descriptions(Some(described.collect())).build()
    });
    [balancers, listeners, tags]
}

fn listener_tags() -> Vec<Tag> {
    ownership_tags("edge/listener", "staging-public-80")
}

#[tokio::test(start_paused = true)]
async fn create_sets_tags_and_retries_a_target_group_in_use() {
    let create = mock!(Client::create_listener)
        .match_requests(|call| {
            listener_tags().iter().all(|tag| call.tags().contains(tag))
                && call.port() == Some(80)
                && call.default_actions()[0].target_group_arn() == Some("arn:tg")
        })
        .sequence()
        .error(|| CreateListenerError::generic(error_meta("TargetGroupAssociationLimit")))
        .output(|| CreateListenerOutput::builder().listeners(listener()).build())
        .build();
    let [balancers, listeners, tags] = account(Vec::new(), Vec::new());
    let snapshot = with(spec(), &[&balancers, &listeners, &tags, &create]).deploy().await.unwrap();
    assert_eq!(snapshot.resources.values().next().unwrap().attrs["arn"], "arn:listener");
    assert_eq!(create.num_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn deployed_listener_is_a_no_op_and_its_target_updates_in_place() {
    let [balancers, listeners, tags] = account(vec![listener()], listener_tags());
    let plan = with(spec(), &[&balancers, &listeners, &tags]).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");

    let modify = mock!(Client::modify_listener)
        .match_requests(|call| {
            call.port().is_none() && call.default_actions()[0].target_group_arn() == Some("arn:other")
        })
        .then_output(|| ModifyListenerOutput::builder().build());
    let wanted = ListenerSpec { target_group_arn: "arn:other".to_owned(), ..spec() };
    with(wanted, &[&balancers, &listeners, &tags, &modify]).deploy().await.unwrap();
    assert_eq!(modify.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn unmanaged_listener_on_the_port_refuses_the_plan() {
    let [balancers, listeners, tags] = account(vec![listener()], Vec::new());
    for arn in ["arn:lb", UNKNOWN] {
        let wanted = ListenerSpec { load_balancer_arn: arn.to_owned(), ..spec() };
        let failure = with(wanted, &[&balancers, &listeners, &tags]).plan().await.unwrap_err();
        assert!(failure.message.contains("the listener on port 80"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn listener_deleted_with_its_load_balancer_counts_as_deleted() {
    let [balancers, listeners, tags] = account(vec![listener()], listener_tags());
    let delete =
        mock!(Client::delete_listener).then_error(|| DeleteListenerError::generic(error_meta("ListenerNotFound")));
    with(spec(), &[&balancers, &listeners, &tags, &delete]).destroy().await.unwrap();
    assert_eq!(delete.num_calls(), 1);
}

#[test]
fn forward_target_names_groups_or_the_action() {
    assert_eq!(forward_target(&[forward("arn:tg")]), "arn:tg");
    assert_eq!(forward_target(&[Action::builder().r#type(ActionTypeEnum::FixedResponse).build()]), "fixed-response");
    let tuple = |arn: &str| TargetGroupTuple::builder().target_group_arn(arn).weight(1).build();
    let config = ForwardActionConfig::builder().target_groups(tuple("a")).target_groups(tuple("b")).build();
    let both = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build();
    assert_eq!(forward_target(&[both]), "a,b");
}

#[test]
fn listener_redirects_until_its_rules_do() {
    let old = ListenerSpec { target_group_arn: "redirect".to_owned(), ..spec() };
    let interim = Listener::interim_spec(Some(&old), &spec()).unwrap();
    assert_eq!((interim.spec, interim.until), (old.clone(), Awaited::DependentsOfKind("elbv2.listener_rule")));
    assert_eq!(Listener::interim_spec(Some(&spec()), &spec()), None);
    let new_targets = ListenerSpec { target_group_arn: UNKNOWN.to_owned(), ..spec() };
    assert_eq!(Listener::interim_spec(Some(&old), &new_targets), None, "its service needs the target group at once");
}

#[test]
fn listeners_coexist_only_with_different_target_groups() {
    let other = ListenerSpec { load_balancer_arn: "arn:lb2".to_owned(), ..spec() };
    assert!(!Listener::can_coexist(&spec(), &other));
    assert!(Listener::can_coexist(&spec(), &ListenerSpec { target_group_arn: "arn:tg2".to_owned(), ..other }));
    assert!(!Listener::can_coexist(&spec(), &ListenerSpec { target_group_arn: "arn:tg2".to_owned(), ..spec() }));
}

fn https_spec() -> ListenerSpec {
    ListenerSpec {
        port: 443,
        protocol: "HTTPS".to_owned(),
        certificate_arn: Some(CERTIFICATE.to_owned()),
        ssl_policy: Some(pb_rules::https::DEFAULT_POLICY.to_owned()),
        hsts: Some("max-age=86400".to_owned()),
        ..spec()
    }
}

fn https_listener(certificate: &str) -> AwsListener {
    AwsListener::builder()
        .listener_arn("arn:listener")
        .load_balancer_arn("arn:lb")
        .port(443)
        .protocol(ProtocolEnum::Https)
        .certificates(Certificate::builder().certificate_arn(certificate).build())
        .ssl_policy(pb_rules::https::DEFAULT_POLICY)
        .default_actions(forward("arn:tg"))
        .build()
}

/// Mocks the HSTS header of the listener.
fn header(value: &'static str) -> Rule {
    mock!(Client::describe_listener_attributes).then_output(move || {
        let attribute = ListenerAttribute::builder().key(HSTS).value(value).build();
        DescribeListenerAttributesOutput::builder().attributes(attribute).build()
    })
}

#[tokio::test(start_paused = true)]
async fn https_listener_has_certificate_policy_and_header() {
    let create = mock!(Client::create_listener)
        .match_requests(|call| {
            call.protocol() == Some(&ProtocolEnum::Https)
                && call.certificates()[0].certificate_arn() == Some(CERTIFICATE)
                && call.ssl_policy() == Some(pb_rules::https::DEFAULT_POLICY)
        })
        .then_output(|| CreateListenerOutput::builder().listeners(https_listener(CERTIFICATE)).build());
    let set = mock!(Client::modify_listener_attributes)
        .match_requests(|call| {
            call.attributes()[0].key() == Some(HSTS) && call.attributes()[0].value() == Some("max-age=86400")
        })
        .then_output(|| ModifyListenerAttributesOutput::builder().build());
    let [balancers, listeners, tags] = account(Vec::new(), Vec::new());
    with(https_spec(), &[&balancers, &listeners, &tags, &create, &set]).deploy().await.unwrap();
    assert_eq!((create.num_calls(), set.num_calls()), (1, 1));

    let [balancers, listeners, tags] = account(vec![https_listener(CERTIFICATE)], listener_tags());
    let rules = [&balancers, &listeners, &tags, &header("max-age=86400")];
    let plan = with(https_spec(), &rules).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let unset = ListenerSpec { hsts: None, ..https_spec() };
    let plan = with(unset, &rules).plan().await.unwrap();
    assert!(plan.is_empty(), "the header stays as it is without a value: {plan:?}");
}

#[tokio::test(start_paused = true)]
async fn changed_certificate_is_set_with_the_policy() {
    let old = CERTIFICATE.replace("/1", "/2");
    let [balancers, listeners, tags] = account(vec![https_listener(&old)], listener_tags());
    let modify = mock!(Client::modify_listener)
        .match_requests(|call| {
            call.certificates()[0].certificate_arn() == Some(CERTIFICATE)
                && call.ssl_policy() == Some(pb_rules::https::DEFAULT_POLICY)
                && call.default_actions().is_empty()
        })
        .then_output(|| ModifyListenerOutput::builder().build());
    let rules = [&balancers, &listeners, &tags, &header("max-age=86400"), &modify];
    with(https_spec(), &rules).deploy().await.unwrap();
    assert_eq!(modify.num_calls(), 1);
}
