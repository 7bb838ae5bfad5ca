//! Tests of a process that is suspended for longer than its lease and then resumes.

use crate::{LEASE, deployed_baseline, endpoint, ensure, held};
use pb_torture::{
    CallMatcher, FaultAction, FaultRule, InventoryClient, Problem, Proxy, RecordedCall, Signal, TestConfig,
    TestWorkspace, check_converged, is_write,
};
use std::time::Duration;

/// Waits until the process has no pending requests except the held call and its heartbeats. If the process were stopped
/// while it sends another request, it would complete that request when it resumes, as if the network had delayed it.
fn wait_until_quiet(proxy: &Proxy) {
    let count = || proxy.writes().iter().filter(|seen| seen.call != "dynamodb:UpdateItem").count();
    let mut before = usize::MAX;
    while before != count() {
        before = count();
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Suspends a deploy after the call number `nth` of `call` was executed and before the response arrives. Another deploy
/// takes over and completes; then the first deploy resumes.
fn check_suspension_at(call: &str, nth: usize) -> Result<(), Problem> {
    let (endpoint, config) = (endpoint()?, TestConfig::initial());
    let (workspace, inventory_client) = (TestWorkspace::new(endpoint, LEASE)?, InventoryClient::start()?);
    let proxy =
        Proxy::start(endpoint, vec![FaultRule { at: CallMatcher::nth(call, nth), action: FaultAction::HoldAfter }])?;
    let mut first = workspace.start(&proxy.url, &config, &["deploy", "staging", "--yes"])?;
    let held = held(&proxy, &mut first)?;
    wait_until_quiet(&proxy);
    first.send(Signal::Stop)?;
    proxy.wait_until_idle();
    let before = proxy.seen().len();

    let second = workspace.finish(&config, "deploy")?;
    ensure(second.stderr.contains("who holds the lock"), || {
        format!("the second deploy did not wait for the first: {second}")
    })?;
    let versions = inventory_client.versions(&workspace)?;

    first.send(Signal::Continue)?;
    held.release();
    let first = first.ended()?;
    // A heartbeat that was pending is harmless: the table rejects it, because another run holds the lease.
    let is_harmless =
        |seen: &RecordedCall| !is_write(&seen.call) || (seen.call == "dynamodb:UpdateItem" && seen.status == 400);
    let after: Vec<RecordedCall> =
        proxy.seen().split_off(before).into_iter().filter(|seen| !is_harmless(seen)).collect();
    ensure(after.is_empty(), || format!("after it resumed, the first deploy called {after:?}: {first}"))?;
    ensure(first.code == Some(3), || format!("the first deploy lost its lease and must exit with 3: {first}"))?;
    ensure(first.stderr.contains("renew the lock"), || {
        format!("the first deploy does not report the lost lease: {first}")
    })?;
    let claims_success = ["is recorded", "Progress is saved"].iter().any(|claim| first.stderr.contains(claim));
    ensure(!claims_success, || format!("the first deploy says that its progress is saved: {first}"))?;
    ensure(inventory_client.versions(&workspace)? == versions, || {
        "the state was changed after the second deploy had completed".to_owned()
    })?;
    check_converged(&workspace, &inventory_client, &config, deployed_baseline()?)?;
    println!(
        "{call} {nth}: the second deploy completed with {} versions, the first wrote nothing more",
        versions.len()
    );
    Ok(())
}

#[test]
fn suspension_during_a_create_writes_nothing_on_resume() {
    if let Err(problem) = check_suspension_at("ec2:CreateVpc", 1) {
        panic!("{problem}");
    }
}

#[test]
fn suspension_during_parallel_steps_writes_nothing_on_resume() {
    if let Err(problem) = check_suspension_at("ec2:CreateRouteTable", 1) {
        panic!("{problem}");
    }
}

#[test]
fn suspension_during_a_state_write_writes_nothing_on_resume() {
    if let Err(problem) = check_suspension_at("s3:PutObject", 4) {
        panic!("{problem}");
    }
}
