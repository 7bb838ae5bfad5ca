//! Random cases: several faults at any calls, with random durations of AWS operations.

use crate::case::{Case, Pace, Scenario};
use crate::fault::{ALL, Fault};
use crate::scenarios;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Number of random cases in a normal run, from a fixed seed.
const CASES: u32 = 500;

/// Number of random cases with `SIMULATION_FULL`.
const CASES_FULL: u32 = 20_000;

/// Seed of a normal run.
const SEED: u64 = 1;

/// Number of streams of cases, each with a seed of its own, so that the cases do not depend on the number of cores.
const SEED_STREAMS: u32 = 20;

/// Maximum number of faults in a case.
const MAX_FAULTS: usize = 5;

fn cases(scenarios: usize) -> impl Strategy<Value = (usize, u64, BTreeMap<usize, Fault>)> {
    let fault = proptest::sample::select(ALL.to_vec());
    // The faults can be at calls of the first run or of the runs that repeat the command.
    let faults = proptest::collection::btree_map(0..500_usize, fault, 1..=MAX_FAULTS);
    (0..scenarios, proptest::num::u64::ANY, faults)
}

/// Runs all cases on all cores.
pub fn check_all() {
    let seed = std::env::var("SIMULATION_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    println!("random: reproduce these cases with SIMULATION_SEED={seed}");
    let scenarios = scenarios::all();
    let cases = if std::env::var_os("SIMULATION_FULL").is_some() { CASES_FULL } else { CASES };
    let next = AtomicU32::new(0);
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                loop {
                    let stream = next.fetch_add(1, Ordering::Relaxed);
                    if stream >= SEED_STREAMS {
                        break;
                    }
                    let outcome = check(&scenarios, seed.wrapping_add(stream.into()), cases / SEED_STREAMS);
                    problems.lock().unwrap().extend(outcome.err());
                }
            });
        }
    });
    println!("random: {cases} cases");
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

fn check(scenarios: &[Scenario], seed: u64, cases_here: u32) -> Result<(), String> {
    let config = Config { cases: cases_here, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let seed: Vec<u8> = seed.to_le_bytes().repeat(4);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcome = runner.run(&cases(scenarios.len()), |(scenario, seed, faults)| {
        let case = Case { pace: Pace::Random, seed, faults };
        let scenario = &scenarios[scenario];
        scenario
            .check_catching_panics(&case)
            .map_err(|problem| TestCaseError::fail(format!("{problem}\n{}", case.reproduce_command(scenario.name))))
    });
    outcome.map_err(|error| error.to_string())
}
