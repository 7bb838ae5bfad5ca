//! Each fault at each call.

use crate::case::{Case, Pace, Scenario};
use crate::fault::{Arrival, EACH, Fault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The seed of all that is random here, so that a case has the same calls each time.
pub const SEED: u64 = 7;

/// What goes wrong with the first and with the last read of each operation. A read that dies with its process is the write
/// before it that does, and the SDK repeats one whose answer was lost.
const FIRST_READ: Fault = Fault::Refused;
const LAST_READ: Fault = Fault::Hangs;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Each fault at each write and each call about snapshot and lease; reads.
    All,
    /// Of the faults those after which the outcome is not known, at each write to AWS.
    Unclear,
}

/// A beat of the lease.
fn beats(call: &Arrival) -> bool {
    call.input.contains("#beat + :one")
}

/// The calls at which something goes wrong, and what. Left out is what is the same as another case: a delete that is
/// refused as it was a moment ago, a beat after a beat with no write between them, and reads but for the first and the last
/// of each operation.
pub fn cases(calls: &[Arrival], depth: Depth) -> Vec<(usize, Fault)> {
    let mut refused = BTreeSet::new();
    let mut beaten = false;
    let mut chosen = Vec::new();
    let mut reads: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        if !call.writes && !call.is_state {
            reads.entry(&call.name).or_insert((at, at)).1 = at;
            continue;
        }
        let repeated = !call.code.is_empty() && !refused.insert((&call.name, &call.input, &call.code));
        if repeated || beats(call) && beaten {
            continue;
        }
        beaten = beats(call) || call.is_state && beaten;
        match depth {
            Depth::All => chosen.extend(EACH.map(|fault| (at, fault))),
            Depth::Unclear if call.is_state => {}
            Depth::Unclear => chosen.extend([(at, Fault::AnswerLost), (at, Fault::DiesAfter)]),
        }
    }
    if depth == Depth::All {
        chosen.extend(reads.into_values().flat_map(|(first, last)| [(first, FIRST_READ), (last, LAST_READ)]));
    }
    chosen
}

/// Runs all cases of a scenario on all cores, and says how many there were.
pub fn check_all(scenario: &Scenario, depth: Depth) {
    let calls = scenario.calls(SEED);
    let depth = if std::env::var_os("SIMULATION_FULL").is_some() { Depth::All } else { depth };
    let cases = cases(calls, depth);
    let wrong = on_all_cores(scenario, &cases, scenario.name, |case| scenario.tried(case));
    let made = scenario.made();
    println!("exhaustive: {} cases of {}, at {} calls ({made} calls in all)", cases.len(), scenario.name, calls.len());
    assert!(wrong.is_empty(), "{} of {} cases went wrong: {wrong:#?}", wrong.len(), cases.len());
}

/// What goes wrong with a run that is not given again.
const GIVEN_UP: [Fault; 2] = [Fault::Refused, Fault::DiesAfter];

/// Lets each call go wrong, and then has something else done: `next`.
pub fn check_given_up(scenario: &Scenario, next: &Scenario) {
    let calls = scenario.calls(SEED);
    let mut cases = cases(calls, Depth::All);
    cases.retain(|(at, fault)| GIVEN_UP.contains(fault) && (calls[*at].writes || calls[*at].is_state));
    let name = format!("{}+{}", scenario.name, next.name);
    let wrong = on_all_cores(scenario, &cases, &name, |case| scenario.given_up_for(next, case));
    println!("given up: {} cases of {name}", cases.len());
    assert!(wrong.is_empty(), "{} of {} cases went wrong: {wrong:#?}", wrong.len(), cases.len());
}

/// The cases that went wrong.
fn on_all_cores(
    scenario: &Scenario,
    cases: &[(usize, Fault)],
    named: &str,
    check: impl Fn(&Case) -> Result<(), String> + Sync,
) -> Vec<String> {
    let calls = scenario.calls(SEED);
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                while let Some((at, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = Case { pace: Pace::Steady, seed: SEED, faults: BTreeMap::from([(*at, *fault)]) };
                    let Err(problem) = check(&case) else { continue };
                    let name = &calls[*at].name;
                    eprintln!("{fault:?} at call {at} ({name}) of {named}: {problem}\n  {}", case.again(named));
                    wrong.lock().unwrap().push(format!("{fault:?} at call {at} ({name})"));
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}
