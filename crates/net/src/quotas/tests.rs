//! Tests of the room in a group for the rules that a plan adds, with typed EC2 responses.

use super::*;
use crate::testing::{filters_by_tags, has_filter};
use crate::{SecurityGroupRuleSpec, SecurityGroupSpec};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::describe_security_group_rules::DescribeSecurityGroupRulesOutput;
use aws_sdk_ec2::operation::describe_security_groups::DescribeSecurityGroupsOutput;
use aws_sdk_ec2::types::{ReferencedSecurityGroup, SecurityGroup as LiveGroup, Tag};
use aws_smithy_mocks::mock;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pb_aws::mock_client;
use pb_engine::{Graph, Ownership, PlanError, PreflightCheck, Standalone};

/// Preflight check that refuses every usage above the default quota, with the numbers in the message.
struct Check(Ec2);

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

fn owned(address: &str) -> Vec<Tag> {
    let tags = [("pb-deploy:stack", "stack"), ("pb-deploy:workspace", "workspace"), ("pb-deploy:address", address)];
    tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Returns a TCP rule in the group of these tests.
fn rule(id: &str, port: i32, peer: &str, out: bool) -> LiveRule {
    let rule = LiveRule::builder().security_group_rule_id(id).group_id("sg-1").is_egress(out);
    let rule = rule.ip_protocol("tcp").from_port(port).to_port(port);
    match peer {
        _ if peer.starts_with("sg-") => {
            rule.referenced_group_info(ReferencedSecurityGroup::builder().group_id(peer).build())
        }
        _ if peer.contains(':') => rule.cidr_ipv6(peer),
        _ => rule.cidr_ipv4(peer),
    }
    .build()
}

/// Returns `count` unmanaged rules with different ports.
fn others(count: i32, peer: &str, out: bool) -> Vec<LiveRule> {
    (0..count).map(|number| rule(&format!("sgr-{number}"), 9000 + number, peer, out)).collect()
}

/// Plans a change of the port of the managed rule in a group that also contains the unmanaged rules `others`. The plan
/// revokes all of `others` unless `keep` is set. Returns the refusal, if any, and the number of reads of the group's
/// rules.
async fn port_change(others: Vec<LiveRule>, keep: bool, peer: &'static str) -> (Option<String>, usize) {
    let group = LiveGroup::builder().group_id("sg-1").group_name("w-flask").vpc_id("vpc-1").description("web");
    let group = group.set_tags(Some(owned("net/flask_group"))).build();
    let groups = mock!(Client::describe_security_groups)
        .then_output(move || DescribeSecurityGroupsOutput::builder().security_groups(group.clone()).build());
    let mut own = rule("sgr-own", 5050, peer, false);
    own.tags = Some(owned("net/flask_in_lb"));
    let all: Vec<LiveRule> = others.into_iter().chain([own.clone()]).collect();
    let managed = mock!(Client::describe_security_group_rules)
        .match_requests(|r| filters_by_tags(r.filters()))
        .then_output(move || DescribeSecurityGroupRulesOutput::builder().security_group_rules(own.clone()).build());
    let within = mock!(Client::describe_security_group_rules)
        .match_requests(|r| has_filter(r.filters(), "group-id", "sg-1"))
        .then_output(move || {
            DescribeSecurityGroupRulesOutput::builder().set_security_group_rules(Some(all.clone())).build()
        });
    let ec2: Ec2 = mock_client!(aws_sdk_ec2, [&groups, &managed, &within]).into();
    let mut graph = Graph::new();
    let (groups, rules) =
        (graph.kind(SecurityGroup::new(ec2.clone())), graph.kind(SecurityGroupRule::new(ec2.clone())));
    let group = graph.add("net/flask_group", &groups, (), |()| SecurityGroupSpec {
        vpc_id: "vpc-1".to_owned(),
        name: "w-flask".to_owned(),
        description: "web".to_owned(),
        unmanaged_rules: BTreeMap::new(),
        tags: BTreeMap::new(),
    });
    let added = graph.add("net/flask_in_lb", &rules, group.unwrap().created(), move |group| SecurityGroupRuleSpec {
        group_id: group.id,
        direction: Direction::Ingress,
        protocol: "tcp".to_owned(),
        from_port: 8000,
        to_port: 8000,
        peer: peer.to_owned(),
        description: String::new(),
        tags: BTreeMap::new(),
    });
    added.unwrap();
    if keep {
        graph.ignore(&Address::new("net/flask_group").unwrap(), "unmanaged_rules");
    }
    graph.add_preflight_check(Check(ec2));
    let owner = Ownership { stack: "stack".to_owned(), workspace: "workspace".to_owned() };
    let planned = Standalone::new(owner, graph).plan().await;
    (planned.err().map(|failure| failure.message), within.num_calls())
}

#[tokio::test]
async fn full_group_has_no_room_for_a_replacement_rule() {
    let (refusal, reads) = port_change(others(59, "192.0.2.0/24", false), true, "sg-2").await;
    assert_eq!(refusal.unwrap(), "net/flask_in_lb: security group w-flask (sg-1) 60 + 1 inbound rules");
    assert_eq!(reads, 2, "one for the plan, one to count");
    assert_eq!(port_change(others(58, "192.0.2.0/24", false), true, "sg-2").await.0, None);
}

#[tokio::test]
async fn group_with_visible_room_needs_no_call() {
    assert_eq!(port_change(others(58, "192.0.2.0/24", false), true, "sg-2").await, (None, 1));
}

#[tokio::test]
async fn rule_quota_is_counted_per_direction() {
    assert_eq!(port_change(others(60, "192.0.2.0/24", true), true, "sg-2").await, (None, 2));
}

#[tokio::test]
async fn rules_revoked_first_are_not_counted() {
    assert_eq!(port_change(others(59, "192.0.2.0/24", false), false, "sg-2").await, (None, 1));
}

#[tokio::test]
async fn rule_that_names_a_group_counts_for_both_ip_versions() {
    let (refusal, _) = port_change(others(59, "2001:db8::/32", false), true, "sg-2").await;
    assert_eq!(refusal.unwrap(), "net/flask_in_lb: security group w-flask (sg-1) 60 + 1 inbound rules for IPv6");
    assert_eq!(port_change(others(59, "2001:db8::/32", false), true, "192.0.2.0/24").await.0, None);
}
