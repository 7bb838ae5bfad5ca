//! The real stack of the tool over one simulated AWS in the process, on a paused clock; see README.md.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests this is how a test fails")]

mod case;
mod exhaustive;
mod fault;
mod floor;
mod process;
mod random;
mod regressions;
mod reproduction;
mod scenarios;
mod wire;
mod world;

use exhaustive::{Depth, check_all, check_given_up};

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
fn another_network_survives_unclear_outcomes() {
    check_all(&scenarios::network(), Depth::Unclear);
}

#[test]
fn more_services_survive_unclear_outcomes() {
    check_all(&scenarios::services(), Depth::Unclear);
}

#[test]
fn a_destroy_after_a_deploy_that_was_given_up_leaves_nothing() {
    check_given_up(&scenarios::deploy(), &scenarios::destroy());
}

#[test]
fn another_configuration_after_a_deploy_that_was_given_up_is_made() {
    check_given_up(&scenarios::deploy(), &scenarios::port());
}

#[test]
fn the_old_configuration_after_a_replacement_that_was_given_up_is_made_again() {
    check_given_up(&scenarios::engine(), &scenarios::deploy());
}

#[test]
fn a_deploy_after_a_destroy_that_was_given_up_makes_everything_again() {
    check_given_up(&scenarios::destroy(), &scenarios::deploy());
}

#[test]
fn random_faults_are_survived() {
    random::check_all();
}

/// One case again, as its failure was printed.
#[test]
fn one_case() {
    let Ok(text) = std::env::var("SIMULATION_CASE") else { return };
    let (scenario, next, case) = case::Case::parse(&text);
    let outcome = next.map_or_else(|| scenario.tried(&case), |next| scenario.given_up_for(&next, &case));
    println!("{}", scenario.transcript(&case));
    outcome.unwrap();
}
