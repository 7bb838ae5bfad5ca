//! Tests of the requests of each operation, and of the behaviour of AWS on which the operations rely.

use super::*;
use crate::testing::{
    changed_paths, filters_by_tags, has_filter, managed_tags, plain_tags, refusal, sends_managed_tags, standalone,
};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::authorize_security_group_egress::AuthorizeSecurityGroupEgressOutput;
use aws_sdk_ec2::operation::authorize_security_group_ingress::AuthorizeSecurityGroupIngressOutput;
use aws_sdk_ec2::operation::create_tags::CreateTagsOutput;
use aws_sdk_ec2::operation::describe_security_group_rules::DescribeSecurityGroupRulesOutput;
use aws_sdk_ec2::operation::describe_security_groups::DescribeSecurityGroupsOutput;
use aws_sdk_ec2::operation::modify_security_group_rules::ModifySecurityGroupRulesOutput;
use aws_sdk_ec2::operation::revoke_security_group_ingress::RevokeSecurityGroupIngressOutput;
use aws_sdk_ec2::types::{ReferencedSecurityGroup, SecurityGroup};
use aws_smithy_mocks::{Rule, mock};
use pb_aws::mock_client;
use pb_engine::{Action, Order};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn spec() -> SecurityGroupRuleSpec {
    SecurityGroupRuleSpec {
        group_id: "sg-1".to_owned(),
        direction: Direction::Ingress,
        protocol: "tcp".to_owned(),
        from_port: 5050,
        to_port: 5050,
        peer: "sg-2".to_owned(),
        description: "from the load balancer".to_owned(),
        tags: plain_tags(),
    }
}

fn live(port: i32, tags: Option<Vec<aws_sdk_ec2::types::Tag>>) -> DescribeSecurityGroupRulesOutput {
    let rule = Live::builder().security_group_rule_id("sgr-1").group_id("sg-1").is_egress(false);
    let rule = rule.ip_protocol("tcp").from_port(port).to_port(port).description("from the load balancer");
    let peer = ReferencedSecurityGroup::builder().group_id("sg-2").build();
    let rule = rule.referenced_group_info(peer).set_tags(tags).build();
    DescribeSecurityGroupRulesOutput::builder().security_group_rules(rule).build()
}

fn managed_rule(port: i32) -> Rule {
    let rule = mock!(Client::describe_security_group_rules).match_requests(|r| filters_by_tags(r.filters()));
    rule.then_output(move || live(port, Some(managed_tags())))
}

fn none() -> Rule {
    let rule = mock!(Client::describe_security_group_rules).match_requests(|r| filters_by_tags(r.filters()));
    rule.then_output(|| DescribeSecurityGroupRulesOutput::builder().build())
}

fn visible() -> Rule {
    let by_id = |filters: &[Filter]| has_filter(filters, "security-group-rule-id", "sgr-1");
    let rule = mock!(Client::describe_security_group_rules).match_requests(move |r| by_id(r.filters()));
    rule.then_output(|| live(5050, Some(managed_tags())))
}

/// Responds with the group of the rule, which is managed.
fn group() -> Rule {
    mock!(Client::describe_security_groups).then_output(|| {
        let group = SecurityGroup::builder().group_id("sg-1").set_tags(Some(managed_tags())).build();
        DescribeSecurityGroupsOutput::builder().security_groups(group).build()
    })
}

fn made() -> Vec<Live> {
    vec![Live::builder().security_group_rule_id("sgr-1").build()]
}

#[tokio::test(start_paused = true)]
async fn rule_create_sends_one_permission_with_its_own_tags() {
    let (none, visible, group) = (none(), visible(), group());
    let same = mock!(Client::describe_security_group_rules).then_output(|| live(5050, None));
    let create = mock!(Client::authorize_security_group_ingress)
        .match_requests(|r| {
            let [one] = r.ip_permissions() else { return false };
            let [from] = one.user_id_group_pairs() else { return false };
            r.group_id() == Some("sg-1")
                && (one.ip_protocol(), one.from_port(), one.to_port()) == (Some("tcp"), Some(5050), Some(5050))
                && (from.group_id(), from.description()) == (Some("sg-2"), Some("from the load balancer"))
                && one.ip_ranges().is_empty()
                && sends_managed_tags(r.tag_specifications(), &ResourceType::SecurityGroupRule)
        })
        .then_output(|| AuthorizeSecurityGroupIngressOutput::builder().set_security_group_rules(Some(made())).build());
    let client = mock_client!(aws_sdk_ec2, [&none, &visible, &group, &same, &create]);
    // An equivalent rule without ownership tags in a managed group does not prevent the create: the update of the group
    // revokes that rule.
    let made = standalone(SecurityGroupRule::new(client.into()), spec()).deploy().await.unwrap();
    assert_eq!(made.resources.values().next().unwrap().attrs["id"], "sgr-1");
}

/// An interrupted run has created the rule. A managed rule for the same port with another peer is not mistaken for it,
/// and nothing has to be waited for.
#[tokio::test(start_paused = true)]
async fn existing_rule_is_found_among_rules_of_the_same_port() {
    let asked = AtomicUsize::new(0);
    // From the second call on, the rule is found by its tags.
    let by_tags = mock!(Client::describe_security_group_rules).match_requests(|r| filters_by_tags(r.filters()));
    let by_tags = by_tags.then_compute_output(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => DescribeSecurityGroupRulesOutput::builder().build(),
        _ => live(5050, Some(managed_tags())),
    });
    let (visible, group) = (visible(), group());
    let in_group =
        mock!(Client::describe_security_group_rules).match_requests(|r| has_filter(r.filters(), "group-id", "sg-1"));
    let in_group = in_group.then_output(|| {
        let mut tags = managed_tags();
        tags.retain(|tag| tag.key() != Some(ADDRESS_TAG));
        tags.push(aws_sdk_ec2::types::Tag::builder().key(ADDRESS_TAG).value("test/other").build());
        let other = Live::builder().security_group_rule_id("sgr-2").group_id("sg-1").is_egress(false);
        let other = other.ip_protocol("tcp").from_port(5050).to_port(5050).set_tags(Some(tags));
        let peer = ReferencedSecurityGroup::builder().group_id("sg-3").build();
        let mut rules = live(5050, Some(managed_tags())).security_group_rules.unwrap_or_default();
        rules.push(other.referenced_group_info(peer).build());
        DescribeSecurityGroupRulesOutput::builder().set_security_group_rules(Some(rules)).build()
    });
    let create = mock!(Client::authorize_security_group_ingress).sequence();
    let existing = refusal("InvalidPermission.Duplicate", "the specified rule already exists");
    let create = create.http_status(400, existing).build();
    let client = mock_client!(aws_sdk_ec2, [&by_tags, &visible, &group, &in_group, &create]);
    let made = standalone(SecurityGroupRule::new(client.into()), spec()).deploy().await.unwrap();
    assert_eq!(made.resources.values().next().unwrap().attrs["id"], "sgr-1");
    assert_eq!(create.num_calls(), 1, "the create was retried");
}

/// Two web services have exchanged their ports: the rule that one service needs exists at the address of the other
/// service.
#[tokio::test(start_paused = true)]
async fn rule_of_another_address_is_taken_over() {
    let taken = Arc::new(AtomicBool::new(false));
    let is_taken = || {
        let taken = Arc::clone(&taken);
        move || taken.load(Ordering::Relaxed)
    };
    let (tagged, within) = (is_taken(), is_taken());
    let at_other = || {
        let mut tags = managed_tags();
        tags.retain(|tag| tag.key() != Some(ADDRESS_TAG));
        tags.push(aws_sdk_ec2::types::Tag::builder().key(ADDRESS_TAG).value("test/other").build());
        tags
    };
    let by_tags = mock!(Client::describe_security_group_rules).match_requests(|r| filters_by_tags(r.filters()));
    let by_tags = by_tags.then_compute_output(move |_| match tagged() {
        true => live(5050, Some(managed_tags())),
        false => DescribeSecurityGroupRulesOutput::builder().build(),
    });
    let in_group =
        mock!(Client::describe_security_group_rules).match_requests(|r| has_filter(r.filters(), "group-id", "sg-1"));
    let in_group =
        in_group.then_compute_output(move |_| live(5050, Some(if within() { managed_tags() } else { at_other() })));
    let existing = refusal("InvalidPermission.Duplicate", "the specified rule already exists");
    let create = mock!(Client::authorize_security_group_ingress).sequence();
    let create = create.http_status(400, existing.clone()).http_status(400, existing).build();
    let take = mock!(Client::create_tags).then_compute_output(move |call| {
        assert!(call.resources() == ["sgr-1"] && !call.tags().is_empty());
        taken.store(true, Ordering::Relaxed);
        CreateTagsOutput::builder().build()
    });
    let (visible, group) = (visible(), group());
    let client = mock_client!(aws_sdk_ec2, [&by_tags, &visible, &group, &in_group, &create, &take]);
    let made = standalone(SecurityGroupRule::new(client.into()), spec()).deploy().await.unwrap();
    assert_eq!(made.resources.values().next().unwrap().attrs["id"], "sgr-1");
    assert_eq!((create.num_calls(), take.num_calls()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn rule_for_all_protocols_has_no_ports() {
    let (none, visible, group) = (none(), visible(), group());
    let nothing = mock!(Client::describe_security_group_rules)
        .then_output(|| DescribeSecurityGroupRulesOutput::builder().build());
    let create = mock!(Client::authorize_security_group_egress)
        .match_requests(|r| {
            let [all] = r.ip_permissions() else { return false };
            (all.ip_protocol(), all.from_port(), all.to_port()) == (Some("-1"), None, None)
                && all.ip_ranges().iter().all(|to| to.cidr_ip() == Some("0.0.0.0/0") && to.description().is_none())
        })
        .then_output(|| AuthorizeSecurityGroupEgressOutput::builder().set_security_group_rules(Some(made())).build());
    let client = mock_client!(aws_sdk_ec2, [&none, &visible, &group, &nothing, &create]);
    let all = SecurityGroupRuleSpec {
        direction: Direction::Egress,
        protocol: ALL.to_owned(),
        from_port: -1,
        to_port: -1,
        peer: "0.0.0.0/0".to_owned(),
        description: String::new(),
        ..spec()
    };
    standalone(SecurityGroupRule::new(client.into()), all).deploy().await.unwrap();
    assert_eq!(create.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_with_another_port_is_replaced_create_first() {
    let (existing, visible) = (managed_rule(5051), visible());
    let client = mock_client!(aws_sdk_ec2, [&existing, &visible]);
    let plan = standalone(SecurityGroupRule::new(client.into()), spec()).plan().await.unwrap();
    assert_eq!(changed_paths(&plan), ["from_port", "to_port"]);
    assert_eq!(plan.steps[0].action, Action::Replace { order: Order::CreateBeforeDestroy });
}

#[tokio::test(start_paused = true)]
async fn rule_description_update_keeps_the_other_fields() {
    let (existing, visible) = (managed_rule(5050), visible());
    let wanted = SecurityGroupRuleSpec { description: "from our load balancer".to_owned(), ..spec() };
    let modify = mock!(Client::modify_security_group_rules)
        .match_requests(|r| {
            let [update] = r.security_group_rules() else { return false };
            let Some(rule) = update.security_group_rule() else { return false };
            update.security_group_rule_id() == Some("sgr-1")
                && (rule.from_port(), rule.to_port(), rule.ip_protocol()) == (Some(5050), Some(5050), Some("tcp"))
                && rule.referenced_group_id() == Some("sg-2")
                && rule.description() == Some("from our load balancer")
        })
        .then_output(|| ModifySecurityGroupRulesOutput::builder().build());
    let client = mock_client!(aws_sdk_ec2, [&existing, &visible, &modify]);
    let stack = standalone(SecurityGroupRule::new(client.into()), wanted);
    assert_eq!(changed_paths(&stack.plan().await.unwrap()), ["description"]);
    stack.deploy().await.unwrap();
    assert_eq!(modify.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn equivalent_rule_in_an_unmanaged_group_is_left_alone() {
    let none = none();
    let no_groups =
        mock!(Client::describe_security_groups).then_output(|| DescribeSecurityGroupsOutput::builder().build());
    let same = mock!(Client::describe_security_group_rules)
        .match_requests(|r| has_filter(r.filters(), "group-id", "sg-1"))
        .then_output(|| live(5050, None));
    let client = mock_client!(aws_sdk_ec2, [&none, &no_groups, &same]);
    let failure = standalone(SecurityGroupRule::new(client.into()), spec()).deploy().await.unwrap_err();
    assert!(failure.message.contains("the same rule (sgr-1)"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn rule_delete_succeeds_if_the_rule_is_gone() {
    let existing = managed_rule(5050);
    let gone = refusal("InvalidSecurityGroupRuleId.NotFound", "does not exist");
    let revoke = mock!(Client::revoke_security_group_ingress)
        .match_requests(|r| r.group_id() == Some("sg-1") && r.security_group_rule_ids() == ["sgr-1"]);
    let revoke = revoke.sequence().http_status(400, gone).build();
    let unused = mock!(Client::revoke_security_group_ingress)
        .then_output(|| RevokeSecurityGroupIngressOutput::builder().build());
    let client = mock_client!(aws_sdk_ec2, [&existing, &revoke, &unused]);
    standalone(SecurityGroupRule::new(client.into()), spec()).destroy().await.unwrap();
    assert_eq!((revoke.num_calls(), unused.num_calls()), (1, 0));
}

#[test]
fn invalid_spec_is_refused() {
    assert_eq!(SecurityGroupRule::validate(&spec()), Ok(()));
    for bad in [
        SecurityGroupRuleSpec { protocol: "TCP".to_owned(), ..spec() },
        SecurityGroupRuleSpec { from_port: 0, ..spec() },
        SecurityGroupRuleSpec { from_port: 6000, ..spec() },
        SecurityGroupRuleSpec { protocol: ALL.to_owned(), ..spec() },
        SecurityGroupRuleSpec { peer: "10.0.0.1/8".to_owned(), ..spec() },
        SecurityGroupRuleSpec { description: "a > b".to_owned(), ..spec() },
    ] {
        assert!(SecurityGroupRule::validate(&bad).is_err(), "{bad:?}");
    }
}
