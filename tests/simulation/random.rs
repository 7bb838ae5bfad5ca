//! Several faults at once, anywhere, while AWS takes another time over each thing.

use crate::case::{Case, Pace, Scenario};
use crate::fault::{ALL, Fault};
use crate::scenarios;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::collections::BTreeMap;

/// How many cases there are, all threads together.
const CASES: u32 = 2000;

/// Faults in a case, at most.
const FAULTS: usize = 5;

fn cases(scenarios: usize) -> impl Strategy<Value = (usize, u64, BTreeMap<usize, Fault>)> {
    let fault = proptest::sample::select(ALL.to_vec());
    // Calls of one run and of what comes after it.
    let faults = proptest::collection::btree_map(0..500_usize, fault, 1..=FAULTS);
    (0..scenarios, proptest::num::u64::ANY, faults)
}

/// Runs all cases, those of each thread from a seed of its own.
pub fn check_all() {
    let seed = match std::env::var("SIMULATION_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
    };
    println!("random: SIMULATION_SEED={seed} gives these cases again");
    let scenarios = scenarios::all();
    let cases = if std::env::var_os("SIMULATION_FULL").is_some() { 10 * CASES } else { CASES };
    let threads = std::thread::available_parallelism().map_or(2, Into::into);
    let share = cases.div_ceil(u32::try_from(threads).unwrap());
    let problems: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads as u64)
            .map(|at| {
                scope.spawn({
                    let scenarios = &scenarios;
                    move || check(scenarios, seed.wrapping_add(at), share)
                })
            })
            .collect();
        all.into_iter().filter_map(|thread| thread.join().unwrap().err()).collect()
    });
    println!("random: {} cases", share * u32::try_from(threads).unwrap());
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
            .tried(&case)
            .map_err(|problem| TestCaseError::fail(format!("{problem}\n{}", case.again(scenario.name))))
    });
    outcome.map_err(|error| error.to_string())
}
