//! The real stack of the tool over one simulated AWS in the process, on a paused clock; see README.md.

mod case;
mod exhaustive;
mod fault;
mod process;
mod random;
mod scenarios;
mod wire;
mod world;

use exhaustive::check_all;

#[test]
fn deploy_survives_every_fault() {
    check_all(&scenarios::deploy());
}

#[test]
fn destroy_survives_every_fault() {
    check_all(&scenarios::destroy());
}

#[test]
fn another_port_survives_every_fault() {
    check_all(&scenarios::port());
}

#[test]
fn another_engine_survives_every_fault() {
    check_all(&scenarios::engine());
}

#[test]
fn another_network_survives_every_fault() {
    check_all(&scenarios::network());
}

#[test]
fn more_services_survive_every_fault() {
    check_all(&scenarios::services());
}

#[test]
fn times_and_calls() {
    for scenario in scenarios::all() {
        let calls = scenario.calls(7);
        let since = std::time::Instant::now();
        let cases = exhaustive::cases(&calls);
        let writes = calls.iter().filter(|call| call.writes).count();
        let case = case::Case { pace: case::Pace::Steady, seed: 7, faults: Default::default() };
        scenario.check(&case).unwrap();
        println!(
            "{}: {} calls, {writes} writes, {} cases, {:?}",
            scenario.name,
            calls.len(),
            cases.len(),
            since.elapsed()
        );
    }
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
