//! The real stack of the tool over one simulated AWS in the process, on a paused clock; see README.md.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests this is how a test fails")]

mod case;
mod exhaustive;
mod fault;
mod floor;
mod process;
mod random;
mod regressions;
mod scenarios;
mod wire;
mod world;

use exhaustive::{Depth, check_all};

#[test]
fn deploy_survives_every_fault() {
    check_all(&scenarios::deploy(), Depth::All);
}

#[test]
fn destroy_survives_every_fault() {
    check_all(&scenarios::destroy(), Depth::All);
}

#[test]
fn another_port_survives_every_fault() {
    check_all(&scenarios::port(), Depth::All);
}

#[test]
fn another_engine_survives_every_fault() {
    check_all(&scenarios::engine(), Depth::All);
}

#[test]
#[ignore = "takes minutes: run it with --include-ignored"]
fn another_network_survives_unclear_outcomes() {
    check_all(&scenarios::network(), Depth::Unclear);
}

#[test]
#[ignore = "takes minutes: run it with --include-ignored"]
fn more_services_survive_unclear_outcomes() {
    check_all(&scenarios::services(), Depth::Unclear);
}

#[test]
fn random_faults_are_survived() {
    random::check_all();
}

/// One case again, as its failure was printed.
#[test]
fn one_case() {
    let Ok(text) = std::env::var("SIMULATION_CASE") else { return };
    let (scenario, case) = case::Case::parse(&text);
    let outcome = scenario.tried(&case);
    println!("{}", scenario.transcript(&case));
    outcome.unwrap();
}
