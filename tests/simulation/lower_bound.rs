//! How much longer a run takes than AWS makes it take, at the pace that AWS publishes; and how many calls it makes.

use crate::account::Times;
use crate::case::Scenario;
use crate::fault::ReceivedCall;
use crate::scenarios;
use std::collections::BTreeMap;
use std::time::Duration;

/// The time of AWS, and what a run may take of it.
const TIMES: Times = Times::PUBLISHED;
const MAX_RATIO: f64 = 1.02;

/// What every run does one after the other: before its first step it takes the lease, reads the snapshot, asks what is there
/// and what hangs on it, and stores what it means to do; after its last it stores that it is done, and gives the lease back.
const FIXED_ROUND_TRIPS: u32 = 5 + 2;

/// The calls that wait for each other in a deploy, from nothing to tasks that run: none of them can be made before the one
/// before it is answered, or before the time that AWS takes is over.
const DEPLOY: [&str; 11] = [
    "ec2:CreateVpc",
    "ec2:ModifyVpcAttribute",
    "ec2:CreateSubnet",
    "ec2:ModifySubnetAttribute",
    "elasticache:CreateCacheSubnetGroup",
    "elasticache:CreateReplicationGroup",
    "elasticache:DescribeReplicationGroups",
    "ecs:RegisterTaskDefinition",
    "ecs:CreateService",
    "ecs:DescribeServices",
    "elasticloadbalancing:DescribeTargetHealth",
];

/// The same of a destroy.
const DESTROY: [&str; 4] =
    ["elasticache:DeleteReplicationGroup", "ec2:DescribeNetworkInterfaces", "ec2:DeleteSecurityGroup", "ec2:DeleteVpc"];

/// The shortest time in which these calls can be made one after the other, around what AWS takes.
fn lower_bound(chain: &[&str], aws: Duration) -> Duration {
    let calls = FIXED_ROUND_TRIPS + u32::try_from(chain.len()).unwrap();
    TIMES.latency * 2 * calls + aws
}

/// How many calls there were of each operation that `is` picks.
fn count(calls: &[ReceivedCall], is: impl Fn(&ReceivedCall) -> bool) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls.iter().filter(|call| is(call)) {
        *counts.entry(call.name.clone()).or_default() += 1;
    }
    counts
}

/// Runs it with several seeds: it takes little more than the floor, never less, and no more calls than `reads` and `writes`.
fn assert_within(scenario: &Scenario, chain: &[&str], lower_bound: Duration, (reads, writes): (usize, usize)) {
    for seed in 0..8 {
        let (took, calls) = scenario.measure(seed);
        let ratio = took.as_secs_f64() / lower_bound.as_secs_f64();
        let looked = count(&calls, |call| !call.writes && !call.is_state);
        let wrote = count(&calls, |call| call.writes && !call.is_state);
        let sum = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
        println!(
            "{} {seed}: {took:.1?}, lower bound {lower_bound:.1?}, {ratio:.4}; {} reads, {} writes",
            scenario.name,
            sum(&looked),
            sum(&wrote)
        );
        for name in chain {
            assert!(
                calls.iter().any(|call| call.name == *name),
                "{name} is not called: the lower bound is of another run"
            );
        }
        assert!((1.0..=MAX_RATIO).contains(&ratio), "{took:?} is {ratio} of {lower_bound:?}");
        assert!(sum(&looked) <= reads, "{looked:#?}");
        assert!(sum(&wrote) <= writes, "{wrote:#?}");
        let refused: Vec<&ReceivedCall> = calls.iter().filter(|call| call.code == "DependencyViolation").collect();
        assert!(refused.len() <= 7, "a group, subnet or gateway is tried once before it is waited for: {refused:#?}");
    }
}

#[test]
fn deploy_time_stays_near_the_lower_bound() {
    let aws = TIMES.write_visibility + TIMES.cache + TIMES.rollout;
    assert_within(&scenarios::published_deploy(), &DEPLOY, lower_bound(&DEPLOY, aws), (760, 120));
}

#[test]
fn destroy_time_stays_near_the_lower_bound() {
    let aws = TIMES.cache_deleting + TIMES.interface_release;
    assert_within(&scenarios::published_destroy(), &DESTROY, lower_bound(&DESTROY, aws), (700, 120));
}
