//! Regression tests for failures that the simulation found.

use crate::case::{Case, Pace, Scenario};
use crate::exhaustive::SEED;
use crate::fault::{Fault, ReceivedCall};
use crate::scenarios;
use std::collections::BTreeMap;

/// Asserts that the scenario recovers from `fault` at the call that `which` selects.
fn assert_recovers(scenario: &Scenario, fault: Fault, which: impl Fn(&[ReceivedCall]) -> Option<usize>) {
    let at = which(scenario.calls(SEED)).unwrap();
    let case = Case { pace: Pace::Steady, seed: SEED, faults: BTreeMap::from([(at, fault)]) };
    if let Err(problem) = scenario.check_catching_panics(&case) {
        panic!("{problem}\n{}", case.reproduce_command(scenario.name));
    }
}

fn first(calls: &[ReceivedCall], name: &str) -> Option<usize> {
    calls.iter().position(|call| call.name == name)
}

/// The VPC was recorded, and the next run started before a describe call could find the VPC.
#[test]
fn vpc_with_refused_settings_is_not_created_twice() {
    assert_recovers(&scenarios::deploy(), Fault::Refused, |calls| first(calls, "ec2:ModifyVpcAttribute"));
}

/// The gateway is not attached yet, so its description does not show to which of the two VPCs it belongs.
#[test]
fn gateway_with_lost_response_is_found_among_two_vpcs() {
    assert_recovers(&scenarios::network(), Fault::AnswerLost, |calls| first(calls, "ec2:CreateInternetGateway"));
}

/// A refused write of the snapshot does not mean that the create calls in flight were refused, too.
#[test]
fn refused_snapshot_write_forgets_no_create_in_flight() {
    assert_recovers(&scenarios::deploy(), Fault::Refused, |calls| {
        let create = first(calls, "ec2:CreateRouteTable")?;
        calls[..create].iter().rposition(|call| call.name == "s3:PutObject")
    });
}

/// Two rules of a group allow the same port from two peers. Each rule was mistaken for the other, and the run waited
/// for the other rule to be deleted.
#[test]
fn unrecorded_rules_are_found_among_rules_of_the_same_port() {
    assert_recovers(&scenarios::deploy(), Fault::Refused, |calls| {
        let create = calls.iter().rposition(|call| call.name == "ec2:AuthorizeSecurityGroupIngress")?;
        calls[create..].iter().position(|call| call.name == "s3:PutObject").map(|after| create + after)
    });
}

/// The old VPC is deleted together with its default group. When a later run removes the tags of that group, EC2
/// responds with `InvalidID`.
#[test]
fn default_group_gone_with_its_vpc_is_forgotten() {
    assert_recovers(&scenarios::network(), Fault::Refused, |calls| first(calls, "ec2:CreateTags"));
}

/// A write of the snapshot was refused when the groups existed but their rules for all outbound traffic were not yet
/// revoked. The next run made its calls before EC2 showed the groups.
#[test]
fn default_egress_of_invisible_groups_is_revoked_next_run() {
    let (scenario, _, case) = Case::parse("deploy:Random:5902640496002578339:65=Refused");
    scenario.check_catching_panics(&case).unwrap();
}
