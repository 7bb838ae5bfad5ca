use super::{ListenerRule, ListenerRuleSpec, Redirect};
use crate::LoadBalancerClient as Client;
use crate::testing::{error_meta, name_tag, ownership_tags, standalone};
use aws_sdk_elasticloadbalancingv2::operation::create_rule::{CreateRuleError, CreateRuleOutput};
use aws_sdk_elasticloadbalancingv2::operation::delete_rule::{DeleteRuleError, DeleteRuleOutput};
use aws_sdk_elasticloadbalancingv2::operation::describe_listeners::DescribeListenersOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_load_balancers::DescribeLoadBalancersOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_rules::DescribeRulesOutput;
use aws_sdk_elasticloadbalancingv2::operation::describe_tags::DescribeTagsOutput;
use aws_sdk_elasticloadbalancingv2::operation::modify_rule::ModifyRuleOutput;
use aws_sdk_elasticloadbalancingv2::operation::set_rule_priorities::{SetRulePrioritiesError, SetRulePrioritiesOutput};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, HostHeaderConditionConfig, Listener, LoadBalancer, PathPatternConditionConfig,
    RedirectActionStatusCodeEnum, Rule as Live, RuleCondition, TagDescription,
};
use aws_smithy_mocks::{Rule, mock};
use pb_engine::{Awaited, Graph, Interim, Resource, Standalone};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

fn set(patterns: &[&str]) -> BTreeSet<String> {
    patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
}

fn spec() -> ListenerRuleSpec {
    ListenerRuleSpec {
        listener_arn: "arn:listener".to_owned(),
        priority: 1001,
        hosts: set(&["api.example.org"]),
        paths: set(&["/v1/*", "/v2/*"]),
        other_conditions: BTreeSet::new(),
        target_group_arn: "arn:tg".to_owned(),
        redirect: None,
        tags: name_tag("staging-api-8000"),
    }
}

/// Returns the spec of a rule that matches only this host.
fn for_host(host: &str) -> ListenerRuleSpec {
    ListenerRuleSpec { hosts: set(&[host]), paths: BTreeSet::new(), ..spec() }
}

#[test]
fn new_rule_matches_no_request_until_its_service_serves() {
    let aside = ListenerRuleSpec { priority: 41_001, ..for_host("not-served-yet.invalid") };
    let none = Interim { spec: aside.clone(), until: Awaited::Dependents };
    assert_eq!(ListenerRule::interim_spec(None, &spec()), Some(none.clone()));
    assert_eq!(ListenerRule::interim_spec(Some(&aside), &spec()), Some(none));
    let last = ListenerRuleSpec { priority: 50_000, ..spec() };
    assert_eq!(ListenerRule::interim_spec(None, &last).unwrap().spec.priority, 50_000);
}

#[test]
fn removed_host_stays_until_other_rules_are_updated() {
    let interim = |old: &[&str], new: &[&str]| {
        let spec = |hosts| ListenerRuleSpec { hosts: set(hosts), ..for_host("") };
        let interim = ListenerRule::interim_spec(Some(&spec(old)), &spec(new))?;
        assert_eq!(interim.until, Awaited::Peers);
        Some(interim.spec.hosts)
    };
    assert_eq!(interim(&["a.org"], &["b.org"]), Some(set(&["a.org", "b.org"])));
    assert_eq!(interim(&["a.org", "b.org"], &["b.org"]), Some(set(&["a.org", "b.org"])));
    let many = ["a.org", "b.org", "c.org", "d.org", "e.org"];
    assert_eq!(interim(&many, &["f.org"]), None, "a rule can have at most five patterns");
}

#[test]
fn hosts_and_paths_changed_together_have_no_interim_spec() {
    let other = ListenerRuleSpec { paths: set(&["/v3"]), ..for_host("other.example.org") };
    assert_eq!(ListenerRule::interim_spec(Some(&spec()), &other), None);
    let every_host = ListenerRuleSpec { hosts: BTreeSet::new(), ..spec() };
    assert_eq!(ListenerRule::interim_spec(Some(&spec()), &every_host).unwrap().spec.hosts, BTreeSet::new());
}

fn with(specs: &[(&str, ListenerRuleSpec)], rules: &[&Rule]) -> Standalone {
    let client = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, rules.iter().copied());
    let mut graph = Graph::new();
    let kind = graph.kind(ListenerRule::new(client));
    for (address, spec) in specs.iter().cloned() {
        graph.add(address, &kind, (), move |()| spec.clone()).unwrap();
    }
    standalone(graph)
}

/// Returns a rule in the form of AWS's responses, with additional fields, and with patterns in the order of the request
/// that set them.
fn live(arn: &str, priority: &str) -> Live {
    let values = |values: &[&str]| Some(values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>());
    let hosts = HostHeaderConditionConfig::builder().set_values(values(&["api.example.org"])).build();
    let paths = PathPatternConditionConfig::builder().set_values(values(&["/v2/*", "/v1/*"])).build();
    Live::builder()
        .rule_arn(arn)
        .priority(priority)
        .conditions(RuleCondition::builder().field("path-pattern").path_pattern_config(paths).build())
        .conditions(RuleCondition::builder().field("host-header").host_header_config(hosts).build())
        .actions(Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn("arn:tg").build())
        .is_default(false)
        .build()
}

/// Mocks an account with a managed listener, its default rule and `rules`. A rule whose ARN is in `addresses` has the
/// ownership tags of that address, any other rule has no tags.
fn account(rules: Vec<Live>, addresses: &[(&str, &str)]) -> [Rule; 4] {
    let balancers = mock!(Client::describe_load_balancers).then_output(|| {
        let lb = LoadBalancer::builder().load_balancer_arn("arn:lb").load_balancer_name("staging-public").build();
        DescribeLoadBalancersOutput::builder().load_balancers(lb).build()
    });
    let listeners = mock!(Client::describe_listeners).then_output(|| {
        let listener = Listener::builder().listener_arn("arn:listener").load_balancer_arn("arn:lb").build();
        DescribeListenersOutput::builder().listeners(listener).build()
    });
    let default = Live::builder().rule_arn("arn:default").priority("default").is_default(true).build();
    let rules =
        mock!(Client::describe_rules).match_requests(|call| call.listener_arn() == Some("arn:listener")).then_output(
            move || DescribeRulesOutput::builder().rules(default.clone()).set_rules(Some(rules.clone())).build(),
        );
    let addresses: BTreeMap<String, String> =
        addresses.iter().map(|(arn, address)| ((*arn).to_owned(), (*address).to_owned())).collect();
    let tags = mock!(Client::describe_tags).then_compute_output(move |call| {
        let described = call.resource_arns().iter().map(|arn| {
            let tags = match (arn.as_str(), addresses.get(arn)) {
                ("arn:lb", _) => ownership_tags("edge/balancer", "staging-public"),
                (_, Some(address)) => ownership_tags(address, "staging-api-8000"),
                _ => Vec::new(),
            };
            TagDescription::builder().resource_arn(arn).set_tags(Some(tags)).build()
        });
        DescribeTagsOutput::builder().set_tag_descriptions(Some(described.collect())).build()
    });
    [balancers, listeners, rules, tags]
}

#[tokio::test(start_paused = true)]
async fn create_sets_tags_and_retries_while_the_priority_is_in_use() {
    let create = mock!(Client::create_rule)
        .match_requests(|call| {
            ownership_tags("edge/api_rule", "staging-api-8000").iter().all(|tag| call.tags().contains(tag))
                && call.priority() == Some(1001)
                && call.conditions()[0].host_header_config().unwrap().values() == ["api.example.org"]
                && call.conditions()[1].path_pattern_config().unwrap().values() == ["/v1/*", "/v2/*"]
                && call.actions()[0].target_group_arn() == Some("arn:tg")
        })
        .sequence()
        .error(|| CreateRuleError::generic(error_meta("PriorityInUse")))
        .output(|| CreateRuleOutput::builder().rules(live("arn:rule", "1001")).build())
        .build();
    let [balancers, listeners, rules, tags] = account(Vec::new(), &[]);
    let standalone = with(&[("edge/api_rule", spec())], &[&balancers, &listeners, &rules, &tags, &create]);
    let snapshot = standalone.deploy().await.unwrap();
    assert_eq!(snapshot.resources.values().next().unwrap().attrs["arn"], "arn:rule");
    assert_eq!(create.num_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn create_with_a_lost_response_is_found_by_priority() {
    let create = mock!(Client::create_rule).then_error(|| CreateRuleError::generic(error_meta("PriorityInUse")));
    let [balancers, listeners, _, tags] = account(Vec::new(), &[("arn:rule", "edge/api_rule")]);
    // The read pass does not find the rule yet, which can happen right after a create.
    let rules = mock!(Client::describe_rules)
        .sequence()
        .output(|| DescribeRulesOutput::builder().build())
        .output(|| DescribeRulesOutput::builder().rules(live("arn:rule", "1001")).build())
        .repeatedly()
        .build();
    let all = [&balancers, &listeners, &rules, &tags, &create];
    let snapshot = with(&[("edge/api_rule", spec())], &all).deploy().await.unwrap();
    assert_eq!(snapshot.resources.values().next().unwrap().attrs["arn"], "arn:rule");
    assert_eq!(create.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn deployed_rule_is_a_no_op_and_conditions_update_in_place() {
    let [balancers, listeners, rules, tags] = account(vec![live("arn:rule", "1001")], &[("arn:rule", "edge/api_rule")]);
    let modify = mock!(Client::modify_rule)
        .match_requests(|call| {
            call.rule_arn() == Some("arn:rule")
                && call.conditions().len() == 1
                && call.conditions()[0].path_pattern_config().unwrap().values() == ["/v3/*"]
        })
        .then_output(|| ModifyRuleOutput::builder().build());
    let all = [&balancers, &listeners, &rules, &tags, &modify];
    let plan = with(&[("edge/api_rule", spec())], &all).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let wanted = ListenerRuleSpec { hosts: BTreeSet::new(), paths: set(&["/v3/*"]), ..spec() };
    with(&[("edge/api_rule", wanted)], &all).deploy().await.unwrap();
    assert_eq!(modify.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn rules_swap_priorities_in_one_call() {
    let [balancers, listeners, rules, tags] = account(
        vec![live("arn:a", "1001"), live("arn:b", "1002")],
        &[("arn:a", "edge/a_rule"), ("arn:b", "edge/b_rule")],
    );
    let moved = mock!(Client::set_rule_priorities)
        .match_requests(|call| {
            let pairs: BTreeMap<_, _> = call
                .rule_priorities()
                .iter()
                .map(|pair| (pair.rule_arn().unwrap(), pair.priority().unwrap()))
                .collect();
            pairs == BTreeMap::from([("arn:a", 1002), ("arn:b", 1001)])
        })
        .sequence()
        .error(|| SetRulePrioritiesError::generic(error_meta("PriorityInUse")))
        .output(|| SetRulePrioritiesOutput::builder().build())
        .repeatedly()
        .build();
    let a = ListenerRuleSpec { priority: 1002, ..spec() };
    let b = ListenerRuleSpec { priority: 1001, paths: set(&["/v1/*", "/v2/*"]), ..spec() };
    let all = [&balancers, &listeners, &rules, &tags, &moved];
    with(&[("edge/a_rule", a), ("edge/b_rule", b)], &all).deploy().await.unwrap();
    assert_eq!(moved.num_calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn unmanaged_rule_with_the_priority_refuses_the_plan() {
    let [balancers, listeners, rules, tags] = account(vec![live("arn:theirs", "1001")], &[]);
    let standalone = with(&[("edge/api_rule", spec())], &[&balancers, &listeners, &rules, &tags]);
    let failure = standalone.plan().await.unwrap_err();
    assert!(failure.message.contains("the listener rule with priority 1001"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn rule_deleted_with_its_listener_counts_as_deleted() {
    let [balancers, listeners, rules, tags] = account(vec![live("arn:rule", "1001")], &[("arn:rule", "edge/api_rule")]);
    let delete = mock!(Client::delete_rule).then_error(|| DeleteRuleError::generic(error_meta("RuleNotFound")));
    with(&[("edge/api_rule", spec())], &[&balancers, &listeners, &rules, &tags, &delete]).destroy().await.unwrap();
    assert_eq!(delete.num_calls(), 1);
}

/// Deletes a rule by removing it from the configuration or by a destroy, and returns the time that this takes.
async fn deletion_time(action: Action, is_destroy: bool) -> Duration {
    let rule = Live::builder().actions(action).priority("1").rule_arn("arn:rule").build();
    let [balancers, listeners, rules, tags] = account(vec![rule], &[("arn:rule", "edge/redirect")]);
    let delete = mock!(Client::delete_rule).then_output(|| DeleteRuleOutput::builder().build());
    let (run, began) = (with(&[], &[&balancers, &listeners, &rules, &tags, &delete]), Instant::now());
    let done = if is_destroy { run.destroy().await } else { run.deploy().await };
    done.unwrap();
    assert_eq!(delete.num_calls(), 1);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn deleted_redirect_gives_clients_time_to_follow_it() {
    let redirect = || Redirect::to_https(443).action();
    assert_eq!(deletion_time(redirect(), false).await, super::REDIRECT_GRACE);
    assert_eq!(deletion_time(redirect(), true).await, Duration::ZERO);
    assert_eq!(deletion_time(super::action(&spec()), false).await, Duration::ZERO);
}

#[test]
fn invalid_specs_are_refused() {
    for bad in [
        ListenerRuleSpec { priority: 0, ..spec() },
        ListenerRuleSpec { hosts: set(&["api"]), ..spec() },
        ListenerRuleSpec { hosts: BTreeSet::new(), paths: BTreeSet::new(), ..spec() },
        ListenerRuleSpec { paths: set(&["/a", "/b", "/c", "/d", "/e"]), ..spec() },
    ] {
        assert!(ListenerRule::validate(&bad).is_err(), "{bad:?}");
    }
    assert_eq!(ListenerRule::validate(&spec()), Ok(()));
}

#[test]
fn redirect_is_created_after_all_other_rules() {
    let redirect = ListenerRuleSpec {
        priority: 1,
        hosts: BTreeSet::new(),
        paths: set(&["/*"]),
        target_group_arn: String::new(),
        redirect: Some(Redirect::to_https(443)),
        ..spec()
    };
    let interim = ListenerRule::interim_spec(None, &redirect).unwrap();
    assert_eq!(interim.until, Awaited::Peers);
    assert_eq!(interim.spec.hosts, set(&["not-served-yet.invalid"]));
    // An interrupted run leaves the interim rule, which the next run completes.
    let next = ListenerRule::interim_spec(Some(&interim.spec), &redirect).unwrap();
    assert_eq!((next.until, &next.spec.hosts), (Awaited::Peers, &interim.spec.hosts));
}

#[test]
fn redirect_action_is_read_as_it_is_written() {
    let redirect = Redirect::to_https(443);
    let action = redirect.action();
    let config = action.redirect_config().unwrap();
    assert_eq!(config.status_code().map(RedirectActionStatusCodeEnum::as_str), Some("HTTP_301"));
    assert_eq!((config.protocol(), config.port(), config.path()), (Some("HTTPS"), Some("443"), Some("/#{path}")));
    assert_eq!(Redirect::of_action(&action), Some(redirect));
}
