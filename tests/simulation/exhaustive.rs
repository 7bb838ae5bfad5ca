//! Exhaustive cases: each fault at each call.

use crate::case::{Case, Pace, Scenario};
use crate::fault::{EXHAUSTIVE_FAULTS, Fault, ReceivedCall};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seed from which everything random in these cases follows, so that a case has the same calls in every run.
pub const SEED: u64 = 7;

/// Faults of the first and of the last read of each operation. Other faults are not needed: the death of a process at a
/// read is equivalent to its death after the preceding write, and the SDK repeats a read whose response was lost.
const FIRST_READ: Fault = Fault::Refused;
const LAST_READ: Fault = Fault::Hangs;

/// Extent of the cases of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Each fault at each write and at each call to the snapshot or the lease, and the faults of reads.
    All,
    /// Faults after which the outcome is unknown, at each write to AWS.
    UnknownOutcome,
}

/// Returns whether the call is a heartbeat of the lease.
fn is_heartbeat(call: &ReceivedCall) -> bool {
    call.input.contains("#beat + :one")
}

/// Returns the cases: the number of each call and its fault. Cases that are equivalent to another case are omitted: a
/// delete that is refused with the same error as before, a heartbeat that follows another heartbeat without a write in
/// between, and reads except for the first and the last of each operation.
pub fn cases(calls: &[ReceivedCall], depth: Depth) -> Vec<(usize, Fault)> {
    let mut refused = BTreeSet::new();
    let mut after_heartbeat = false;
    let mut chosen = Vec::new();
    let mut reads: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        if !call.writes && !call.is_state {
            reads.entry(&call.name).or_insert((at, at)).1 = at;
            continue;
        }
        let repeated = !call.code.is_empty() && !refused.insert((&call.name, &call.input, &call.code));
        if repeated || is_heartbeat(call) && after_heartbeat {
            continue;
        }
        after_heartbeat = is_heartbeat(call) || call.is_state && after_heartbeat;
        match depth {
            Depth::All => chosen.extend(EXHAUSTIVE_FAULTS.map(|fault| (at, fault))),
            Depth::UnknownOutcome if call.is_state => {}
            Depth::UnknownOutcome => chosen.extend([(at, Fault::AnswerLost), (at, Fault::DiesAfter)]),
        }
    }
    if depth == Depth::All {
        chosen.extend(reads.into_values().flat_map(|(first, last)| [(first, FIRST_READ), (last, LAST_READ)]));
    }
    chosen
}

/// Runs all cases of a scenario on all cores and prints their number.
pub fn check_all(scenario: &Scenario, depth: Depth) {
    let calls = scenario.calls(SEED);
    let depth = if std::env::var_os("SIMULATION_FULL").is_some() { Depth::All } else { depth };
    let cases = cases(calls, depth);
    let failures = on_all_cores(scenario, &cases, scenario.name, |case| scenario.check_catching_panics(case));
    let total = scenario.total_calls();
    println!(
        "exhaustive: {} cases of {}, at {} calls ({total} calls in total)",
        cases.len(),
        scenario.name,
        calls.len()
    );
    assert!(failures.is_empty(), "{} of {} cases failed: {failures:#?}", failures.len(), cases.len());
}

/// Faults of a run after which the command is not repeated.
const ABANDONING_FAULTS: [Fault; 2] = [Fault::Refused, Fault::DiesAfter];

/// Injects a fault at each call and then runs another scenario, `next`, instead of repeating the command.
pub fn check_all_abandoned(scenario: &Scenario, next: &Scenario) {
    let calls = scenario.calls(SEED);
    let mut cases = cases(calls, Depth::All);
    cases.retain(|(at, fault)| ABANDONING_FAULTS.contains(fault) && (calls[*at].writes || calls[*at].is_state));
    let name = format!("{}+{}", scenario.name, next.name);
    let failures = on_all_cores(scenario, &cases, &name, |case| scenario.check_abandoned_for(next, case));
    println!("abandoned: {} cases of {name}", cases.len());
    assert!(failures.is_empty(), "{} of {} cases failed: {failures:#?}", failures.len(), cases.len());
}

/// Runs the cases on all cores and returns those that failed.
fn on_all_cores(
    scenario: &Scenario,
    cases: &[(usize, Fault)],
    named: &str,
    check: impl Fn(&Case) -> Result<(), String> + Sync,
) -> Vec<String> {
    let calls = scenario.calls(SEED);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                while let Some((at, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = Case { pace: Pace::Steady, seed: SEED, faults: BTreeMap::from([(*at, *fault)]) };
                    let Err(problem) = check(&case) else { continue };
                    let name = &calls[*at].name;
                    eprintln!(
                        "{fault:?} at call {at} ({name}) of {named}: {problem}\n  {}",
                        case.reproduce_command(named)
                    );
                    failures.lock().unwrap().push(format!("{fault:?} at call {at} ({name})"));
                }
            });
        }
    });
    failures.into_inner().unwrap()
}
