//! Tests of the binary with injected faults. The tests share a local endpoint, and each test has accounts of its own in
//! it.

mod contention;
mod interrupts;
mod proxy;
mod sample;
mod suspended;

use pb_torture::matrix::{Phase, TestBench};
use pb_torture::{Baseline, Emulator, HeldCall, Problem, Proxy, RunningProcess};
use std::sync::OnceLock;
use std::time::Duration;

/// Duration of leases in these tests, in seconds: short enough for tests that wait until a lease expires, and long
/// enough for a busy machine.
const LEASE: u32 = 4;

/// Returns the endpoint that these tests share. It ends with this process.
fn endpoint() -> Result<&'static str, Problem> {
    static EMULATOR: OnceLock<Result<Emulator, Problem>> = OnceLock::new();
    EMULATOR.get_or_init(Emulator::get).as_ref().map(|emulator| emulator.url.as_str()).map_err(Clone::clone)
}

/// Returns the bench, with the calls and results of clean runs.
fn bench() -> Result<&'static TestBench, Problem> {
    static BENCH: OnceLock<Result<TestBench, Problem>> = OnceLock::new();
    let make = || TestBench::new(&[endpoint()?.to_owned(), endpoint()?.to_owned()], LEASE);
    BENCH.get_or_init(make).as_ref().map_err(Clone::clone)
}

/// Returns the result of a clean deploy from nothing.
fn deployed_baseline() -> Result<&'static Baseline, Problem> {
    bench()?.baseline(Phase::Deploy).ok_or_else(|| "there is no baseline".to_owned())
}

/// Waits until the proxy holds a call of the run, and returns it.
fn held(proxy: &Proxy, running: &mut RunningProcess) -> Result<HeldCall, Problem> {
    let mut held = None;
    running.wait_until(|_| {
        held = held.take().or_else(|| proxy.wait_for_held(Duration::from_millis(20)));
        held.is_some()
    })?;
    held.ok_or_else(|| format!("the run ended before its call was held:\n{}", running.stderr()))
}

fn ensure(holds: bool, why: impl FnOnce() -> Problem) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(why()) }
}
