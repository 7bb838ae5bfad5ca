//! Each fault at each call.

use crate::case::{Case, Pace, Scenario};
use crate::fault::{Arrival, EACH, Fault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The seed of all that is random here, so that a case has the same calls each time.
pub const SEED: u64 = 7;

/// What goes wrong with reads: a read that dies with its process is the write before it that does.
const READS: [Fault; 3] = [Fault::Refused, Fault::AnswerLost, Fault::Hangs];

/// A beat of the lease.
fn beats(call: &Arrival) -> bool {
    call.input.contains("#beat + :one")
}

/// The calls at which something goes wrong, and what. Left out is what is the same as another case: a delete that is
/// refused as it was a moment ago, a beat after a beat with no write between them, and reads but for the first and the last
/// of each operation.
pub fn cases(calls: &[Arrival]) -> Vec<(usize, Fault)> {
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
        chosen.extend(EACH.map(|fault| (at, fault)));
    }
    let ends: BTreeSet<usize> = reads.into_values().flat_map(|(first, last)| [first, last]).collect();
    chosen.extend(ends.into_iter().flat_map(|at| READS.map(|fault| (at, fault))));
    chosen
}

/// Runs all cases of a scenario on all cores, and says how many there were.
pub fn check_all(scenario: &Scenario) {
    let calls = scenario.calls(SEED);
    let cases = cases(&calls);
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                while let Some((at, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = Case { pace: Pace::Steady, seed: SEED, faults: BTreeMap::from([(*at, *fault)]) };
                    let Err(problem) = scenario.tried(&case) else { continue };
                    let name = &calls[*at].name;
                    eprintln!(
                        "{fault:?} at call {at} ({name}) of {}: {problem}\n  {}",
                        scenario.name,
                        case.again(scenario)
                    );
                    wrong.lock().unwrap().push(format!("{fault:?} at call {at} ({name})"));
                }
            });
        }
    });
    println!("exhaustive: {} cases of {} at {} calls", cases.len(), scenario.name, calls.len());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases went wrong: {wrong:#?}", wrong.len(), cases.len());
}
