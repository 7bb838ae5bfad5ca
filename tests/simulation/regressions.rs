//! What went wrong once, each with a name.

use crate::case::{Case, Pace, Scenario};
use crate::exhaustive::SEED;
use crate::fault::{Arrival, Fault};
use crate::scenarios;
use std::collections::BTreeMap;

/// `fault` at the call that `which` picks.
fn survives(scenario: &Scenario, fault: Fault, which: impl Fn(&[Arrival]) -> Option<usize>) {
    let at = which(scenario.calls(SEED)).unwrap();
    let case = Case { pace: Pace::Steady, seed: SEED, faults: BTreeMap::from([(at, fault)]) };
    if let Err(problem) = scenario.tried(&case) {
        panic!("{problem}\n{}", case.again(scenario.name));
    }
}

fn first(calls: &[Arrival], name: &str) -> Option<usize> {
    calls.iter().position(|call| call.name == name)
}

/// It was recorded, and the next run came before a describe could see it.
#[test]
fn a_vpc_whose_settings_were_refused_is_not_made_again() {
    survives(&scenarios::deploy(), Fault::Refused, |calls| first(calls, "ec2:ModifyVpcAttribute"));
}

/// It is not attached yet, so it does not say which of the two VPCs it is meant for.
#[test]
fn a_gateway_whose_answer_was_lost_is_found_while_two_vpcs_are_there() {
    survives(&scenarios::network(), Fault::AnswerLost, |calls| first(calls, "ec2:CreateInternetGateway"));
}

/// The creates that are under way when the snapshot is refused were not refused themselves.
#[test]
fn a_snapshot_that_is_refused_forgets_no_create_in_flight() {
    survives(&scenarios::deploy(), Fault::Refused, |calls| {
        let create = first(calls, "ec2:CreateRouteTable")?;
        calls[..create].iter().rposition(|call| call.name == "s3:PutObject")
    });
}

/// Two rules of a group are for one port and from two peers: each was taken for the other, which was waited for to go.
#[test]
fn rules_that_were_made_and_not_recorded_are_found_among_others_of_their_port() {
    survives(&scenarios::deploy(), Fault::Refused, |calls| {
        let create = calls.iter().rposition(|call| call.name == "ec2:AuthorizeSecurityGroupIngress")?;
        calls[create..].iter().position(|call| call.name == "s3:PutObject").map(|after| create + after)
    });
}

/// The old VPC goes with its default group, whose tags are removed in a later run: EC2 answers `InvalidID`.
#[test]
fn default_group_gone_with_its_vpc_is_forgotten() {
    survives(&scenarios::network(), Fault::Refused, |calls| first(calls, "ec2:CreateTags"));
}

/// The groups were made and their rules for all outbound traffic not yet revoked when the snapshot was refused; the next run's calls
/// come before EC2 shows the groups to them.
#[test]
fn new_groups_that_are_invisible_yet_are_closed_by_the_next_run() {
    let (scenario, _, case) = Case::parse("deploy:Random:5902640496002578339:65=Refused");
    scenario.tried(&case).unwrap();
}
