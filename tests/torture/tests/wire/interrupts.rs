//! Ctrl-C and SIGTERM: after the first signal, running calls complete and are recorded, and the lease is released; the
//! second signal ends the process at once.

use crate::{LEASE, deployed_baseline, endpoint, ensure, held};
use pb_torture::{
    CallMatcher, FaultAction, FaultRule, InventoryClient, Problem, Proxy, Signal, TestConfig, TestWorkspace,
    check_converged,
};

const DEPLOY: [&str; 3] = ["deploy", "staging", "--yes"];
const STATUS: [&str; 3] = ["status", "staging", "--json"];
const STOPPING: &str = "stopping: no new steps are started";
/// Duration in seconds of leases that need not expire. It is long, because other tests keep the endpoint busy and
/// heartbeats must still succeed.
const LONG_LEASE: u32 = 20;

fn hold(call: &str, action: FaultAction) -> Vec<FaultRule> {
    vec![FaultRule { at: CallMatcher::nth(call, 1), action }]
}

/// Checks that after one signal the created resources are recorded, the lease is released, and the next deploy does not
/// wait.
fn check_first_signal(signal: Signal, action: FaultAction) -> Result<(), Problem> {
    let (endpoint, config) = (endpoint()?, TestConfig::initial());
    let (workspace, inventory_client) = (TestWorkspace::new(endpoint, LONG_LEASE)?, InventoryClient::start()?);
    let proxy = Proxy::start(endpoint, hold("ec2:CreateVpc", action))?;
    let mut running = workspace.start(&proxy.url, &config, &DEPLOY)?;
    let held = held(&proxy, &mut running)?;
    running.send(signal)?;
    running.wait_until(|running| running.stderr().contains(STOPPING))?;
    held.release();
    let ended = running.ended()?;
    ensure(ended.code == Some(130), || format!("expected exit code 130: {ended}"))?;

    let (state, inventory) = (workspace.state(&config)?, inventory_client.inventory(&workspace)?);
    ensure(inventory.owned.iter().any(|owned| owned.address == "net/vpc"), || {
        "the running call did not complete".to_owned()
    })?;
    for owned in &inventory.owned {
        let record = state["resources"][&owned.address].to_string();
        ensure(record.contains(&owned.id), || format!("{owned:?} was created but is not recorded: {ended}"))?;
    }
    let subnets = &inventory.all["subnets"];
    ensure(subnets.is_empty(), || format!("another step started after the signal: {subnets:?}"))?;
    let lock = workspace.json(&config, &STATUS)?["lock"].take();
    ensure(lock.is_null(), || format!("the lease was not released: {lock}"))?;
    let next = workspace.finish(&config, "deploy")?;
    ensure(!next.stderr.contains("who holds the lock"), || format!("the next run had to wait: {next}"))?;
    check_converged(&workspace, &inventory_client, &config, deployed_baseline()?)
}

#[test]
fn interrupt_lets_the_running_call_finish() {
    if let Err(problem) = check_first_signal(Signal::Interrupt, FaultAction::HoldBefore) {
        panic!("{problem}");
    }
}

#[test]
fn sigterm_records_a_resource_just_created() {
    if let Err(problem) = check_first_signal(Signal::Terminate, FaultAction::HoldAfter) {
        panic!("{problem}");
    }
}

/// Checks that, after two signals, the process ends before its call is answered, and that the next run repairs the
/// result.
fn check_second_signal(signals: [Signal; 2]) -> Result<(), Problem> {
    let (endpoint, config) = (endpoint()?, TestConfig::initial());
    let (workspace, inventory_client) = (TestWorkspace::new(endpoint, LEASE)?, InventoryClient::start()?);
    let proxy = Proxy::start(endpoint, hold("ec2:CreateVpc", FaultAction::HoldAfter))?;
    let mut running = workspace.start(&proxy.url, &config, &DEPLOY)?;
    let held = held(&proxy, &mut running)?;
    running.send(signals[0])?;
    running.wait_until(|running| running.stderr().contains(STOPPING))?;
    running.send(signals[1])?;
    let ended = running.ended()?;
    ensure(ended.code == Some(130), || format!("expected exit code 130: {ended}"))?;
    drop(held);
    workspace.finish(&config, "deploy")?;
    check_converged(&workspace, &inventory_client, &config, deployed_baseline()?)
}

#[test]
fn second_interrupt_exits_at_once_and_the_next_run_repairs() {
    if let Err(problem) = check_second_signal([Signal::Interrupt, Signal::Interrupt]) {
        panic!("{problem}");
    }
}

#[test]
fn interrupt_and_sigterm_count_as_two_signals() {
    if let Err(problem) = check_second_signal([Signal::Interrupt, Signal::Terminate]) {
        panic!("{problem}");
    }
}

/// Checks that, after a signal, a process that waits for the lease stops waiting and changes nothing.
fn check_signal_while_waiting() -> Result<(), Problem> {
    let (endpoint, config) = (endpoint()?, TestConfig::initial());
    let (workspace, inventory_client) = (TestWorkspace::new(endpoint, LONG_LEASE)?, InventoryClient::start()?);
    let proxy = Proxy::start(endpoint, hold("ec2:CreateVpc", FaultAction::HoldAfter))?;
    let mut holder = workspace.start(&proxy.url, &config, &DEPLOY)?;
    let held = held(&proxy, &mut holder)?;
    let mut waiting = workspace.start(endpoint, &config, &["deploy", "staging", "--yes", "--lock-timeout", "200"])?;
    waiting.wait_until(|waiting| waiting.stderr().contains("who holds the lock"))?;
    waiting.send(Signal::Interrupt)?;
    let waiting = waiting.ended()?;
    ensure(waiting.code == Some(130), || format!("expected exit code 130: {waiting}"))?;
    held.release();
    holder.ended()?.expect_code(0)?;
    check_converged(&workspace, &inventory_client, &config, deployed_baseline()?)
}

#[test]
fn interrupt_ends_the_wait_for_the_lease() {
    if let Err(problem) = check_signal_while_waiting() {
        panic!("{problem}");
    }
}
