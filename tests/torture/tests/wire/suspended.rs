//! A process that stands still for longer than its lease, and goes on.

use crate::{LEASE, deployed, endpoint, ensure, held};
use pb_torture::{At, How, Problem, Proxy, Rule, Seen, Shape, Signal, Site, World, converged, mutating};
use std::time::Duration;

/// Waits until the process has nothing on its way but what is held and its heartbeats: a request that it was writing when it
/// was stopped goes out afterwards, like one that the network delays.
fn quiet(proxy: &Proxy) {
    let count = || proxy.changes().iter().filter(|seen| seen.call != "dynamodb:UpdateItem").count();
    let mut before = usize::MAX;
    while before != count() {
        before = count();
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Suspends a deploy while `call` is done and its answer on the way; another deploy takes over and finishes; the first goes on.
fn suspended_at(call: &str, nth: usize) -> Result<(), Problem> {
    let (endpoint, shape) = (endpoint()?, Shape::first());
    let (site, world) = (Site::new(endpoint, LEASE)?, World::start()?);
    let proxy = Proxy::start(endpoint, vec![Rule { at: At::nth(call, nth), how: How::HoldAfter }])?;
    let mut first = site.start(&proxy.url, &shape, &["deploy", "staging", "--yes"])?;
    let held = held(&proxy, &mut first)?;
    quiet(&proxy);
    first.send(Signal::Stop)?;
    proxy.settle();
    let before = proxy.seen().len();

    let second = site.finish(&shape, "deploy")?;
    ensure(second.err.contains("locked by"), || format!("the second did not wait for the first: {second}"))?;
    let versions = world.versions(&site)?;

    first.send(Signal::Continue)?;
    held.let_go();
    let first = first.ended()?;
    // A heartbeat that was on its way is refused by the table: the holder is another.
    let harmless = |seen: &Seen| !mutating(&seen.call) || (seen.call == "dynamodb:UpdateItem" && seen.status == 400);
    let after: Vec<Seen> = proxy.seen().split_off(before).into_iter().filter(|seen| !harmless(seen)).collect();
    ensure(after.is_empty(), || format!("after it went on, the first has called {after:?}: {first}"))?;
    ensure(first.code == Some(3), || format!("the first lost its lease, so it has to exit 3: {first}"))?;
    ensure(first.err.contains("keep the lease"), || format!("the first does not say that it lost the lease: {first}"))?;
    ensure(!first.err.contains("is recorded"), || format!("the first says that all is recorded: {first}"))?;
    ensure(world.versions(&site)? == versions, || "the state was changed after the second had finished".to_owned())?;
    converged(&site, &world, &shape, deployed()?)?;
    println!("{call} {nth}: the second finished at {} versions, the first wrote nothing more", versions.len());
    Ok(())
}

#[test]
fn suspended_while_something_is_made() {
    if let Err(problem) = suspended_at("ec2:CreateVpc", 1) {
        panic!("{problem}");
    }
}

#[test]
fn suspended_while_several_steps_run() {
    if let Err(problem) = suspended_at("ec2:CreateRouteTable", 1) {
        panic!("{problem}");
    }
}

#[test]
fn suspended_while_the_state_is_written() {
    if let Err(problem) = suspended_at("s3:PutObject", 4) {
        panic!("{problem}");
    }
}
