//! Quota usage of a plan, with typed mock responses of Elastic Load Balancing.

use super::*;
use crate::testing::{ownership_tags, standalone};
use crate::{HealthCheck, ListenerSpec, TargetGroupSpec};
use aws_sdk_elasticloadbalancingv2::operation::describe_listeners::DescribeListenersOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_load_balancers::DescribeLoadBalancersOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_rules::DescribeRulesOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_tags::DescribeTagsOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_target_groups::DescribeTargetGroupsOutput;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Listener as AwsListener, LoadBalancer as AwsLoadBalancer, ProtocolEnum, Rule as LiveRule,
    TagDescription,
};
use aws_smithy_mocks::{Rule, mock};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pb_engine::{Graph, PlanError, PreflightCheck};

/// Check that refuses plans that exceed the default of a quota, with the numbers as the reason.
struct Check(Client);

impl PreflightCheck for Check {
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>> {
        async move {
            let refused = |(address, usage): (Address, Usage)| {
                let Usage { of, what, now, more, .. } = usage;
                PlanError::new(address, format!("{of} {now} + {more} {what}"))
            };
            Ok(quota_usage(&self.0, planned).await?.into_iter().map(refused).collect())
        }
        .boxed()
    }
}

/// Numbers of unmanaged resources: target groups in the region, and target groups and rules of the managed load
/// balancer.
#[derive(Clone, Copy)]
struct Others {
    groups: usize,
    serving: usize,
    rules: usize,
}

const FEW: Others = Others { groups: 1, serving: 1, rules: 1 };

/// Mocks an account with a managed load balancer and a managed listener.
fn listener() -> [Rule; 3] {
    let balancers = mock!(Client::describe_load_balancers).then_output(|| {
        let lb = AwsLoadBalancer::builder().load_balancer_arn("arn:lb").load_balancer_name("staging-public").build();
        DescribeLoadBalancersOutput::builder().load_balancers(lb).build()
    });
    let listeners = mock!(Client::describe_listeners).then_output(|| {
        let action = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn("arn:other-0").build();
        let port = AwsListener::builder().listener_arn("arn:listener").load_balancer_arn("arn:lb").port(80);
        let port = port.protocol(ProtocolEnum::Http).default_actions(action).build();
        DescribeListenersOutput::builder().listeners(port).build()
    });
    let tags = mock!(Client::describe_tags).then_compute_output(|call| {
        let described = call.resource_arns().iter().map(|arn| {
            let tags = match arn.as_str() {
                "arn:lb" => ownership_tags("edge/balancer", "staging-public"),
                "arn:listener" => ownership_tags("edge/listener", "staging-public-80"),
                _ => Vec::new(),
            };
            TagDescription::builder().resource_arn(arn).set_tags(Some(tags)).build()
        });
        DescribeTagsOutput::builder().set_tag_descriptions(Some(described.collect())).build()
    });
    [balancers, listeners, tags]
}

/// Returns a graph with a listener and, if `routed`, another web service.
fn graph(client: &Client, routed: bool) -> Graph {
    let mut graph = Graph::new();
    let listeners = graph.kind(Listener::new(client.clone()));
    let groups = graph.kind(TargetGroup::new(client.clone()));
    let rules = graph.kind(ListenerRule::new(client.clone()));
    // The port differs from the live port, so that every plan contains a change.
    let listener = graph.add("edge/listener", &listeners, (), |()| ListenerSpec {
        load_balancer_arn: "arn:lb".to_owned(),
        port: 8080,
        protocol: "HTTP".to_owned(),
        target_group_arn: "arn:other-0".to_owned(),
        certificate_arn: None,
        ssl_policy: None,
        hsts: None,
        tags: BTreeMap::new(),
    });
    if !routed {
        return graph;
    }
    let targets = graph.add("edge/api_targets", &groups, (), |()| TargetGroupSpec {
        name: "staging-api-8000".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        port: 8000,
        protocol: "HTTP".to_owned(),
        target_type: "ip".to_owned(),
        health: HealthCheck {
            path: "/".to_owned(),
            matcher: "200".to_owned(),
            interval: 10,
            timeout: 5,
            healthy: 2,
            unhealthy: 3,
        },
        deregistration_delay: 15,
        tags: BTreeMap::new(),
    });
    let needs = (listener.unwrap(), targets.unwrap());
    let rule = graph.add("edge/api_rule", &rules, needs, |(listener, targets)| ListenerRuleSpec {
        listener_arn: listener.arn,
        priority: 1001,
        hosts: BTreeSet::new(),
        paths: ["/v1/*".to_owned()].into(),
        other_conditions: BTreeSet::new(),
        target_group_arn: targets.arn,
        redirect: None,
        tags: BTreeMap::new(),
    });
    rule.unwrap();
    graph
}

/// Makes a plan. Returns the reason if the plan is refused, and the number of calls that listed target groups.
async fn plan(others: Others, routed: bool) -> (Option<String>, usize) {
    let [balancers, listeners, tags] = listener();
    let rules = mock!(Client::describe_rules).then_output(move || {
        let rule = |number: usize| {
            let rule = LiveRule::builder().rule_arn(format!("arn:rule-{number}")).priority((number + 1).to_string());
            rule.is_default(false).build()
        };
        let default = LiveRule::builder().rule_arn("arn:default").priority("default").is_default(true).build();
        let all = (0..others.rules).map(rule).chain([default]).collect();
        DescribeRulesOutput::builder().set_rules(Some(all)).build()
    });
    let groups = mock!(Client::describe_target_groups).then_output(move || {
        let group = |number: usize| {
            let name = format!("other-{number}");
            let group = Group::builder().target_group_arn(format!("arn:{name}")).target_group_name(name);
            if number < others.serving { group.load_balancer_arns("arn:lb").build() } else { group.build() }
        };
        let all = (0..others.groups).map(group).collect();
        DescribeTargetGroupsOutput::builder().set_target_groups(Some(all)).build()
    });
    let all = [&balancers, &listeners, &tags, &rules, &groups];
    let client = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, all);
    let mut graph = graph(&client, routed);
    graph.add_preflight_check(Check(client));
    let planned = standalone(graph).plan().await;
    (planned.err().map(|failure| failure.message), groups.num_calls())
}

#[tokio::test]
async fn target_group_beyond_the_region_quota_is_reported() {
    let (refusal, _) = plan(Others { groups: 3000, ..FEW }, true).await;
    assert_eq!(refusal.unwrap(), "edge/api_targets: this region 3000 + 1 target groups");
    assert_eq!(plan(Others { groups: 2999, ..FEW }, true).await.0, None);
}

#[tokio::test]
async fn rule_beyond_the_quota_is_reported() {
    let (refusal, _) = plan(Others { rules: 100, ..FEW }, true).await;
    assert_eq!(refusal.unwrap(), "edge/api_rule: load balancer arn:lb 100 + 1 listener rules");
    assert_eq!(plan(Others { rules: 99, ..FEW }, true).await.0, None);
}

#[tokio::test]
async fn target_group_beyond_the_load_balancer_quota_is_reported() {
    let (refusal, _) = plan(Others { groups: 100, serving: 100, ..FEW }, true).await;
    assert_eq!(refusal.unwrap(), "edge/api_rule: load balancer arn:lb 100 + 1 target groups");
    assert_eq!(plan(Others { groups: 100, serving: 99, ..FEW }, true).await.0, None);
}

#[tokio::test]
async fn plan_without_new_target_groups_or_rules_makes_no_call() {
    assert_eq!(plan(FEW, false).await, (None, 1));
    assert_eq!(plan(FEW, true).await, (None, 2), "one call for the plan, one for the quota");
}
