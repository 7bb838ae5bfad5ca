//! The tool on the wire with faults. What each test needs it starts itself: a local endpoint, and an account in it.

mod contention;
mod interrupts;
mod proxy;
mod sample;
mod suspended;

use pb_torture::matrix::{Bench, Phase};
use pb_torture::{Baseline, Emulator, Held, Problem, Proxy, Running};
use std::sync::OnceLock;
use std::time::Duration;

/// The lease of these tests, in seconds: short enough to wait for, long enough for a busy machine.
const LEASE: u32 = 4;

/// The one endpoint of these tests. It ends with this process.
fn endpoint() -> Result<&'static str, Problem> {
    static EMULATOR: OnceLock<Result<Emulator, Problem>> = OnceLock::new();
    EMULATOR.get_or_init(Emulator::get).as_ref().map(|emulator| emulator.url.as_str()).map_err(Clone::clone)
}

/// What clean runs make, and leave.
fn bench() -> Result<&'static Bench, Problem> {
    static BENCH: OnceLock<Result<Bench, Problem>> = OnceLock::new();
    let make = || Bench::new(&[endpoint()?.to_owned(), endpoint()?.to_owned()], LEASE);
    BENCH.get_or_init(make).as_ref().map_err(Clone::clone)
}

/// What a clean deploy from nothing leaves.
fn deployed() -> Result<&'static Baseline, Problem> {
    bench()?.baseline(Phase::Deploy).ok_or_else(|| "there is no baseline".to_owned())
}

/// The call that the proxy holds, once the run has come to it.
fn held(proxy: &Proxy, running: &mut Running) -> Result<Held, Problem> {
    let mut held = None;
    running.wait_until(|_| {
        held = held.take().or_else(|| proxy.held_within(Duration::from_millis(20)));
        held.is_some()
    })?;
    held.ok_or_else(|| format!("the run ended before its call was held:\n{}", running.said()))
}

fn ensure(holds: bool, why: impl FnOnce() -> Problem) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(why()) }
}
