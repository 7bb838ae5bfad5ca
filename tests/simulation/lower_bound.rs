//! Tests that a run takes little longer than its lower bound, with the durations that AWS publishes, and makes no more
//! calls than expected.

use crate::account::Times;
use crate::case::Scenario;
use crate::fault::ReceivedCall;
use crate::scenarios;
use std::collections::BTreeMap;
use std::time::Duration;

/// Times of AWS operations.
const TIMES: Times = Times::PUBLISHED;
/// Maximum ratio of the duration of a run to its lower bound.
const MAX_RATIO: f64 = 1.02;

/// Sequential round trips of every run: before its first step it acquires the lease, reads the snapshot, reads the
/// resources and then their details, and stores its intents; after its last step it stores the result and releases the
/// lease.
const FIXED_ROUND_TRIPS: u32 = 5 + 2;

/// Critical path of a deploy, from nothing to running tasks. Each of these calls can be made only after the previous
/// call was answered, or after AWS has completed the operation that the previous call started.
const DEPLOY: [&str; 10] = [
    "ec2:CreateVpc",
    "ec2:ModifyVpcAttribute",
    "ec2:CreateSubnet",
    "elasticache:CreateCacheSubnetGroup",
    "elasticache:CreateReplicationGroup",
    "elasticache:DescribeReplicationGroups",
    "ecs:RegisterTaskDefinition",
    "ecs:CreateService",
    "ecs:DescribeServices",
    "elasticloadbalancing:DescribeTargetHealth",
];

/// Critical path of a destroy.
const DESTROY: [&str; 4] =
    ["elasticache:DeleteReplicationGroup", "ec2:DescribeNetworkInterfaces", "ec2:DeleteSecurityGroup", "ec2:DeleteVpc"];

/// Returns the shortest duration of a run: the round trips of the sequential calls in `chain`, plus the time `aws` that
/// AWS takes.
fn lower_bound(chain: &[&str], aws: Duration) -> Duration {
    let calls = FIXED_ROUND_TRIPS + u32::try_from(chain.len()).unwrap();
    TIMES.latency * 2 * calls + aws
}

/// Counts the calls that satisfy `is`, by operation.
fn count(calls: &[ReceivedCall], is: impl Fn(&ReceivedCall) -> bool) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls.iter().filter(|call| is(call)) {
        *counts.entry(call.name.clone()).or_default() += 1;
    }
    counts
}

/// Runs the scenario with several seeds. Asserts that its duration is at least the lower bound and at most `MAX_RATIO`
/// times as long, and that it makes at most `reads` reads and `writes` writes.
fn assert_within(scenario: &Scenario, chain: &[&str], lower_bound: Duration, (reads, writes): (usize, usize)) {
    for seed in 0..8 {
        let (took, calls) = scenario.measure(seed);
        let ratio = took.as_secs_f64() / lower_bound.as_secs_f64();
        let read = count(&calls, |call| !call.writes && !call.is_state);
        let written = count(&calls, |call| call.writes && !call.is_state);
        let sum = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
        println!(
            "{} {seed}: {took:.1?}, lower bound {lower_bound:.1?}, {ratio:.4}; {} reads, {} writes",
            scenario.name,
            sum(&read),
            sum(&written)
        );
        for name in chain {
            assert!(
                calls.iter().any(|call| call.name == *name),
                "{name} is not called, so the lower bound does not apply to this run"
            );
        }
        assert!((1.0..=MAX_RATIO).contains(&ratio), "{took:?} is {ratio} of {lower_bound:?}");
        assert!(sum(&read) <= reads, "{read:#?}");
        assert!(sum(&written) <= writes, "{written:#?}");
        let refused: Vec<&ReceivedCall> = calls.iter().filter(|call| call.code == "DependencyViolation").collect();
        assert!(
            refused.len() <= 7,
            "too many deletions of groups, subnets and gateways were attempted too early: {refused:#?}"
        );
    }
}

#[test]
fn deploy_time_stays_near_the_lower_bound() {
    let aws = TIMES.write_visibility + TIMES.cache + TIMES.rollout;
    assert_within(&scenarios::published_deploy(), &DEPLOY, lower_bound(&DEPLOY, aws), (760, 120));
}

/// The certificate is issued while the queue is created, so the critical path is that of a deploy without HTTPS.
#[test]
fn deploy_time_with_https_has_the_same_lower_bound() {
    let aws = TIMES.write_visibility + TIMES.cache + TIMES.rollout;
    assert!(TIMES.certificate >= Duration::from_secs(300));
    assert_within(&scenarios::published_https_deploy(), &DEPLOY, lower_bound(&DEPLOY, aws), (1040, 120));
}

#[test]
fn destroy_time_stays_near_the_lower_bound() {
    let aws = TIMES.cache_deleting + TIMES.interface_release;
    assert_within(&scenarios::published_destroy(), &DESTROY, lower_bound(&DESTROY, aws), (700, 120));
}
