//! Ctrl-C and SIGTERM: the first lets calls finish, records and releases; the second ends at once.

use crate::{LEASE, deployed, endpoint, ensure, held};
use pb_torture::{At, How, Problem, Proxy, Rule, Shape, Signal, Site, World, converged};

const DEPLOY: [&str; 3] = ["deploy", "staging", "--yes"];
const STATUS: [&str; 3] = ["status", "staging", "--json"];
const STOPPING: &str = "stopping: nothing new is started";
/// The lease in seconds where none has to end: other tests keep the endpoint busy, and heartbeats must get through.
const LONG_LEASE: u32 = 20;

fn hold(call: &str, how: How) -> Vec<Rule> {
    vec![Rule { at: At::nth(call, 1), how }]
}

/// One signal: what was made is recorded, the lease released, and the next deploy need not wait.
fn first_signal(signal: Signal, how: How) -> Result<(), Problem> {
    let (endpoint, shape) = (endpoint()?, Shape::first());
    let (site, world) = (Site::new(endpoint, LONG_LEASE)?, World::start()?);
    let proxy = Proxy::start(endpoint, hold("ec2:CreateVpc", how))?;
    let mut running = site.start(&proxy.url, &shape, &DEPLOY)?;
    let held = held(&proxy, &mut running)?;
    running.send(signal)?;
    running.wait_until(|running| running.said().contains(STOPPING))?;
    held.let_go();
    let ended = running.ended()?;
    ensure(ended.code == Some(130), || format!("exit code 130 was expected: {ended}"))?;

    let (state, inventory) = (site.state(&shape)?, world.look(&site)?);
    ensure(inventory.owned.iter().any(|owned| owned.address == "net/vpc"), || {
        "the running call did not finish".to_owned()
    })?;
    for owned in &inventory.owned {
        let record = state["resources"][&owned.address].to_string();
        ensure(record.contains(&owned.id), || format!("{owned:?} was made and is not recorded: {ended}"))?;
    }
    let subnets = &inventory.all["subnets"];
    ensure(subnets.is_empty(), || format!("something was begun after the signal: {subnets:?}"))?;
    let lock = site.json(&shape, &STATUS)?["lock"].take();
    ensure(lock.is_null(), || format!("the lease was not released: {lock}"))?;
    let next = site.finish(&shape, "deploy")?;
    ensure(!next.err.contains("locked by"), || format!("the next one had to wait: {next}"))?;
    converged(&site, &world, &shape, deployed()?)
}

#[test]
fn ctrl_c_lets_the_running_call_finish() {
    if let Err(problem) = first_signal(Signal::Interrupt, How::HoldBefore) {
        panic!("{problem}");
    }
}

#[test]
fn sigterm_records_what_was_just_made() {
    if let Err(problem) = first_signal(Signal::Terminate, How::HoldAfter) {
        panic!("{problem}");
    }
}

/// The second signal: it ends while its call still has no answer, and the next run repairs.
fn second_signal(signals: [Signal; 2]) -> Result<(), Problem> {
    let (endpoint, shape) = (endpoint()?, Shape::first());
    let (site, world) = (Site::new(endpoint, LEASE)?, World::start()?);
    let proxy = Proxy::start(endpoint, hold("ec2:CreateVpc", How::HoldAfter))?;
    let mut running = site.start(&proxy.url, &shape, &DEPLOY)?;
    let held = held(&proxy, &mut running)?;
    running.send(signals[0])?;
    running.wait_until(|running| running.said().contains(STOPPING))?;
    running.send(signals[1])?;
    let ended = running.ended()?;
    ensure(ended.code == Some(130), || format!("exit code 130 was expected: {ended}"))?;
    drop(held);
    site.finish(&shape, "deploy")?;
    converged(&site, &world, &shape, deployed()?)
}

#[test]
fn ctrl_c_twice_ends_at_once_and_the_next_run_repairs() {
    if let Err(problem) = second_signal([Signal::Interrupt, Signal::Interrupt]) {
        panic!("{problem}");
    }
}

#[test]
fn ctrl_c_and_sigterm_count_together() {
    if let Err(problem) = second_signal([Signal::Interrupt, Signal::Terminate]) {
        panic!("{problem}");
    }
}

/// One that waits for the lease: it stops waiting, and has changed nothing.
fn while_waiting() -> Result<(), Problem> {
    let (endpoint, shape) = (endpoint()?, Shape::first());
    let (site, world) = (Site::new(endpoint, LONG_LEASE)?, World::start()?);
    let proxy = Proxy::start(endpoint, hold("ec2:CreateVpc", How::HoldAfter))?;
    let mut holder = site.start(&proxy.url, &shape, &DEPLOY)?;
    let held = held(&proxy, &mut holder)?;
    let mut waiting = site.start(endpoint, &shape, &["deploy", "staging", "--yes", "--lock-timeout", "200"])?;
    waiting.wait_until(|waiting| waiting.said().contains("locked by"))?;
    waiting.send(Signal::Interrupt)?;
    let waiting = waiting.ended()?;
    ensure(waiting.code == Some(130), || format!("exit code 130 was expected: {waiting}"))?;
    held.let_go();
    holder.ended()?.with(0)?;
    converged(&site, &world, &shape, deployed()?)
}

#[test]
fn ctrl_c_ends_the_waiting_for_the_lease() {
    if let Err(problem) = while_waiting() {
        panic!("{problem}");
    }
}
