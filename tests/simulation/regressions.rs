//! What went wrong once, each with a name.

use crate::case::{Case, Pace, Scenario};
use crate::exhaustive::SEED;
use crate::fault::{Fault, ReceivedCall};
use crate::scenarios;
use std::collections::BTreeMap;

/// `fault` at the call that `which` picks.
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

/// It was recorded, and the next run came before a describe could see it.
#[test]
fn vpc_with_refused_settings_is_not_created_twice() {
    assert_recovers(&scenarios::deploy(), Fault::Refused, |calls| first(calls, "ec2:ModifyVpcAttribute"));
}

/// It is not attached yet, so it does not say which of the two VPCs it is meant for.
#[test]
fn gateway_with_lost_response_is_found_among_two_vpcs() {
    assert_recovers(&scenarios::network(), Fault::AnswerLost, |calls| first(calls, "ec2:CreateInternetGateway"));
}

/// The creates that are under way when the snapshot is refused were not refused themselves.
#[test]
fn refused_snapshot_write_forgets_no_create_in_flight() {
    assert_recovers(&scenarios::deploy(), Fault::Refused, |calls| {
        let create = first(calls, "ec2:CreateRouteTable")?;
        calls[..create].iter().rposition(|call| call.name == "s3:PutObject")
    });
}

/// Two rules of a group are for one port and from two peers: each was taken for the other, which was waited for to go.
#[test]
fn unrecorded_rules_are_found_among_rules_of_the_same_port() {
    assert_recovers(&scenarios::deploy(), Fault::Refused, |calls| {
        let create = calls.iter().rposition(|call| call.name == "ec2:AuthorizeSecurityGroupIngress")?;
        calls[create..].iter().position(|call| call.name == "s3:PutObject").map(|after| create + after)
    });
}

/// The old VPC goes with its default group, whose tags are removed in a later run: EC2 answers `InvalidID`.
#[test]
fn default_group_gone_with_its_vpc_is_forgotten() {
    assert_recovers(&scenarios::network(), Fault::Refused, |calls| first(calls, "ec2:CreateTags"));
}

/// The groups were made and their rules for all outbound traffic not yet revoked when the snapshot was refused; the next run's calls
/// come before EC2 shows the groups to them.
#[test]
fn default_egress_of_invisible_groups_is_revoked_next_run() {
    let (scenario, _, case) = Case::parse("deploy:Random:5902640496002578339:65=Refused");
    scenario.check_catching_panics(&case).unwrap();
}
