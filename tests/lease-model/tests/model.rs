//! Checks the properties of the lease model in every order of its steps; see the documentation of the crate.

use pb_lease_model::model::{Bounds, Protocol};
use pb_lease_model::protocol::Timing;
use pb_lease_model::{LEASE, at};
use stateright::{Checker, Model};

/// Requests may arrive late or never, and processes may be suspended for any length of time.
const ANY_ORDER: Bounds = Bounds {
    processes: 2,
    ticks: 5,
    requests: 4,
    late_requests: 2,
    lost_responses: 1,
    deaths: 1,
    item_losses: 0,
    checks_snapshot_token: true,
    restores: false,
    prompt: false,
    trusted_timing: LEASE,
};
/// The table may lose its item once, at any moment.
const LOST_TABLE: Bounds = Bounds { ticks: 3, late_requests: 1, deaths: 0, item_losses: 1, ..ANY_ORDER };

fn check(bounds: Bounds) {
    let checker = Protocol::new(bounds).checker().threads(2).spawn_bfs().join();
    println!("lease model: {} states of {bounds:?}", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn two_processes_write_in_order_of_their_fencing_tokens() {
    check(ANY_ORDER);
}

#[test]
fn three_processes_write_in_order_of_their_fencing_tokens() {
    check(Bounds { processes: 3, ticks: 4, requests: 3, late_requests: 1, lost_responses: 0, deaths: 0, ..ANY_ORDER });
}

#[test]
fn free_or_expired_lease_is_eventually_acquired() {
    check(Bounds { processes: 3, ticks: 9, requests: 5, late_requests: 0, prompt: true, ..ANY_ORDER });
}

#[test]
fn lost_table_lets_no_write_follow_a_later_token() {
    check(LOST_TABLE);
}

#[test]
fn lost_table_is_recovered_by_a_restore() {
    check(Bounds { ticks: 2, lost_responses: 0, restores: true, ..LOST_TABLE });
}

/// The model detects errors: if the token of the snapshot is not checked, a table that has lost its item lets a write
/// follow one with a higher token.
#[test]
fn model_finds_violation_without_snapshot_token_check() {
    let checker =
        Protocol::new(Bounds { checks_snapshot_token: false, ..LOST_TABLE }).checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("no write follows a write with a higher token").is_some());
}

/// The model detects errors: it finds a holder that trusts its lease for longer than other processes wait.
#[test]
fn model_finds_violation_of_overlong_lease_trust() {
    let trusted_timing = Timing { lease: LEASE.lease + at(1), ..LEASE };
    let checker = Protocol::new(Bounds { trusted_timing, ..ANY_ORDER }).checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("no two processes believe that they hold the lease").is_some());
}
