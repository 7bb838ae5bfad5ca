//! Tests of the tool's real stack against an AWS account that is simulated in the process, on a paused clock; see
//! README.md.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod account;
mod case;
mod exhaustive;
mod fault;
mod lower_bound;
mod process;
mod random;
mod regressions;
mod reproduction;
mod scenarios;
mod wire;

use exhaustive::{Depth, check_all, check_all_abandoned};

#[test]
fn deploy_recovers_from_every_fault() {
    check_all(&scenarios::deploy(), Depth::All);
}

#[test]
fn destroy_recovers_from_every_fault() {
    check_all(&scenarios::destroy(), Depth::All);
}

#[test]
fn port_change_recovers_from_every_fault() {
    check_all(&scenarios::port(), Depth::All);
}

#[test]
fn engine_change_recovers_from_every_fault() {
    check_all(&scenarios::engine(), Depth::All);
}

#[test]
fn engine_change_back_recovers_from_unknown_outcomes() {
    check_all(&scenarios::engine_back(), Depth::UnknownOutcome);
}

#[test]
fn network_change_recovers_from_unknown_outcomes() {
    check_all(&scenarios::network(), Depth::UnknownOutcome);
}

#[test]
fn service_changes_recover_from_unknown_outcomes() {
    check_all(&scenarios::services(), Depth::UnknownOutcome);
}

#[test]
fn rollout_that_waits_for_ready_tasks_recovers_from_every_fault() {
    check_all(&scenarios::ready(), Depth::All);
}

#[test]
fn https_recovers_from_every_fault() {
    check_all(&scenarios::https(), Depth::All);
}

#[test]
fn replaced_certificate_recovers_from_unknown_outcomes() {
    check_all(&scenarios::https_name(), Depth::UnknownOutcome);
}

#[test]
fn replaced_listener_certificate_recovers_from_unknown_outcomes() {
    check_all(&scenarios::https_names(), Depth::UnknownOutcome);
}

#[test]
fn destroy_with_a_count_of_jobs_recovers_from_every_fault() {
    check_all(&scenarios::counted_destroy(), Depth::All);
}

#[test]
fn destroy_with_https_recovers_from_unknown_outcomes() {
    check_all(&scenarios::https_destroy(), Depth::UnknownOutcome);
}

#[test]
fn http_after_abandoned_https_leaves_no_certificate() {
    check_all_abandoned(&scenarios::https(), &scenarios::deploy());
}

#[test]
fn destroy_after_an_abandoned_deploy_leaves_nothing() {
    check_all_abandoned(&scenarios::deploy(), &scenarios::destroy());
}

#[test]
fn changed_deploy_after_an_abandoned_deploy_converges() {
    check_all_abandoned(&scenarios::deploy(), &scenarios::port());
}

#[test]
fn previous_deploy_after_an_abandoned_replacement_converges() {
    check_all_abandoned(&scenarios::engine(), &scenarios::deploy());
}

#[test]
fn deploy_after_an_abandoned_destroy_recreates_everything() {
    check_all_abandoned(&scenarios::destroy(), &scenarios::deploy());
}

#[test]
fn random_faults_are_recovered_from() {
    random::check_all();
}

/// Reproduces the case in the environment variable `SIMULATION_CASE`, which the command of a failed case sets.
#[test]
fn case_from_environment() {
    let Ok(text) = std::env::var("SIMULATION_CASE") else { return };
    let (scenario, next, case) = case::Case::parse(&text);
    let outcome =
        next.map_or_else(|| scenario.check_catching_panics(&case), |next| scenario.check_abandoned_for(&next, &case));
    println!("{}", scenario.transcript(&case));
    outcome.unwrap();
}
